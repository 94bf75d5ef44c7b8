"""Where the command writes: results to stdout, what happens meanwhile to stderr.

In a cell of a notebook both are plain lines: a kernel says that it is a terminal, and can redraw
nothing.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
from collections.abc import Sequence

from rich.console import Console

from pipeline.errors import GatescopeError
from pipeline.view.visible import visible


def results() -> Console:
    """For stdout: as wide as the terminal, or wide enough for a table in a pipe or a file."""
    is_terminal = sys.stdout.isatty() and not _in_notebook()
    width = None if is_terminal else max(160, Console().width)
    return Console(highlight=False, width=width, force_terminal=_forced())


def messages() -> Console:
    """For stderr; from now on, streams show what they cannot encode rather than ending a run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # \u2026 where a terminal has no UTF-8
            stream.reconfigure(errors="backslashreplace")
    return Console(stderr=True, highlight=False, force_terminal=_forced())


def say(console: Console, line: str, style: str | None = None) -> None:
    """Print a line as it is: nothing in it is markup, it is not folded, and no control acts."""
    console.print(visible(line), markup=False, highlight=False, soft_wrap=True, style=style)


def say_why(console: Console, error: GatescopeError) -> None:
    """The one line of what the user can mend."""
    say(console, f"gatescope: {error}", "bold red")


def say_next(console: Console, commands: Sequence[Sequence[str]]) -> None:
    """What to type next: commands by their words, quoted as a shell wants them."""
    console.print("\nNext:")
    for words in commands:
        say(console, f"  gatescope {shlex.join(words)}")


def _in_notebook() -> bool:
    return "JPY_PARENT_PID" in os.environ  # Jupyter sets it for kernels, and they hand it on


def _forced() -> bool | None:
    return False if _in_notebook() else None
