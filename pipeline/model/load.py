"""From a Hub id or a folder to a hooked `GatedModel`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformer_lens.model_bridge.generalized_components.base import GeneralizedComponent
from transformer_lens.model_bridge.generalized_components.gated_mlp import (
    GatedMLPBridge,
    resolve_activation_fn,
)
from transformer_lens.model_bridge.sources import build_bridge_from_module

from pipeline.config import ModelConfig
from pipeline.errors import GatescopeError
from pipeline.model.gated import GatedModel
from pipeline.model.info import ModelInfo, reason
from pipeline.model.probe import native_hidden_states, probe
from pipeline.model.quiet import quiet

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# What architectures call the activation function of their MLP module.
_ACT_FN_ATTRIBUTES = ("act_fn", "activation_fn", "act", "activation")


def load_model(config: ModelConfig, info: ModelInfo, n_gpus: int = 1) -> GatedModel:
    """Load the weights, attach TransformerBridge's hooks, and probe that they tell the truth.

    dtype `auto` is bfloat16 on CUDA and float32 elsewhere. Only safetensors are read. With `n_gpus`
    above 1 accelerate spreads the layers over that many CUDA devices.
    Raises GatescopeError for a device that is not there and for weights that cannot be read, do
    not fit the configuration, are incomplete, or do not pass the probe.
    """
    device = _device(config.device)
    spread = n_gpus > 1
    if spread:
        _refuse_too_few(config.device, device, n_gpus)
    layers = _chosen_layers(info, config.layers)
    dtype = _DTYPES[_resolved_dtype(config)]
    try:
        with quiet():
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
                info.location,
                revision=info.revision,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refused below, with the weight's name
                device_map="balanced" if spread else None,
            )
            hf_model, loading = loaded
            if not spread:
                hf_model.to(device)
    # The libraries raise classes of their own, straight from Exception, for what a file holds.
    except Exception as error:
        raise GatescopeError(
            f"model.name={config.name}: the weights could not be loaded ({reason(error)}); give a "
            "model with whole safetensors files (pickled weights are not read), and enough memory "
            f"on model.device={device}"
        ) from error
    _refuse_incomplete(config.name, hf_model, loading)
    return hook_model(hf_model, info, layers)


def _resolved_dtype(config: ModelConfig) -> str:
    """The dtype that `auto` stands for on the device that the model goes to."""
    if config.dtype != "auto":
        return config.dtype
    return "bfloat16" if _device(config.device).type == "cuda" else "float32"


def _device(name: str) -> torch.device:
    cuda = torch.cuda.is_available()
    if name == "auto":
        return torch.device("cuda" if cuda else "cpu")
    device = torch.device(name)
    n_devices = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if cuda else 0,
        "mps": int(torch.backends.mps.is_available()),
    }[device.type]
    if (device.index or 0) >= n_devices:
        raise GatescopeError(
            f"model.device={name}: PyTorch {torch.__version__} sees {n_devices} {device.type} "
            "devices here; set model.device=auto"
        )
    return device


def _refuse_too_few(name: str, device: torch.device, n_gpus: int) -> None:
    seen = torch.cuda.device_count() if device.type == "cuda" else 0
    if name not in ("auto", "cuda") or seen < n_gpus:
        raise GatescopeError(
            f"cluster.gpus_per_worker={n_gpus}: the worker sees {seen} CUDA devices for "
            f"model.device={name}; lower cluster.gpus_per_worker, or set model.device=auto"
        )


def _chosen_layers(info: ModelInfo, layers: tuple[int, ...] | None) -> tuple[int, ...]:
    if layers is None:
        return tuple(range(info.n_layers))
    if not layers or any(not 0 <= layer < info.n_layers for layer in layers):
        raise GatescopeError(
            f"model.layers={list(layers)}: {info.name} has layers 0 to {info.n_layers - 1}; name "
            "some of these, or null for all"
        )
    return tuple(sorted(set(layers)))


def _refuse_incomplete(name: str, hf_model: Any, loading: dict[str, Any]) -> None:
    """Refuse weights that transformers made up, at random, where the files have none that fit."""
    wrong = [
        f"{key} is {tuple(there)} in the files and {tuple(wanted)} by config.json"
        for key, there, wanted in sorted(loading["mismatched_keys"])
    ]
    body = hf_model.base_model_prefix + "."
    # The unembedding is not needed, and a file without any is that of the bare model.
    missing = sorted(key for key in loading["missing_keys"] if key.startswith(body))
    wrong += [f"{key} is missing" for key in missing]
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise GatescopeError(
            f"model.name={name}: the weights do not fit config.json: {wrong[0]}{more}; take the "
            "config.json and the safetensors of one model, all of its files"
        )


def hook_model(
    hf_model: nn.Module, info: ModelInfo, layers: tuple[int, ...] | None = None
) -> GatedModel:
    """Put TransformerBridge's gated MLP components into a Hugging Face model, and probe them.

    Everything but the MLPs stays native: the bridge's own attention is eager and 2.6 x slower.
    `layers` limits the scan. The model is changed in place.
    """
    chosen = _chosen_layers(info, layers)
    hf_model.eval().requires_grad_(False)
    body: Any = hf_model.base_model
    attention = str(body.config._attn_implementation)
    native = native_hidden_states(body, info.d_vocab)
    bridge = build_bridge_from_module(
        hf_model, type(hf_model).__name__, hf_config=hf_model.config, model_name=info.name
    )
    mlps = [_gated_mlp(info, layer, block) for layer, block in enumerate(bridge.blocks)]
    kept = {id(module) for mlp in mlps for module in mlp.modules()}
    _restore_native(hf_model, kept)
    body.set_attn_implementation(attention)
    parameter = next(body.parameters())
    model = GatedModel(
        name=info.name,
        revision=info.revision,
        body=body,
        mlps=mlps,
        layers=chosen,
        act_fns=[_act_fn(mlp) for mlp in mlps],
        act_fn_name=str(bridge.cfg.act_fn),
        architecture=info.architecture,
        attention=attention,
        d_vocab=info.d_vocab,
        max_positions=info.max_positions,
        dtype=parameter.dtype,
        device=parameter.device,
        residual_multiplier=float(getattr(body.config, "residual_multiplier", 1.0)),
    )
    probe(model, native)
    return model


def _gated_mlp(info: ModelInfo, layer: int, block: nn.Module) -> GatedMLPBridge:
    mlp = getattr(block, "mlp", None)
    if not isinstance(mlp, GatedMLPBridge):
        raise GatescopeError(
            f"model.name={info.name}: layer {layer} of {info.architecture} has no dense gated MLP "
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
