"""What every source of rows offers: a file of some kind, a Hub data set, the demo texts."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from typing import Final

from pipeline.corpus.columns import Kind, Row, kind_of_value, widest

# How much is looked at, over all files together, to learn which columns there are.
HEAD_ROWS: Final = 10_000
HEAD_CHARS: Final = 16_000_000
_LEAST_ROWS: Final = 10  # of each file, however many there are


class Source(ABC):
    """Numbered rows with a name for messages.

    `size` is its bytes (None: unknown), `bytes_read` how far `rows` has come.
    """

    def __init__(self, name: str, size: int | None = None) -> None:
        self.name = name
        self.size = size
        self.bytes_read = 0

    @abstractmethod
    def rows(self, columns: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
        """(number, row) of each row, from the start; others than `columns` may be left out."""

    def place(self, number: int) -> str:
        """Where the row of that number is, for a message."""
        return f"{self.name}, row {number} (from 0)"

    def kind_of(self, value: object) -> Kind:
        """The kind of a value of this source."""
        return kind_of_value(value)

    def kinds(self, n_sources: int) -> dict[str, Kind]:
        """The columns and their kinds; here from the first rows, the source's share of the head.

        Empty when there is no row.
        """
        found: dict[str, Kind] = {}
        n_rows = max(HEAD_ROWS // n_sources, _LEAST_ROWS)
        n_chars = HEAD_CHARS // n_sources
        for n_seen, (_, row) in enumerate(self.rows(), start=1):
            for name, value in row.items():
                kind = self.kind_of(value)
                found[name] = widest(found[name], kind) if name in found else kind
                n_chars -= len(value) if isinstance(value, str) else 0
            if n_seen >= n_rows or n_chars <= 0:
                break
        return found


def describe(value: object) -> str:
    """A value's type and its first characters, for a message."""
    shown = repr(value)
    return f"{type(value).__name__} {shown if len(shown) <= 40 else shown[:37] + '...'}"
