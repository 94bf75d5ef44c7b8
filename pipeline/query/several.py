"""Several datasets at once: tables with a column `model`, answers one below the other.

The names in that column are those of the models (pipeline.query.models).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex

import duckdb

from pipeline.errors import GatescopeError
from pipeline.query.database import JOINED, Database, quoted
from pipeline.query.dataset import Dataset
from pipeline.query.neuron import Neuron
from pipeline.query.opened import Opened
from pipeline.query.readonly import unknown
from pipeline.query.source import Source


class Datasets(Opened):
    """The tables of several datasets, each with a column `model` before its own.

    `datasets` are they, by the names in that column, in the order given; they close together. The
    table `models` has a row for each.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        database = Database(sources, joined=True)
        super().__init__(database, JOINED)
        self.datasets = {
            model: Dataset(source, database, place)
            for place, (model, source) in enumerate(zip(database.models, sources, strict=True))
        }

    def __repr__(self) -> str:
        return f"<Gatescope datasets {', '.join(self.datasets)}: {', '.join(self.tables)}>"

    def query(self, name: str, /, **parameters: Any) -> duckdb.DuckDBPyRelation:
        """The result of a named query.

        The rows of each dataset one below the other with `model` as first column, in the order of
        the datasets and of each result; of a query over models, its one result. Raises
        GatescopeError where one of the datasets would.
        """
        query = self.named(name)
        values = query.bind(parameters)
        for dataset in self.datasets.values():
            dataset.require(values)
        if query.scope == "models":
            return self._relation(query.sql, values)
        parts = [
            f"select {quoted(model)} as model, * from (\n{dataset.standing_alone(query)}\n)"
            for model, dataset in self.datasets.items()
        ]
        return self._relation("\nunion all\n".join(parts), values)

    def neuron(
        self, layer: SupportsIndex, neuron: SupportsIndex, *, model: str | None = None
    ) -> Neuron:
        """One neuron of one of the models, `model` as in the column of that name.

        Raises GatescopeError for a model, layer or neuron that is not there.
        """
        if model not in self.datasets:
            there = ", ".join(self.datasets)
            raise GatescopeError(
                unknown("model", model, self.datasets)
                if model is not None
                else f"neuron {layer}.{neuron}: of which model? give model=, one of {there}"
            )
        return self.datasets[model].neuron(layer, neuron)

    def notes(self, statement: str) -> list[str]:
        """What a person should know of the result.

        The tables that a dataset does not have, and classes by more than one threshold.
        """
        notes = [note for dataset in self.datasets.values() for note in dataset.notes(statement)]
        thresholds = {
            model: ((dataset.manifest.get("config") or {}).get("weights") or {}).get("threshold")
            for model, dataset in self.datasets.items()
        }
        if len(set(thresholds.values())) > 1 and "neurons" in self._database.tables_read(statement):
            each = ", ".join(f"{model} {threshold}" for model, threshold in thresholds.items())
            notes.append(f"the classes are not by the same threshold of the cosines: {each}")
        return notes
