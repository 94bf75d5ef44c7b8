"""`python -m pipeline` is `gatescope`."""

import sys

from pipeline.cli import main

sys.exit(main())
