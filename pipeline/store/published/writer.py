"""Writing a dataset of neuron activations as GLUScope's authors publish them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float32, Int64

from pipeline.naming import COMBO_NAMES, QUANTITIES
from pipeline.store.parquet import write_options
from pipeline.store.published.layers import Columns, PublishedLayer


def write_published(
    path: Path,
    layers: Iterable[PublishedLayer],
    columns: Columns,
    names: Iterable[str],
    advance: Callable[[int], object],
) -> int:
    """Write the columns `names`, in this order, a row group a layer; gives the number of rows.

    `advance` is told of the neurons that are written. A mean that is NaN stays so, as where the
    original divides by a count of 0.
    """
    lists = {column for pair in columns.lists.values() for column in pair}
    schema = pa.schema([pa.field(name, _type(name, lists, columns)) for name in names])
    n_rows = 0
    with pq.ParquetWriter(path, schema, **write_options(schema)) as writer:
        for layer in layers:
            n_neurons = len(layer.frequency)
            found = dict(_arrays(layer, columns))
            writer.write_table(
                pa.table([found[name] for name in schema.names], schema=schema),
                row_group_size=max(1, n_neurons),
            )
            n_rows += n_neurons
            advance(n_neurons)
    return n_rows


def _type(name: str, lists: set[str], columns: Columns) -> pa.DataType:
    if name in ("layer", "neuron"):
        return pa.int64()
    if name not in lists:
        return pa.float32()
    values = {pair[0] for pair in columns.lists.values()}
    return pa.list_(pa.float32() if name in values else pa.int64())


def _arrays(layer: PublishedLayer, columns: Columns) -> Iterator[tuple[str, pa.Array]]:
    n_neurons = len(layer.frequency)
    yield "layer", pa.array(np.full(n_neurons, layer.layer, np.int64))
    yield "neuron", pa.array(np.arange(n_neurons, dtype=np.int64))
    for combo, name in columns.frequencies.items():
        values = layer.frequency[:, COMBO_NAMES.index(combo)]
        yield name, pa.array(values.astype(np.float32))
    for (combo, quantity), name in columns.means.items():
        values = layer.means[:, QUANTITIES.index(quantity), COMBO_NAMES.index(combo)]
        yield name, pa.array(values.astype(np.float32))
    for number, (values_name, indices_name) in enumerate(columns.lists.values()):
        yield values_name, _lists(layer.values[:, number])
        yield indices_name, _lists(layer.indices[:, number])


def _lists(values: Float32[np.ndarray, "neuron k"] | Int64[np.ndarray, "neuron k"]) -> pa.Array:
    n_neurons, k = values.shape
    offsets = (
        np.arange(0, (n_neurons + 1) * k, k, dtype=np.int32)
        if k
        else np.zeros(n_neurons + 1, np.int32)
    )
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values.reshape(-1)))
