"""What `gatescope figures` ends with: the files, and the queries that give their numbers."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.view.visible import visible

if TYPE_CHECKING:
    from pipeline.figures import Written


def render_figures(figures: Sequence[Written]) -> RenderableType:
    """A table for each folder, the command behind it, and a line for what could not be drawn."""
    parts: list[RenderableType] = []
    by_folder: dict[str, list[Written]] = {}
    left_out: dict[tuple[str, ...], list[str]] = {}
    for figure in figures:
        if figure.needs is not None:
            left_out.setdefault((*figure.sources, figure.needs), []).append(figure.kind.name)
        else:
            by_folder.setdefault(os.fspath(figure.files[0].parent), []).append(figure)
    for folder, drawn in by_folder.items():
        parts += [Text(), _line(folder, "bold"), _table(drawn)]
        command = shlex.join(["gatescope", "query", *drawn[0].sources])
        parts.append(_line(f"{command} QUERY"))
    if left_out:
        parts.append(Text())
    for (*sources, needs), names in left_out.items():
        parts.append(
            _line(f"{', '.join(sources)}: not drawn, as they need {needs}: {', '.join(names)}")
        )
    older = sorted({os.fspath(figure.older) for figure in figures if figure.older is not None})
    parts += [_line(f"{folder}: holds such figures of another dataset") for folder in older]
    return Group(*parts)


def _line(text: str, style: str = "") -> Text:
    # Not folded, so that it can be copied.
    return Text(visible(text), style=style, no_wrap=True, overflow="ignore")


def _table(figures: Sequence[Written]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("figure", "files", "QUERY of its numbers"):
        table.add_column(title, no_wrap=True)
    for figure in figures:
        formats = " ".join(dict.fromkeys(file.suffix for file in figure.files))
        table.add_row(figure.kind.name, formats, "\n".join(figure.kind.queries))
    return table
