"""An open dataset: its tables and views, its named queries, its neurons."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any, Final, SupportsIndex

import duckdb
import numpy as np

from pipeline.errors import GatescopeError
from pipeline.query.database import JOINED, Database, quoted, scan_of
from pipeline.query.named import Query, with_tables
from pipeline.query.neuron import Neuron
from pipeline.query.opened import Opened
from pipeline.query.readonly import unknown, user_errors
from pipeline.query.source import Source
from pipeline.schema import LAYER_TABLES

# Columns that a note names.
_NAMED: Final = 5
# Characters of a text that stands for a window.
_BEGINNING: Final = 200


class Dataset(Opened):
    """A dataset's tables, views, named queries and neurons; `model` is its model's name."""

    def __init__(self, source: Source, database: Database | None = None, place: int = 0) -> None:
        """A dataset by itself, or that at `place` among those of a database."""
        database = database or Database([source])
        super().__init__(database, database.schemas[place])
        self.source = source
        self.manifest = source.manifest
        self.model = database.models[place]
        self._n_neurons: dict[int, int] = {}

    def __repr__(self) -> str:
        return f"<Gatescope dataset {self.source.name}: {', '.join(self.tables)}>"

    @property
    def layers(self) -> tuple[int, ...]:
        """The layers that were scanned."""
        return self.source.layers

    def query(self, name: str, /, **parameters: Any) -> duckdb.DuckDBPyRelation:
        """The result of a named query.

        Raises GatescopeError for an unknown query, a parameter that is missing, unknown or of the
        wrong type, and a layer or neuron that the dataset does not have.
        """
        query = self.named(name)
        values = query.bind(parameters)
        self.require(values)
        if query.scope == "dataset":
            return self._relation(query.sql, values)
        # It is written for several datasets, whose tables say which model a row is of.
        return self._relation(self._seeing(query, f"{quoted(self.model)} as model, *"), values)

    def standing_alone(self, query: Query) -> str:
        """The SQL of a query of this dataset, wherever among others it runs."""
        return self._seeing(query, "*")

    def _seeing(self, query: Query, columns: str) -> str:
        """A query's SQL with tables of these columns of this dataset's."""
        read = self._database.tables_read(query.sql)
        # Where this dataset is damaged, the table must not be that of all.
        lacking = read.intersection(self._database.seen(JOINED)).difference(self._seen)
        if lacking:
            raise GatescopeError(f"{self.model}: {unknown('table', min(lacking), self.tables)}")
        tables = {
            name: f'select {"*" if name == "models" else columns} from {self._schema}."{name}"'
            for name in sorted(read.intersection(self._seen))
        }
        return with_tables(query.sql, tables)

    def require(self, values: Mapping[str, Any]) -> None:
        """Raise GatescopeError where a query's `layer` and `neuron` are not in this dataset."""
        if values.get("layer") is not None:
            self._require_neuron(values["layer"], values.get("neuron"))

    def notes(self, statement: str) -> list[str]:
        """What a person should know of the result: what of the dataset is not there."""
        read = self._database.tables_read(statement)
        return [
            *self._absent_tables(read),
            *self._null_columns(read, self._database.columns_read(statement)),
            *self._absent_layers(read),
        ]

    def _absent_tables(self, read: Collection[str]) -> list[str]:
        """A note for each reason why tables are not there."""
        scan = (self.manifest.get("config") or {}).get("scan") or {}
        why = "it was made with scan=none" if scan.get("name") == "none" else "none was written"
        said = {entry["table"]: entry["why"] for entry in self._missing if entry["columns"] is None}
        by_why: dict[str, list[str]] = {}
        for table in self.source.absent:
            if table in read:
                by_why.setdefault(said.get(table, why), []).append(table)
        return [
            f"{self.source.name} has no {', '.join(tables)} ({why}); what depends on it is empty"
            for why, tables in by_why.items()
        ]

    def _null_columns(self, read: Collection[str], columns: Collection[str] | None) -> list[str]:
        """A note for each table of which columns that are read have no value, or not in each row.

        `columns` are those that are read, None for all.
        """
        notes = []
        for entry in self._missing:
            names = [n for n in entry["columns"] or () if columns is None or n in columns]
            if entry["table"] not in read or entry["columns"] is None:
                continue
            if names:
                more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
                notes.append(
                    f"{self.source.name} lacks {', '.join(names[:_NAMED])}{more} of "
                    f"{entry['table']} ({entry['why']}); what depends on it is null"
                )
            elif not entry["columns"]:
                notes.append(f"{self.source.name}: of {entry['table']} {entry['why']}")
        return notes

    @property
    def _missing(self) -> list[dict[str, Any]]:
        return self.manifest.get("missing") or []

    def _absent_layers(self, read: Collection[str]) -> list[str]:
        return [
            f"{self.source.name} lacks layer {', '.join(map(str, layers))} of {table}, which its "
            "manifest names: `gatescope verify` says what else; fetch or write the dataset again"
            for table in LAYER_TABLES
            if table in read and (layers := self._missing_layers(table))
        ]

    def _missing_layers(self, table: str) -> list[int]:
        """Layers that the manifest names and that a table, which has others, has no file of."""
        named = (self.manifest.get("model") or {}).get("layers") or []
        if table not in self.source.files:
            return []
        return [layer for layer in named if not self.source.layer_files(table, layer)]

    def neuron(self, layer: SupportsIndex, neuron: SupportsIndex) -> Neuron:
        """One neuron with all that is known of it; reads its layer's partitions only.

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
        examples["tokens"] = np.empty(len(examples["layer"]), dtype=object)
        for i, token_ids in enumerate(examples["token_ids"]):
            # Of an import an entry may have no window.
            if token_ids is not None and token_ids is not np.ma.masked:
                examples["tokens"][i] = self._tokens_of(token_ids)
        # Small tables are read faster without the files of other layers (each by 1 ms of 3 at 32
        # layers); `examples`, with many row groups, 1 ms more slowly.
        neurons, stats, weight_tokens = (
            columns(table, self._partition(table, layer))
            for table in ("neurons", "sign_stats", "weight_tokens")
        )
        weight_tokens["token"] = self._tokens_of(weight_tokens["token_id"])
        return Neuron(
            model=self.model,
            row=_rows(neurons)[0],
            stats=_rows(stats, "combo"),
            examples=_rows(examples, "combo", "ranking", "rank"),
            weight_tokens=_rows(weight_tokens, "weight", "matrix", "side", "rank"),
            texts=self._beginnings(examples),
        )

    def _beginnings(self, examples: Mapping[str, np.ndarray]) -> dict[int, str]:
        """The beginnings of the texts of entries without a window, where they are there."""
        lacks = np.array([tokens is None for tokens in examples["tokens"]], dtype=bool)
        wanted = sorted(set(examples["example_id"][lacks].tolist()))
        if not wanted or "corpus" not in self.source.files:
            return {}
        ids = ", ".join(map(str, wanted))
        beginnings = f'select example_id, left("text", {_BEGINNING}) from corpus'
        rows = self._relation(f"{beginnings} where example_id in ({ids})", {}).fetchall()
        return {example_id: text for example_id, text in rows if text}

    def _partition(self, table: str, layer: int) -> str:
        return scan_of(self.source, table, layer) if table in self.source.files else table

    @cached_property
    def _tokens(self) -> np.ndarray:
        """The token of each id; of one that `vocab` lacks, the id."""
        rows = self._relation("select token_id, token from vocab", {}).fetchall()
        known = {token_id: token for token_id, token in rows if token is not None}
        n_tokens = max(known, default=0) + 1
        return np.array([known.get(i, f"<id {i}>") for i in range(n_tokens)], dtype=object)

    def _tokens_of(self, token_ids: np.ndarray) -> np.ndarray:
        """The tokens of ids."""
        tokens = self._tokens
        is_known = (token_ids >= 0) & (token_ids < len(tokens))
        if is_known.all():
            named: np.ndarray = tokens[token_ids]
            return named
        absent = np.array([f"<id {token_id}>" for token_id in token_ids], dtype=object)
        return np.where(is_known, tokens[token_ids * is_known], absent)

    def _require_neuron(self, layer: Any, neuron: Any) -> tuple[int, int]:
        layer = _index("layer", layer)
        if layer not in self.layers:
            there = _span(self.layers)
            raise GatescopeError(
                f"layer {layer} is not in this dataset of {self.model}; its layers are {there}"
            )
        if neuron is None:
            return layer, 0
        neuron = _index("neuron", neuron)
        if layer not in self._n_neurons:
            with user_errors(self.tables):
                found = self._relation(f"select count(*) from neurons where layer = {layer}", {})
                (self._n_neurons[layer],) = found.fetchall()[0]
        if not 0 <= neuron < self._n_neurons[layer]:
            raise GatescopeError(
                f"neuron {layer}.{neuron} of {self.model} does not exist; the neurons of layer "
                f"{layer} are 0 to {self._n_neurons[layer] - 1}"
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
