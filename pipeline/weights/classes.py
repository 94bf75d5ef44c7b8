"""Input-output functionality of gated neurons (arXiv 2505.17936)."""

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
THRESHOLD: Final = 0.5


def approximate_sign(cosine: Float[Tensor, " neuron"], threshold: float) -> Int8[Tensor, " neuron"]:
    """a(x): 1 if x > t, -1 if x < -t, else 0; a cosine on the threshold gives 0."""
    return (cosine > threshold).to(torch.int8) - (cosine < -threshold).to(torch.int8)


def io_classes(
    cos_gate_in: Float[Tensor, " neuron"],
    cos_gate_out: Float[Tensor, " neuron"],
    cos_in_out: Float[Tensor, " neuron"],
    threshold: float = THRESHOLD,
) -> list[str]:
    """Each neuron's class, by section 2 of the design.

    A class is typical when a(cos(gate,in)) = a(cos(gate,out)) * a(cos(in,out)), or when both parts
    of its key are 0. The threshold is the paper's 0.5.
    """
    gate_in, gate_out, in_out = (
        approximate_sign(cosine, threshold).tolist()
        for cosine in (cos_gate_in, cos_gate_out, cos_in_out)
    )
    classes = []
    for gi, go, io in zip(gate_in, gate_out, in_out, strict=True):
        key = (io, abs(go))
        typical = gi == go * io or key == (0, 0)
        classes.append(_CLASSES[key] if typical else f"atypical {_CLASSES[key]}")
    return classes
