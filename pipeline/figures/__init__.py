"""Figures of a dataset: each draws the results of named queries, all in one style.

    dataset = pipeline.open("outputs/demo")
    pipeline.figures.draw(dataset, "gate_frequency").savefig("figure.pdf")

The only owner of matplotlib.
"""

from __future__ import annotations

from pipeline.figures.canvas import Drawing
from pipeline.figures.catalogue import FIGURES, FigureKind, draw
from pipeline.figures.files import Written, count_figures, write_figures

__all__ = ["FIGURES", "Drawing", "FigureKind", "Written", "count_figures", "draw", "write_figures"]
