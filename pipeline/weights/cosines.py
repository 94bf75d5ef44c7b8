"""Cosines and norms of a neuron's three weight vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class NeuronWeights:
    """Cosines and Euclidean norms, float64, one value a neuron.

    `flipped` says whose w_in and w_out were negated so that cos_gate_in >= 0 (GLUScope's
    `refactor_glu`).
    """

    flipped: Bool[Tensor, " neuron"]
    cos_gate_in: Float[Tensor, " neuron"]
    cos_gate_out: Float[Tensor, " neuron"]
    cos_in_out: Float[Tensor, " neuron"]
    norm_gate: Float[Tensor, " neuron"]
    norm_in: Float[Tensor, " neuron"]
    norm_out: Float[Tensor, " neuron"]


def neuron_weights(
    gate: Float[Tensor, "neuron d_model"],
    in_: Float[Tensor, "neuron d_model"],
    out: Float[Tensor, "neuron d_model"],
    *,
    canonical_signs: bool,
) -> NeuronWeights:
    """Cosines and norms of folded weights (section 2 of the design), in float64.

    A zero vector has cosine 0 with everything. With `canonical_signs` in and out are negated
    where cos(gate, in) < 0, which changes the signs of cos_gate_in and cos_gate_out there.
    """
    gate, in_, out = gate.double(), in_.double(), out.double()
    norms = [vectors.norm(dim=1) for vectors in (gate, in_, out)]

    def cosine(a: Tensor, b: Tensor, norm_a: Tensor, norm_b: Tensor) -> Tensor:
        product = norm_a * norm_b
        cos = (a * b).sum(1) / torch.where(product > 0, product, 1.0)
        return torch.where(product > 0, cos, 0.0).clamp(-1, 1)

    cos_gate_in = cosine(gate, in_, norms[0], norms[1])
    flipped = (cos_gate_in < 0) & canonical_signs
    sign = torch.where(flipped, -1.0, 1.0).double()
    return NeuronWeights(
        flipped=flipped,
        cos_gate_in=cos_gate_in * sign,
        cos_gate_out=cosine(gate, out, norms[0], norms[2]) * sign,
        cos_in_out=cosine(in_, out, norms[1], norms[2]),
        norm_gate=norms[0],
        norm_in=norms[1],
        norm_out=norms[2],
    )
