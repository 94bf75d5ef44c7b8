"""A neuron and result tables in the terminal.

Text of a corpus may hold anything; nothing of it reaches the terminal but what `visible` lets by,
and nothing of it is read as rich's markup.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len, set_cell_size
from rich.console import (
    Console,
    ConsoleOptions,
    Group,
    JustifyMethod,
    RenderableType,
)
from rich.table import Table
from rich.text import Text

from pipeline.naming import COMBO_NAMES
from pipeline.view.visible import visible

if TYPE_CHECKING:
    from pipeline.query.neuron import Neuron

_MARKS: Final = ("»", "«")
_BETWEEN: Final = "|"
_PEAK_STYLE: Final = "bold reverse"
# The widths to which titles and texts of a table are broken, one after the other until it fits.
_WIDTHS: Final = (60, 30, 16, 12)


def render_neuron(neuron: Neuron, *, ranking: str = "post", n: int = 3) -> RenderableType:
    """What `gatescope show` prints of a neuron.

    Its weights and their tokens, its four combinations, and of each the first `n` examples by
    `ranking`, a line each: score, the tokens around the peak, `example_id:position` and `+3` for
    three duplicates. The weights alone where nothing was scanned; what is not known is `-`.
    """
    parts: list[RenderableType] = [_header(neuron)]
    if neuron.weight_tokens:
        parts += [Text(), _weight_tokens(neuron)]
    if neuron.stats:
        parts += [Text(), _combinations(neuron)]
    for combo in COMBO_NAMES:
        entries = neuron.list_of(combo, ranking)[:n]
        if entries:
            parts += [Text(), Text(f"{combo}, the best by {ranking}", style="bold")]
            parts += [
                _ExampleLine(entry)
                if entry["tokens"] is not None
                else _TextLine(entry, neuron.texts.get(entry["example_id"]))
                for entry in entries
            ]
    return Group(*parts)


def _header(neuron: Neuron) -> Text:
    row = neuron.row
    text = Text()
    text.append(neuron.name, style="bold")
    if row["io_class"] is not None:
        text.append(f"  {visible(str(row['io_class']))}")
    if neuron.model:
        text.append(f"  in {visible(neuron.model)}")
    cosines = (("gate,in", "gate_in"), ("gate,out", "gate_out"), ("in,out", "in_out"))
    text.append("\n")
    text.append("   ".join(f"cos({a}) {_short(row[f'cos_{b}'])}" for a, b in cosines))
    text.append("\n")
    text.append("   ".join(f"|{v}| {_short(row[f'norm_{v}'])}" for v in ("gate", "in", "out")))
    if row["flipped"]:
        text.append("\nflipped: in, post, w_in and w_out are negated, so that cos(gate,in) >= 0")
    if neuron.stats:
        n_tokens, n_zero = neuron.stats[0]["n_tokens"], neuron.stats[0]["n_zero"]
        # An import without its corpus has frequencies alone.
        if n_tokens is not None:
            text.append(f"\n{n_tokens:,} tokens, gate or in exactly 0 at {n_zero:,} of them")
    return text


def _weight_tokens(neuron: Neuron) -> Table:
    """A line a list: the tokens from the outermost on, as many as fit."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("weight", "matrix", "dot product"):
        table.add_column(title, no_wrap=True)
    table.add_column("tokens")  # narrowed as one that wraps; its texts are cut
    lists: dict[tuple[str, str, str], list[str]] = {}
    for row in neuron.weight_tokens:
        key = (row["weight"], row["matrix"], row["side"])
        lists.setdefault(key, []).append(visible(row["token"]))
    for key, tokens in lists.items():
        shown = Text(_BETWEEN.join(tokens), no_wrap=True, overflow="ellipsis")
        table.add_row(*(Text(visible(part)) for part in key), shown)
    return table


def _combinations(neuron: Neuron) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("combination", no_wrap=True)
    titles = ("frequency", "count", "mean gate", "mean in", "mean act", "mean post")
    for title in titles:
        table.add_column(title, justify="right", no_wrap=True)
    for row in neuron.stats:
        means = (_short(row[f"mean_{q}"]) for q in ("gate", "in", "act", "post"))
        # A rare combination is not one that never occurs.
        frequency = f"{row['frequency']:.2%}"
        if row["frequency"] and frequency == "0.00%":
            frequency = "<0.01%"
        table.add_row(Text(visible(row["combo"])), frequency, _count(row["count"]), *means)
    return table


def _short(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if abs(value) >= 0.1 or value == 0 else f"{value:.2g}"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


class _TextLine:
    """An example of which no window is known: the beginning of its text, where that is there."""

    def __init__(self, entry: Mapping[str, Any], text: str | None) -> None:
        self._score = f"{entry['score']:9.3f}  "
        self._place = f"  {entry['example_id']}:?"
        self._text = f"example {entry['example_id']} at ?" if text is None else visible(text)

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        room = max(options.max_width - cell_len(self._score) - cell_len(self._place), 0)
        shown = _cut(self._text, room)
        line = Text(self._score + shown, no_wrap=True, overflow="crop")
        line.append(" " * (room - cell_len(shown)) + self._place, style="dim")
        yield line


class _ExampleLine:
    """One example on one line: the peaks below each other, as many tokens around them as fit."""

    def __init__(self, entry: Mapping[str, Any]) -> None:
        self._score = f"{entry['score']:9.3f}  "
        n_duplicates = f" +{entry['n_duplicates']}" if entry["n_duplicates"] else ""
        self._place = f"  {entry['example_id']}:{entry['position']}{n_duplicates}"
        tokens = [visible(token) for token in entry["tokens"]]
        peak = entry["position"] - entry["window_start"]
        self._before = "".join(tokens[:peak])
        self._peak = tokens[peak] or "∅"
        self._after = "".join(tokens[peak + 1 :])

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        coloured = console.color_system is not None and not console.no_color
        left, right = ("", "") if coloured else _MARKS
        room = max(options.max_width - cell_len(self._score) - cell_len(self._place), 0)
        before_room = (options.max_width - cell_len(self._score)) // 2
        before = _cut_left(self._before, before_room)
        peak_room = max(room - before_room - len(left + right), 1)
        peak = left + _cut(self._peak, peak_room) + right
        after_room = max(room - before_room - cell_len(peak), 0)
        after = _cut(self._after, after_room)
        line = Text(self._score, no_wrap=True, overflow="crop")
        line.append(" " * (before_room - cell_len(before)) + before)
        line.append(peak, style=_PEAK_STYLE)
        line.append(after + " " * (after_room - cell_len(after)))
        line.append(self._place, style="dim")
        yield line


def _cut(text: str, width: int) -> str:
    """The start of a text in at most `width` cells, `…` where there was more."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def _cut_left(text: str, width: int) -> str:
    """The end of a text in at most `width` cells, `…` where there was more."""
    if cell_len(text) <= width:
        return text
    # Cells are counted from the left, so the text is turned round.
    return _cut(text[::-1], width)[::-1]


def render_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> RenderableType:
    """A result as a table; where the columns do not fit, each row as a block of lines."""
    return _Result(columns, rows)


class _Result:
    def __init__(self, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self._columns = [visible(column) for column in columns]
        self._rows = [[_cell(value) for value in row] for row in rows]
        self._numeric = [
            all(isinstance(row[i], int | float | None) for row in rows) for i in range(len(columns))
        ]

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        if not self._rows:
            yield Text(f"no rows of {', '.join(self._columns)}")
            return
        for limit in _WIDTHS:
            titles = [_broken(name, limit) for name in self._columns]
            widths = [self._width(i, title, limit) for i, title in enumerate(titles)]
            if sum(widths) + 2 * (len(widths) - 1) <= options.max_width:
                yield self._table(titles, widths)
                return
        yield from self._blocks()

    def _width(self, column: int, title: str, limit: int) -> int:
        """Cells of a column: numbers stay whole, texts are folded at `limit`."""
        widest = max(cell_len(row[column]) for row in self._rows)
        return max(
            *map(cell_len, title.split("\n")),
            widest if self._numeric[column] else min(widest, limit),
        )

    def _table(self, titles: Sequence[str], widths: Sequence[int]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for title, width, numeric in zip(titles, widths, self._numeric, strict=True):
            justify: JustifyMethod = "right" if numeric else "left"
            table.add_column(Text(title), justify=justify, min_width=width, overflow="fold")
        for row in self._rows:
            table.add_row(*map(Text, row))
        return table

    def _blocks(self) -> list[RenderableType]:
        parts: list[RenderableType] = []
        for number, row in enumerate(self._rows):
            parts += [Text()] if number else []
            block = Table.grid(padding=(0, 2, 0, 0))
            block.add_column(no_wrap=True, style="bold")
            block.add_column(overflow="fold")
            for name, value in zip(self._columns, row, strict=True):
                block.add_row(Text(name), Text(value))
            parts.append(block)
        return parts


def _broken(name: str, limit: int) -> str:
    """A column's name on lines of about `limit` cells, broken after underscores."""
    lines = [""]
    for piece in name.replace("_", "_\n").split("\n"):
        if lines[-1] and cell_len(lines[-1] + piece) > limit:
            lines.append("")
        lines[-1] += piece
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else str(value)
    return visible(value if isinstance(value, str) else str(value))
