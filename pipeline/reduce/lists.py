"""From a finished state to what is written: ranked lists, duplicates dropped, canonical signs."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor

from pipeline.naming import COMBOS, FLIPPED_COMBO, QUANTITIES
from pipeline.reduce.keys import unpack_example_id, unpack_score
from pipeline.reduce.state import LayerState


@dataclass(frozen=True)
class RankedLists:
    """Lists in their total order, best first; `filled` is False beyond a list's end.

    `n_duplicates` counts the entries that were dropped because they repeat this one.
    """

    filled: Bool[Tensor, "list neuron k"]
    score: Float[Tensor, "list neuron k"]
    example_id: Int64[Tensor, "list neuron k"]
    position: Int64[Tensor, "list neuron k"]
    n_duplicates: Int32[Tensor, "list neuron k"]
    gate: Float[Tensor, "list neuron k window"]
    in_: Float[Tensor, "list neuron k window"]

    def first(self, k: int) -> RankedLists:
        """The best k entries of each list."""
        return RankedLists(*(getattr(self, f.name)[:, :, :k] for f in fields(self)))

    def select(self, index: Int64[Tensor, "list neuron k"]) -> RankedLists:
        """The entries at `index`, in that order."""
        return RankedLists(*(_gather(getattr(self, f.name), index) for f in fields(self)))


def _gather(values: Tensor, index: Int64[Tensor, "list neuron k"]) -> Tensor:
    if values.ndim == 4:
        index = index[..., None].expand(*index.shape, values.shape[3])
    return values.gather(2, index)


def rank_lists(state: LayerState) -> RankedLists:
    """All k + spare entries of a state by score descending, then example_id ascending."""
    keys, order = state.keys.sort(dim=2, descending=True)
    filled = keys >= 0
    return RankedLists(
        filled=filled,
        score=torch.where(filled, unpack_score(keys), 0.0),
        example_id=torch.where(filled, unpack_example_id(keys), 0),
        position=torch.where(filled, _gather(state.positions, order).long(), 0),
        n_duplicates=torch.zeros_like(keys, dtype=torch.int32),
        gate=_gather(state.gate, order),
        in_=_gather(state.in_, order),
    )


def drop_duplicates(
    lists: RankedLists, contexts: Int32[Tensor, "list neuron k context"]
) -> RankedLists:
    """Of the entries of a list with equal contexts keep the best, and count the others on it.

    `contexts` are the tokens from DUPLICATE_CONTEXT before each peak up to the peak, -1 before
    the example's start. What is kept moves up; the list may end earlier than before.
    """
    same = (contexts[:, :, :, None] == contexts[:, :, None, :]).all(-1)
    same &= lists.filled[:, :, :, None] & lists.filled[:, :, None, :]
    # The first entry with the same context stands for all of them.
    first = same.int().argmax(-1)
    k = torch.arange(same.shape[2], device=same.device)
    kept = lists.filled & (first == k)
    n_duplicates = (same.sum(-1) - 1).clamp_min(0).int()
    order = (~kept).int().argsort(dim=2, stable=True)
    chosen = RankedLists(
        filled=kept,
        score=lists.score,
        example_id=lists.example_id,
        position=lists.position,
        n_duplicates=n_duplicates,
        gate=lists.gate,
        in_=lists.in_,
    )
    return chosen.select(order)


def flip_totals(
    counts: Int64[Tensor, "combo neuron"],
    sums: Float[Tensor, "quantity combo neuron"],
    flipped: Bool[Tensor, " neuron"],
) -> tuple[Int64[Tensor, "combo neuron"], Float[Tensor, "quantity combo neuron"]]:
    """Totals of the neurons with in and post negated where `flipped`; its own inverse."""
    other = list(FLIPPED_COMBO)
    sign = torch.tensor(
        [-1.0 if quantity in ("in", "post") else 1.0 for quantity in QUANTITIES],
        dtype=sums.dtype,
        device=sums.device,
    )
    return (
        torch.where(flipped, counts[other], counts),
        torch.where(flipped, sums[:, other] * sign[:, None, None], sums),
    )


def flip_lists(lists: RankedLists, flipped: Bool[Tensor, " neuron"]) -> RankedLists:
    """Lists of the neurons with in negated where `flipped`; its own inverse.

    Every ranking orders by a magnitude, so a flip only exchanges the lists of two combinations.
    """
    n_rankings = len(lists.score) // len(COMBOS)
    other = [c * n_rankings + r for c in FLIPPED_COMBO for r in range(n_rankings)]

    def exchanged(values: Tensor) -> Tensor:
        where = flipped.view(1, -1, *[1] * (values.ndim - 2))
        return torch.where(where, values[other], values)

    swapped = {f.name: exchanged(getattr(lists, f.name)) for f in fields(lists)}
    swapped["in_"] = torch.where(flipped[None, :, None, None], -swapped["in_"], swapped["in_"])
    return RankedLists(**swapped)
