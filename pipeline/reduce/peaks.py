"""Where lists that others have published have their peaks: the same definitions, entry by entry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from pipeline.naming import QUANTITIES


@dataclass(frozen=True)
class Wanted:
    """Entries of lists: which example of the batch, which neuron, which combination and quantity.

    `flip` is -1 for a neuron whose in is negated; signs are 1 or -1; `quantity` is an index of
    naming.QUANTITIES.
    """

    row: Int64[Tensor, " entry"]
    neuron: Int64[Tensor, " entry"]
    flip: Int64[Tensor, " entry"]
    gate_sign: Int64[Tensor, " entry"]
    in_sign: Int64[Tensor, " entry"]
    quantity: Int64[Tensor, " entry"]


@dataclass(frozen=True)
class Peaks:
    """The earliest position of each entry's score, -1 where its example has no such combination.

    `largest` is the quantity's magnitude anywhere in the example. Windows lie around the position;
    what is beyond the batch's ends repeats its ends.
    """

    position: Int64[Tensor, " entry"]
    score: Float32[Tensor, " entry"]
    largest: Float32[Tensor, " entry"]
    gate: Float32[Tensor, "entry window"]
    in_: Float32[Tensor, "entry window"]
    post: Float32[Tensor, " entry"]


def find_peaks(
    gate: Float[Tensor, "batch pos neurons"],
    in_: Float[Tensor, "batch pos neurons"],
    act_fn: Callable[[Tensor], Tensor],
    lengths: Int64[Tensor, " batch"],
    wanted: Wanted,
    first: int,
    before: int,
    after: int,
) -> Peaks:
    """The peaks of entries in a layer's activations of a batch, from position `first` on."""
    n_pos = gate.shape[1]
    at = torch.arange(n_pos, device=gate.device)
    g = gate[wanted.row, :, wanted.neuron].float()
    i = in_[wanted.row, :, wanted.neuron].float() * wanted.flip[:, None]
    act = act_fn(g)
    values = {"gate": g, "in": i, "act": act, "post": act * i}
    quantity = torch.zeros_like(g)
    for number, name in enumerate(QUANTITIES):
        quantity = torch.where(wanted.quantity[:, None] == number, values[name].abs(), quantity)
    real = at < lengths[wanted.row][:, None]
    inside = real & (at >= first)
    inside &= (g * wanted.gate_sign[:, None] > 0) & (i * wanted.in_sign[:, None] > 0)
    within = quantity.masked_fill(~inside, -1.0)
    score = within.amax(1)
    # Not argmax, which may give any of several equal ones.
    position = torch.where(within == score[:, None], at, n_pos).amin(1)
    around = position[:, None] + torch.arange(-before, after + 1, device=gate.device)
    around = around.clamp(0, n_pos - 1)
    return Peaks(
        position=torch.where(score < 0, -1, position),
        score=score,
        largest=quantity.masked_fill(~real, 0.0).amax(1),
        gate=g.gather(1, around),
        in_=i.gather(1, around),
        post=values["post"].gather(1, position[:, None])[:, 0],
    )
