"""How the three weight vectors of a neuron lie to each other."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from pipeline.figures.canvas import (
    COS_GATE_IN,
    COS_GATE_OUT,
    COS_IN_OUT,
    Drawing,
    cloud,
    cosine_limit,
    cosine_ticks,
    layer_panels,
    page,
    randomness_band,
    zero_line,
)
from pipeline.figures.numbers import Numbers
from pipeline.figures.style import FAINT, GREY, PAGE, RANDOMNESS, SIGNED_MAP, SMALL, UNSIGNED_MAP
from pipeline.figures.subject import Subject
from pipeline.schema import COSINES

# Inches between the titles and the panels for the scale of colours.
_SCALE: Final = 0.38
_COSINES: Final = {
    "cos_gate_in": COS_GATE_IN,
    "cos_gate_out": COS_GATE_OUT,
    "cos_in_out": COS_IN_OUT,
}
# The colours of boxes from the outermost to the innermost, of one hue.
_BOXES: Final = LinearSegmentedColormap.from_list("boxes", ["#CFE3F1", "#56A0D3", "#0B4F80"])
_MEDIAN: Final = "#E69F00"


def scatter_by_layer(subject: Subject, cosines: Numbers, randomness: Numbers) -> Drawing:
    """A panel for each layer: each neuron's three cosines, two as its place, one as its colour."""
    cosines = cosines.known(*COSINES)
    layers = cosines.values("layer")
    of_layer = {layer: cosines.of("layer", layer) for layer in layers}
    drawing, panels = layer_panels(
        f"{subject.label}: cosines of the weights by layer",
        f"{subject.shown(len(cosines), len(layers))}; grey: 95% of random vectors, square: "
        f"both; dotted: threshold {subject.threshold:g}",
        [f"layer {layer}, n = {len(of_layer[layer]):,}" for layer in layers],
        ratio=1.0,
        x_label=COS_IN_OUT,
        y_label=COS_GATE_OUT,
        header=_SCALE,
    )
    limit = cosine_limit(cosines["cos_in_out"], cosines["cos_gate_out"])
    colours = _colours(cosines["cos_gate_in"])
    for axes, layer in zip(panels, layers, strict=True):
        region = randomness.of("layer", layer).of("cosine", "cos_in_out")
        low, high = (float(region[f"randomness_{end}"][0]) for end in ("low", "high"))
        _paint(axes, of_layer[layer], colours, (low, high), subject.threshold)
        axes.set_xlim(-limit, limit)
        axes.set_ylim(-limit, limit)
        for axis in (axes.xaxis, axes.yaxis):
            cosine_ticks(axis, limit)
    _scale(drawing, colours)
    return drawing


def _colours(cos_gate_in: np.ndarray) -> ScalarMappable:
    """With canonical signs cos(gate, in) is never negative."""
    is_signed = len(cos_gate_in) > 0 and cos_gate_in.min() < 0
    norm = Normalize(-1 if is_signed else 0, 1)
    return ScalarMappable(norm, SIGNED_MAP if is_signed else UNSIGNED_MAP)


def _paint(
    axes: Axes,
    points: Numbers,
    colours: ScalarMappable,
    region: tuple[float, float],
    threshold: float,
) -> None:
    randomness_band(axes, *region, across=True)
    randomness_band(axes, *region, across=False)
    # The largest cosines of gate and in above the others: they are few.
    order = np.argsort(np.abs(points["cos_gate_in"]), kind="stable")
    x, y, colour = (points[name][order] for name in ("cos_in_out", "cos_gate_out", "cos_gate_in"))
    cloud(axes, x, y, c=colour, cmap=colours.get_cmap(), norm=colours.norm)
    for sign in (-1, 1):
        for line in (axes.axvline, axes.axhline):
            line(sign * threshold, color=GREY, linewidth=0.5, linestyle=":", zorder=3)
    low, high = region
    if math.isfinite(low) and math.isfinite(high):
        square = Rectangle((low, low), high - low, high - low, fill=False, zorder=3)
        square.set(edgecolor="black", linewidth=0.6)
        axes.add_patch(square)


def _scale(drawing: Drawing, colours: ScalarMappable) -> None:
    height = drawing.get_figheight()
    place = (0.62 / PAGE, 1 - 0.58 / height, 2.0 / PAGE, 0.08 / height)
    bar = drawing.colorbar(colours, cax=drawing.add_axes(place), orientation="horizontal")
    bar.outline.set_linewidth(0.4)
    bar.ax.tick_params(labelsize=SMALL)
    bar.ax.text(1.04, 0.5, COS_GATE_IN, transform=bar.ax.transAxes, va="center", fontsize=8)


def boxen_by_layer(subject: Subject, quantiles: Numbers, randomness: Numbers) -> Drawing:
    """A panel for each cosine: the letter values of each layer as nested boxes."""
    shown = [cosine for cosine in _COSINES if cosine in quantiles.values("cosine")]
    layers = quantiles.values("layer")
    median = quantiles.of("probability", 0.5)
    n = int(median.of("cosine", "cos_in_out")["n_neurons"].sum())
    quantiles = _told_by_enough(quantiles)
    deepest = quantiles["probability"].min()
    drawing, panels = page(
        f"{subject.label}: distribution of the cosines by layer",
        f"{subject.shown(n, len(layers))}; line: median; {_extent(deepest)}; "
        "grey: random vectors (95%)",
        height=3.4 if len(shown) == 1 else 1.75,
        rows=len(shown),
        between=(0.0, 0.16),
        sharex=True,
    )
    for axes, cosine in zip(panels, shown, strict=True):
        of_cosine = quantiles.of("cosine", cosine)
        regions = randomness.of("cosine", cosine)
        for layer in layers:
            _boxes(axes, layer, of_cosine.of("layer", layer), regions.of("layer", layer))
        zero_line(axes, across=False)
        limit = cosine_limit(of_cosine["quantile"], regions["randomness_high"])
        axes.set_ylim(-limit if of_cosine["quantile"].min() < 0 else -0.25 * limit, limit)
        axes.set_xlim(min(layers) - 0.7, max(layers) + 0.7)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=20, min_n_ticks=1))
        axes.set_ylabel(_COSINES[cosine])
    panels[-1].set_xlabel("layer")
    return drawing


def _extent(deepest: float) -> str:
    """What the boxes hold, from the middle half to what lies between the deepest quantiles."""
    if deepest >= 0.25:
        return "box: the middle half"
    between = ", 3/4, ..." if deepest < 0.125 else ""
    return f"boxes: the middle 1/2{between} {1 - 2 * deepest:.1%} of them"


def _told_by_enough(quantiles: Numbers) -> Numbers:
    """The quantiles that eight neurons lie beyond, as letter values are told by, and quartiles."""
    tail = np.minimum(quantiles["probability"], 1 - quantiles["probability"])
    return quantiles.where((tail * quantiles["n_neurons"] >= 8) | (tail >= 0.25))


def _boxes(axes: Axes, layer: int, values: Numbers, region: Numbers) -> None:
    """The boxes of a layer, each half as deep in the tails as the one inside it."""
    if len(region):
        low, high = (float(region[f"randomness_{end}"][0]) for end in ("low", "high"))
        if math.isfinite(low) and math.isfinite(high):
            band = Rectangle((layer - 0.5, low), 1, high - low, color=RANDOMNESS, linewidth=0)
            axes.add_patch(band).set_zorder(0)
            edges = [low, high]
            axes.hlines(edges, layer - 0.5, layer + 0.5, color=FAINT, linewidth=0.6, zorder=3)
    at = dict(zip(values["probability"].tolist(), values["quantile"].tolist(), strict=True))
    tails = sorted(p for p in at if p < 0.5)
    for depth, tail in enumerate(tails):
        inside = (depth + 1) / len(tails)
        width = 0.84 * (0.25 + 0.75 * inside)
        box = Rectangle((layer - width / 2, at[tail]), width, at[1 - tail] - at[tail], linewidth=0)
        box.set_facecolor(_BOXES(inside))
        axes.add_patch(box).set_zorder(2)
    if 0.5 in at:
        axes.hlines(at[0.5], layer - 0.42, layer + 0.42, color=_MEDIAN, linewidth=1.2, zorder=4)
