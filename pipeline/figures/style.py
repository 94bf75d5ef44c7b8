"""One look for all figures, whatever a user's matplotlibrc says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import matplotlib.style

from pipeline.naming import COMBO_NAMES

# Of a page of text, in inches: printed as they are, figures have letters of 6 to 9 points.
PAGE: Final = 7.2
PNG_DPI: Final = 200
# Of the point clouds inside a PDF; all else there is drawn as lines and letters.
CLOUD_DPI: Final = 300
# On a notebook's page.
SCREEN_DPI: Final = 100

TITLE_SIZE: Final = 9.5
SMALL: Final = 6.5
GREY: Final = "#555555"
FAINT: Final = "#BBBBBB"
# Where the cosines of random vectors lie.
RANDOMNESS: Final = "#E3E3E3"
# Bright is dense: a lone point is dark, and seen on white.
DENSITY_MAP: Final = "viridis"
# Of values of both signs: dark in the middle, for the same reason.
SIGNED_MAP: Final = "managua_r"
UNSIGNED_MAP: Final = "viridis"

# The colours of Okabe and Ito, which the colour-blind tell apart. A class and its atypical twin
# share one; what is atypical is hatched.
CLASS_COLOURS: Final = {
    "enrichment": "#0072B2",
    "conditional enrichment": "#56B4E9",
    "proportional change": "#009E73",
    "orthogonal output": "#D9D9D9",
    "conditional depletion": "#E69F00",
    "depletion": "#D55E00",
}
COMBO_COLOURS: Final = dict(
    zip(COMBO_NAMES, ("#0072B2", "#E69F00", "#009E73", "#CC79A7"), strict=True)
)
# Colours, dashes and marks of the lines of several models, told apart without colour too.
LINE_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_DASHES: Final = ("-", "--", "-.", ":")
LINE_MARKS: Final = ("o", "s", "^", "D", "v", "P", "X")

_RC: Final[dict[str, Any]] = {
    "font.size": 8,
    "axes.titlesize": 7.5,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlepad": 3,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.7,
    "pdf.fonttype": 42,  # letters that can be searched and edited
}


@contextmanager
def styled() -> Iterator[None]:
    """Within it figures are made and written in this style, and in no user's own."""
    with matplotlib.style.context(["default", _RC]):
        yield
