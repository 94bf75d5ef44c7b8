"""One pass over a batch of (gate, in): counts, sums and per-example maxima by sign combination."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pipeline.naming import COMBOS

# Positions are reduced in blocks of this many: sums are float32 within a block and float64 beyond,
# and a best position is looked for in its block alone.
BLOCK: Final = 64


class BatchReduction(NamedTuple):
    """What one batch adds to a layer's totals, and each example's best score for each list.

    The list axis runs over combinations, and within each over rankings. A score is -1 where the
    example, or the block, lacks the combination.
    """

    counts: Int64[Tensor, "combo neuron"]
    sums: Float[Tensor, "quantity combo neuron"]
    best: Float[Tensor, "batch list neuron"]
    best_of_block: Float[Tensor, "batch block list neuron"]


def reduce_batch(
    gate: Float[Tensor, "batch pos neuron"],
    in_: Float[Tensor, "batch pos neuron"],
    counted: Bool[Tensor, "batch padded"],
    random: Float[Tensor, "batch padded"],
    act_fn: Callable[[Tensor], Tensor],
    rankings: tuple[str, ...],
) -> BatchReduction:
    """Counts, sums and maxima over the counted positions (DESIGN section 2).

    `padded` is `pos` rounded up to whole blocks. `random` is the score of the `random` ranking, the
    same for all neurons. A NaN or an infinity at a counted position makes sums NaN or infinite; the
    caller checks.
    """
    gate, in_ = _counted_values(gate, counted), _counted_values(in_, counted)
    batch, padded, n_neurons = gate.shape
    blocks = (batch, padded // BLOCK, BLOCK, n_neurons)
    act = act_fn(gate)
    post = act * in_
    magnitudes = {"post": post.abs, "in": in_.abs, "gate": gate.abs}
    scores = [
        random[:, :, None] if ranking == "random" else magnitudes[ranking]() for ranking in rankings
    ]
    # Masks as float32 0 and 1: products and sums of them run many times faster than `where`.
    sign_gate, sign_in = gate.sign(), in_.sign()
    is_gate = {1: sign_gate.clamp(min=0), -1: (-sign_gate).clamp(min=0)}
    is_in = {1: sign_in.clamp(min=0), -1: (-sign_in).clamp(min=0)}
    largest = torch.tensor(torch.finfo(torch.float32).max, device=gate.device)
    counts, sums, best = [], [], []
    for combo in COMBOS:
        inside = is_gate[combo.gate_sign] * is_in[combo.in_sign]
        # Nothing is cut off inside, and everything down to -1 outside.
        ceiling = torch.addcmul(inside - 1, inside, largest)
        counts.append(_total(inside.view(blocks)))
        sums.append([_total((q * inside).view(blocks)) for q in (gate, in_, act, post)])
        best += [torch.minimum(score, ceiling).view(blocks).amax(2) for score in scores]
    best_of_block = torch.stack(best, dim=2)
    return BatchReduction(
        counts=torch.stack(counts).to(torch.int64),
        sums=torch.stack([torch.stack(of_quantity) for of_quantity in zip(*sums, strict=True)]),
        best=best_of_block.amax(1),
        best_of_block=best_of_block,
    )


def _counted_values(
    values: Float[Tensor, "batch pos neuron"], counted: Bool[Tensor, "batch padded"]
) -> Float[Tensor, "batch padded neuron"]:
    """float32 values with 0, which is in no combination, wherever a position is not counted."""
    padding = (0, 0, 0, counted.shape[1] - values.shape[1])
    # Filled rather than multiplied: what is not counted may be infinite.
    return torch.nn.functional.pad(values.float(), padding).masked_fill(~counted[:, :, None], 0.0)


def _total(values: Float[Tensor, "batch block pos neuron"]) -> Float[Tensor, " neuron"]:
    return values.sum(2).sum((0, 1), dtype=torch.float64)


def best_in_block(
    gate: Float[Tensor, "entry block"],
    in_: Float[Tensor, "entry block"],
    random: Float[Tensor, "entry block"],
    counted: Bool[Tensor, "entry block"],
    list_: Int64[Tensor, " entry"],
    act_fn: Callable[[Tensor], Tensor],
    rankings: tuple[str, ...],
) -> Int64[Tensor, " entry"]:
    """The earliest best position within the block that holds an entry's best score."""
    ranking, combo = list_ % len(rankings), list_ // len(rankings)
    scores = {"in": in_.abs(), "gate": gate.abs(), "random": random}
    if "post" in rankings:
        scores["post"] = (act_fn(gate) * in_).abs()
    score = torch.zeros_like(gate)
    for r, name in enumerate(rankings):
        score = torch.where((ranking == r)[:, None], scores[name], score)
    signs = torch.tensor(COMBOS, device=gate.device)[combo]
    inside = counted & (gate.sign() == signs[:, :1]) & (in_.sign() == signs[:, 1:])
    return torch.where(inside, score, -1.0).argmax(1)
