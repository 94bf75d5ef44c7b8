"""JSON: a list of strings or objects, or one of them a line.

`datasets` has a JSON builder, but it holds a whole list in memory, takes the types from the first
10 MB and fails on later ones, turns strings that look like dates into timestamps, and says of a
mistake neither line nor item.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Final

from pipeline.corpus.columns import Row
from pipeline.corpus.files import Blocks, TextFile
from pipeline.corpus.source import describe
from pipeline.errors import GatescopeError

_BLOCK: Final = 1 << 16  # bytes
_SPACE: Final = " \t\n\r"
_NEAR_END: Final = 16  # characters: more than the longest thing that a block can cut but a string


class JsonLinesFile(TextFile):
    """A .jsonl file: one object or string a line; blank lines are passed over."""

    holds = "a .jsonl file holds one object or string a line"

    def rows(self, columns: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
        """(line, object); a string is {text column: string}."""
        for number, line in self.lines():
            if line.strip(_SPACE):
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise self._malformed(number, error) from error
                yield number, self._row(value, number)

    def _malformed(self, number: int, error: ValueError | RecursionError) -> GatescopeError:
        why = str(error)
        if isinstance(error, json.JSONDecodeError):
            why = f"{error.msg}, column {error.colno}"
        return GatescopeError(f"{self.place(number)}: malformed JSON ({why}): {self.holds}")

    def _row(self, value: object, number: int) -> Row:
        if isinstance(value, dict):
            return value
        if isinstance(value, str):
            return {self._text_column: value}
        raise GatescopeError(
            f"{self.place(number)}: {describe(value)} is neither an object nor a string"
        )


class JsonFile(JsonLinesFile):
    """A .json file: a list when it begins with `[`; else it is read as .jsonl, as many are."""

    holds = "a .json file holds a list of objects or strings, or one of them a line"
    _is_list = False

    def place(self, number: int) -> str:
        """Where the row is: an item of the list, from 0, or a line, from 1."""
        return f"{self.name}, item {number} (from 0)" if self._is_list else super().place(number)

    def rows(self, columns: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
        """(number, object); a string is {text column: string}."""
        with self.blocks() as blocks:
            reader = _ListReader(self.name, blocks)
            self._is_list = reader.peek() == "["
            if self._is_list:
                for number, value in enumerate(reader.items()):
                    yield number, self._row(value, number)
                return
        yield from super().rows()


class _ListReader:
    """Reads a JSON list item by item, holding a block or the longest item."""

    def __init__(self, name: str, blocks: Blocks) -> None:
        self._name = name
        self._blocks = blocks
        self._decoder = json.JSONDecoder()
        self._text = ""
        self._at = 0  # what comes before is done with
        self._line = 1  # of the first character of the text
        self._ended = False

    def peek(self) -> str:
        """The next character that is no white space; empty at the end of the file."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in _SPACE:
                    return self._text[self._at]
                self._at += 1
            if not self._more():
                return ""

    def items(self) -> Iterator[object]:
        """The items of the list."""
        self._take("[")
        if self.peek() == "]":
            self._take("]")
        else:
            while True:
                self.peek()
                yield self._value()
                if self._take(",]") == "]":
                    break
        if self.peek():
            raise self._error(self._at, "something follows the end of the list")

    def _take(self, expected: str) -> str:
        character = self.peek()
        if not character:
            raise self._error(self._at, "the file ends before the list does")
        if character not in expected:
            raise self._error(self._at, f"{' or '.join(expected)} expected")
        self._at += 1
        return character

    def _value(self) -> object:
        while True:
            try:
                value, end = self._decoder.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                cut = error.msg.startswith("Unterminated") or (
                    error.pos >= len(self._text) - _NEAR_END
                )
                if not (cut and self._more()):
                    why = error.msg if error.pos < len(self._text) else "the file ends in an item"
                    raise self._error(error.pos, why) from error
            except (ValueError, RecursionError) as error:  # an integer of too many digits
                raise self._error(self._at, str(error)) from error
            else:
                # A number that ends with the block may go on in the next one.
                if end < len(self._text) or not self._more():
                    self._at = end
                    return value

    def _more(self) -> bool:
        """Add a block, as long as what is left, so that a long item is not parsed too often."""
        if self._ended:
            return False
        left = self._text[self._at :]
        block = self._blocks.read(max(_BLOCK, len(left)))
        self._line += self._text.count("\n", 0, self._at)
        self._text, self._at = left + block, 0
        self._ended = not block
        return not self._ended

    def _error(self, position: int, why: str) -> GatescopeError:
        line = self._line + self._text.count("\n", 0, position)
        return GatescopeError(f"{self._name}, line {line}: malformed JSON ({why})")
