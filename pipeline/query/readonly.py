"""What SQL may do here: read. And what a person is told when it is wrong."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import duckdb

from pipeline.errors import GatescopeError

_EXPLAIN: Final = re.compile(r"\s*explain\s+(analyze\s+)?(?!analyze\b|\()", re.IGNORECASE)
_LINE: Final = re.compile(r"\n\nLINE (\d+):")
_MISSING_TABLE: Final = re.compile(r"Table with name (\S+) does not exist!")


def require_read_only(
    connection: duckdb.DuckDBPyConnection, statement: str, values: Mapping[str, Any]
) -> None:
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
        require_read_only(connection, statement[prefix.end() :], values)
    # MULTI is PIVOT, which DuckDB splits in two.
    elif kind not in (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI):
        raise GatescopeError(
            f"SQL: {kind.name} is not allowed, a dataset is only read; use select, or write a "
            "result with --format"
        )
    elif "copy" in statement.lower():
        _require_no_copy(connection, statement, kind, values)


def _require_no_copy(
    connection: duckdb.DuckDBPyConnection,
    statement: str,
    kind: duckdb.StatementType,
    values: Mapping[str, Any],
) -> None:
    """A common table expression may be a COPY TO, and the whole is still a SELECT.

    DuckDB allows that at the top of a statement only, and says so when it binds; so the statement
    is bound, not run, as a part of another. (Its tokenizer sees other words than its parser.)
    """
    refusal = "SQL: copy is not allowed, a dataset is only read; write a result with --format"
    if kind == duckdb.StatementType.MULTI:
        raise GatescopeError(refusal)
    inner = statement.rstrip().rstrip(";")
    try:
        connection.sql(f"select * from (\n{inner}\n) as inner_statement", params=dict(values))
    except duckdb.Error as error:
        if "COPY" in str(error):
            raise GatescopeError(refusal) from error
        raise GatescopeError(f"SQL: {one_line(error)}") from error


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
