"""A figure's page: its title, its panels, and clouds of points."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure

from pipeline.figures.numbers import Numbers
from pipeline.figures.style import (
    DENSITY_MAP,
    FAINT,
    GREY,
    PAGE,
    RANDOMNESS,
    SCREEN_DPI,
    SMALL,
    TITLE_SIZE,
    styled,
)

# Inches around the panels, and between them.
_LEFT: Final = 0.62
_RIGHT: Final = 0.12
_TOP: Final = 0.5
_BOTTOM: Final = 0.5
_BETWEEN: Final = 0.14
_TITLE_LINE: Final = 0.125
_POINTS_PER_INCH: Final = 72
# Share of a panel that a cloud's points would cover, were they beside each other.
_COVERED: Final = 0.12
# Intervals of an axis on which the density of a cloud is calculated.
_GRID: Final = 128
# No panel is higher, however wide the page leaves it.
_HIGHEST: Final = 3.8
# Layers up to which there are so many panels side by side.
_SIDE_BY_SIDE: Final = ((3, 3), (4, 2), (9, 3), (16, 4))
_MOST_SIDE_BY_SIDE: Final = 5

COS_IN_OUT: Final = r"$\cos(w_\mathrm{in}, w_\mathrm{out})$"
COS_GATE_OUT: Final = r"$\cos(w_\mathrm{gate}, w_\mathrm{out})$"
COS_GATE_IN: Final = r"$\cos(w_\mathrm{gate}, w_\mathrm{in})$"


class Drawing(Figure):
    """A Matplotlib figure that a notebook shows as it is; `numbers` is what it was drawn from."""

    numbers: Mapping[str, Numbers]

    def _repr_png_(self) -> bytes:
        picture = io.BytesIO()
        with styled():
            self.savefig(picture, format="png", dpi=SCREEN_DPI)
        return picture.getvalue()


def page(
    title: str,
    subtitle: str,
    *,
    height: float,
    rows: int = 1,
    columns: int = 1,
    header: float = 0.0,
    between: tuple[float, float] = (_BETWEEN, _BETWEEN),
    right: float = _RIGHT,
    **grid: Any,
) -> tuple[Drawing, list[Axes]]:
    """A page with rows x columns panels, each `height` inches high; panels from the top left.

    `header` is more room below the titles, `between` that between columns and rows, `right` that
    right of the panels, all in inches; `grid` goes to Figure.subplots.
    """
    width = (PAGE - _LEFT - right - between[0] * (columns - 1)) / columns
    top = _TOP + header
    total = top + _BOTTOM + rows * height + (rows - 1) * between[1]
    drawing = Drawing(figsize=(PAGE, total))
    drawing.numbers = {}
    axes = drawing.subplots(
        rows,
        columns,
        squeeze=False,
        gridspec_kw={
            "left": _LEFT / PAGE,
            "right": 1 - right / PAGE,
            "top": 1 - top / total,
            "bottom": _BOTTOM / total,
            "wspace": between[0] / width,
            "hspace": between[1] / height,
        },
        **grid,
    )
    style: dict[str, Any] = {"ha": "left", "va": "top", "parse_math": False}
    x = _BETWEEN / PAGE
    drawing.text(x, 1 - 0.09 / total, title, fontsize=TITLE_SIZE, fontweight="bold", **style)
    drawing.text(x, 1 - 0.27 / total, subtitle, fontsize=7.5, color=GREY, **style)
    return drawing, list(axes.flat)


def layer_panels(
    title: str,
    subtitle: str,
    names: Sequence[str],
    *,
    ratio: float,
    x_label: str,
    y_label: str,
    header: float = 0.0,
) -> tuple[Drawing, list[Axes]]:
    """A page with a panel for each layer, as high as `ratio` times its width, with shared axes.

    `names` are the panels' titles, of one or more lines.
    """
    n = len(names)
    columns = next((c for most, c in _SIDE_BY_SIDE if n <= most), _MOST_SIDE_BY_SIDE)
    columns = min(columns, n)
    rows = math.ceil(n / columns)
    width = (PAGE - _LEFT - _RIGHT - _BETWEEN * (columns - 1)) / columns
    title_height = _TITLE_LINE * max(name.count("\n") + 1 for name in names)
    drawing, axes = page(
        title,
        subtitle,
        height=min(width * ratio, _HIGHEST),
        rows=rows,
        columns=columns,
        header=header + title_height,
        between=(_BETWEEN, _BETWEEN + title_height),
        sharex=True,
        sharey=True,
    )
    for panel, name in zip(axes, names, strict=False):
        panel.set_title(name, loc="left", fontsize=SMALL, linespacing=1.15)
    for panel in axes[n:]:
        panel.set_visible(False)
    for panel in axes[max(0, n - columns) : n]:  # those with no panel below
        panel.tick_params(labelbottom=True)
    center = (_LEFT + (PAGE - _RIGHT)) / 2 / PAGE
    height = drawing.get_figheight()
    middle = (_BOTTOM + height - _TOP - header - title_height) / 2 / height
    drawing.supxlabel(x_label, x=center, y=0.1 / height, va="bottom", fontsize=8.5)
    drawing.supylabel(y_label, x=0.07 / PAGE, y=middle, ha="left", fontsize=8.5)
    return drawing, axes[:n]


def cloud(
    axes: Axes,
    x: Float[np.ndarray, " point"],
    y: Float[np.ndarray, " point"],
    *,
    log: bool = False,
    **style: Any,
) -> PathCollection:
    """Points, the denser brighter and above the others; `c` among `style` colours them otherwise.

    With `log` density is that on logarithmic axes. Rasterised, or the PDF of a large model would
    hardly open.
    """
    if "c" not in style:
        density = _density(np.log10(x), np.log10(y)) if log else _density(x, y)
        order = np.argsort(density, kind="stable")
        x, y = x[order], y[order]
        style = {"c": density[order], "cmap": DENSITY_MAP, **style}
    inches = axes.bbox.width * axes.bbox.height / axes.figure.dpi**2
    share = _COVERED / max(len(x), 1)
    size = float(np.clip(share * inches * _POINTS_PER_INCH**2, 0.5, 9))
    return axes.scatter(x, y, s=size, linewidths=0, rasterized=True, **style)


def _density(
    x: Float[np.ndarray, " point"], y: Float[np.ndarray, " point"]
) -> Float[np.ndarray, " point"]:
    """How many points lie near each, on a scale on which differences are seen.

    A kernel density with Scott's bandwidth, of counts on a grid, as every point has many others.
    """
    across, up = (_places(values) for values in (x, y))
    counts = np.bincount(across * _GRID + up, minlength=_GRID * _GRID).reshape(_GRID, _GRID)
    smooth = _blur(across) @ counts @ _blur(up)
    density: Float[np.ndarray, " point"] = np.sqrt(smooth[across, up])
    return density


def _places(values: Float[np.ndarray, " point"]) -> Int[np.ndarray, " point"]:
    """The interval of each, of those between the least and the largest."""
    low, high = (values.min(), values.max()) if len(values) else (0.0, 0.0)
    span = high - low or 1.0
    places: np.ndarray = np.minimum((values - low) / span * _GRID, _GRID - 1).astype(np.int64)
    return places


def _blur(places: Int[np.ndarray, " point"]) -> Float[np.ndarray, "grid grid"]:
    width = max(float(np.std(places)) * len(places) ** (-1 / 6), 0.5) if len(places) else 1.0
    distance = np.subtract.outer(np.arange(_GRID), np.arange(_GRID)) / width
    weights: np.ndarray = np.exp(-(distance**2) / 2)
    return weights


def cosine_ticks(axis: Axis, limit: float) -> None:
    """Ticks at 0 and on both sides of it: few, so that those of neighbouring panels stay apart."""
    step = next((s for s in (0.5, 0.2, 0.1, 0.05, 0.02) if s <= 0.75 * limit), 0.01)
    axis.set_ticks([-step, 0, step], [f"\N{MINUS SIGN}{step:g}", "0", f"{step:g}"])


def percent(share: float, _: object = None) -> str:
    """A share as a tick's label."""
    return f"{100 * share:.3g}%"


def randomness_band(axes: Axes, low: float, high: float, *, across: bool) -> None:
    """Where cosines of random vectors lie: a horizontal band, or with `across` an upright one."""
    if math.isfinite(low) and math.isfinite(high):
        span = axes.axvspan if across else axes.axhspan
        span(low, high, color=RANDOMNESS, linewidth=0, zorder=0)


def zero_line(axes: Axes, *, across: bool) -> None:
    """Where a cosine is 0."""
    line = axes.axvline if across else axes.axhline
    line(0, color=FAINT, linewidth=0.6, zorder=0.5)


def cosine_limit(*cosines: Float[np.ndarray, " _"]) -> float:
    """A limit for axes of cosines, on both sides of 0, that holds them all."""
    largest = max((float(np.abs(c).max()) for c in cosines if len(c)), default=1.0)
    return min(max(1.05 * largest, 0.05), 1.02)
