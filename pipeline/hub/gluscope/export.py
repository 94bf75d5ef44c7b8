"""Our tables as GLUScope publishes such data: a layer at a time, and what cannot be told."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from pipeline.errors import GatescopeError
from pipeline.hub.gluscope.schema import (
    HOOK_NAMES,
    LISTED,
    frequency_column,
    list_columns,
    mean_column,
    published_columns,
)
from pipeline.naming import COMBO_NAMES, QUANTITIES
from pipeline.query import Dataset
from pipeline.store.published.layers import Columns, PublishedLayer

# An entry's signed value. Of act there is the magnitude alone, and it ranks negative gates only,
# where act is negative for the functions that GLUScope has looked at.
_VALUE: Final = """
    case ranking
        when 'post' then post_value when 'in' then in_value when 'gate' then gate_value
        else -score
    end
"""


def exported_columns(dataset: Dataset) -> Columns:
    """The columns that a dataset can fill.

    Raises GatescopeError where it has no activations.
    """
    if "sign_stats" not in dataset.tables:
        raise GatescopeError(
            f"export: {dataset.source.name} has no sign_stats (it was made without a scan); give a "
            "dataset of a scan"
        )
    found = dataset.sql("select distinct combo, ranking from examples").fetchall()
    there = {ranking for _, ranking in found}
    lists = {
        (combo, ranking): list_columns(combo, ranking)
        for combo in COMBO_NAMES
        for ranking in LISTED[combo]
        if ranking in there
    }
    return Columns(
        frequencies={combo: frequency_column(combo) for combo in COMBO_NAMES},
        means={
            (combo, quantity): mean_column(combo, quantity)
            for combo in COMBO_NAMES
            for quantity in HOOK_NAMES
        },
        lists=lists,
        k=int(dataset.manifest["config"]["scan"]["k"]),
    )


def exported_names(columns: Columns) -> list[str]:
    """The names of the columns, in GLUScope's order."""
    lists = {name for pair in columns.lists.values() for name in pair}
    every = {"layer", "neuron", *columns.frequencies.values(), *columns.means.values(), *lists}
    return [name for name in published_columns() if name in every]


def differing_definitions(dataset: Dataset, columns: Columns) -> list[str]:
    """In what the figures are not those of GLUScope's definitions, or its columns not all there."""
    scan = dataset.manifest["config"]["scan"]
    said = []
    if scan["skip_bos"]:
        said.append("position 0 of each text is not counted (GLUScope counts it)")
    if scan["dedupe"]:
        said.append("texts that repeat each other are dropped from lists (GLUScope keeps them)")
    if columns.k != 16:
        said.append(f"lists hold {columns.k} examples (GLUScope's 16)")
    lacking = {ranking for combo in COMBO_NAMES for ranking in LISTED[combo]} - {
        ranking for _, ranking in columns.lists
    }
    said += [
        f"there are no lists of {HOOK_NAMES[ranking]}: the dataset has no ranking {ranking}"
        for ranking in HOOK_NAMES
        if ranking in lacking
    ]
    return said


def exported_layers(dataset: Dataset, columns: Columns) -> Iterator[PublishedLayer]:
    """Each layer of a dataset; a list that is short is filled up with 0."""
    for layer in dataset.layers:
        stats = _columns(
            dataset,
            f"select neuron, combo, frequency, {', '.join(f'mean_{q}' for q in QUANTITIES)} "
            "from sign_stats where layer = $layer",
            layer,
        )
        n_neurons = int(stats["neuron"].max(initial=-1)) + 1
        combo = _places(stats["combo"], COMBO_NAMES)
        frequency = np.zeros((n_neurons, len(COMBO_NAMES)))
        frequency[stats["neuron"], combo] = stats["frequency"]
        means = np.full((n_neurons, len(QUANTITIES), len(COMBO_NAMES)), np.nan)
        for place, quantity in enumerate(QUANTITIES):
            means[stats["neuron"], place, combo] = _filled(stats[f"mean_{quantity}"])
        shape = (n_neurons, len(columns.lists), columns.k)
        values, indices = np.zeros(shape, np.float32), np.zeros(shape, np.int64)
        for number, (combo_name, ranking) in enumerate(columns.lists):
            entries = _columns(
                dataset,
                f'select neuron, "rank", example_id, {_VALUE} as value from examples '
                "where layer = $layer and combo = $combo and ranking = $ranking",
                layer,
                combo=combo_name,
                ranking=ranking,
            )
            at = (entries["neuron"], number, entries["rank"])
            values[at], indices[at] = _filled(entries["value"]), entries["example_id"]
        yield PublishedLayer(layer, frequency, means, values, indices)


def _columns(dataset: Dataset, statement: str, layer: int, **values: Any) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = dataset.sql(statement, layer=layer, **values).fetchnumpy()
    return found


def _filled(values: np.ndarray) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(values, np.float64), np.nan)


def _places(names: np.ndarray, order: tuple[str, ...]) -> np.ndarray:
    known = {name: place for place, name in enumerate(order)}
    return np.array([known[name] for name in names], dtype=np.int64)
