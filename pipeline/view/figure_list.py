"""What `gatescope figures` ends with: the files, and the queries that give their numbers."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from pipeline.figures import Written


def render_figures(figures: Sequence[Written]) -> RenderableType:
    """A table for each folder, and a line for what could not be drawn."""
    parts: list[RenderableType] = []
    by_folder: dict[str, list[Written]] = {}
    left_out: dict[tuple[str, ...], list[str]] = {}
    for figure in figures:
        if figure.needs is not None:
            left_out.setdefault((*figure.sources, figure.needs), []).append(figure.kind.name)
        else:
            by_folder.setdefault(os.fspath(figure.files[0].parent), []).append(figure)
    for folder, drawn in by_folder.items():
        parts += [Text(), Text(folder, style="bold"), _table(drawn)]
    if left_out:
        parts.append(Text())
    for (*sources, needs), names in left_out.items():
        line = f"{', '.join(sources)}: not drawn, as they need {needs}: {', '.join(names)}"
        parts.append(Text(line))
    return Group(*parts)


def _table(figures: Sequence[Written]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("figure", no_wrap=True)
    table.add_column("files", no_wrap=True)
    table.add_column("its numbers", overflow="fold")
    for figure in figures:
        formats = " ".join(dict.fromkeys(file.suffix for file in figure.files))
        commands = "\n".join(
            shlex.join(["gatescope", "query", *figure.sources, query])
            for query in figure.kind.queries
        )
        table.add_row(figure.kind.name, formats, Text(commands))
    return table
