"""Plain text: examples between blank lines.

`datasets` has a text builder, but it cuts at two line feeds only (not at a line of spaces), keeps
line breaks around a text, and says of invalid UTF-8 neither file nor line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pipeline.corpus.columns import Kind, Row
from pipeline.corpus.files import TextFile


class ParagraphFile(TextFile):
    """A .txt file; a row is a run of lines that are not blank, numbered by its first line.

    Line breaks are line feeds in the text, however the file writes them.
    """

    def kinds(self, n_sources: int) -> dict[str, Kind]:
        """The one column that a text file has."""
        return {self._text_column: "string"}

    def rows(self, columns: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
        """(line, {text column: paragraph})."""
        paragraph: list[str] = []
        first = 1
        for number, line in self._universal_lines():
            if line.strip():
                first = first if paragraph else number
                paragraph.append(line)
            elif paragraph:
                yield first, {self._text_column: "\n".join(paragraph)}
                paragraph = []
        if paragraph:
            yield first, {self._text_column: "\n".join(paragraph)}

    def _universal_lines(self) -> Iterator[tuple[int, str]]:
        for number, line in self.lines():
            plain = line.removesuffix("\n").removesuffix("\r")
            for part in plain.split("\r"):  # a carriage return alone, as on old Macs
                yield number, part
