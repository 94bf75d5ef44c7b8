"""Tables of an imported dataset, whose columns are null as far as nothing is known of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float32, Int32, Int64

from pipeline.naming import COMBO_NAMES, COMBOS, QUANTITIES
from pipeline.schema import EXAMPLES, LAYERS, NEURONS, SIGN_STATS
from pipeline.store.corpus import TokenIndex
from pipeline.store.merge import ENTRIES_PER_GROUP, STATS_PER_GROUP
from pipeline.store.parquet import layer_part, row_groups, write_table
from pipeline.store.place import Place
from pipeline.store.published.layers import PublishedLayer
from pipeline.store.tables import write_neurons

# What only the model can tell of an entry.
_OF_WINDOW: Final = ("position", "peak_token", "window_start", "token_ids", "gate", "in")


@dataclass(frozen=True)
class Counts:
    """Counts of a layer, where the corpus that was measured is known."""

    n_tokens: int
    n_zero: Int64[np.ndarray, " neuron"]
    count: Int64[np.ndarray, "neuron combo"]


@dataclass(frozen=True)
class Found:
    """Where the model has the entries of lists; `position` is -1 where it has not.

    Of each row of the table `place` says which of the entries it is. Windows begin `before`
    positions before the peak; what lies beyond a text is not read.
    """

    before: int
    place: Int64[np.ndarray, " row"]
    position: Int32[np.ndarray, " entry"]
    gate: Float32[np.ndarray, "entry window"]
    in_: Float32[np.ndarray, "entry window"]
    post: Float32[np.ndarray, " entry"]


def write_bare_weights(place: Place, layer: int, n_neurons: int) -> dict[str, int]:
    """A layer's `neurons` and `layers`, without what the model's weights would say of them."""
    columns: dict[str, Any] = dict.fromkeys(NEURONS.names[2:])
    row = pa.Table.from_pylist([{"layer": layer, "n_neurons": n_neurons}], schema=LAYERS)
    return {
        "neurons": write_neurons(place, layer, columns | {"io_class": [None] * n_neurons}),
        "layers": write_table(place, layer_part("layers", layer), LAYERS, [row]),
    }


def write_published_stats(place: Place, published: PublishedLayer, counts: Counts | None) -> int:
    """A layer's `sign_stats`; gives its rows."""
    n_neurons, n_combos = published.frequency.shape
    n = n_neurons * n_combos
    columns: dict[str, Any] = {
        "layer": np.full(n, published.layer),
        "neuron": np.repeat(np.arange(n_neurons), n_combos),
        "gate_sign": np.tile([combo.gate_sign for combo in COMBOS], n_neurons),
        "in_sign": np.tile([combo.in_sign for combo in COMBOS], n_neurons),
        "combo": np.tile(COMBO_NAMES, n_neurons),
        "n_tokens": pa.nulls(n) if counts is None else np.full(n, counts.n_tokens),
        "n_zero": pa.nulls(n) if counts is None else np.repeat(counts.n_zero, n_combos),
        "count": pa.nulls(n) if counts is None else counts.count.reshape(-1),
        "frequency": published.frequency.reshape(-1),
    }
    for q, quantity in enumerate(QUANTITIES):
        mean = published.means[:, q].reshape(-1)
        columns[f"mean_{quantity}"] = pa.array(mean, mask=np.isnan(mean))
    groups = row_groups(pa.table(columns).cast(SIGN_STATS), STATS_PER_GROUP)
    return write_table(place, layer_part("sign_stats", published.layer), SIGN_STATS, groups)


def write_published_examples(
    place: Place,
    layer: int,
    values: Float32[np.ndarray, "neuron list k"],
    indices: Int64[np.ndarray, "neuron list k"],
    lists: Sequence[tuple[str, str]],
    found: Found | None = None,
    tokens: TokenIndex | None = None,
) -> int:
    """A layer's `examples`, whose lists are (combination, ranking); gives its rows.

    A value of 0 is no entry. With what was `found` goes the corpus that it was found in.
    """
    groups = _groups(layer, values, indices, lists, found, tokens)
    return write_table(place, layer_part("examples", layer), EXAMPLES, groups)


def _groups(
    layer: int,
    values: Float32[np.ndarray, "neuron list k"],
    indices: Int64[np.ndarray, "neuron list k"],
    lists: Sequence[tuple[str, str]],
    found: Found | None,
    tokens: TokenIndex | None,
) -> Iterator[pa.Table]:
    n_neurons, n_lists, k = values.shape
    step = max(1, ENTRIES_PER_GROUP // (n_lists * k))
    n_before = 0
    for start in range(0, n_neurons, step):
        inside = slice(start, start + step)
        neuron, row, rank = np.nonzero(values[inside])
        entries = slice(n_before, n_before + len(neuron))
        n_before = entries.stop
        value = values[inside][neuron, row, rank]
        example_id = indices[inside][neuron, row, rank]
        ranking = np.array([name for _, name in lists])[row]
        signs = [COMBOS[COMBO_NAMES.index(combo)] for combo, _ in lists]
        columns: dict[str, Any] = {
            "layer": np.full(len(neuron), layer),
            "neuron": neuron + start,
            "gate_sign": np.array([combo.gate_sign for combo in signs])[row],
            "in_sign": np.array([combo.in_sign for combo in signs])[row],
            "combo": np.array([combo for combo, _ in lists])[row],
            "ranking": ranking,
            "rank": rank,
            "score": np.abs(value),
            "example_id": example_id,
            "n_duplicates": np.zeros(len(neuron), np.int32),
        }
        columns |= _peaks(ranking, value, example_id, _part(found, entries), tokens)
        yield pa.table([pa.array(columns[name]) for name in EXAMPLES.names], EXAMPLES.names).cast(
            EXAMPLES
        )


def _part(found: Found | None, entries: slice) -> Found | None:
    if found is None:
        return None
    place = found.place[entries]
    arrays = (found.position, found.gate, found.in_, found.post)
    return Found(found.before, place, *(np.asarray(array[place]) for array in arrays))


def _peaks(
    ranking: np.ndarray,
    value: Float32[np.ndarray, " entry"],
    example_id: Int64[np.ndarray, " entry"],
    found: Found | None,
    tokens: TokenIndex | None,
) -> dict[str, Any]:
    """The columns of peak and window; of an entry that was not found its own value alone."""
    own = {f"{q}_value": pa.array(value, mask=ranking != q) for q in ("gate", "in", "post")}
    n = len(value)
    if found is None or tokens is None:
        return own | {name: pa.nulls(n, EXAMPLES.field(name).type) for name in _OF_WINDOW}
    lacks: Bool[np.ndarray, " entry"] = found.position < 0
    position = found.position.astype(np.int64)
    at = position[:, None] + np.arange(-found.before, found.gate.shape[1] - found.before)
    inside = (at >= 0) & (at < tokens.lengths[example_id][:, None]) & ~lacks[:, None]
    token_ids = tokens.at(example_id[:, None], at)

    def whole(name: str, values: np.ndarray) -> pa.Array:
        # The published value stays where there is one.
        return pa.array(np.where(ranking == name, value, values), mask=lacks & (ranking != name))

    return {
        "gate_value": whole("gate", found.gate[:, found.before]),
        "in_value": whole("in", found.in_[:, found.before]),
        "post_value": whole("post", found.post),
        "position": pa.array(position, mask=lacks),
        "peak_token": pa.array(token_ids[:, found.before], mask=lacks),
        "window_start": pa.array(np.maximum(position - found.before, 0), mask=lacks),
        "token_ids": _windows(token_ids, inside, lacks),
        "gate": _windows(found.gate, inside, lacks),
        "in": _windows(found.in_, inside, lacks),
    }


def _windows(values: np.ndarray, inside: np.ndarray, lacks: np.ndarray) -> pa.Array:
    offsets = np.concatenate([[0], np.cumsum(inside.sum(1))]).astype(np.int32)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(values[inside]), mask=pa.array(lacks)
    )
