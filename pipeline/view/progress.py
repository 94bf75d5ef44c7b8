"""Long work on a terminal: how far, how fast, and when it ends; plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

# Seconds between two lines where there is no terminal to redraw.
_LINE_EVERY_S = 10.0


class _Rate(ProgressColumn):
    """Units of work a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        rate = "" if speed is None else f"{speed:,.0f} {task.fields['unit']}/s"
        return Text(rate, style="cyan")


@contextmanager
def progress(
    console: Console, what: str, unit: str, total: int | float | None, done: int | float = 0
) -> Iterator[Callable[[int | float], None]]:
    """Shows `what`; the function it gives is told how many more units are done.

    `done` of them were done before and say nothing of the rate. Without a `total` there is no end
    to show, only the count and the rate.
    """
    if console.is_terminal:
        columns: list[ProgressColumn] = [
            SpinnerColumn(),
            TextColumn("{task.description:<12}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} {task.fields[unit]}"),
            _Rate(),
        ]
        if total is not None:
            columns.append(TimeRemainingColumn())
        with Progress(*columns, console=console) as bar:
            task = bar.add_task(what, total=total, unit=unit)
            bar.update(task, completed=done)
            yield lambda n: bar.advance(task, n)
        return
    lines = _Lines(console, what, unit, total, done)
    yield lines.advance
    lines.end()


class _Lines:
    """Progress for a log: a line now and then, and one at the end."""

    def __init__(
        self, console: Console, what: str, unit: str, total: int | float | None, done: int | float
    ) -> None:
        self._console, self._what, self._unit, self._total = console, what, unit, total
        self._started = self._last = time.monotonic()
        self._before = self._done = done

    def advance(self, n: int | float) -> None:
        self._done += n
        if time.monotonic() - self._last >= _LINE_EVERY_S:
            self._last = time.monotonic()
            self._print()

    def end(self) -> None:
        self._print()

    def _print(self) -> None:
        seconds = max(time.monotonic() - self._started, 1e-9)
        rate = (self._done - self._before) / seconds
        line = f"{self._what}: {self._done:,.0f}"
        if self._total:
            line += f" of {self._total:,.0f} {self._unit} ({self._done / self._total:.0%})"
        else:
            line += f" {self._unit}"
        line += f", {rate:,.0f} {self._unit}/s"
        if self._total and 0 < self._done < self._total * (1 - 1e-9):
            line += f", {(self._total - self._done) / max(rate, 1e-9):,.0f} s left"
        self._console.print(line, highlight=False, soft_wrap=True)
