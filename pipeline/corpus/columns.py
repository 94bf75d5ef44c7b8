"""The source's own columns: of which type each is, and each value as that type.

A source may have no schema (JSON, CSV), and the table that is written needs one before the first
row. So the first rows of every file decide (up to `source.HEAD_ROWS`), widened as they disagree:
int64 and float64 to float64, other disagreements to string. A later value that does not fit
becomes null and is counted; nothing else changes its type on the way.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

from pipeline.corpus.example import Scalar
from pipeline.schema import CORPUS_COLUMNS

# What a column holds; `null` has shown no value yet, `nested` is not carried along.
Kind = Literal["null", "bool", "int64", "float64", "string", "nested"]
Row = Mapping[str, object]

_INT64: Final = range(-(2**63), 2**63)
_INTEGER: Final = re.compile(r"0|-?[1-9][0-9]{0,18}")  # no leading zeros: 007 is a name
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_EXACT: Final = 16  # characters of a number whose digits (15 at most) float64 keeps
_BOOLS: Final = {"true": True, "True": True, "false": False, "False": False}


class Unfit(ValueError):
    """A value that does not fit its column."""


def kind_of_value(value: object) -> Kind:
    """The kind of a value that has a type of its own, as from JSON."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64" if value in _INT64 else "string"
    if isinstance(value, float):
        return "float64"
    return "string" if isinstance(value, str) else "nested"


def kind_of_cell(cell: object) -> Kind:
    """The kind of a CSV cell: what its text looks like, where no digit would be lost."""
    if not isinstance(cell, str):
        return "null"
    if cell in _BOOLS:
        return "bool"
    if _INTEGER.fullmatch(cell):
        return "int64" if int(cell) in _INT64 else "string"
    if _NUMBER.fullmatch(cell) and len(cell) <= _EXACT and math.isfinite(float(cell)):
        return "float64"
    return "string"


def widest(one: Kind, other: Kind) -> Kind:
    """The narrowest kind that holds both."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if "nested" in (one, other):
        return "nested"
    return "float64" if {one, other} == {"int64", "float64"} else "string"


def fit(value: object, kind: Kind) -> Scalar:
    """The value as one of `kind`; raises `Unfit` where that would lose or invent something."""
    if value is None:
        return None
    if kind == "bool":
        return _fit_bool(value)
    if kind == "int64":
        return _fit_int(value)
    if kind == "float64":
        return _fit_float(value)
    return _fit_string(value)


def _fit_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value in _BOOLS:
        return _BOOLS[value]
    raise Unfit


def _fit_int(value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        return _fit_int(int(value))
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        return _fit_int(int(value))
    if isinstance(value, int) and not isinstance(value, bool) and value in _INT64:
        return value
    raise Unfit


def _fit_float(value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number or (isinstance(value, str) and _NUMBER.fullmatch(value)):
        try:
            return float(value)  # type: ignore[arg-type]
        except OverflowError:
            raise Unfit from None
    raise Unfit


def _fit_string(value: object) -> str:
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict | list | tuple | set | bytes):
        raise Unfit
    # Dates, times and timestamps as ISO 8601; decimals and durations as Python writes them.
    iso = getattr(value, "isoformat", None)
    return str(value) if iso is None or hasattr(value, "total_seconds") else str(iso())


def well_formed(text: str) -> str:
    """The text with each lone surrogate, which no UTF-8 can hold, replaced by U+FFFD."""
    return text if is_well_formed(text) else re.sub("[\ud800-\udfff]", "\ufffd", text)


def is_well_formed(text: str) -> bool:
    """Whether UTF-8 can hold the text: it has no lone surrogate, as a JSON escape may give."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class SourceColumns:
    """Which columns are carried along, under which name and type.

    `types` maps the name in the `corpus` table to string, int64, float64 or bool; `dropped` names
    the nested columns of the source; `nulled` counts, as rows are read, the values that did not
    fit their column, by the column's name in the table.
    """

    def __init__(self, kinds: Iterable[Mapping[str, Kind]], consumed: Iterable[str]) -> None:
        merged: dict[str, Kind] = {}
        for of_file in kinds:
            for name, kind in of_file.items():
                merged[name] = widest(merged[name], kind) if name in merged else kind
        for name in consumed:
            merged.pop(name, None)
        self.dropped = tuple(name for name, kind in merged.items() if kind == "nested")
        # A column that is null as far as it was looked at takes any value as text.
        own: dict[str, Kind] = {
            name: "string" if kind == "null" else kind
            for name, kind in merged.items()
            if kind != "nested"
        }
        names = _names(own)
        self._carried = {name: (names[name], kind) for name, kind in own.items()}
        self.types: dict[str, str] = {names[name]: kind for name, kind in own.items()}
        self.nulled: dict[str, int] = {}

    @property
    def originals(self) -> list[str]:
        """The carried columns by their names in the source."""
        return list(self._carried)

    def carry(self, row: Row) -> dict[str, Scalar]:
        """The row's own columns by their names in the table; a missing one is null."""
        carried: dict[str, Scalar] = {}
        for original, (name, kind) in self._carried.items():
            try:
                carried[name] = fit(row.get(original), kind)
            except Unfit:
                carried[name] = None
                self.nulled[name] = self.nulled.get(name, 0) + 1
        return carried


def _names(originals: Iterable[str]) -> dict[str, str]:
    """A name in the table for each column: its own, prefixed where that is taken.

    SQL ignores case, so `Text` and `text` are one name.
    """
    taken = {name.casefold() for name in CORPUS_COLUMNS}
    names = {}
    for original in originals:
        name = well_formed(original) or "unnamed"
        while name.casefold() in taken:
            name = f"source_{name}"
        taken.add(name.casefold())
        names[original] = name
    return names
