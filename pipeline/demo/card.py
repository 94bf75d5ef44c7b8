"""The demo model's card, written from measured figures."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """Summed negative log-likelihood in nats, and the tokens and UTF-8 bytes it is summed over."""

    nats: float
    n_tokens: int
    n_bytes: int

    @property
    def nats_per_token(self) -> float:
        """What `transformers` calls the loss."""
        return self.nats / self.n_tokens

    @property
    def bits_per_byte(self) -> float:
        """Comparable between tokenizers."""
        return self.nats / math.log(2) / self.n_bytes


@dataclass(frozen=True)
class Sample:
    """What the model wrote after a prompt; `decoding` says how the tokens were chosen."""

    prompt: str
    decoding: str
    continuation: str


@dataclass(frozen=True)
class Figures:
    """All that the card says about one training run."""

    n_parameters: int
    n_layers: int
    d_model: int
    d_mlp: int
    n_heads: int
    n_key_value_heads: int
    d_vocab: int
    context: int
    n_training_texts: int
    n_training_tokens: int
    n_held_out_texts: int
    steps: int
    batch: int
    seconds: float
    python: str
    torch: str
    transformers: str
    model_loss: Loss
    unigram_loss: Loss
    samples: tuple[Sample, ...]


def model_card(figures: Figures) -> str:
    """The card in Markdown, with the front matter that the Hub reads."""
    f = figures
    n_seen = f.steps * f.batch * f.context
    samples = "\n".join(_sample(sample) for sample in f.samples)
    return f"""---
license: mit
language: en
library_name: transformers
pipeline_tag: text-generation
---

# Gatescope's demo model

A small language model with gated (SwiGLU) MLPs, trained from scratch so that `gatescope run` has
something to show without a download. It writes what looks like Python's documentation and means
little. It is for demonstration and tests, not for use as a language model.

## Architecture

Llama: SwiGLU, RMSNorm, rotary positions, grouped-query attention, tied embeddings.

| | |
|---|---|
| parameters | {f.n_parameters:,} (bfloat16) |
| layers | {f.n_layers} |
| d_model | {f.d_model} |
| d_mlp (neurons a layer) | {f.d_mlp} |
| attention heads / key-value heads | {f.n_heads} / {f.n_key_value_heads} |
| vocabulary | {f.d_vocab} (byte-level BPE, encodes any text; BOS is put first) |
| context | {f.context} tokens |

## Data

The English that every CPython carries: the topics of `help()` (`pydoc_data.topics`) and the
docstrings of the standard library, here of Python {f.python}. The texts are read from the
installation (`pipeline/demo/corpus.py`) and are no part of this repository.

Trained on {f.n_training_texts:,} texts, {f.n_training_tokens:,} tokens. About a tenth of the
sources, chosen by a hash of their names, was held out: {f.n_held_out_texts} texts. No paragraph of
80 characters or more stands in both, but related functions have similar docstrings, so the
held-out loss flatters the model a little.

## Training

{f.steps:,} steps of {f.batch} x {f.context} tokens: {n_seen / 1e6:.1f} million tokens,
{n_seen / f.n_training_tokens:.1f} passes over the data. AdamW, cosine schedule, float32, seeded;
{f.seconds / 60:.0f} minutes on one CPU thread (torch {f.torch}, transformers {f.transformers}).

## Loss

On the {f.n_held_out_texts} held-out texts ({f.model_loss.n_tokens:,} tokens, each text alone),
computed in float32 from the weights as they are saved:

| | nats per token | bits per byte |
|---|---|---|
| this model | {f.model_loss.nats_per_token:.3f} | {f.model_loss.bits_per_byte:.3f} |
| unigram frequencies of the training tokens | {f.unigram_loss.nats_per_token:.3f} | \
{f.unigram_loss.bits_per_byte:.3f} |

## Samples

{samples}
## Train it again

    python -m pipeline.demo.train

It overwrites this folder (`--out` names another). Another Python version has slightly other texts,
another processor rounds differently: expect a similar model, not the same one.

## Licence

The model is under the MIT licence, like the rest of Gatescope. The texts it was trained on come
with Python and are under the PSF licence.
"""


def _sample(sample: Sample) -> str:
    return f"Prompt `{sample.prompt}`, {sample.decoding}:\n\n{_indented(sample)}\n"


def _indented(sample: Sample) -> str:
    lines = (sample.prompt + sample.continuation).splitlines()
    return "\n".join(f"    {line}".rstrip() for line in lines)
