"""What one open dataset and several have in common: tables, SQL and named queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import duckdb

from pipeline.errors import GatescopeError
from pipeline.query.database import Database
from pipeline.query.named import Query, load_queries
from pipeline.query.readonly import require_read_only, unknown

# Not Self, which the checks of signatures in tests cannot tell in a method.
Own = TypeVar("Own", bound="Opened")


class Opened:
    """Tables, views and named queries. Use it as a context manager, or `close` it.

    `tables` are those that there are. What a dataset of weights alone does not have is an empty
    table in SQL, so that whatever is asked of any dataset may be asked of it.
    Threads may share it: every call works on a cursor of its own. Relations are lazy, so an error
    that shows only as rows are read is DuckDB's own; `fetch` and `write_result` translate it.
    """

    def __init__(self, database: Database, schema: str) -> None:
        self._database = database
        self._schema = schema
        self._queries = load_queries()
        self.tables = database.tables[schema]
        self._seen = database.seen(schema)

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release files and memory; relations can no longer be read."""
        self._database.close()

    def table(self, name: str) -> duckdb.DuckDBPyRelation:
        """A table or view as a relation; GatescopeError for an unknown name."""
        if name not in self._seen:
            raise GatescopeError(unknown("table", name, self.tables))
        return self._relation(f'select * from "{name}"', {})

    def sql(self, statement: str, /, **parameters: Any) -> duckdb.DuckDBPyRelation:
        """The result of one statement that reads, with values for its `$name` parameters.

        Raises GatescopeError for SQL that is wrong or would write.
        """
        require_read_only(self._database.cursor(self._schema), statement, parameters)
        return self._relation(statement, parameters)

    def queries(self) -> list[Query]:
        """The named queries, by theme and name."""
        return list(self._queries.values())

    def named(self, name: str) -> Query:
        """A named query; GatescopeError for an unknown name."""
        if name not in self._queries:
            raise GatescopeError(unknown("query", name, self._queries))
        return self._queries[name]

    def _relation(self, statement: str, values: Mapping[str, Any]) -> duckdb.DuckDBPyRelation:
        return self._database.relation(statement, values, self._schema)
