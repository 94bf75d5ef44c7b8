"""TransformerBridge's MLP components in the place of a Hugging Face model's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent
from transformer_lens.model_bridge.generalized_components.gated_mlp import (
    GatedMLPBridge,
    resolve_activation_fn,
)
from transformer_lens.model_bridge.generalized_components.mlp import MLPBridge
from transformer_lens.model_bridge.sources import build_bridge_from_module

from pipeline.errors import GatescopeError
from pipeline.model.gated import GatedModel
from pipeline.model.info import ModelInfo, reason
from pipeline.model.probe import native_hidden_states, probe
from pipeline.model.weights import ModelWeights

# What architectures call the activation function of their MLP module.
_ACT_FN_ATTRIBUTES = ("act_fn", "activation_fn", "act", "activation")


def chosen_layers(info: ModelInfo, layers: tuple[int, ...] | None) -> tuple[int, ...]:
    """The layers to scan, in order; GatescopeError for one that the model does not have."""
    if layers is None:
        return tuple(range(info.n_layers))
    if not layers or any(not 0 <= layer < info.n_layers for layer in layers):
        raise GatescopeError(
            f"model.layers={list(layers)}: {info.name} has layers 0 to {info.n_layers - 1}; name "
            "some of these, or null for all"
        )
    return tuple(sorted(set(layers)))


def hook_model(
    hf_model: nn.Module,
    info: ModelInfo,
    layers: tuple[int, ...] | None = None,
    *,
    has_unembedding: bool = True,
) -> GatedModel:
    """Put TransformerBridge's gated MLP components into a Hugging Face model, and probe them.

    Everything but the MLPs stays native: the bridge's own attention is eager and 2.6 x slower.
    `layers` limits the scan. The model is changed in place.
    """
    chosen = chosen_layers(info, layers)
    hf_model.eval().requires_grad_(False)
    body: Any = hf_model.base_model
    native = native_hidden_states(body, info.d_vocab)
    bridge, mlps = bridged(hf_model, info)
    parameter = next(body.parameters())
    model = GatedModel(
        name=info.name,
        revision=info.revision,
        body=body,
        weights=weights_of(hf_model, mlps, info, has_unembedding=has_unembedding),
        layers=chosen,
        act_fns=[_act_fn(mlp) for mlp in mlps],
        act_fn_name=str(bridge.cfg.act_fn),
        architecture=info.architecture,
        attention=str(body.config._attn_implementation),
        d_vocab=info.d_vocab,
        max_positions=info.max_positions,
        dtype=parameter.dtype,
        device=parameter.device,
    )
    probe(model, native)
    return model


def bridged(hf_model: Any, info: ModelInfo) -> tuple[Any, list[Any]]:
    """TransformerBridge over a model, and its MLP components, which stay in their places in it."""
    body: Any = hf_model.base_model
    attention = str(body.config._attn_implementation)
    # Some adapters give native modules another forward, which does not fetch what is on a disk.
    forwards = {module: module.__dict__.get("forward") for module in hf_model.modules()}
    try:
        bridge = build_bridge_from_module(
            hf_model, type(hf_model).__name__, hf_config=hf_model.config, model_name=info.name
        )
    # Whatever goes wrong in the adapter of an architecture for which there is one.
    except Exception as error:
        raise GatescopeError(
            f"model.name={info.name}: TransformerLens' adapter of {info.architecture} cannot take "
            f"this model ({reason(error)}); please report it there"
        ) from error
    mlps = [_dense_mlp(info, layer, block) for layer, block in enumerate(bridge.blocks)]
    # Not all that is inside of an MLP: one without a module of its own has the whole layer there.
    projections = [part for mlp in mlps for part in (mlp, *mlp.submodules.values())]
    _restore_native(hf_model, {id(module) for module in projections})
    for module, forward in forwards.items():
        module.__dict__.pop("forward", None)
        if forward is not None:
            module.forward = forward
    body.set_attn_implementation(attention)
    return bridge, mlps


def weights_of(
    hf_model: Any, mlps: list[Any], info: ModelInfo, *, has_unembedding: bool
) -> ModelWeights:
    """The weights of a model whose MLPs are TransformerBridge's; the probe fills in the rest."""
    body = hf_model.base_model
    return ModelWeights(
        mlps=mlps,
        gated=info.gated,
        embedding=body.get_input_embeddings(),
        unembedding=hf_model.get_output_embeddings() if has_unembedding else None,
        residual_multiplier=float(getattr(body.config, "residual_multiplier", 1.0)),
    )


def _dense_mlp(info: ModelInfo, layer: int, block: nn.Module) -> MLPBridge:
    mlp = getattr(block, "mlp", None)
    wanted = GatedMLPBridge if info.gated else MLPBridge
    if not isinstance(mlp, wanted) or "MoE" in type(mlp).__name__:
        kind = "gated MLP" if info.gated else "MLP"
        raise GatescopeError(
            f"model.name={info.name}: layer {layer} of {info.architecture} has no dense {kind} "
            f"({type(mlp).__name__}); take a model that has one in every layer"
        )
    return mlp


def _restore_native(parent: nn.Module, kept: set[int]) -> None:
    """Put every module that the bridge replaced back in its place, but for those in `kept`."""
    for name, child in list(parent.named_children()):
        if id(child) in kept:
            continue
        native: Any = child.original_component if isinstance(child, GeneralizedComponent) else child
        setattr(parent, name, native)
        _restore_native(native, kept)


def _act_fn(mlp: Any) -> Callable[[Tensor], Tensor]:
    original = mlp.original_component
    named = [getattr(original, name, None) for name in _ACT_FN_ATTRIBUTES]
    act_fn = next((fn for fn in named if callable(fn)), None) or resolve_activation_fn(mlp.config)
    multiplier = float(getattr(original, "gate_multiplier", 1.0))
    if multiplier == 1.0:
        return act_fn
    # Falcon-H1 scales the gate inside the activation: act = act_fn(multiplier * gate).
    return lambda gate: act_fn(gate * multiplier)
