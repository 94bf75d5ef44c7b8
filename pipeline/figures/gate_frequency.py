"""The cosine of what a neuron reads and writes against how often its gate is positive."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from pipeline.figures.canvas import (
    COS_IN_OUT,
    Drawing,
    cloud,
    cosine_limit,
    cosine_ticks,
    layer_panels,
    page,
    percent,
    zero_line,
)
from pipeline.figures.numbers import Numbers
from pipeline.figures.subject import Subject, signed

_TITLE = "gate frequency against cos(in, out)"
_FREQUENCY = "share of tokens with gate > 0"


def over_all(subject: Subject, points: Numbers, correlations: Numbers) -> Drawing:
    """All neurons in one panel; `correlations` has the row of all layers together."""
    whole = correlations.where(np.isnan(correlations["layer"].astype(float)))
    n_layers = len(points.values("layer"))
    subtitle = (
        f"{subject.shown(len(points), n_layers)}; {_correlation(whole)}; bright: many neurons"
    )
    drawing, (axes,) = page(f"{subject.label}: {_TITLE}", subtitle, height=3.8)
    _paint(axes, points, cosine_limit(points["cos_in_out"]))
    axes.set_xlabel(COS_IN_OUT)
    axes.set_ylabel(_FREQUENCY)
    return drawing


def by_layer(subject: Subject, points: Numbers, correlations: Numbers) -> Drawing:
    """A panel for each layer."""
    layers = points.values("layer")
    of_layer = {layer: points.of("layer", layer) for layer in layers}
    names = [
        f"layer {layer}, n = {len(of_layer[layer]):,}\n{_short(correlations.of('layer', layer))}"
        for layer in layers
    ]
    drawing, panels = layer_panels(
        f"{subject.label}: {_TITLE}, by layer",
        f"{subject.shown(len(points), len(layers))}; Pearson r with its 95% interval; "
        "bright: many neurons",
        names,
        ratio=0.85,
        x_label=COS_IN_OUT,
        y_label=_FREQUENCY,
    )
    limit = cosine_limit(points["cos_in_out"])
    for axes, layer in zip(panels, layers, strict=True):
        _paint(axes, of_layer[layer], limit)
        cosine_ticks(axes.xaxis, limit)
    return drawing


def _paint(axes: Axes, points: Numbers, limit: float) -> None:
    zero_line(axes, across=True)
    cloud(axes, points["cos_in_out"], points["gate_positive_frequency"])
    axes.set_xlim(-limit, limit)
    axes.set_ylim(-0.02, 1.02)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.yaxis.set_major_formatter(percent)


def _correlation(row: Numbers) -> str:
    r = float(row["pearson"][0])
    if np.isnan(r):
        return "Pearson r undefined (fewer than two neurons, or all the same)"
    return f"Pearson {_short(row)} (95% interval)"


def _short(row: Numbers) -> str:
    """`r = -0.45 [-0.47, -0.43]`."""
    r, low, high = (float(row[name][0]) for name in ("pearson", "pearson_low", "pearson_high"))
    if np.isnan(r):
        return "r undefined"
    interval = "" if np.isnan(low) else f" [{signed(low)}, {signed(high)}]"
    return f"r = {signed(r)}{interval}"
