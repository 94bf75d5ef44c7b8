"""Results as rows, or as CSV, JSON and Parquet."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import duckdb

from pipeline.errors import GatescopeError
from pipeline.query.readonly import unknown, user_errors

RESULT_FORMATS: Final = ("csv", "json", "parquet")
_ROWS_AT_ONCE: Final = 1000


@runtime_checkable
class ByteStream(Protocol):
    """What takes bytes: an open file, `sys.stdout.buffer`, io.BytesIO."""

    def write(self, data: bytes, /) -> object:
        """Take some bytes."""

    def writelines(self, lines: Iterable[bytes], /) -> object:
        """Take some more."""


def fetch(
    relation: duckdb.DuckDBPyRelation, n: int | None = None
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Names of the columns, and the rows (the first `n`); GatescopeError where reading fails."""
    with user_errors():
        rows = relation.fetchall() if n is None else relation.limit(n).fetchall()
    return relation.columns, rows


def write_result(relation: duckdb.DuckDBPyRelation, format_: str, stream: ByteStream) -> None:
    """Write a result as `csv` (UTF-8, header), `json` (a list of objects, UTF-8) or `parquet`.

    JSON has no NaN and no infinity: they become null. Raises GatescopeError where reading fails
    and for another format.
    """
    if format_ not in RESULT_FORMATS:
        raise GatescopeError(unknown("format", format_, RESULT_FORMATS))
    with user_errors():
        if format_ == "json":
            stream.writelines(piece.encode("utf-8") for piece in _json_pieces(relation))
            return
        with tempfile.TemporaryDirectory(prefix="gatescope-") as folder:
            path = Path(folder) / "result"
            if format_ == "csv":
                relation.write_csv(str(path), header=True)
            else:
                relation.write_parquet(str(path))
            with path.open("rb") as file:
                shutil.copyfileobj(file, stream)


def _json_pieces(relation: duckdb.DuckDBPyRelation) -> Iterator[str]:
    names = _distinct(relation.columns)
    yield "["
    before = "\n"
    # A relation has no fetchmany: Arrow batches are its way to give rows bit by bit.
    for batch in relation.to_arrow_reader(_ROWS_AT_ONCE):
        for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            values = {name: _json_value(v) for name, v in zip(names, row, strict=True)}
            yield before + json.dumps(values, ensure_ascii=False, allow_nan=False)
            before = ",\n"
    yield "\n]\n"


def _distinct(names: list[str]) -> list[str]:
    """Names with `_2` and so on where one comes again, for the keys of an object."""
    distinct: list[str] = []
    for name in names:
        taken = {*names, *distinct}
        numbered = (f"{name}_{i}" for i in range(2, 2 * len(names) + 2))
        distinct.append(
            name if name not in distinct else next(n for n in numbered if n not in taken)
        )
    return distinct


def _json_value(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(key): _json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(inner) for inner in value]
    if isinstance(value, Decimal):
        # A sum of integers comes as one, for Arrow has no integers of 128 bits.
        return int(value) if value == int(value) else float(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    return str(value)
