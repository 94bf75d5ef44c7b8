"""The tables that come from weights and vocabulary: `neurons`, `layers`, `vocab`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool

from pipeline.schema import CLASS_COLUMNS, LAYERS, NEURONS, VOCAB
from pipeline.store.parquet import layer_part, open_parquet, row_groups, write_table
from pipeline.store.place import Place

# Rows of a row group of the tables that have one row a neuron or token.
_ROWS = 1 << 16


def write_neurons(place: Place, layer: int, columns: dict[str, Any]) -> int:
    """A layer's part of `neurons`; `columns` holds a value a neuron for all but layer, neuron."""
    n_neurons = len(columns["io_class"])
    table = pa.table(
        {
            "layer": np.full(n_neurons, layer),
            "neuron": np.arange(n_neurons),
            **columns,
        }
    )
    table = table.select(NEURONS.names).cast(NEURONS)
    return write_table(place, layer_part("neurons", layer), NEURONS, row_groups(table, _ROWS))


def _read_column(place: Place, layer: int, column: str) -> Any:
    with place.local(layer_part("neurons", layer)) as path, open_parquet(path) as file:
        return file.read(columns=[column])[column]


def read_flipped(place: Place, layer: int) -> Bool[np.ndarray, " neuron"]:
    """Which neurons of a layer have flipped signs, from its written part of `neurons`."""
    return np.asarray(_read_column(place, layer, "flipped").to_numpy(), dtype=bool)


def write_layer_summary(place: Place, layer: int, randomness: tuple[float, float]) -> int:
    """A layer's row of `layers`, from its written part of `neurons`.

    `randomness` is the interval that holds the cosine of two random vectors with p = 0.95.
    """
    classes = Counter(_read_column(place, layer, "io_class").to_pylist())
    flipped = read_flipped(place, layer)
    row: dict[str, Any] = {
        "layer": layer,
        "n_neurons": len(flipped),
        "n_flipped": int(flipped.sum()),
        "randomness_low": randomness[0],
        "randomness_high": randomness[1],
    }
    row |= {column: classes[io_class] for io_class, column in CLASS_COLUMNS.items()}
    for name in ("cos_gate_in", "cos_gate_out", "cos_in_out"):
        row[f"median_{name}"] = float(np.median(_read_column(place, layer, name).to_numpy()))
    table = pa.Table.from_pylist([row], schema=LAYERS)
    return write_table(place, layer_part("layers", layer), LAYERS, [table])


def write_vocab(place: Place, tokens: Sequence[str], bytes_: Sequence[bytes | None]) -> int:
    """The `vocab` table; token_id is the index."""
    table = pa.table(
        [pa.array(range(len(tokens)), pa.int32()), list(tokens), pa.array(bytes_, pa.binary())],
        schema=VOCAB,
    )
    return write_table(place, "vocab/part-00000.parquet", VOCAB, row_groups(table, _ROWS))
