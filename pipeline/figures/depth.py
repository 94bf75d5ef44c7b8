"""Models beside each other: what their neurons write against what they read, by depth."""

from __future__ import annotations

import math
from typing import Final

from pipeline.figures.canvas import COS_IN_OUT, Drawing, page, zero_line
from pipeline.figures.lettering import labels
from pipeline.figures.numbers import Numbers
from pipeline.figures.style import LINE_COLOURS, LINE_DASHES, LINE_MARKS

# Legend entries below one another, and the inches of a line of them.
_LEGEND_COLUMNS: Final = 2
_LEGEND_LINE: Final = 0.16
_MARKS_OF_A_LINE: Final = 10


def median_by_depth(models: Numbers) -> Drawing:
    """A line for each model."""
    n_all = len(models.values("model"))
    models = models.known("median_cos_in_out")
    names = list(dict.fromkeys(models["model"].tolist()))
    left_out = n_all - len(names)
    lines = math.ceil(len(names) / _LEGEND_COLUMNS)
    shown = labels(names)
    one = len(names) == 1
    drawing, (axes,) = page(
        f"{shown[0] if one else f'{len(names)} models'}: median cos(in, out) by depth",
        f"n = {int(models['n_neurons'].sum()):,} neurons of {len(models):,} layers in all"
        + (f"; {left_out} of {n_all} models have no cosines" if left_out else ""),
        height=3.2,
        header=_LEGEND_LINE * lines,
    )
    for place, (name, label) in enumerate(zip(names, shown, strict=True)):
        of_model = models.of("model", name)
        n = int(of_model["n_neurons"].sum())
        axes.plot(
            of_model["relative_depth"],
            of_model["median_cos_in_out"],
            label=f"{label} (n = {n:,})",
            color=LINE_COLOURS[place % len(LINE_COLOURS)],
            linestyle=LINE_DASHES[place // len(LINE_COLOURS) % len(LINE_DASHES)],
            marker=LINE_MARKS[(place + place // len(LINE_COLOURS)) % len(LINE_MARKS)],
            markersize=3.5,
            markevery=max(1, len(of_model) // _MARKS_OF_A_LINE),
        )
    zero_line(axes, across=False)
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("relative depth (0: first layer, 1: last layer)")
    axes.set_ylabel(f"median {COS_IN_OUT}")
    legend = axes.legend(
        loc="lower left", bbox_to_anchor=(0, 1.0), ncols=_LEGEND_COLUMNS, borderaxespad=0.2
    )
    for text in legend.get_texts():
        text.set_parse_math(False)
    return drawing
