"""What SQL may do here: read. And what a person is told when it is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import duckdb

from pipeline.errors import GatescopeError

_EXPLAIN: Final = re.compile(r"\s*explain\s+(analyze\s+)?(?!analyze\b|\()", re.IGNORECASE)
_LINE: Final = re.compile(r"\n\nLINE (\d+):")
_MISSING_TABLE: Final = re.compile(r"Table with name (\S+) does not exist!")


def require_read_only(connection: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Raise GatescopeError unless `statement` is one statement that only reads.

    DuckDB has no setting for this: an in-memory database cannot be opened read-only, and COPY TO
    writes files from a database that is.
    """
    with user_errors():
        statements = connection.extract_statements(statement)
    if len(statements) != 1:
        raise GatescopeError(f"SQL: {len(statements)} statements; give exactly one, such as select")
    kind = statements[0].type
    if kind == duckdb.StatementType.EXPLAIN:
        # EXPLAIN ANALYZE runs what it explains.
        prefix = _EXPLAIN.match(statement)
        if prefix is None:
            raise GatescopeError("SQL: write this as `explain select ...` or `explain analyze ...`")
        require_read_only(connection, statement[prefix.end() :])
    # MULTI is PIVOT, which DuckDB splits in two.
    elif kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI):
        raise GatescopeError(
            f"SQL: {kind.name} is not allowed, a dataset is only read; use select, or write a "
            "result with --format"
        )
    elif "copy" in _keywords(statement):
        # A common table expression may be a COPY TO, and the whole is still a SELECT.
        raise GatescopeError(
            'SQL: copy is not allowed, a dataset is only read; write "copy" where it is a name'
        )


def _keywords(statement: str) -> set[str]:
    tokens = duckdb.tokenize(statement)
    ends = [start for start, _ in tokens[1:]] + [len(statement.encode())]
    raw = statement.encode()
    return {
        raw[start:end].decode(errors="replace").strip().lower()
        for (start, kind), end in zip(tokens, ends, strict=True)
        if kind == duckdb.token_type.keyword
    }


@contextmanager
def user_errors(tables: Iterable[str] = ()) -> Iterator[None]:
    """Turn DuckDB's errors into GatescopeErrors of one line; `tables` are those that there are."""
    try:
        yield
    except duckdb.Error as error:
        known = tuple(tables)
        missing = _MISSING_TABLE.search(str(error))
        if missing and known:
            message = unknown("table", missing[1].strip('"'), known)
        else:
            where = _LINE.search(str(error))
            message = f"SQL: {one_line(error)}" + (f" (in line {where[1]})" if where else "")
        raise GatescopeError(message) from error


def one_line(error: duckdb.Error) -> str:
    """DuckDB's message without the picture of the place that follows it."""
    return " ".join(_LINE.split(str(error))[0].split())


def unknown(what: str, name: object, known: Iterable[str]) -> str:
    """`there is no table neurns; did you mean neurons? There are: ...`."""
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5)
    hint = f" did you mean {' or '.join(close)}?" if close else ""
    return f"there is no {what} {name};{hint} there are: {', '.join(names) or 'none'}"
