"""Llamas of random weights and texts of random tokens, for benchmarks without a download."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

# What the four numbers of a shape are, in order.
SHAPE = ("D_MODEL", "LAYERS", "D_MLP", "HEADS")


def random_llama(
    shape: tuple[int, int, int, int],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    *,
    d_vocab: int = 4096,
    n_kv_heads: int | None = None,
) -> Any:
    """A Llama of Hugging Face's with random weights; by default as many key heads as heads."""
    from transformers import LlamaConfig, LlamaForCausalLM

    d_model, n_layers, d_mlp, n_heads = shape
    config = LlamaConfig(
        hidden_size=d_model,
        num_hidden_layers=n_layers,
        intermediate_size=d_mlp,
        num_attention_heads=n_heads,
        num_key_value_heads=n_kv_heads or n_heads,
        vocab_size=d_vocab,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with device:
            return LlamaForCausalLM(config).eval()
    finally:
        torch.set_default_dtype(torch.float32)


def random_texts(
    rng: np.random.Generator, n: int, lengths: tuple[int, int], d_vocab: int
) -> list[np.ndarray]:
    """Token ids of `n` texts of `lengths[0]` to `lengths[1]` tokens."""
    drawn = rng.integers(lengths[0], lengths[1], n, endpoint=True)
    return [rng.integers(3, d_vocab, length) for length in drawn]
