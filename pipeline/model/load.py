"""From a Hub id or a folder to a hooked `GatedModel`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import transformers
from torch import nn

from pipeline.config import ModelConfig
from pipeline.errors import GatescopeError
from pipeline.model.facts import ModelFacts
from pipeline.model.gated import GatedModel
from pipeline.model.hook import bridged, chosen_layers, hook_model, weights_of
from pipeline.model.info import ModelInfo, reason
from pipeline.model.memory import give_back_memory
from pipeline.model.probe import act_fn_of, probe_weights
from pipeline.model.quiet import quiet
from pipeline.model.weights import ModelWeights

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
    layers = chosen_layers(info, config.layers)
    dtype = _DTYPES[_resolved_dtype(config)]
    hf_model, has_unembedding = _loaded(
        config, info, dtype, device if not spread else None, "balanced" if spread else None
    )
    return hook_model(hf_model, info, layers, has_unembedding=has_unembedding)


@contextmanager
def open_weights(config: ModelConfig, info: ModelInfo) -> Iterator[tuple[ModelFacts, ModelWeights]]:
    """The weights of a model that is not to be run: they stay on the disk until they are asked for.

    So memory has to hold one layer of a model, and not the model. All is read as float32, or as
    model.dtype says, and given on model.device. One small forward, layer by layer, finds the norms
    beside the MLPs. Raises GatescopeError as `load_model` does.
    """
    device = _device(config.device)
    layers = chosen_layers(info, config.layers)
    dtype = _DTYPES[weights_dtype(config)]
    with tempfile.TemporaryDirectory(prefix="gatescope-") as folder:
        hf_model, has_unembedding = _loaded(config, info, dtype, None, {"": "disk"}, folder)
        if not has_unembedding:
            # The disk has none to fetch for what TransformerBridge would wrap.
            n_tokens, width = hf_model.get_output_embeddings().weight.shape
            hf_model.set_output_embeddings(nn.Linear(width, n_tokens, bias=False, device="meta"))
        hf_model.eval().requires_grad_(False)
        bridge, mlps = bridged(hf_model, info)
        configured = str(bridge.cfg.act_fn)
        # It holds the projections of attention where it has split fused ones.
        del bridge
        for mlp in mlps:
            mlp.out.register_forward_hook(lambda *_: give_back_memory())
        weights = weights_of(hf_model, mlps, info, has_unembedding=has_unembedding)
        weights.device = device
        trace = probe_weights(hf_model.base_model, weights, info)
        act_fn = configured if info.gated else act_fn_of(trace) or "unknown"
        facts = ModelFacts(
            name=info.name,
            revision=info.revision,
            architecture=info.architecture,
            act_fn=act_fn,
            gated=info.gated,
            dtype=str(dtype).removeprefix("torch."),
            device=device.type,
            attention=str(hf_model.base_model.config._attn_implementation),
            n_layers=len(mlps),
            layers=layers,
            n_neurons=tuple(weights.n_neurons(layer) for layer in layers),
            d_model=weights.d_model,
            d_vocab=info.d_vocab,
        )
        yield facts, weights


def weights_dtype(config: ModelConfig) -> str:
    """What weights alone are read as: float32 for `auto`, on any device."""
    return "float32" if config.dtype == "auto" else config.dtype


def _loaded(
    config: ModelConfig,
    info: ModelInfo,
    dtype: torch.dtype,
    device: torch.device | None,
    device_map: str | dict[str, str] | None,
    offload_folder: str | None = None,
) -> tuple[Any, bool]:
    """The Hugging Face model, on a device or by a map; whether its files hold an unembedding."""
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
                device_map=device_map,
                offload_folder=offload_folder,
            )
            hf_model, loading = loaded
            if device is not None:
                hf_model.to(device)
    # The libraries raise classes of their own, straight from Exception, for what a file holds.
    except Exception as error:
        raise GatescopeError(
            f"model.name={config.name}: the weights could not be loaded ({reason(error)}); give a "
            "model with whole safetensors files (pickled weights are not read), and enough memory "
            f"on model.device={config.device}"
        ) from error
    _refuse_incomplete(config.name, hf_model, loading)
    # What is missing now is that of the head.
    return hf_model, not loading["missing_keys"]


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
