"""The hooked forward of a gated model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from pipeline.model.weights import MLPWeights, ModelWeights
from pipeline.naming import HOOKS

# What a hooked forward hands on: layer, gate [batch pos neuron], in [batch pos neuron].
Consumer = Callable[[int, Tensor, Tensor], None]


class _Stop(Exception):
    """Ends a forward after the last layer that is wanted; never leaves `GatedModel.run`."""


@dataclass
class GatedModel:
    """A causal language model whose MLPs are gated, with a hook at each gate and in projection.

    The MLPs of `weights` are TransformerBridge's components, in their places inside `body`, the
    Hugging Face model without its unembedding; all else of `body` is native. `device` is that of
    the token ids; layers may lie on others.
    """

    name: str
    revision: str | None
    body: nn.Module
    weights: ModelWeights
    layers: tuple[int, ...]
    act_fns: list[Callable[[Tensor], Tensor]]
    act_fn_name: str
    architecture: str
    attention: str
    d_vocab: int
    max_positions: int | None
    dtype: torch.dtype
    device: torch.device
    # A thread's own pass: its consumer, and the first of a layer's two activations.
    _pass: threading.local = field(init=False, repr=False, default_factory=threading.local)

    def __post_init__(self) -> None:
        for layer in self.layers:
            mlp = self.mlps[layer]
            getattr(mlp, HOOKS["gate"]).add_hook(self._hook(layer, is_gate=True))
            getattr(mlp, HOOKS["in"]).add_hook(self._hook(layer, is_gate=False))

    @property
    def mlps(self) -> list[Any]:
        """TransformerBridge's gated MLP components, one a layer."""
        return self.weights.mlps

    @property
    def n_layers(self) -> int:
        """All layers of the model, scanned or not."""
        return len(self.mlps)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return self.weights.d_model

    @property
    def is_reentrant(self) -> bool:
        """False where a forward leaves something behind: rotary frequencies by the last length."""
        kinds = [str(getattr(module, "rope_type", "")) for module in self.body.modules()]
        return not any("dynamic" in kind or "longrope" in kind for kind in kinds)

    def n_neurons(self, layer: int) -> int:
        """Neurons of a layer (d_mlp; it differs between layers in a few architectures)."""
        return self.weights.n_neurons(layer)

    def layer_device(self, layer: int) -> torch.device:
        """The device of a layer's MLP: `device`, where the model is not spread over several."""
        device: torch.device = self.mlps[layer].W_out.device
        return device

    def run(self, input_ids: Int[Tensor, "batch pos"], consume: Consumer) -> None:
        """One forward pass of the body; `consume` gets each scanned layer's gate and in.

        Rows are padded on the right with any valid id and without an attention mask: the model
        is causal, so no real position sees the padding. Nothing is kept; the forward stops after
        the last scanned layer. Several threads may run at once where `is_reentrant`.
        """
        own = self._pass
        own.consume, own.gate, own.in_ = consume, None, None
        try:
            with torch.inference_mode():
                self.body(input_ids=input_ids.to(self.device), use_cache=False)
        except _Stop:
            pass
        finally:
            own.consume = own.gate = own.in_ = None

    def columns(
        self, input_ids: list[int], neurons: list[tuple[int, int]]
    ) -> list[tuple[Tensor, Tensor, Tensor]]:
        """gate, in and post, each [pos] in float32, of some (layer, neuron) on one example."""
        kept: dict[tuple[int, int], tuple[Tensor, Tensor, Tensor]] = {}
        wanted: dict[int, set[int]] = {}
        for layer, neuron in neurons:
            wanted.setdefault(layer, set()).add(neuron)

        def consume(layer: int, gate: Tensor, in_: Tensor) -> None:
            for neuron in wanted.get(layer, ()):
                g, i = gate[0, :, neuron].float(), in_[0, :, neuron].float()
                kept[layer, neuron] = (g.cpu(), i.cpu(), (self.act_fns[layer](g) * i).cpu())

        self.run(torch.tensor([input_ids]), consume)
        return [kept[key] for key in neurons]

    def layer_activations(
        self, input_ids: list[int], layer: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """gate, in, act and post of a scanned layer on one example, each [pos neuron] in float32.

        They are on the CPU. The forward stops after that layer.
        """
        kept: list[Tensor] = []

        def consume(here: int, gate: Tensor, in_: Tensor) -> None:
            if here == layer:
                g, i = gate[0].float(), in_[0].float()
                act = self.act_fns[layer](g)
                kept.extend(values.cpu() for values in (g, i, act, act * i))
                raise _Stop

        self.run(torch.tensor([input_ids]), consume)
        gate, in_, act, post = kept
        return gate, in_, act, post

    def _hook(self, layer: int, *, is_gate: bool) -> Callable[..., None]:
        last = max(self.layers)

        def keep(activation: Tensor, hook: object) -> None:
            own = self._pass
            consume = getattr(own, "consume", None)
            if consume is None:
                return
            if is_gate:
                own.gate = activation
            else:
                own.in_ = activation
            # Which of the two projections runs first differs between architectures.
            if own.gate is None or own.in_ is None:
                return
            gate, in_ = own.gate, own.in_
            own.gate = own.in_ = None
            consume(layer, gate, in_)
            if layer == last:
                raise _Stop

        return keep

    def mlp_weights(self, layer: int) -> MLPWeights:
        """The folded weights of a layer, on its own device."""
        return self.weights.mlp_weights(layer)
