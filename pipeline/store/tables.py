"""The tables of weights and vocabulary: `neurons`, `layers`, `weight_tokens`, `vocab`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Int

from pipeline.naming import MATRICES, SIDES, WEIGHTS
from pipeline.schema import CLASS_COLUMNS, COSINES, LAYERS, NEURONS, VOCAB, WEIGHT_TOKENS
from pipeline.store.parquet import layer_part, row_groups, write_table
from pipeline.store.place import Place

# Rows of a row group of `neurons`, so few that all of one are fetched in one request.
_NEURON_ROWS = 1 << 11
# And of `vocab`, which is read whole.
_TOKEN_ROWS = 1 << 16
# And of weight_tokens: neurons whose lists lie in one, 16 to 50 thousand rows.
_NEURONS = 512

# Of a weight, a matrix and a side: token ids and scores, [neuron k].
TokenLists = Mapping[
    tuple[str, str, str], tuple[Int[np.ndarray, "neuron k"], Float[np.ndarray, "neuron k"]]
]


def write_neurons(place: Place, layer: int, columns: Mapping[str, Any]) -> int:
    """A layer's part of `neurons`; `columns` holds a value a neuron for all but layer, neuron.

    A column that is None is null for all of them.
    """
    n_neurons = len(columns["io_class"])
    nulls = [None] * n_neurons
    table = pa.table(
        {
            "layer": np.full(n_neurons, layer),
            "neuron": np.arange(n_neurons),
            **{name: nulls if values is None else values for name, values in columns.items()},
        }
    )
    table = table.select(NEURONS.names).cast(NEURONS)
    groups = row_groups(table, _NEURON_ROWS)
    return write_table(place, layer_part("neurons", layer), NEURONS, groups)


def write_layer_summary(
    place: Place, layer: int, columns: Mapping[str, Any], random: Mapping[str, Any]
) -> int:
    """A layer's row of `layers`: counts and quartiles of the `columns` of `write_neurons`.

    `random` holds what cosines are compared with: the columns `randomness_...`, `mismatched_...`.
    """
    classes = Counter(columns["io_class"])
    row: dict[str, Any] = {
        "layer": layer,
        "n_neurons": len(columns["io_class"]),
        "n_flipped": int(np.sum(columns["flipped"])),
        **random,
    }
    row |= {column: classes[io_class] for io_class, column in CLASS_COLUMNS.items()}
    for name in COSINES:
        if columns[name] is not None:
            quartiles = np.quantile(columns[name], [0.25, 0.5, 0.75]).tolist()
            row |= dict(
                zip((f"{q}_{name}" for q in ("q1", "median", "q3")), quartiles, strict=True)
            )
    table = pa.Table.from_pylist([row], schema=LAYERS)
    return write_table(place, layer_part("layers", layer), LAYERS, [table])


def write_weight_tokens(place: Place, layer: int, n_neurons: int, lists: TokenLists) -> int:
    """A layer's part of `weight_tokens`, sorted by neuron, weight, matrix, side and rank."""
    every = range(n_neurons)
    tables = [_token_rows(layer, every[i : i + _NEURONS], lists) for i in every[::_NEURONS]]
    return write_table(place, layer_part("weight_tokens", layer), WEIGHT_TOKENS, tables)


def _token_rows(layer: int, neurons: range, lists: TokenLists) -> pa.Table:
    keys = [
        (weight, matrix, side)
        for weight in WEIGHTS
        for matrix in MATRICES
        for side in SIDES
        if (weight, matrix, side) in lists
    ]
    if not keys:
        return WEIGHT_TOKENS.empty_table()
    inside = slice(neurons.start, neurons.stop)
    # [neuron list k]
    token_ids, scores = (np.stack([lists[key][part][inside] for key in keys], 1) for part in (0, 1))
    n, n_lists, k = token_ids.shape

    def of_list(part: int, names: Sequence[str]) -> pa.Array:
        codes = np.repeat([names.index(key[part]) for key in keys], k)
        indices = pa.array(np.tile(codes, n), pa.int32())
        return pa.DictionaryArray.from_arrays(indices, list(names)).cast(pa.string())

    return pa.table(
        [
            pa.array(np.full(token_ids.size, layer, np.int32)),
            pa.array(np.repeat(np.array(neurons, np.int32), n_lists * k)),
            of_list(0, WEIGHTS),
            of_list(1, MATRICES),
            of_list(2, SIDES),
            pa.array(np.tile(np.arange(k, dtype=np.int32), n * n_lists)),
            pa.array(token_ids.reshape(-1).astype(np.int32)),
            pa.array(scores.reshape(-1).astype(np.float32)),
        ],
        schema=WEIGHT_TOKENS,
    )


def write_vocab(place: Place, tokens: Sequence[str], bytes_: Iterable[bytes | None]) -> int:
    """The `vocab` table; token_id is the index."""
    table = pa.table(
        [pa.array(range(len(tokens)), pa.int32()), list(tokens), pa.array(bytes_, pa.binary())],
        schema=VOCAB,
    )
    return write_table(place, "vocab/part-00000.parquet", VOCAB, row_groups(table, _TOKEN_ROWS))
