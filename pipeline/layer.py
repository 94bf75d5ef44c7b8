"""One layer's part of every table: what its weights say, and what all workers have counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.model import GatedModel
from pipeline.reduce import StateSettings
from pipeline.store import (
    MergeSettings,
    Place,
    Snapshot,
    TokenIndex,
    merge_layer,
    read_flipped,
    write_layer_summary,
    write_neurons,
)
from pipeline.weights import io_classes, neuron_weights, random_cosine_interval


@dataclass(frozen=True)
class TableSettings:
    """How tables are written: list length, whether duplicates go, whether signs are flipped."""

    k: int
    dedupe: bool
    canonical_signs: bool


def write_layer(
    place: Place,
    model: GatedModel,
    layer: int,
    snapshots: Sequence[Snapshot],
    state: StateSettings,
    settings: TableSettings,
    tokens: TokenIndex,
    progress: Callable[[], object],
) -> dict[str, int]:
    """Write a layer's `neurons`, `layers`, `sign_stats` and `examples`; rows a table.

    `snapshots` cover every unit once. Raises DamagedSnapshot where one is not what was committed.
    """
    weights = model.mlp_weights(layer)
    said = neuron_weights(
        weights.gate, weights.in_, weights.out, canonical_signs=settings.canonical_signs
    )
    columns: dict[str, Any] = {k: v.cpu().numpy() for k, v in vars(said).items()}
    columns["io_class"] = io_classes(said.cos_gate_in, said.cos_gate_out, said.cos_in_out)
    n_rows = {
        "neurons": write_neurons(place, layer, columns),
        "layers": write_layer_summary(place, layer, random_cosine_interval(model.d_model)),
    }
    progress()
    merging = MergeSettings(settings.k, settings.dedupe, model.act_fns[layer])
    flipped = read_flipped(place, layer)
    merged = merge_layer(place, list(snapshots), layer, state, merging, flipped, tokens, progress)
    return n_rows | merged
