"""CSV: a header, then rows of as many cells.

`datasets` has a CSV builder, but it reads the texts "NA", "None" and "null" as missing, takes the
types of each 10,000 rows anew, and says of a mistake no file.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from typing import Final

from pipeline.corpus.columns import Kind, Row, kind_of_cell
from pipeline.corpus.files import TextFile
from pipeline.errors import GatescopeError

_FIELD_LIMIT: Final = 2**31 - 1  # characters: the module's own limit of 131,072 is a short book


class CsvFile(TextFile):
    """A .csv file with commas and a header; a row is numbered by its first line."""

    def kind_of(self, value: object) -> Kind:
        """The kind of a cell: CSV has no types."""
        return kind_of_cell(value)

    def kinds(self, n_sources: int) -> dict[str, Kind]:
        """The columns of the header, with the kinds that the first rows show."""
        header = next(self._cells(), (1, []))[1]
        unseen: dict[str, Kind] = dict.fromkeys(header, "null")
        return unseen | super().kinds(n_sources)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
        """(line, {column: cell}); an empty cell is None."""
        cells = self._cells()
        _, header = next(cells, (1, []))
        repeated = {name for name in header if header.count(name) > 1}
        if repeated:
            raise GatescopeError(
                f"{self.name}, line 1: more than one column is called {min(repeated)!r}: "
                "rename them"
            )
        for number, row in cells:
            if len(row) != len(header):
                raise GatescopeError(
                    f"{self.place(number)}: malformed CSV ({len(row)} cells where the header has "
                    f"{len(header)}): quote cells with commas or line breaks"
                )
            yield number, {name: cell or None for name, cell in zip(header, row, strict=True)}

    def _cells(self) -> Iterator[tuple[int, list[str]]]:
        csv.field_size_limit(_FIELD_LIMIT)
        reader = csv.reader((line for _, line in self.lines()), strict=True)
        while True:
            number = reader.line_num + 1
            try:
                row = next(reader, None)
            except csv.Error as error:
                raise GatescopeError(f"{self.place(number)}: malformed CSV ({error})") from error
            if row is None:
                return
            if row:  # a blank line is no row
                yield number, row
