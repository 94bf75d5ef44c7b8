"""How often the four sign combinations occur, and how much is written then."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter

from pipeline.figures.canvas import Drawing, cloud, page, percent
from pipeline.figures.numbers import Numbers
from pipeline.figures.style import COMBO_COLOURS
from pipeline.figures.subject import Subject

_BETWEEN = (0.16, 0.62)


def distribution(subject: Subject, intervals: Numbers, by_layer: Numbers) -> Drawing:
    """Of each combination a histogram over all neurons, and its quartiles by layer below it."""
    layers = by_layer.values("layer")
    n = int(intervals.of("combo", "gate+_in+")["n_neurons"].sum())
    drawing, panels = page(
        f"{subject.label}: frequency of the sign combinations",
        f"{subject.shown(n, len(layers))}; above: all neurons, below: median and quartiles "
        "of each layer's neurons",
        height=1.9,
        rows=2,
        columns=4,
        header=0.16,
        between=_BETWEEN,
        sharey="row",
    )
    for (combo, colour), above, below in zip(
        COMBO_COLOURS.items(), panels[:4], panels[4:], strict=True
    ):
        _histogram(above, intervals.of("combo", combo), colour)
        above.set_title(
            f"{combo}, n = {intervals.of('combo', combo)['n_neurons'].sum():,}", loc="left"
        )
        _quartiles(below, by_layer.of("combo", combo), colour)
    panels[4].set_ylim(bottom=0)
    panels[0].set_ylabel("share of the neurons")
    panels[4].set_ylabel("frequency (share of tokens)")
    for axes in panels[:4]:
        axes.set_xlabel("frequency")
    for axes in panels[4:]:
        axes.set_xlabel("layer")
    return drawing


def _histogram(axes: Axes, intervals: Numbers, colour: str) -> None:
    low, high = intervals["low"], intervals["high"]
    axes.bar(low, intervals["share"], width=high - low, align="edge", color=colour, linewidth=0)
    axes.set_xlim(0, 1)
    ticks = axes.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"])
    ticks[0].label1.set_horizontalalignment("left")  # not into the panel beside it
    ticks[-1].label1.set_horizontalalignment("right")
    axes.yaxis.set_major_formatter(percent)


def _quartiles(axes: Axes, by_layer: Numbers, colour: str) -> None:
    layers = by_layer["layer"]
    low, high = by_layer["q1_frequency"], by_layer["q3_frequency"]
    if len(layers) == 1:
        axes.vlines(layers, low, high, color=colour, alpha=0.3, linewidth=12)
    axes.fill_between(layers, low, high, color=colour, alpha=0.3, linewidth=0)
    marker = "o" if len(layers) <= 12 else ""
    axes.plot(layers, by_layer["median_frequency"], color=colour, marker=marker, markersize=3)
    axes.set_xlim(layers.min() - 0.4, layers.max() + 0.4)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, min_n_ticks=1))
    axes.yaxis.set_major_formatter(percent)


def output_norm(subject: Subject, points: Numbers) -> Drawing:
    """Of each combination a panel: how often a neuron has it against how much it writes then."""
    points = points.known("mean_output_norm")
    points = points.where(points["mean_output_norm"] > 0)
    n_layers = len(points.values("layer"))
    n_neurons = len(np.unique(points["layer"] * 2.0**32 + points["neuron"]))
    drawing, panels = page(
        f"{subject.label}: frequency against output norm",
        f"{subject.shown(n_neurons, n_layers)}, each where the combination occurs and writes; "
        "bright: many",
        height=2.35,
        rows=2,
        columns=2,
        header=0.16,
        between=(0.16, 0.34),
        sharex=True,
        sharey=True,
    )
    for combo, axes in zip(COMBO_COLOURS, panels, strict=True):
        of_combo = points.of("combo", combo)
        axes.set_xscale("log")
        axes.set_yscale("log")
        cloud(axes, of_combo["frequency"], of_combo["mean_output_norm"], log=True)
        axes.set_title(f"{combo}, n = {len(of_combo):,}", loc="left")
    for axis, column in (("x", "frequency"), ("y", "mean_output_norm")):
        if len(points):
            panels[0].set(**{f"{axis}lim": _decades(points[column])})
        for axes in panels:
            getattr(axes, f"{axis}axis").set_minor_formatter(NullFormatter())
    for axes in panels[2:]:
        axes.set_xlabel("frequency (share of tokens)")
    for axes in panels[::2]:
        axes.set_ylabel(r"mean of $|\mathrm{post}| \cdot \Vert w_\mathrm{out} \Vert$")
    return drawing


def _decades(values: Float[np.ndarray, " point"]) -> tuple[float, float]:
    """Limits around positive values, with a power of ten in between, which has a label."""
    low, high = float(values.min()) / 1.4, float(values.max()) * 1.4
    missing = max(10 * low / high, 1.0) ** 0.5
    return low / missing, high * missing
