"""The probe against models that were tampered with: each lie is found, and its layer named."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_models import ARCHITECTURES, D_VOCAB, Tiny, build, info_of
from torch import Tensor, nn
from torch.nn.functional import gelu

from pipeline.errors import GatescopeError
from pipeline.model import GatedModel, ModelWeights, hook, probe
from pipeline.model.hook import hook_model
from pipeline.model.probe import native_hidden_states


@pytest.fixture
def gated() -> GatedModel:
    return hooked("llama")


def hooked(name: str) -> GatedModel:
    model = build(ARCHITECTURES[name])
    return hook_model(model, info_of(model, "some/model"))


def native(model: GatedModel) -> Tensor:
    return native_hidden_states(model.body, model.d_vocab)


def refusal(model: GatedModel, untouched: Tensor) -> str:
    with pytest.raises(GatescopeError) as caught:
        probe(model, untouched)
    message = str(caught.value)
    assert message.startswith("model.name=some/model: ")
    assert "\n" not in message
    return message


def lying(mlp: Any, **properties: Callable[[Any], Any]) -> None:
    """Give one MLP properties of other values, as a wrong adapter would."""
    cls = type(mlp)
    lies = {name: property(value) for name, value in properties.items()}
    mlp.__class__ = type(cls.__name__, (cls,), lies)


def test_an_honest_model_passes_again(gated: GatedModel) -> None:
    probe(gated, native(gated))


def test_a_wrong_activation_function(gated: GatedModel) -> None:
    gated.act_fns[1] = gelu
    message = refusal(gated, native(gated))
    assert "act_fn(gate) * in and the down projection's input of layer 1 differ" in message
    assert "LlamaForCausalLM" in message


def test_gelu_is_told_from_its_tanh_form() -> None:
    gated = hooked("gemma2")
    with torch.no_grad():
        for layer in range(3):
            # A massive activation, beside which the difference of the two forms is nothing.
            gated.mlps[layer].W_in[:, 0].mul_(1e4)
    untouched = native(gated)
    probe(gated, untouched)
    gated.act_fns[2] = gelu
    assert "of layer 2 differ" in refusal(gated, untouched)


def test_an_unknown_activation_function_that_falls_back_to_silu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hook, "_ACT_FN_ATTRIBUTES", ())
    model = build(Tiny("llama", {"hidden_act": "quick_gelu"}))
    with pytest.raises(GatescopeError, match=r"act_fn\(gate\) \* in .* of layer 0 differ"):
        hook_model(model, info_of(model))


def test_a_hook_that_does_not_fire(gated: GatedModel) -> None:
    mlp = gated.mlps[1]
    mlp.original_component.up_proj = getattr(mlp, "in").original_component
    message = refusal(gated, native(gated))
    assert "the hooks of layer 1 fired {'in': 0} times instead of once each" in message


def test_a_hook_that_fires_twice(gated: GatedModel) -> None:
    class Twice(nn.Module):
        def __init__(self, projection: nn.Module) -> None:
            super().__init__()
            self.projection = projection

        def forward(self, x: Tensor) -> Tensor:
            self.projection(x)
            out: Tensor = self.projection(x)
            return out

    mlp = gated.mlps[2]
    mlp.original_component.gate_proj = Twice(mlp.gate)
    assert "layer 2 fired {'gate': 2} times" in refusal(gated, native(gated))


def test_swapped_hooks_of_gate_and_in(gated: GatedModel) -> None:
    mlp = gated.mlps[1]
    in_ = getattr(mlp, "in")
    lying(mlp, hook_pre=lambda mlp: in_.hook_out, hook_pre_linear=lambda mlp: mlp.gate.hook_out)
    assert "down projection's input of layer 1 differ" in refusal(gated, native(gated))


def test_swapped_weights_of_gate_and_in(gated: GatedModel) -> None:
    mlp = gated.mlps[1]
    gate, in_ = mlp.W_gate, mlp.W_in
    lying(mlp, W_gate=lambda mlp: in_, W_in=lambda mlp: gate)
    assert "W_gate . x and the hooked gate of layer 1 differ" in refusal(gated, native(gated))


def test_a_forgotten_bias() -> None:
    model = build(Tiny("llama", {"mlp_bias": True}))
    gated = hook_model(model, info_of(model, "some/model"))
    lying(getattr(gated.mlps[2], "in"), bias=lambda projection: None)
    assert "W_in . x and the hooked in of layer 2 differ" in refusal(gated, native(gated))


def test_another_number_of_neurons_than_the_hooks_show(
    gated: GatedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    untouched = native(gated)
    monkeypatch.setattr(ModelWeights, "n_neurons", lambda weights, layer: 40 + 3 * (layer == 1))
    message = refusal(gated, untouched)
    assert "layer 1 has gate (2, 12, 40) and in (2, 12, 40)" in message
    assert "(2, 12, 43) is expected" in message


def test_a_changed_forward(gated: GatedModel) -> None:
    untouched = native(gated)
    with torch.no_grad():
        gated.body.layers[1].self_attn.o_proj.weight.mul_(1.01)  # type: ignore[union-attr,index]
    message = refusal(gated, untouched)
    assert "hidden states of the hooked and the untouched model differ" in message


def test_a_model_that_reads_from_right_to_left_too() -> None:
    tiny = ARCHITECTURES["gemma3_text"]
    model = build(Tiny("gemma3_text", {**tiny.settings, "use_bidirectional_attention": True}))
    with pytest.raises(GatescopeError, match=r"padded row .* is not causal") as caught:
        hook_model(model, info_of(model, "some/model"))
    assert re.match(r"model\.name=some/model: [^\n]+$", str(caught.value))


def test_rows_that_depend_on_each_other(gated: GatedModel) -> None:
    def mix(module: nn.Module, args: Any, out: Tensor) -> Tensor:
        return out + 0.1 * out.mean(0, keepdim=True)

    gated.body.get_submodule("layers.0").register_forward_hook(mix)
    assert "padded row and of the row alone differ" in refusal(gated, native(gated))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_without_a_value(value: float) -> None:
    model = build(ARCHITECTURES["llama"])
    with torch.no_grad():
        model.model.layers[1].mlp.down_proj.weight[0, 0] = value
    with pytest.raises(GatescopeError, match=r"NaN or infinite .* model\.dtype=float32"):
        hook_model(model, info_of(model))


def test_the_probe_leaves_no_hooks_behind(gated: GatedModel) -> None:
    def hooks() -> int:
        return sum(len(module._forward_hooks) for module in gated.body.modules())

    before = hooks()
    probe(gated, native(gated))
    gated.act_fns[0] = gelu
    refusal(gated, native(gated))
    assert hooks() == before
    seen: list[int] = []
    gated.run(torch.arange(D_VOCAB)[None, :5], lambda layer, gate, in_: seen.append(layer))
    assert seen == [0, 1, 2]
