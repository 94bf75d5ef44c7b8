"""Cosines and norms of a neuron's weight vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class NeuronWeights:
    """Cosines and Euclidean norms, float64, one value a neuron; None what needs an absent gate.

    `flipped` says whose w_in and w_out were negated so that cos_gate_in >= 0 (GLUScope's
    `refactor_glu`); no neuron without a gate is.
    """

    flipped: Bool[Tensor, " neuron"]
    cos_gate_in: Float[Tensor, " neuron"] | None
    cos_gate_out: Float[Tensor, " neuron"] | None
    cos_in_out: Float[Tensor, " neuron"]
    norm_gate: Float[Tensor, " neuron"] | None
    norm_in: Float[Tensor, " neuron"]
    norm_out: Float[Tensor, " neuron"]


def neuron_weights(
    gate: Float[Tensor, "neuron d_model"] | None,
    in_: Float[Tensor, "neuron d_model"],
    out: Float[Tensor, "neuron d_model"],
    *,
    canonical_signs: bool,
) -> NeuronWeights:
    """Cosines and norms of folded weights (section 2 of the design), in float64.

    A zero vector has cosine 0 with everything. With `canonical_signs` in and out are negated
    where cos(gate, in) < 0, which changes the signs of cos_gate_in and cos_gate_out there.
    """
    in_, out = in_.double(), out.double()
    norm_in, norm_out = in_.norm(dim=1), out.norm(dim=1)
    cos_in_out = _cosine(in_, out, norm_in * norm_out)
    if gate is None:
        flipped = torch.zeros(len(in_), dtype=torch.bool, device=in_.device)
        return NeuronWeights(flipped, None, None, cos_in_out, None, norm_in, norm_out)
    gate = gate.double()
    norm_gate = gate.norm(dim=1)
    cos_gate_in = _cosine(gate, in_, norm_gate * norm_in)
    flipped = (cos_gate_in < 0) & canonical_signs
    sign = torch.where(flipped, -1.0, 1.0).double()
    return NeuronWeights(
        flipped=flipped,
        cos_gate_in=cos_gate_in * sign,
        cos_gate_out=_cosine(gate, out, norm_gate * norm_out) * sign,
        cos_in_out=cos_in_out,
        norm_gate=norm_gate,
        norm_in=norm_in,
        norm_out=norm_out,
    )


def _cosine(
    one: Float[Tensor, "neuron d_model"],
    other: Float[Tensor, "neuron d_model"],
    norms: Float[Tensor, " neuron"],
) -> Float[Tensor, " neuron"]:
    cosine = (one * other).sum(1) / torch.where(norms > 0, norms, 1.0)
    return torch.where(norms > 0, cosine, 0.0).clamp(-1, 1)
