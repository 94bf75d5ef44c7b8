"""Tiny random models of every supported architecture, gains and biases as moved by training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from pipeline.model import ModelInfo

N_LAYERS, D_MODEL, D_MLP, D_VOCAB, MAX_POSITIONS = 3, 32, 40, 89, 64
# Shorter than the texts of the tests, so that sliding windows slide.
WINDOW = 6

_COMMON = {
    "hidden_size": D_MODEL,
    "intermediate_size": D_MLP,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": D_VOCAB,
    "max_position_embeddings": MAX_POSITIONS,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_SLIDING = {
    "sliding_window": WINDOW,
    "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
}
_GEMMA4 = {
    "head_dim": 8,
    "global_head_dim": 8,
    "sliding_window": WINDOW,
    "hidden_size_per_layer_input": 4,
    "vocab_size_per_layer_input": D_VOCAB,
}
_MAMBA = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8}


@dataclass(frozen=True)
class Tiny:
    """A model type of transformers and what its configuration sets beside the common sizes."""

    model_type: str
    settings: dict[str, Any] = field(default_factory=dict)


# Every architecture that Gatescope promises, by its model type.
ARCHITECTURES = {
    tiny.model_type: tiny
    for tiny in (
        Tiny("llama"),
        Tiny("mistral", {"sliding_window": WINDOW}),
        Tiny("qwen2"),
        Tiny("qwen3", {"head_dim": 8}),
        Tiny("gemma", {"head_dim": 8}),
        Tiny("gemma2", {"head_dim": 8, **_SLIDING}),
        Tiny("gemma3_text", {"head_dim": 8, **_SLIDING}),
        Tiny("gemma4_text", _GEMMA4),
        Tiny("olmo", {"clip_qkv": 0.5}),
        Tiny("olmo2"),
        Tiny("olmo3", _SLIDING),
        Tiny("phi3", {"sliding_window": WINDOW}),
        Tiny("smollm3", {"no_rope_layer_interval": 2}),
        Tiny("glm4", {"head_dim": 8}),
        Tiny("granite", {"residual_multiplier": 0.25, "embedding_multiplier": 3.0}),
        Tiny("cohere"),
        Tiny("stablelm"),
        Tiny("ministral3", {"head_dim": 8}),
        Tiny("seed_oss", {"head_dim": 8}),
        Tiny("exaone4", _SLIDING),
        Tiny("falcon_h1", {**_MAMBA, "mlp_multipliers": [0.5, 3.0]}),
        Tiny("lfm2", {"block_auto_adjust_ff_dim": False, "full_attn_idxs": [1]}),
    )
}

# What the configurations of these architectures can change about an MLP and what stands beside it.
VARIANTS = {
    "llama-biases-tied": Tiny(
        "llama", {"mlp_bias": True, "attention_bias": True, "tie_word_embeddings": True}
    ),
    "llama-quick-gelu": Tiny("llama", {"hidden_act": "quick_gelu"}),
    "gemma2-gelu": Tiny("gemma2", {"head_dim": 8, **_SLIDING, "hidden_activation": "gelu"}),
    "gemma3-untied": Tiny("gemma3_text", {"head_dim": 8, "tie_word_embeddings": False}),
    "gemma4-no-layer-input": Tiny("gemma4_text", {**_GEMMA4, "hidden_size_per_layer_input": 0}),
    "gemma4-double-wide": Tiny(
        "gemma4_text",
        {
            **_GEMMA4,
            "layer_types": ["full_attention"] * N_LAYERS,
            "num_kv_shared_layers": 1,
            "use_double_wide_mlp": True,
        },
    ),
    "phi3-gelu-new": Tiny("phi3", {"hidden_act": "gelu_new"}),
    "smollm3-biases-relu": Tiny("smollm3", {"mlp_bias": True, "hidden_act": "relu"}),
    "granite-biases-gelu": Tiny("granite", {"mlp_bias": True, "hidden_act": "gelu"}),
    "seed-oss-biases-relu2": Tiny(
        "seed_oss", {"head_dim": 8, "mlp_bias": True, "hidden_act": "relu2"}
    ),
    "falcon-h1-biases": Tiny(
        "falcon_h1", {**_MAMBA, "mlp_bias": True, "mlp_multipliers": [0.7, 0.3]}
    ),
    "stablelm-parallel": Tiny("stablelm", {"use_parallel_residual": True, "qk_layernorm": True}),
    "lfm2-adjusted": Tiny("lfm2", {"block_multiple_of": 8, "block_ffn_dim_multiplier": 1.5}),
}

# Architectures whose MLPs have no gate, and what changes where their norms stand.
UNGATED = {
    "gpt2": Tiny("gpt2", {"n_inner": D_MLP}),
    "gpt_neox": Tiny("gpt_neox"),
    "gpt_neox-sequential": Tiny("gpt_neox", {"use_parallel_residual": False}),
    "opt": Tiny("opt", {"ffn_dim": D_MLP, "word_embed_proj_dim": D_MODEL}),
    "opt-projected": Tiny(
        "opt", {"ffn_dim": D_MLP, "word_embed_proj_dim": 16, "do_layer_norm_before": False}
    ),
    "bloom": Tiny("bloom"),
    "falcon": Tiny("falcon", {"ffn_hidden_size": D_MLP}),
    "falcon-sequential": Tiny("falcon", {"parallel_attn": False}),
    "phi": Tiny("phi"),
    "gptj": Tiny("gptj", {"n_inner": D_MLP, "rotary_dim": 4}),
    "gpt_neo": Tiny("gpt_neo", {"attention_types": [[["global"], N_LAYERS]]}),
    "mpt": Tiny("mpt", {"expansion_ratio": 2, "d_model": D_MODEL, "n_heads": 4}),
    "starcoder2": Tiny("starcoder2"),
    "nemotron": Tiny("nemotron"),
    "codegen": Tiny("codegen", {"n_inner": D_MLP, "rotary_dim": 4}),
    "gpt_bigcode": Tiny("gpt_bigcode", {"n_inner": D_MLP}),
    "xglm": Tiny("xglm", {"ffn_dim": D_MLP, "d_model": D_MODEL, "attention_heads": 4}),
    "arcee": Tiny("arcee"),
    "openai-gpt": Tiny("openai-gpt"),
    "jais2": Tiny("jais2"),
}


def build(tiny: Tiny, seed: int = 0) -> Any:
    """The causal language model, its parameters random, in float32 and eval mode."""
    settings = {**_COMMON, **tiny.settings}
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(tiny.model_type, **settings))
    randomise(model, seed)
    return model.eval()


@torch.no_grad()
def randomise(model: nn.Module, seed: int) -> None:
    """Draw every parameter; gains spread around where they start, so that none is 1 or 0."""
    generator = torch.Generator().manual_seed(seed)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator)

    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 and "norm" in name and not name.endswith("bias"):
            parameter.add_(0.3 * noise(parameter))
        elif parameter.ndim == 1:
            parameter.copy_(0.3 * noise(parameter))
        else:
            parameter.copy_(noise(parameter) * 1.5 / parameter.shape[-1] ** 0.5)
    for name, buffer in model.named_buffers():
        if name.endswith("layer_scalar"):
            buffer.fill_(0.8)


def info_of(model: Any, name: str = "tiny") -> ModelInfo:
    """What `inspect_model` says of a model that lies in no folder."""
    return ModelInfo(
        name=name,
        location="nowhere",
        revision=None,
        architecture=type(model).__name__,
        n_layers=N_LAYERS,
        d_vocab=D_VOCAB,
        max_positions=MAX_POSITIONS,
        gated=True,
        hf_config=model.config,
    )


def save(model: Any, folder: Path, tokenizer: Any | None = None) -> Path:
    """The model as a folder: config.json, model.safetensors and, if there is one, its tokenizer."""
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    return folder


# The plain way: PyTorch hooks on the Hugging Face modules, by each architecture's own names.


def mlp_of(block: Any) -> Any:
    """The MLP module of a decoder layer."""
    return block.feed_forward if hasattr(block, "feed_forward") else block.mlp


@torch.inference_mode()
def plain_activations(tiny: Tiny, model: Any, ids: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Each layer's gate, in and post, [batch pos neuron], of a model without any other hooks."""
    seen: dict[tuple[int, str], Tensor] = {}
    handles = []

    def keep_output(layer: int, name: str) -> Callable[..., None]:
        return lambda module, args, output: seen.update({(layer, name): output})

    def keep_input(layer: int) -> Callable[..., None]:
        return lambda module, args, output: seen.update({(layer, "post"): args[0]})

    for layer, block in enumerate(model.base_model.layers):
        mlp = mlp_of(block)
        if tiny.model_type in ("phi3", "glm4"):
            parts = {"both": mlp.gate_up_proj}
            down = mlp.down_proj
        elif tiny.model_type == "lfm2":
            parts = {"gate": mlp.w1, "in": mlp.w3}
            down = mlp.w2
        else:
            parts = {"gate": mlp.gate_proj, "in": mlp.up_proj}
            down = mlp.down_proj
        for name, module in parts.items():
            handles.append(module.register_forward_hook(keep_output(layer, name)))
        handles.append(down.register_forward_hook(keep_input(layer)))
    model.base_model(input_ids=ids, use_cache=False)
    for handle in handles:
        handle.remove()
    found = []
    for layer in range(N_LAYERS):
        if (layer, "both") in seen:
            gate, in_ = seen[layer, "both"].chunk(2, dim=-1)
        else:
            gate, in_ = seen[layer, "gate"], seen[layer, "in"]
        found.append((gate, in_, seen[layer, "post"]))
    return found


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": lambda x: x / (1 + torch.exp(-x)),
    "gelu": lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5)),
    "gelu_new": lambda x: 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
    "quick_gelu": lambda x: x / (1 + torch.exp(-1.702 * x)),
    "relu": lambda x: x.clamp(min=0),
    "relu2": lambda x: x.clamp(min=0) ** 2,
}


def act(tiny: Tiny, gate: Tensor) -> Tensor:
    """The activation of a gate, by formula."""
    default = "gelu_new" if tiny.model_type.startswith("gemma") else "silu"
    settings = tiny.settings
    name = settings.get("hidden_act", settings.get("hidden_activation", default))
    return ACTIVATIONS[name](gate * settings.get("mlp_multipliers", [1.0, 1.0])[0])


SPECIAL_TOKENS = ["<pad>", "<s>", "</s>", "<unk>"]
_TRAINING_TEXT = ["the cat sat on the mat, and the dog sat on it\n", "  thé 日本 said: the mat"]


def byte_level_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer in the manner of GPT-2, Llama 3, Qwen and OLMo."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TRAINING_TEXT, trainer)
    return _wrapped(tokenizer)


def byte_fallback_tokenizer() -> PreTrainedTokenizerFast:
    """A BPE tokenizer in the manner of SentencePiece, Llama 2 and Gemma: ▁ and byte fallback."""
    pieces = [*SPECIAL_TOKENS, *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += ["▁", *"theacsonmdi", "é", "▁t", "he", "▁the", "at", "cat", "▁▁"]
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("a", "t"), ("c", "at"), ("▁", "▁")]
    tokenizer = Tokenizer(
        models.BPE(
            vocab={piece: i for i, piece in enumerate(pieces)},
            merges=merges,
            unk_token="<unk>",
            byte_fallback=True,
        )
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return _wrapped(tokenizer)


def _wrapped(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    pad, bos, eos, unk = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=pad, bos_token=bos, eos_token=eos, unk_token=unk
    )
