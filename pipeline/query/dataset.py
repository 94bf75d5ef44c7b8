"""An open dataset: its tables and views, its named queries, its neurons."""

from __future__ import annotations

import operator
import reprlib
from functools import cached_property
from typing import Any, SupportsIndex

import duckdb
import numpy as np

from pipeline.errors import GatescopeError
from pipeline.query.database import Database, quoted, scan_of, with_tables
from pipeline.query.named import Query, load_queries
from pipeline.query.neuron import Neuron
from pipeline.query.readonly import require_read_only, unknown, user_errors
from pipeline.query.source import Source


class Dataset:
    """A dataset's tables, views and named queries. Use it as a context manager, or `close` it.

    Threads may share it: every call works on a cursor of its own. Relations are lazy, so an error
    that shows only as rows are read is DuckDB's own; `fetch` and `write_result` translate it.
    """

    def __init__(self, source: Source, database: Database | None = None, place: int = 0) -> None:
        """A dataset by itself, or that at `place` among those of a database."""
        self.source = source
        self.manifest = source.manifest
        self._database = database or Database([source])
        self._schema = self._database.schemas[place]
        self.model = self._database.models[place]
        self.tables = self._database.tables[self._schema]
        self._queries = load_queries()
        self._n_neurons: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Gatescope dataset {self.source.name}: {', '.join(self.tables)}>"

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release files and memory; relations of the dataset can no longer be read."""
        self._database.close()

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
        require_read_only(self._database.cursor(self._schema), statement, parameters)
        return self._relation(statement, parameters)

    def queries(self) -> list[Query]:
        """The named queries, by theme and name."""
        return list(self._queries.values())

    def query(self, name: str, /, **parameters: Any) -> duckdb.DuckDBPyRelation:
        """The result of a named query.

        Raises GatescopeError for an unknown query, a parameter that is missing, unknown or of the
        wrong type, and a layer or neuron that the dataset does not have.
        """
        query, values = self.bound(name, parameters)
        statement = query.sql
        if query.scope == "models":
            # It is written for several datasets, whose tables say which model a row is of.
            model = f"select {quoted(self.model)} as model, *"
            tables = [table for table in self.tables if table != "models"]
            statement = with_tables(
                statement, {t: f'{model} from {self._schema}."{t}"' for t in tables}
            )
        return self._relation(statement, values)

    def bound(self, name: str, parameters: dict[str, Any]) -> tuple[Query, dict[str, Any]]:
        """A named query and the values of its parameters; raises what `query` does."""
        if name not in self._queries:
            raise GatescopeError(unknown("query", name, self._queries))
        query = self._queries[name]
        values = query.bind(parameters)
        if values.get("layer") is not None:
            self._require_neuron(values["layer"], values.get("neuron"))
        return query, values

    def neuron(self, layer: SupportsIndex, neuron: SupportsIndex) -> Neuron:
        """One neuron with its statistics and examples; reads its layer's partitions only.

        Raises GatescopeError for a layer or neuron that the dataset does not have.
        """
        layer, neuron = self._require_neuron(layer, neuron)

        def columns(table: str, scan: str) -> dict[str, np.ndarray]:
            # Not a relation: that would be planned twice, once for its columns. And NumPy's lists,
            # as DuckDB takes several times longer for Python's.
            with user_errors(self.tables):
                result = self._database.cursor(self._schema).execute(
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
        return self._database.relation(statement, values, self._schema)

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
