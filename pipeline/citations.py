"""The papers that the definitions come from, as BibTeX."""

from __future__ import annotations

from typing import Final

BIBTEX: Final = """\
@article{gerstner2026gluscope,
  title   = {{GLUScope}: A Tool for Analyzing {GLU} Neurons in Transformer Language Models},
  author  = {Gerstner and Schuetze},
  journal = {arXiv preprint arXiv:2602.23826},
  year    = {2026}
}

@article{gerstner2025understanding,
  title   = {Understanding Gated Neurons in Transformers from Their Input-Output Functionality},
  author  = {Gerstner and Schuetze},
  journal = {arXiv preprint arXiv:2505.17936},
  year    = {2025}
}
"""
