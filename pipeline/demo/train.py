"""Trains the demo model on the demo corpus: `python -m pipeline.demo.train`.

A byte-level BPE tokenizer, then a small Llama from scratch, on one CPU thread, seeded. The folder
with the weights is complete after every checkpoint, so an interrupted run leaves a usable model.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from pipeline.demo.card import Figures, Loss, Sample, model_card
from pipeline.demo.corpus import demo_texts
from pipeline.shipped import DEMO_MODEL

BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
VOCABULARY = 3072
CONTEXT = 512  # tokens: the longest example, in training as in use
TRAINING_MIN_CHARS = (
    60  # the corpus starts at 200; shorter docstrings are good enough to learn from
)
SEED = 0
STEPS = 5000
BATCH = 2  # sequences of CONTEXT tokens
PEAK_LEARNING_RATE = 2.5e-3
WARMUP_STEPS = 100
WEIGHT_DECAY = 0.1
BETAS = (0.9, 0.95)
REPORT_EVERY = 100  # steps
CHECKPOINT_EVERY = 1000  # steps
PROMPTS = ("Return a list of", "If the argument is", "The file object")
SAMPLE_TOKENS = 60


def train_tokenizer(texts: Sequence[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE that encodes any text, puts BOS first, and reads no special token in it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A $B",
        special_tokens=[(BOS, tokenizer.token_to_id(BOS))],
    )
    wrap: Any = PreTrainedTokenizerFast  # its constructor has no types
    wrapped: PreTrainedTokenizerFast = wrap(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )
    return wrapped


def new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """An untrained Llama in float32: SwiGLU, RMSNorm, grouped queries, tied embeddings."""
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=160,
            intermediate_size=512,
            num_hidden_layers=5,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            rms_norm_eps=1e-5,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def batches(documents: Sequence[Sequence[int]], steps: int, eos: int) -> Iterator[torch.Tensor]:
    """`steps` batches of token ids [BATCH, CONTEXT].

    Documents in a new random order each epoch, an EOS after each, packed end to end and cut.
    """
    generator = torch.Generator().manual_seed(SEED)
    stream: list[int] = []
    for _ in range(steps):
        while len(stream) < BATCH * CONTEXT:
            for index in torch.randperm(len(documents), generator=generator).tolist():
                stream += [*documents[index], eos]
        yield torch.tensor(stream[: BATCH * CONTEXT]).view(BATCH, CONTEXT)
        del stream[: BATCH * CONTEXT]


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    if step < WARMUP_STEPS:
        return PEAK_LEARNING_RATE * (step + 1) / WARMUP_STEPS
    done = (step - WARMUP_STEPS) / max(1, steps - WARMUP_STEPS)
    return PEAK_LEARNING_RATE * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def train(
    model: LlamaForCausalLM,
    documents: Sequence[Sequence[int]],
    steps: int,
    eos: int,
    checkpoint: Callable[[int, float], None],
) -> float:
    """Trains in place; calls `checkpoint(steps_done, seconds)` now and then. Returns seconds."""
    matrices = [p for p in model.parameters() if p.dim() > 1]
    gains = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": gains, "weight_decay": 0}],
        betas=BETAS,
    )
    started, spent_elsewhere, recent = time.monotonic(), 0.0, 0.0
    model.train()
    for step, ids in enumerate(batches(documents, steps, eos)):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        recent += loss.item()
        done, seconds = step + 1, time.monotonic() - started - spent_elsewhere
        if done % REPORT_EVERY == 0:
            rate = done * BATCH * CONTEXT / seconds
            left = seconds / done * (steps - done)
            print(
                f"step {done}/{steps}  loss {recent / REPORT_EVERY:.3f}  {rate:,.0f} tokens/s  "
                f"{left / 60:.1f} min left",
                flush=True,
            )
            recent = 0.0
        if done % CHECKPOINT_EVERY == 0 or done == steps:
            checkpoint(done, seconds)
            spent_elsewhere += time.monotonic() - started - spent_elsewhere - seconds
            model.train()
    return time.monotonic() - started - spent_elsewhere


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Writes weights in bfloat16, config and tokenizer."""
    halved: Any = copy.deepcopy(model)  # transformers' typing of `to` has no dtype
    halved.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # The class name that every transformers release with fast tokenizers can load.
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text()) | {"tokenizer_class": "PreTrainedTokenizerFast"}
    path.write_text(json.dumps(config, indent=2) + "\n")


def load(folder: Path) -> LlamaForCausalLM:
    """The saved model in float32, in evaluation mode, from the folder alone."""
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    model.train(False)
    return model


@torch.no_grad()
def held_out_loss(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> Loss:
    """The loss of every token after BOS, each text alone, cut at the context."""
    total = Loss(0.0, 0, 0)
    for ids in _cut(tokenizer, texts):
        row = torch.tensor([ids])
        nats = model(input_ids=row, labels=row).loss.item() * (len(ids) - 1)
        total = _plus(total, nats, ids, tokenizer)
    return total


def unigram_loss(
    documents: Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]
) -> Loss:
    """The loss of the same tokens under their (add-one) frequencies in `documents`."""
    counts = torch.ones(len(tokenizer), dtype=torch.float64)
    for document in documents:
        counts += torch.bincount(torch.tensor(document[1:]), minlength=len(tokenizer))
    nats_of = -(counts / counts.sum()).log()
    total = Loss(0.0, 0, 0)
    for ids in _cut(tokenizer, texts):
        total = _plus(total, float(nats_of[torch.tensor(ids[1:])].sum()), ids, tokenizer)
    return total


def _cut(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> list[list[int]]:
    # Not `truncation=True`: the tokenizer keeps that setting, and would be saved with it.
    return [ids[:CONTEXT] for ids in tokenizer(list(texts), verbose=False).input_ids]


def _plus(total: Loss, nats: float, ids: list[int], tokenizer: PreTrainedTokenizerFast) -> Loss:
    # A byte-level token is written with one character a byte.
    n_bytes = sum(len(token) for token in tokenizer.convert_ids_to_tokens(ids[1:]))
    return Loss(total.nats + nats, total.n_tokens + len(ids) - 1, total.n_bytes + n_bytes)


def samples(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> Iterator[Sample]:
    """Each prompt continued greedily and at temperature 0.8."""
    untyped: Any = model  # the typing of `generate` does not take a Llama
    for prompt in PROMPTS:
        inputs = tokenizer(prompt, return_tensors="pt")
        for decoding, how in (
            ("greedy", {"do_sample": False}),
            ("temperature 0.8", {"do_sample": True, "temperature": 0.8, "top_k": 0}),
        ):
            torch.manual_seed(SEED)
            ids = untyped.generate(**inputs, max_new_tokens=SAMPLE_TOKENS, **how)[0]
            text = str(tokenizer.decode(ids, skip_special_tokens=True))
            yield Sample(prompt, decoding, text.removeprefix(prompt))


def main() -> None:
    """Reads the command line, trains, and leaves model, tokenizer and card in the folder."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.demo.train", description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS, help="of the optimizer (%(default)s)")
    parser.add_argument("--out", type=Path, default=DEMO_MODEL, help="folder (%(default)s)")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)

    texts = [text.text for text in demo_texts(TRAINING_MIN_CHARS) if not text.held_out]
    held_out = [text.text for text in demo_texts() if text.held_out]
    tokenizer = train_tokenizer(texts)
    documents: list[list[int]] = tokenizer(texts, verbose=False).input_ids
    model = new_model(tokenizer)
    unigram = unigram_loss(documents, tokenizer, held_out)
    print(f"{model.num_parameters():,} parameters, {sum(map(len, documents)):,} training tokens")
    print(f"unigram baseline on held-out texts: {unigram.nats_per_token:.3f} nats per token")

    def checkpoint(steps_done: int, seconds: float) -> None:
        save(model, tokenizer, arguments.out)
        saved = load(arguments.out)
        config = saved.config
        figures = Figures(
            n_parameters=saved.num_parameters(),
            n_layers=config.num_hidden_layers,
            d_model=config.hidden_size,
            d_mlp=config.intermediate_size,
            n_heads=config.num_attention_heads,
            n_key_value_heads=config.num_key_value_heads or config.num_attention_heads,
            d_vocab=config.vocab_size,
            context=CONTEXT,
            n_training_texts=len(documents),
            n_training_tokens=sum(map(len, documents)),
            n_held_out_texts=len(held_out),
            steps=steps_done,
            batch=BATCH,
            seconds=seconds,
            python=platform.python_version(),
            torch=torch.__version__,
            transformers=transformers.__version__,
            model_loss=held_out_loss(saved, tokenizer, held_out),
            unigram_loss=unigram,
            samples=tuple(samples(saved, tokenizer)),
        )
        (arguments.out / "README.md").write_text(model_card(figures), encoding="utf-8")
        print(
            f"saved to {arguments.out}: held-out loss {figures.model_loss.nats_per_token:.3f} "
            f"nats per token, {figures.model_loss.bits_per_byte:.3f} bits per byte",
            flush=True,
        )

    train(model, documents, arguments.steps, tokenizer.eos_token_id, checkpoint)


if __name__ == "__main__":
    main()
