"""Where the files that travel with the package lie: configuration, queries, the demo model.

In a checkout `conf/` and `queries/` stand at its top; in a wheel they lie inside the package.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent


def shipped_folder(name: str) -> Path:
    """The folder `conf` or `queries`, inside an installed package or at the top of a checkout."""
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


CONF = shipped_folder("conf")
QUERIES = shipped_folder("queries")
DEMO_MODEL = PACKAGE / "demo" / "model"
