"""Input-output functionality of neurons (arXiv 2505.17936)."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float, Int8
from torch import Tensor

# By (a(cos(in, out)), |a(cos(gate, out))|).
_CLASSES: Final = {
    (1, 1): "enrichment",
    (1, 0): "conditional enrichment",
    (0, 1): "proportional change",
    (0, 0): "orthogonal output",
    (-1, 1): "depletion",
    (-1, 0): "conditional depletion",
}
# Of neurons without a gate, by a(cos(in, out)).
_VANILLA_CLASSES: Final = {1: "enrichment", 0: "orthogonal output", -1: "depletion"}


def approximate_sign(cosine: Float[Tensor, " neuron"], threshold: float) -> Int8[Tensor, " neuron"]:
    """a(x): 1 if x > t, -1 if x < -t, else 0; a cosine on the threshold gives 0."""
    return (cosine > threshold).to(torch.int8) - (cosine < -threshold).to(torch.int8)


def io_classes(
    cos_gate_in: Float[Tensor, " neuron"] | None,
    cos_gate_out: Float[Tensor, " neuron"] | None,
    cos_in_out: Float[Tensor, " neuron"],
    threshold: float,
) -> list[str]:
    """Each neuron's class, by section 2 of the design; the paper's threshold is 0.5.

    A class is typical when a(cos(gate,in)) = a(cos(gate,out)) * a(cos(in,out)), or when both parts
    of its key are 0. Without gates (None) there are three classes.
    """
    in_out = approximate_sign(cos_in_out, threshold).tolist()
    if cos_gate_in is None or cos_gate_out is None:
        return [_VANILLA_CLASSES[io] for io in in_out]
    gate_in, gate_out = (
        approximate_sign(cosine, threshold).tolist() for cosine in (cos_gate_in, cos_gate_out)
    )
    classes = []
    for gi, go, io in zip(gate_in, gate_out, in_out, strict=True):
        key = (io, abs(go))
        typical = gi == go * io or key == (0, 0)
        classes.append(_CLASSES[key] if typical else f"atypical {_CLASSES[key]}")
    return classes
