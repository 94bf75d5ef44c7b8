"""The DuckDB behind open datasets: in memory, views over Parquet files, only read.

A dataset by itself has its tables in the schema `main`. Of several, each has a schema of its own,
and `joined` holds all their rows with a column `model` before the others.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb
from fsspec import AbstractFileSystem

from pipeline.errors import GatescopeError
from pipeline.query.models import MODELS_SQL, model_names, models_rows
from pipeline.query.named import load_views
from pipeline.query.readonly import one_line, user_errors
from pipeline.query.remote import RemoteFiles
from pipeline.query.source import Source
from pipeline.schema import LAYER_TABLES, VOCAB, corpus_schema

# Nothing is fetched from the network behind a user's back, and a name that is no table is not
# looked up among Python variables.
_SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
# The schema of several datasets' rows. Not `main`, which every statement sees: a table that one of
# the datasets lacks must not be found there.
JOINED: Final = "joined"
_DUCKDB_TYPES: Final = {
    "int8": "TINYINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "string": "VARCHAR",
    "binary": "BLOB",
}
SCHEMAS: Final = {
    **LAYER_TABLES,
    "corpus": corpus_schema({}),
    "vocab": VOCAB,
}


class Database:
    """Views over the files of `sources`, of one or `joined`; each statement has its own cursor.

    `models` are the models' names, `schemas` the schema of each source. `tables` are the names of
    the tables and views that a statement sees, by the schema that it runs in; `empty` those that
    it sees without rows, as the dataset has none of them.
    """

    def __init__(self, sources: Sequence[Source], joined: bool = False) -> None:
        self.models = model_names(sources)
        self.schemas = tuple(f"d{i}" for i in range(len(sources))) if joined else ("main",)
        self.tables: dict[str, tuple[str, ...]] = {}
        self.empty: dict[str, tuple[str, ...]] = {}
        self._remote: dict[str, RemoteFiles] = {}
        # Where DuckDB spills what memory does not hold; by default it would be the working folder.
        self._scratch = tempfile.TemporaryDirectory(prefix="gatescope-")
        self._connection = duckdb.connect(
            config={**_SETTINGS, "temp_directory": str(Path(self._scratch.name) / "spill")}
        )
        try:
            # Global, for every call works on a cursor, which takes no setting of its connection.
            self._connection.execute("set global parquet_metadata_cache = true")
            self._connection.execute(f"create table models ({MODELS_SQL})")
            self._connection.executemany(
                "insert into models values (?, ?, ?, ?, ?, ?, ?, ?)",
                models_rows(sources, self.models),
            )
            for place, source in enumerate(sources):
                self._create_views(source, place)
            if joined:
                self._create_unions()
            self._connection.execute("set lock_configuration = true")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Release files and memory; relations can no longer be read."""
        self._connection.close()
        self._scratch.cleanup()

    def seen(self, schema: str) -> tuple[str, ...]:
        """All names that a statement may read; none of a schema that there is not."""
        return (*self.tables.get(schema, ()), *self.empty.get(schema, ()))

    def cursor(self, schema: str = "main") -> duckdb.DuckDBPyConnection:
        """A cursor whose statements see the tables of a schema."""
        cursor = self._connection.cursor()
        if schema != "main":
            cursor.execute(f"use {schema}")
        return cursor

    def relation(
        self, statement: str, values: Mapping[str, Any], schema: str = "main"
    ) -> duckdb.DuckDBPyRelation:
        """The result of a statement; GatescopeError where it is wrong."""
        with user_errors(self.tables[schema]):
            return self.cursor(schema).sql(statement, params=dict(values))

    def tables_read(self, statement: str) -> set[str]:
        """The tables that a select names, by views as well; none of what is no select."""
        cursor = self._connection.cursor()
        (tree,) = cursor.execute("select json_serialize_sql($1)", [statement]).fetchall()[0]
        names = _table_names(json.loads(tree))
        views = load_views()
        for view in names & views.keys():
            names |= self.tables_read(views[view].sql)
        return names

    def columns_read(self, statement: str) -> set[str] | None:
        """The columns that a select names; None where it may read all, or is no select."""
        cursor = self._connection.cursor()
        (tree,) = cursor.execute("select json_serialize_sql($1)", [statement]).fetchall()[0]
        names = _column_names(json.loads(tree))
        return None if "*" in names else names

    def _create_views(self, source: Source, place: int) -> None:
        schema = self.schemas[place]
        if source.filesystem is not None:
            self._register(source, source.filesystem)
        if schema != "main":
            self._connection.execute(f"create schema {schema}")
        tables: list[str] = list(source.files)
        for table in (*tables, *source.absent):
            select = (
                f"select * from {scan_of(source, table)}"
                if table in source.files
                else _no_rows(table)
            )
            try:
                self._connection.execute(f'create view {schema}."{table}" as {select}')
            except duckdb.Error as error:
                raise GatescopeError(
                    f"{source.name}: the table {table} cannot be read ({one_line(error)}); "
                    "fetch or write the dataset again"
                ) from error
        # A view needs its tables; where one is missing, `verify` says so.
        if set(LAYER_TABLES) <= {*tables, *source.absent}:
            cursor = self.cursor(schema)
            for view in load_views().values():
                cursor.execute(f'create view {schema}."{view.name}" as {view.sql}')
                tables.append(view.name)
        if schema != "main":
            mine = f"select * from main.models where place = {place}"
            self._connection.execute(f"create view {schema}.models as {mine}")
        self.tables[schema] = (*tables, "models")
        self.empty[schema] = source.absent

    def _register(self, source: Source, filesystem: AbstractFileSystem) -> None:
        """Let DuckDB read a source's files, of which each filesystem has a name of its own."""
        files = RemoteFiles(filesystem)
        if files.name not in self._remote:
            self._remote[files.name] = files
            self._connection.register_filesystem(files)
        self._remote[files.name].know(source.sizes)

    def _create_unions(self) -> None:
        """The tables of all datasets: what only one has, with its rows alone."""
        self._connection.execute(f"create schema {JOINED}")
        there = dict.fromkeys(name for schema in self.schemas for name in self.tables[schema])
        empty = {name: None for schema in self.schemas for name in self.empty[schema]}
        names = [name for name in {**there, **empty} if name != "models"]
        for name in names:
            parts = [
                f'select {quoted(model)} as model, * from {schema}."{name}"'
                for model, schema in zip(self.models, self.schemas, strict=True)
                if name in self.seen(schema)
            ]
            # By name, as the corpus of each carries other columns along.
            union = " union all by name ".join(parts)
            self._connection.execute(f'create view {JOINED}."{name}" as {union}')
        self.tables[JOINED] = (*(name for name in names if name in there), "models")
        self.empty[JOINED] = tuple(name for name in names if name not in there)


def _table_names(tree: Any) -> set[str]:
    """The tables of a statement that DuckDB gave as JSON."""
    if isinstance(tree, list):
        return set().union(*map(_table_names, tree))
    if not isinstance(tree, dict):
        return set()
    own = {tree["table_name"].lower()} if tree.get("type") == "BASE_TABLE" else set()
    return own.union(*map(_table_names, tree.values()))


def _column_names(tree: Any) -> set[str]:
    """The columns of a statement that DuckDB gave as JSON, `*` for all of a table."""
    if isinstance(tree, list):
        return set().union(*map(_column_names, tree))
    if not isinstance(tree, dict):
        return set()
    own: set[str] = set()
    if tree.get("type") == "COLUMN_REF":
        own = {tree["column_names"][-1].lower()}
    elif tree.get("type") == "STAR":
        own = {"*"}
    return own.union(*map(_column_names, tree.values()))


def scan_of(source: Source, table: str, layer: int | None = None) -> str:
    """The SQL that reads a table's files, from the listing made when the dataset was opened.

    With a `layer` those of its partition alone.
    """
    paths = source.files[table] if layer is None else source.layer_files(table, layer)
    files = ", ".join(map(quoted, paths))
    if table not in LAYER_TABLES or "=" in source.root:
        # DuckDB takes any `key=value` of the path for a column, those above the dataset too. The
        # layer is in the files as well; without its folders they are all opened, that is all.
        return f"read_parquet([{files}], hive_partitioning = false)"
    return f"read_parquet([{files}], hive_partitioning = true, hive_types = {{'layer': integer}})"


def _no_rows(table: str) -> str:
    fields = SCHEMAS[table]
    columns = ", ".join(f'null::{duckdb_type(str(f.type))} as "{f.name}"' for f in fields)
    return f"select {columns} where false"


def duckdb_type(arrow: str) -> str:
    """DuckDB's name of an Arrow type."""
    if arrow.startswith("list<"):
        return f"{_DUCKDB_TYPES[arrow.rstrip('>').split(': ')[1]]}[]"
    return _DUCKDB_TYPES[arrow]


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"
