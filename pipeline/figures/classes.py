"""Which input-output functionality the neurons of each layer have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pipeline.figures.canvas import Drawing, page, percent
from pipeline.figures.numbers import Numbers
from pipeline.figures.style import CLASS_COLOURS
from pipeline.figures.subject import Subject

_ATYPICAL: Final = "atypical "
_ORTHOGONAL: Final = "orthogonal output"
# Shares below which the classes other than orthogonal output would hardly be seen.
_FEW: Final = 0.4
# Inches for the legend on the right.
_LEGEND: Final = 2.15
# From the bottom: what enriches, what changes nothing, what depletes; atypical beside typical.
CLASS_ORDER: Final = tuple(
    name
    for io_class in CLASS_COLOURS
    for name in (io_class, _ATYPICAL + io_class)
    if name != _ATYPICAL + _ORTHOGONAL
)
_WITHOUT_GATE: Final = ("enrichment", _ORTHOGONAL, "depletion")


def shares_by_layer(subject: Subject, classes: Numbers) -> Drawing:
    """A stacked bar for each layer.

    Where nearly all neurons have orthogonal output, the others are shown once more, by themselves.
    """
    classes = classes.known("io_class")
    layers = classes.values("layer")
    order = CLASS_ORDER if subject.gated else _WITHOUT_GATE
    others = [io_class for io_class in order if io_class != _ORTHOGONAL]
    shares = [_shares(classes, io_class, layers) for io_class in others]
    has_few = 0 < np.sum(shares, axis=0).max() < _FEW
    drawing, panels = page(
        f"{subject.label}: input-output classes by layer",
        f"{subject.shown(int(classes['n_neurons'].sum()), len(layers))}; classes by a threshold of "
        f"{subject.threshold:g}",
        height=2.2 if has_few else 3.6,
        rows=2 if has_few else 1,
        right=_LEGEND,
        sharex=True,
    )
    _stack(panels[0], classes, layers, order)
    panels[0].set_ylim(0, 1)
    if has_few:
        _stack(panels[1], classes, layers, others)
        panels[1].set_ylabel("share of the others")
    panels[0].set_ylabel("share of the layer's neurons")
    panels[-1].set_xlim(min(layers) - 0.7, max(layers) + 0.7)
    panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True, nbins=16, min_n_ticks=1))
    panels[-1].set_xlabel("layer")
    panels[0].legend(
        handles=[Patch(label=io_class, **_look(io_class)) for io_class in reversed(order)],
        loc="upper left",
        bbox_to_anchor=(1.0, 1.03),
        handleheight=1.4,
        handlelength=2.0,
        labelspacing=0.45,
    )
    return drawing


def _stack(axes: Axes, classes: Numbers, layers: Sequence[int], order: Sequence[str]) -> None:
    bottom = np.zeros(len(layers))
    for io_class in order:
        height = _shares(classes, io_class, layers)
        some = height > 0  # a PDF shows the hatches of a bar without height
        axes.bar(np.array(layers)[some], height[some], 0.86, bottom[some], **_look(io_class))
        bottom += height
    axes.yaxis.set_major_formatter(percent)


def _shares(classes: Numbers, io_class: str, layers: Sequence[int]) -> Float[np.ndarray, " layer"]:
    of_class = classes.of("io_class", io_class)
    share = dict(zip(of_class["layer"].tolist(), of_class["share"].tolist(), strict=True))
    return np.array([share.get(layer, 0.0) for layer in layers])


def _look(io_class: str) -> dict[str, Any]:
    typical = io_class.removeprefix(_ATYPICAL)
    hatch = "" if typical == io_class else "/////"
    return {
        "facecolor": CLASS_COLOURS[typical],
        "hatch": hatch,
        "edgecolor": "white" if hatch else CLASS_COLOURS[typical],
        "linewidth": 0,
    }
