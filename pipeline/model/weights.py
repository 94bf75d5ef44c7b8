"""The weights of a model's neurons and tokens, as they read and write the residual stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformer_lens.model_bridge.generalized_components.mlp import weight_layout_in_out

from pipeline.model.memory import fetched
from pipeline.model.norms import Neighbours


@dataclass(frozen=True)
class MLPWeights:
    """The weights of one layer's neurons, float64, one row a neuron, [neuron d_model] each.

    `gate` and `in_` read the residual stream after the preceding norm, whose gain is folded in;
    `out` is what the neuron writes to the residual stream, a post-norm's gain folded in. `gate` is
    None for an MLP without one.
    """

    gate: Float[Tensor, "neuron d_model"] | None
    in_: Float[Tensor, "neuron d_model"]
    out: Float[Tensor, "neuron d_model"]


@dataclass(frozen=True)
class TokenRows:
    """The embedding or the unembedding as it is stored, and the gain [d_model] to fold into it."""

    name: str
    rows: Float[Tensor, "token d_model"]
    gain: Float[Tensor, " d_model"]


@dataclass
class ModelWeights:
    """Where the weights of a model are, and what stands beside them.

    `mlps` are TransformerBridge's MLP components, one a layer. `neighbours` [layer] and
    `final_gain` [d_model] are filled by the probe. Weights may lie on a disk: then what is asked
    for is read from there, and not kept. They are given on `device`, or on the layer's own where it
    is None.
    """

    mlps: list[Any]
    gated: bool
    embedding: nn.Module
    unembedding: nn.Module | None
    residual_multiplier: float = 1.0
    device: torch.device | None = None
    neighbours: dict[int, Neighbours] = field(default_factory=dict)
    final_gain: Float[Tensor, " d_model"] | None = None

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return _shape(self.mlps[0].out)[1]

    def n_neurons(self, layer: int) -> int:
        """Neurons of a layer (d_mlp; it differs between layers in a few architectures)."""
        return _shape(self.mlps[layer].out)[0]

    def mlp_weights(self, layer: int) -> MLPWeights:
        """The folded weights of a layer, read where they lie.

        Source: section 2 of the design; the gain of a norm is folded as TransformerLens'
        `fold_ln` does, its bias and centring are not.
        """
        mlp, near = self.mlps[layer], self.neighbours[layer]
        with torch.no_grad(), fetched(mlp):
            out_gain = near.out_gain * near.out_scale * self.residual_multiplier
            return MLPWeights(
                gate=self._rows(mlp.W_gate.T, near.in_gain) if self.gated else None,
                in_=self._rows(mlp.W_in.T, near.in_gain),
                out=self._rows(mlp.W_out, out_gain),
            )

    def token_rows(self) -> list[TokenRows]:
        """The embedding and, where the model has one of its own or a tied one, the unembedding.

        Left out is what does not fit the residual stream (OPT-350m projects its embedding), and an
        unembedding that is in no file. Scaling constants (Gemma's and Granite's of the embedding,
        Cohere's and Granite's of the logits) are left out too; they change no order. What the
        centring of a LayerNorm takes away is not taken away, and that may change one.
        """
        assert self.final_gain is not None
        ones = torch.ones_like(self.final_gain)
        modules = [("embedding", self.embedding, ones)]
        if self.unembedding is not None:
            modules.append(("unembedding", self.unembedding, self.final_gain))
        found: list[TokenRows] = []
        for name, module, gain in modules:
            with torch.no_grad(), fetched(module):
                parameter: Any = module.weight
                rows = parameter.detach().to(_exact(self.device or parameter.device))
            if found and torch.equal(rows, found[0].rows):
                rows = found[0].rows  # tied, which is kept once
            if rows.shape[1] == self.d_model:
                found.append(TokenRows(name, rows, gain.to(rows.device)))
        return found

    def _rows(
        self, weight: Float[Tensor, "neuron d_model"], gain: Float[Tensor, " d_model"]
    ) -> Float[Tensor, "neuron d_model"]:
        device = _exact(self.device or weight.device)
        return weight.to(device).double() * gain.to(device).double()


def _exact(device: torch.device) -> torch.device:
    """Where float64 is, which mps does not have."""
    return torch.device("cpu") if device.type == "mps" else device


def _shape(out: Any) -> tuple[int, int]:
    """(n_neurons, d_model) of an output projection, wherever its weight lies."""
    one, other = out.original_component.weight.shape
    return (one, other) if weight_layout_in_out(out) else (other, one)
