"""What folding means, by hand: which norm stands before, which after, w or 1 + w, which factors."""

from __future__ import annotations

from typing import Any

import torch
from tiny_models import D_MODEL, Tiny, mlp_of
from torch import Tensor

LIKE_LLAMA = {"llama", "mistral", "ministral3", "qwen2", "qwen3", "phi3", "smollm3", "seed_oss"}


def folded_by_hand(tiny: Tiny, model: Any, layer: int) -> tuple[Tensor, Tensor, Tensor]:
    """gate, in and out of an untouched model, [neuron d_model] in float64."""
    block = model.base_model.layers[layer]
    settings = tiny.settings
    ones = torch.ones(D_MODEL).double()
    before, after = ones, ones
    match tiny.model_type:
        case name if name in {*LIKE_LLAMA, "granite"}:
            before = block.post_attention_layernorm.weight.double()
        case "gemma":
            before = 1 + block.post_attention_layernorm.weight.double()
        case "gemma2" | "gemma3_text":
            before = 1 + block.pre_feedforward_layernorm.weight.double()
            after = 1 + block.post_feedforward_layernorm.weight.double()
        case "gemma4_text":
            before = block.pre_feedforward_layernorm.weight.double()
            after = block.post_feedforward_layernorm.weight.double()
        case "olmo":
            pass  # its LayerNorm has no gain
        case "olmo2" | "olmo3" | "exaone4":
            after = block.post_feedforward_layernorm.weight.double()
        case "glm4":
            before = block.post_attention_layernorm.weight.double()
            after = block.post_mlp_layernorm.weight.double()
        case "stablelm" if not settings.get("use_parallel_residual"):
            before = block.post_attention_layernorm.weight.double()
        case "cohere" | "stablelm":
            before = block.input_layernorm.weight.double()
        case "falcon_h1":
            before = block.pre_ff_layernorm.weight.double()
            after = ones * settings["mlp_multipliers"][1]
        case "lfm2":
            before = block.ffn_norm.weight.double()
        case other:
            raise AssertionError(f"no formula for {other}")
    mlp = mlp_of(block)
    if tiny.model_type in ("phi3", "glm4"):
        gate, in_ = mlp.gate_up_proj.weight.double().chunk(2)
        down = mlp.down_proj.weight.double()
    else:
        names = ("w1", "w3", "w2") if hasattr(mlp, "w1") else ("gate_proj", "up_proj", "down_proj")
        gate, in_, down = (getattr(mlp, name).weight.double() for name in names)
    factor = settings.get("residual_multiplier", 1.0)
    return gate * before, in_ * before, down.T * after * factor
