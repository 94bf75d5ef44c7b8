"""The end of a scan: the snapshots of all workers become a layer's part of the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pipeline.naming import COMBOS, QUANTITIES
from pipeline.prefetch import prefetched
from pipeline.reduce import (
    LayerState,
    RankedLists,
    StateSettings,
    drop_duplicates,
    flip_lists,
    flip_totals,
    rank_lists,
)
from pipeline.schema import EXAMPLES, SIGN_STATS
from pipeline.store.corpus import TokenIndex
from pipeline.store.parquet import layer_part, row_groups, write_table
from pipeline.store.place import Place
from pipeline.store.snapshots import Snapshot, StoredLayer, open_layer

# Entries (list, neuron, k) of a row group of `examples`, 4 MB of each column of windows. A reader
# of a neuron passes over half the rows of its group, but every group of the file costs too, in time
# and in the footer: with half as many entries DuckDB takes a seventh longer.
ENTRIES_PER_GROUP = 1 << 14
# Rows of a row group of `sign_stats`, whole neurons, so few that all of one are fetched in one
# request.
STATS_PER_GROUP = 1 << 12


@dataclass(frozen=True)
class MergeSettings:
    """How a layer is written: list length, whether duplicates go, and act_fn for post."""

    k: int
    dedupe: bool
    act_fn: Callable[[Tensor], Tensor]


def merge_layer(
    place: Place,
    snapshots: list[Snapshot],
    layer: int,
    state_settings: StateSettings,
    settings: MergeSettings,
    flipped: Bool[np.ndarray, " neuron"],
    tokens: TokenIndex,
    progress: Callable[[], object] = lambda: None,
) -> dict[str, int]:
    """Merge all workers' states of a layer and write `sign_stats` and `examples`; rows a table.

    Any order and any split of the units over snapshots gives the same files. `progress` is called
    at every group of rows. Raises DamagedSnapshot where a snapshot is not what was committed.
    """
    flips = torch.from_numpy(flipped)
    with ExitStack() as files:
        stored = []
        for snapshot in snapshots:
            stored.append(files.enter_context(open_layer(place, snapshot, layer, state_settings)))
            progress()
        parts: list[_Totals] = []
        # Groups are made while others are compressed.
        groups = files.enter_context(
            closing(
                prefetched(
                    _example_groups(
                        layer, stored, state_settings, settings, flips, tokens, parts, progress
                    )
                )
            )
        )
        examples = write_table(place, layer_part("examples", layer), EXAMPLES, groups)
    totals = _Totals(
        parts[0].n_tokens,
        *(torch.cat([part[i] for part in parts], dim=-1) for i in range(1, len(_Totals._fields))),
    )
    stats = row_groups(_sign_stats(layer, totals, flips), STATS_PER_GROUP)
    n_stats = write_table(place, layer_part("sign_stats", layer), SIGN_STATS, stats)
    return {"sign_stats": n_stats, "examples": examples}


class _Totals(NamedTuple):
    """A state without its lists, the neurons last."""

    n_tokens: Int64[Tensor, ""]
    n_zero: Int64[Tensor, " neuron"]
    counts: Int64[Tensor, "combo neuron"]
    sums: Float[Tensor, "quantity combo neuron"]


def _by_neuron(values: Tensor) -> np.ndarray:
    """[combo neuron] to one row after the other, the combinations of a neuron together."""
    return values.T.reshape(-1).numpy()


def _sign_stats(layer: int, totals: _Totals, flipped: Tensor) -> pa.Table:
    counts, sums = flip_totals(totals.counts, totals.sums, flipped)
    n_neurons, n_combos = len(totals.n_zero), len(COMBOS)
    count = _by_neuron(counts)
    n_tokens = int(totals.n_tokens)
    columns: dict[str, Any] = {
        "layer": np.full(len(count), layer),
        "neuron": np.repeat(np.arange(n_neurons), n_combos),
        "gate_sign": np.tile([combo.gate_sign for combo in COMBOS], n_neurons),
        "in_sign": np.tile([combo.in_sign for combo in COMBOS], n_neurons),
        "combo": np.tile([combo.name for combo in COMBOS], n_neurons),
        "n_tokens": np.full(len(count), n_tokens),
        "n_zero": np.repeat(totals.n_zero.numpy(), n_combos),
        "count": count,
        # No counted position at all gives frequency 0, and null means.
        "frequency": count / max(n_tokens, 1),
    }
    for quantity, total in zip(QUANTITIES, sums, strict=True):
        mean = _by_neuron(total) / np.maximum(count, 1)
        columns[f"mean_{quantity}"] = pa.array(mean, mask=count == 0)
    return pa.table(columns).cast(SIGN_STATS)


def _example_groups(
    layer: int,
    stored: list[StoredLayer],
    state: StateSettings,
    settings: MergeSettings,
    flipped: Tensor,
    tokens: TokenIndex,
    totals: list[_Totals],
    progress: Callable[[], object],
) -> Iterator[pa.Table]:
    """Merge some neurons at a time; their totals are put into `totals`."""
    step = max(1, ENTRIES_PER_GROUP // (state.n_lists * settings.k))
    for start in range(0, state.n_neurons, step):
        progress()
        parts = (whole.neurons(start, start + step) for whole in stored)
        merged = reduce(LayerState.merge, parts)
        totals.append(_Totals(merged.n_tokens, merged.n_zero, merged.counts, merged.sums))
        lists = rank_lists(merged)
        if settings.dedupe:
            contexts = tokens.contexts(lists.example_id.numpy(), lists.position.numpy())
            lists = drop_duplicates(lists, torch.from_numpy(contexts))
        lists = flip_lists(lists.first(settings.k), flipped[start : start + step])
        yield _examples(layer, start, lists, state, settings.act_fn, tokens)


def _examples(
    layer: int,
    first_neuron: int,
    lists: RankedLists,
    state: StateSettings,
    act_fn: Callable[[Tensor], Tensor],
    tokens: TokenIndex,
) -> pa.Table:
    """The rows of some neurons' lists, sorted by (neuron, combo, ranking, rank)."""
    by_name = sorted(range(len(state.rankings)), key=lambda r: state.rankings[r])
    order = [c * len(state.rankings) + r for c in range(len(COMBOS)) for r in by_name]
    # [list neuron k] to [neuron list k] in the order of the rows, then the filled entries of it.
    filled = lists.filled[order].transpose(0, 1)
    neuron, row, rank = (index.numpy() for index in filled.nonzero(as_tuple=True))

    def entries(values: Tensor) -> Tensor:
        return values[order].transpose(0, 1)[filled]

    example_id, position = entries(lists.example_id).numpy(), entries(lists.position).numpy()
    at = position[:, None] + np.arange(-state.before, state.after + 1)
    inside = (at >= 0) & (at < tokens.lengths[example_id][:, None])
    offsets = np.concatenate([[0], np.cumsum(inside.sum(1))]).astype(np.int32)

    def windows(values: np.ndarray) -> pa.Array:
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[inside]))

    gate, in_ = entries(lists.gate).float(), entries(lists.in_).float()
    token_ids = tokens.at(example_id[:, None], at)
    peak_gate, peak_in = gate[:, state.before], in_[:, state.before]
    combos = [COMBOS[c] for c in range(len(COMBOS)) for _ in by_name]
    rankings = [state.rankings[r] for _ in COMBOS for r in by_name]
    columns = {
        "layer": np.full(len(neuron), layer),
        "neuron": neuron + first_neuron,
        "gate_sign": np.array([combo.gate_sign for combo in combos])[row],
        "in_sign": np.array([combo.in_sign for combo in combos])[row],
        "combo": np.array([combo.name for combo in combos])[row],
        "ranking": np.array(rankings)[row],
        "rank": rank,
        "score": entries(lists.score).numpy(),
        "gate_value": peak_gate.numpy(),
        "in_value": peak_in.numpy(),
        "post_value": (act_fn(peak_gate) * peak_in).numpy(),
        "example_id": example_id,
        "position": position,
        "peak_token": token_ids[:, state.before],
        "n_duplicates": entries(lists.n_duplicates).numpy(),
        "window_start": np.maximum(position - state.before, 0),
        "token_ids": windows(token_ids),
        "gate": windows(gate.numpy()),
        "in": windows(in_.numpy()),
    }
    return pa.table(columns).cast(EXAMPLES)
