"""A run while it runs: one display on a terminal, lines in a log, and for `gatescope status`."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import psutil
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.status import RunStatus

# Seconds between two lines where there is no terminal to redraw.
_LINE_EVERY_S: Final = 10.0
# Workers whose rates a line names one by one.
_MOST_RATES: Final = 8
# Workers with a line of their own.
_MOST_WORKERS: Final = 16
# A status older than this is that of a run that is no more.
_STALE_S: Final = 60.0


@contextmanager
def run_display(console: Console) -> Iterator[Callable[[RunStatus], None]]:
    """The function that it gives is shown how far the run is, several times a second."""
    latest: RunStatus | None = None
    lines = _Lines(console)
    # On a terminal the last frame goes, and a line stays of each phase.
    with Live(console=console, transient=True) if console.is_terminal else nullcontext() as live:

        def show(status: RunStatus) -> None:
            nonlocal latest
            if latest is not None and latest.phase != status.phase:
                lines.print(replace(status, phase=latest.phase))
            latest = status
            if live is not None:
                live.update(render_status(status))
            elif lines.is_due():
                lines.print(status)

        try:
            yield show
        finally:
            if latest is not None:
                lines.print(latest)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._last = -math.inf

    def is_due(self) -> bool:
        return time.monotonic() - self._last >= _LINE_EVERY_S

    def print(self, status: RunStatus) -> None:
        self._last = time.monotonic()
        self._console.print(status_line(status), highlight=False, markup=False, soft_wrap=True)


# What goes layer by layer; the rest token by token.
_BY_LAYER: Final = {"merging": "Merging", "weights": "Weights"}


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 20 min`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _ago(then: str, now: datetime) -> str:
    return f"{duration(max(0.0, (now - datetime.fromisoformat(then)).total_seconds()))} ago"


def _facts(status: RunStatus) -> Iterator[str]:
    """What is to be said beside the bar, the important first."""
    if status.phase == "weights":  # which has no workers and no snapshots
        return
    now = datetime.fromisoformat(status.time)
    n_ready = sum(1 for worker in status.workers if worker.node)
    yield f"{n_ready} of {status.n_workers_wanted} workers"
    yield (
        "no snapshot yet"
        if status.last_snapshot is None
        else (f"last snapshot {_ago(status.last_snapshot, now)}")
    )
    if status.n_workers_lost:
        yield f"workers lost: {status.n_workers_lost}"
    if status.n_units_again:
        yield f"units given out again: {status.n_units_again}"


def _progress(status: RunStatus) -> str:
    if status.phase in _BY_LAYER:
        name = _BY_LAYER[status.phase]
        return f"{name}: {status.n_layers_done:,} of {status.n_layers:,} layers"
    names = {"leaving": "Leaving", "stopped": "Stopped"}
    name = names.get(status.phase, "Scanning")
    share = status.n_tokens_done / max(1, status.n_tokens)
    line = (
        f"{name}: {status.n_tokens_done:,} of {status.n_tokens:,} tokens ({share:.0%}), "
        f"{status.n_units_done:,} of {status.n_units:,} units, {status.n_units_kept:,} kept; "
        f"{status.tokens_per_s:,.0f} tokens/s"
    )
    return line if status.seconds_left is None else f"{line}, {duration(status.seconds_left)} left"


def status_line(status: RunStatus) -> str:
    """A run in one line, for a log."""
    rates = [worker.tokens_per_s for worker in status.workers if worker.node]
    each = []
    if status.phase == "scanning" and len(rates) > 1:
        shown = ", ".join(f"{rate:,.0f}" for rate in rates)
        if len(rates) > _MOST_RATES:
            shown = f"{min(rates):,.0f} to {max(rates):,.0f}"
        each.append(f"by worker {shown} tokens/s")
    return "; ".join([_progress(status), *_facts(status), *each])


def render_status(status: RunStatus) -> RenderableType:
    """A bar, the facts, and a line for each worker."""
    total, done = (
        (status.n_layers, status.n_layers_done)
        if status.phase in _BY_LAYER
        else (status.n_tokens, status.n_tokens_done)
    )
    parts: list[RenderableType] = [
        Text(_progress(status)),
        _on_its_own_line(ProgressBar(total=max(1, total), completed=done, width=60)),
        Text("; ".join(_facts(status)), style="dim"),
    ]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name, justify in (("worker", "left"), ("node", "left"), ("doing", "left")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("tokens", justify="right")
    table.add_column("tokens/s", justify="right")
    for worker in status.workers[:_MOST_WORKERS]:
        table.add_row(
            # As it stands: a host's name is no markup.
            Text(worker.name),
            Text(worker.node or "-"),
            worker.doing if worker.node else "waits for its place and its model",
            f"{worker.n_tokens:,}",
            f"{worker.tokens_per_s:,.0f}",
        )
    if status.workers:
        parts.append(table)
    if len(status.workers) > _MOST_WORKERS:
        parts.append(Text(f"and {len(status.workers) - _MOST_WORKERS} more workers", style="dim"))
    return Group(*parts)


def _on_its_own_line(bar: ProgressBar) -> RenderableType:
    grid = Table.grid()
    grid.add_row(bar)
    return grid


def render_from_elsewhere(status: RunStatus, output: str) -> RenderableType:
    """What `gatescope status` prints of an unfinished run."""
    now = datetime.now(UTC)
    age = (now - datetime.fromisoformat(status.time)).total_seconds()
    where = f"process {status.pid} on {status.host}"
    is_dead = status.host == socket.gethostname() and not psutil.pid_exists(status.pid)
    if status.phase == "stopped" or is_dead:
        told = Text(
            f"{output}: unfinished, and {where} has ended; the same `gatescope run` again goes on",
            style="yellow",
        )
    elif age > _STALE_S:
        told = Text(
            f"{output}: unfinished, and nobody has written there for {duration(age)} ({where} "
            "did); the same `gatescope run` again goes on",
            style="yellow",
        )
    else:
        told = Text(f"{output}: running ({where}), as of {duration(max(0.0, age))} ago")
    return Group(told, render_status(status))
