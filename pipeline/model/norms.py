"""The gains of the norms next to an MLP, measured rather than looked up.

Which norm feeds an MLP, and which one follows it, differs between architectures (pre-norm,
post-norm, both, one shared with the attention), and so does how a gain is stored (w or 1 + w).
Both are read off the running model: a norm precedes the MLP when its output is the MLP's input,
it follows when its input is the MLP's output, and its gain is what it does to a vector of +-s.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Neighbours:
    """What stands between an MLP's weights and the residual stream.

    `in_gain` [d_model] is the preceding norm's gain (ones where the MLP reads the residual stream
    itself), `out_gain` [d_model] that of a norm on the MLP's output, `out_scale` a constant that
    the architecture multiplies the down projection's output by.
    """

    in_gain: Float[Tensor, " d_model"]
    out_gain: Float[Tensor, " d_model"]
    out_scale: float


def is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation layer, by the name that every architecture gives it."""
    return "norm" in type(module).__name__.lower()


def measured_gain(norm: nn.Module, d_model: int, device: torch.device) -> Float[Tensor, " d_model"]:
    """The elementwise gain of an RMSNorm or LayerNorm, float32 [d_model].

    A vector of alternating +-s has mean 0 and root mean square s, so that the norm maps it to
    +-gain + bias; half the difference of the two signs is the gain, whatever its parameterisation.
    With s = 1024 the norm's epsilon changes no digit that float32 holds. An odd width leaves one
    element at 0, which two such vectors take in turn, and the root mean square is a little less.
    """
    # Weights that lie on a disk are float32 there, and come when the norm itself is called.
    is_exact = all(p.dtype == torch.float32 for p in norm.parameters())
    exact = norm if is_exact else copy.deepcopy(norm).float()

    def measured(zero: int | None) -> Tensor:
        signs = torch.ones(d_model, device=device)
        signs[1::2] = -1
        if zero is not None:
            signs[zero] = 0
        with torch.inference_mode():
            plus, minus = exact(1024 * signs[None, None]), exact(-1024 * signs[None, None])
        size = (float(signs.square().sum()) / d_model) ** 0.5
        gain: Tensor = (plus.double() - minus.double()).flatten() / 2 * signs * size
        return gain

    if d_model % 2 == 0:
        return measured(None).float()
    # Of an odd number of alternating signs the first and the last are the same.
    gain = measured(0)
    gain[0] = measured(d_model - 1)[0]
    return gain.float()


def reads_stream(
    mlp_in: Tensor, mlp_out: Tensor, traced: list[tuple[nn.Module, Tensor, Tensor]]
) -> bool:
    """Whether the norm before an MLP is one of the residual stream itself, as in the first GPT.

    What such a norm gives is the stream: what the MLP gives is added to it, and that is what the
    next one reads.
    """
    after_norm = any(_same(out, mlp_in) for _, _, out in traced)
    return after_norm and any(_same(in_, mlp_in + mlp_out) for _, in_, _ in traced)


def find_neighbours(
    mlp_in: Tensor,
    mlp_out: Tensor,
    traced: list[tuple[nn.Module, Tensor, Tensor]],
    out_scale: float,
) -> Neighbours:
    """The norms around one MLP, from a traced forward.

    `mlp_in` and `mlp_out` are [batch pos d_model]; `traced` holds (norm, its input, its output).
    """
    d_model, device = mlp_in.shape[-1], mlp_in.device
    ones = torch.ones(d_model, device=device)
    before = [norm for norm, _, out in traced if torch.equal(out, mlp_in)]
    if reads_stream(mlp_in, mlp_out, traced):
        before = []
    after = [norm for norm, in_, _ in traced if torch.equal(in_, mlp_out)]
    return Neighbours(
        in_gain=measured_gain(before[-1], d_model, device) if before else ones,
        out_gain=measured_gain(after[0], d_model, device) if after else ones,
        out_scale=out_scale,
    )


def final_gain(
    hidden: Tensor, traced: list[tuple[nn.Module, Tensor, Tensor]]
) -> Float[Tensor, " d_model"]:
    """The gain of the norm that gives the last hidden states; ones where none does."""
    d_model, device = hidden.shape[-1], hidden.device
    last = [norm for norm, _, out in traced if torch.equal(out, hidden)]
    return measured_gain(last[-1], d_model, device) if last else torch.ones(d_model, device=device)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)
