"""One layer's part of every table: what its weights say, and what all workers have counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from pipeline.config import RunConfig
from pipeline.errors import GatescopeError
from pipeline.model import GatedModel, ModelWeights
from pipeline.naming import SIDES
from pipeline.reduce import StateSettings
from pipeline.store import (
    MergeSettings,
    Place,
    Snapshot,
    TokenIndex,
    merge_layer,
    write_layer_summary,
    write_neurons,
    write_weight_tokens,
)
from pipeline.weights import (
    TokenMatrix,
    extreme_tokens,
    io_classes,
    mismatched_cosines,
    neuron_weights,
    random_cosine_interval,
    token_matrix,
)


@dataclass(frozen=True)
class TableSettings:
    """How tables are written.

    `k` and `dedupe` are of the lists of examples; `threshold` is of the classes, `token_k` of the
    lists of tokens.
    """

    k: int
    dedupe: bool
    canonical_signs: bool
    threshold: float
    token_k: int


def table_settings(config: RunConfig) -> TableSettings:
    """What a configuration says of the tables."""
    scan, weights = config.scan, config.weights
    return TableSettings(scan.k, scan.dedupe, scan.canonical_signs, weights.threshold, weights.k)


def token_matrices(weights: ModelWeights, settings: TableSettings) -> list[TokenMatrix]:
    """The embedding and the unembedding, as far as lists of tokens are asked for and they exist."""
    if settings.token_k == 0:
        return []
    return [token_matrix(r.name, r.rows, r.gain, settings.token_k) for r in weights.token_rows()]


def write_weights(
    place: Place,
    weights: ModelWeights,
    layer: int,
    settings: TableSettings,
    matrices: Sequence[TokenMatrix],
    progress: Callable[[], object],
) -> tuple[dict[str, int], Bool[np.ndarray, " neuron"]]:
    """Write a layer's `neurons`, `layers` and `weight_tokens`; rows a table, and who is flipped.

    Raises GatescopeError where a weight is NaN or infinite.
    """
    vectors = weights.mlp_weights(layer)
    said = neuron_weights(
        vectors.gate, vectors.in_, vectors.out, canonical_signs=settings.canonical_signs
    )
    columns: dict[str, Any] = {
        name: None if values is None else values.cpu().numpy()
        for name, values in vars(said).items()
    }
    _refuse_non_finite(layer, columns)
    columns["io_class"] = io_classes(
        said.cos_gate_in, said.cos_gate_out, said.cos_in_out, settings.threshold
    )
    # As they are once the flipped ones are negated, like the cosines. In place, for they are large.
    sign = torch.where(said.flipped, -1.0, 1.0).double()[:, None]
    of_neuron = {"in": vectors.in_.mul_(sign), "out": vectors.out.mul_(sign)}
    if vectors.gate is not None:
        of_neuron = {"gate": vectors.gate} | of_neuron
    progress()
    random = _random(weights.d_model, of_neuron)
    progress()
    lists: dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray]] = {}
    for matrix in matrices:
        for weight, vectors_of in of_neuron.items():
            if (weight, matrix.name) == ("out", "embedding"):
                continue  # What a neuron writes is not read by the embedding.
            rows = vectors_of.to(matrix.rows.device)
            found = extreme_tokens(rows, matrix, settings.token_k, progress)
            for side, part in zip(SIDES, found, strict=True):
                lists[weight, matrix.name, side] = (
                    part.token_ids.cpu().numpy(),
                    part.scores.cpu().numpy(),
                )
    flipped = columns["flipped"]
    n_rows = {
        "neurons": write_neurons(place, layer, columns),
        "layers": write_layer_summary(place, layer, columns, random),
        "weight_tokens": write_weight_tokens(place, layer, len(flipped), lists),
    }
    return n_rows, flipped


def write_layer(
    place: Place,
    model: GatedModel,
    layer: int,
    snapshots: Sequence[Snapshot],
    state: StateSettings,
    settings: TableSettings,
    matrices: Sequence[TokenMatrix],
    tokens: TokenIndex,
    progress: Callable[[], object],
) -> dict[str, int]:
    """Write a layer's part of every table; rows a table.

    `snapshots` cover every unit once. Raises DamagedSnapshot where one is not what was committed.
    """
    n_rows, flipped = write_weights(place, model.weights, layer, settings, matrices, progress)
    merging = MergeSettings(settings.k, settings.dedupe, model.act_fns[layer])
    merged = merge_layer(place, list(snapshots), layer, state, merging, flipped, tokens, progress)
    return n_rows | merged


def _refuse_non_finite(layer: int, columns: dict[str, Any]) -> None:
    for name in ("gate", "in", "out"):
        norms = columns[f"norm_{name}"]
        if norms is not None and not np.isfinite(norms).all():
            neuron = int(np.flatnonzero(~np.isfinite(norms))[0])
            raise GatescopeError(
                f"w_{name} of neuron {layer}.{neuron} is NaN or infinite; take weights that are "
                "whole, or leave the layer out (model.layers)"
            )


def _random(d_model: int, of_neuron: dict[str, Tensor]) -> dict[str, Any]:
    """What a layer's cosines are compared with, as columns of `layers`."""
    low, high = random_cosine_interval(d_model)
    columns: dict[str, Any] = {"randomness_low": low, "randomness_high": high}
    error = 0.0
    for one, other in (("gate", "in"), ("gate", "out"), ("in", "out")):
        if one in of_neuron:
            found = mismatched_cosines(of_neuron[one], of_neuron[other])
            columns |= {
                f"mismatched_low_cos_{one}_{other}": found.low,
                f"mismatched_high_cos_{one}_{other}": found.high,
                "mismatched_n_pairs": found.n_pairs,
            }
            error = max(error, found.error)
    return columns | {"mismatched_error": error}
