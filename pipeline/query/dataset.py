"""An open dataset: DuckDB views over its Parquet files, in memory, only read."""

from __future__ import annotations

import operator
import os
import reprlib
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any, Final, SupportsIndex

import duckdb
import numpy as np

from pipeline.errors import GatescopeError
from pipeline.query.named import Query, load_queries, load_views
from pipeline.query.neuron import Neuron
from pipeline.query.readonly import one_line, require_read_only, unknown, user_errors
from pipeline.query.source import Source, find_source
from pipeline.schema import LAYER_TABLES

# Nothing is fetched from the network behind a user's back, and a name that is no table is not
# looked up among Python variables.
_SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}


def open_dataset(source: str | os.PathLike[str]) -> Dataset:
    """Open a dataset: a folder, a URL that fsspec opens, or a Hub id `org/name[@revision]`.

    Raises GatescopeError where there is no complete dataset.
    """
    return Dataset(find_source(source))


class Dataset:
    """A dataset's tables, views and named queries. Use it as a context manager, or `close` it.

    Threads may share it: every call works on a cursor of its own. Relations are lazy, so an error
    that shows only as rows are read is DuckDB's own; `fetch` and `write_result` translate it.
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.manifest = source.manifest
        self._queries = load_queries()
        self._n_neurons: dict[int, int] = {}
        # Where DuckDB spills what memory does not hold; by default it would be the working folder.
        self._scratch = tempfile.TemporaryDirectory(prefix="gatescope-")
        self._connection = duckdb.connect(
            config={**_SETTINGS, "temp_directory": str(Path(self._scratch.name) / "spill")}
        )
        try:
            self._create_views()
        except BaseException:
            self.close()
            raise

    def _create_views(self) -> None:
        if self.source.filesystem is not None:
            self._connection.register_filesystem(self.source.filesystem)
        # Global, for every call works on a cursor, which takes no setting of its connection.
        self._connection.execute("set global parquet_metadata_cache = true")
        tables = list(self.source.files)
        for table in tables:
            scan = scan_of(self.source, table)
            try:
                self._connection.execute(f'create view "{table}" as select * from {scan}')
            except duckdb.Error as error:
                raise GatescopeError(
                    f"{self.source.name}: the table {table} cannot be read ({one_line(error)}); "
                    "fetch or write the dataset again"
                ) from error
        # A view needs its tables; where one is missing, `verify` says so.
        if set(LAYER_TABLES) <= set(tables):
            for view in load_views().values():
                self._connection.execute(f'create view "{view.name}" as {view.sql}')
                tables.append(view.name)
        self._connection.execute("set lock_configuration = true")
        self.tables = tuple(tables)

    def __repr__(self) -> str:
        return f"<Gatescope dataset {self.source.name}: {', '.join(self.tables)}>"

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release files and memory; relations of the dataset can no longer be read."""
        self._connection.close()
        self._scratch.cleanup()

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that were scanned."""
        return self.source.layers

    def table(self, name: str) -> duckdb.DuckDBPyRelation:
        """A table or view as a relation; GatescopeError for an unknown name."""
        if name not in self.tables:
            raise GatescopeError(unknown("table", name, self.tables))
        return self._relation(f'select * from "{name}"', {})

    def sql(self, statement: str, /, **parameters: Any) -> duckdb.DuckDBPyRelation:
        """The result of one statement that reads, with values for its `$name` parameters.

        Raises GatescopeError for SQL that is wrong or would write.
        """
        require_read_only(self._connection.cursor(), statement, parameters)
        return self._relation(statement, parameters)

    def queries(self) -> list[Query]:
        """The named queries, by theme and name."""
        return list(self._queries.values())

    def query(self, name: str, /, **parameters: Any) -> duckdb.DuckDBPyRelation:
        """The result of a named query.

        Raises GatescopeError for an unknown query, a parameter that is missing, unknown or of the
        wrong type, and a layer or neuron that the dataset does not have.
        """
        if name not in self._queries:
            raise GatescopeError(unknown("query", name, self._queries))
        query = self._queries[name]
        values = query.bind(parameters)
        if "layer" in values:
            self._require_neuron(values["layer"], values.get("neuron"))
        return self._relation(query.sql, values)

    def neuron(self, layer: SupportsIndex, neuron: SupportsIndex) -> Neuron:
        """One neuron with its statistics and examples; reads its layer's partitions only.

        Raises GatescopeError for a layer or neuron that the dataset does not have.
        """
        layer, neuron = self._require_neuron(layer, neuron)

        def columns(table: str, scan: str) -> dict[str, np.ndarray]:
            # Not a relation: that would be planned twice, once for its columns. And NumPy's lists,
            # as DuckDB takes several times longer for Python's.
            with user_errors(self.tables):
                result = self._connection.cursor().execute(
                    f"from {scan} where layer = $layer and neuron = $neuron",
                    {"layer": layer, "neuron": neuron},
                )
                found: dict[str, np.ndarray] = result.fetchnumpy()
                return found

        examples = columns("examples", "examples")
        examples["tokens"] = self._tokens_of(examples["token_ids"])
        # Small tables are read faster without the files of other layers (each by 1 ms of 3 at 32
        # layers); `examples`, with many row groups, 1 ms more slowly.
        neurons, stats = (
            columns(table, scan_of(self.source, table, layer))
            for table in ("neurons", "sign_stats")
        )
        return Neuron(
            model=str(self.manifest.get("model", {}).get("name", "")),
            row=_rows(neurons)[0],
            stats=_rows(stats, "combo"),
            examples=_rows(examples, "combo", "ranking", "rank"),
        )

    def _relation(self, statement: str, values: dict[str, Any]) -> duckdb.DuckDBPyRelation:
        with user_errors(self.tables):
            return self._connection.cursor().sql(statement, params=values)

    @cached_property
    def _tokens(self) -> np.ndarray:
        """The token of each id; of one that `vocab` lacks, the id."""
        rows = self._relation("select token_id, token from vocab", {}).fetchall()
        known = {token_id: token for token_id, token in rows if token is not None}
        n_tokens = max(known, default=0) + 1
        return np.array([known.get(i, f"<id {i}>") for i in range(n_tokens)], dtype=object)

    def _tokens_of(self, token_ids: np.ndarray) -> np.ndarray:
        """Arrays of tokens for arrays of ids."""
        tokens = self._tokens
        named = np.empty(len(token_ids), dtype=object)
        for i, ids in enumerate(token_ids):
            is_known = (ids >= 0) & (ids < len(tokens))
            if is_known.all():
                named[i] = tokens[ids]
            else:
                absent = np.array([f"<id {token_id}>" for token_id in ids], dtype=object)
                named[i] = np.where(is_known, tokens[ids * is_known], absent)
        return named

    def _require_neuron(self, layer: Any, neuron: Any) -> tuple[int, int]:
        layer = _index("layer", layer)
        if layer not in self.layers:
            there = _span(self.layers)
            raise GatescopeError(f"layer {layer} is not in this dataset; its layers are {there}")
        if neuron is None:
            return layer, 0
        neuron = _index("neuron", neuron)
        if layer not in self._n_neurons:
            with user_errors(self.tables):
                found = self._relation(f"select count(*) from neurons where layer = {layer}", {})
                (self._n_neurons[layer],) = found.fetchall()[0]
        if not 0 <= neuron < self._n_neurons[layer]:
            raise GatescopeError(
                f"neuron {layer}.{neuron} does not exist; the neurons of layer {layer} are 0 to "
                f"{self._n_neurons[layer] - 1}"
            )
        return layer, neuron


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


def quoted(text: str) -> str:
    """A SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _values(column: np.ndarray) -> list[Any]:
    """A column, and lists in it, as Python values; what is masked is missing, and None."""
    values: list[Any] = column.tolist()
    if column.dtype == object:
        return [v.tolist() if isinstance(v, np.ndarray) else v for v in values]
    return values


def _rows(columns: dict[str, np.ndarray], *order: str) -> tuple[dict[str, Any], ...]:
    """Columns as rows of Python values, sorted by those in `order`."""
    values = zip(*map(_values, columns.values()), strict=True)
    rows = (dict(zip(columns, row, strict=True)) for row in values)
    return tuple(sorted(rows, key=lambda row: [row[name] for name in order]))


def _index(what: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise GatescopeError(
            f"{what} {reprlib.repr(value)} does not fit: give a whole number"
        ) from error


def _span(layers: tuple[int, ...]) -> str:
    if layers and layers == tuple(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]} to {layers[-1]}"
    return ", ".join(map(str, layers)) or "none"
