"""What a model's configuration says: its place, its size, and whether it can be scanned."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformer_lens.factories.architecture_adapter_factory import ArchitectureAdapterFactory
from transformer_lens.model_bridge.generalized_components.gated_mlp import GatedMLPBridge
from transformer_lens.model_bridge.generalized_components.mlp import MLPBridge
from transformer_lens.model_bridge.sources import build_bridge_config_from_hf
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils.hub import cached_file, extract_commit_hash

from pipeline.config import ModelConfig
from pipeline.errors import GatescopeError
from pipeline.model.quiet import quiet
from pipeline.shipped import DEMO_MODEL

_SUCH_AS = "such as those of Llama, Qwen, Gemma or OLMo"
# What configurations call the number of their experts.
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")


@dataclass(frozen=True)
class ModelInfo:
    """What the configuration of a model says, read before any weight is.

    `architecture` is the class that the model is loaded as; `revision` the commit of a Hub model.
    """

    name: str
    location: str
    revision: str | None
    architecture: str
    n_layers: int
    d_vocab: int
    max_positions: int | None
    gated: bool
    hf_config: Any


def location_of(name: str) -> str:
    """Where a model's files are: the built-in one for `demo`, else the folder or Hub id itself."""
    if name == "demo":
        return str(DEMO_MODEL)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return str(folder)
    # A Hub id is `name` or `owner/name`.
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or folder.exists():
        raise GatescopeError(
            f"model.name={name}: there is no such folder; give a folder with config.json and "
            "model.safetensors, or a Hub id such as Qwen/Qwen3-0.6B"
        )
    return name


def inspect_model(config: ModelConfig, *, needs_gate: bool = True) -> ModelInfo:
    """Read a model's configuration and refuse what has no dense gated MLPs, before loading it.

    Where only weights are asked for, dense MLPs without a gate will do. Raises GatescopeError when
    the model cannot be found or does not fit.
    """
    location = location_of(config.name)
    try:
        with quiet():
            # The commit first, so that whatever is read later belongs to the same one.
            file = cached_file(location, "config.json", revision=config.revision)
            revision = extract_commit_hash(file, None) or config.revision
            hf_config = transformers.AutoConfig.from_pretrained(
                location, revision=revision, trust_remote_code=False
            )
    # The libraries raise classes of their own, straight from Exception, for what a file holds.
    except Exception as error:
        raise GatescopeError(f"model.name={config.name}: {_no_config(location, error)}") from error
    architecture = _causal_architecture(config.name, hf_config)
    text_config = hf_config.get_text_config()
    gated = _is_gated(config.name, architecture, hf_config, needs_gate=needs_gate)
    _refuse_quantised(config.name, hf_config)
    return ModelInfo(
        name=config.name,
        location=location,
        revision=revision,
        architecture=architecture,
        n_layers=int(text_config.num_hidden_layers),
        d_vocab=int(text_config.vocab_size),
        max_positions=getattr(text_config, "max_position_embeddings", None),
        gated=gated,
        hf_config=hf_config,
    )


def reason(error: BaseException) -> str:
    """What an error of a library says, in one line of about 200 characters at most."""
    kind = f"{type(error).__name__}: " if isinstance(error, KeyError) or not str(error) else ""
    return kind + textwrap.shorten(str(error), 200, placeholder=" ...")


def _no_config(location: str, error: Exception) -> str:
    if Path(location).is_dir():
        return (
            f"the folder's config.json cannot be read ({reason(error)}); give the folder of a "
            f"model that transformers {transformers.__version__} knows without code of its own"
        )
    return (
        "there is no such folder, and no configuration of such a model on the Hub could be read "
        f"({reason(error)}); correct the name, or check the network, HF_HUB_OFFLINE and, for gated "
        "models, `hf auth login`"
    )


def _causal_architecture(name: str, hf_config: Any) -> str:
    """The class that AutoModelForCausalLM makes, whatever head the model was saved with."""
    causal = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.get(hf_config.model_type)
    if causal is None or hf_config.is_encoder_decoder:
        raise GatescopeError(
            f"model.name={name}: {hf_config.model_type} is not a causal (decoder-only) language "
            f"model; Gatescope scans dense gated MLPs, {_SUCH_AS}"
        )
    return str(causal)


def _is_gated(name: str, architecture: str, hf_config: Any, *, needs_gate: bool) -> bool:
    """Whether the MLPs have a gate; GatescopeError where they are no dense ones, or need it."""
    try:
        bridge_config = build_bridge_config_from_hf(hf_config, architecture, name, torch.float32)
        adapter = ArchitectureAdapterFactory.select_architecture_adapter(bridge_config)
        components: Any = adapter.component_mapping
        mlp = components["blocks"].submodules["mlp"]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise GatescopeError(
            f"model.name={name}: TransformerLens has no adapter with MLPs for {architecture} "
            f"({reason(error)}); Gatescope scans dense gated MLPs, {_SUCH_AS}"
        ) from error
    settings = hf_config.get_text_config().to_dict()
    n_experts = max(settings.get(key) or 0 for key in _EXPERTS)
    kind = type(mlp).__name__.removesuffix("Bridge")
    gated = isinstance(mlp, GatedMLPBridge)
    mixed = "MoE" in kind or n_experts > 1
    dense = isinstance(mlp, MLPBridge) and not mixed
    if dense and (gated or not needs_gate):
        return gated
    why = "a mixture of experts" if mixed else f"not gated ({kind})"
    hint = "; scan=none makes a dataset of its weights alone" if dense else ""
    raise GatescopeError(
        f"model.name={name}: the MLP of {architecture} is {why}; Gatescope scans dense gated MLPs "
        f"(SwiGLU, GeGLU), {_SUCH_AS}{hint}"
    )


def _refuse_quantised(name: str, hf_config: Any) -> None:
    quantisation = getattr(hf_config, "quantization_config", None)
    if quantisation is None:
        return
    settings = quantisation if isinstance(quantisation, dict) else vars(quantisation)
    raise GatescopeError(
        f"model.name={name}: its weights are quantised ({settings.get('quant_method')}), so that "
        "W_gate and W_in cannot be read as they are; take the model in bfloat16, float16 or float32"
    )
