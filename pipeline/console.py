"""Where the command writes: results to stdout, what happens meanwhile to stderr."""

from __future__ import annotations

import io
import sys

from rich.console import Console

from pipeline.errors import GatescopeError


def results() -> Console:
    """For stdout: as wide as the terminal, or wide enough for a table in a pipe or a file."""
    width = None if sys.stdout.isatty() else max(160, Console().width)
    return Console(highlight=False, width=width)


def messages() -> Console:
    """For stderr; from now on, streams show what they cannot encode rather than ending a run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # \u2026 where a terminal has no UTF-8
            stream.reconfigure(errors="backslashreplace")
    return Console(stderr=True, highlight=False)


def say_why(console: Console, error: GatescopeError) -> None:
    """The one line of what the user can mend."""
    console.print(f"gatescope: {error}", markup=False, soft_wrap=True, style="bold red")
