"""Gatescope against the way of working that it replaces, on one machine, in one run.

The original runs each text alone, in float32, on a model with TransformerLens' hooks and eager
attention. The activations of all layers are stacked on the host. Each sign combination and quantity
then takes a masked copy, a sum and a maximum over the positions, and a top-k of the old list with
the new value at its end. This is a restatement of that, not its code, and leaves out what else the
original did: files of intermediate results, and another forward for every page that is shown.

    python benchmarks/against_the_original.py                           # stories260K, 1,000 stories
    python benchmarks/against_the_original.py MODEL_FOLDER TEXTS.json
    python benchmarks/against_the_original.py --random-llama 512 6 1408 8
    python benchmarks/against_the_original.py --random-llama 4096 32 11008 32 --device cuda

Gatescope's rate is that of `gatescope run` with its default settings on a quarter of the texts and
on all: the difference of tokens over the difference of seconds, so that what a command costs
whatever the corpus is cancels. `--only-original` leaves Gatescope out, and needs nothing but torch,
transformers and transformer-lens. One line of JSON is printed.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# As the command `gatescope` does (pipeline/cli.py says why), before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import numpy as np
import torch
from random_llama import SHAPE, random_llama, random_texts
from torch import Tensor
from whole_run import marginal_rate

from pipeline.provenance import provenance

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
RANDOM = "random"
K = 16
Best = tuple[Tensor, Tensor]  # the largest |value| of some examples, their ids: [k layer neuron]
QUANTITIES = ("gate", "in", "act", "post")
HOOKS = {"gate": "hook_pre", "in": "hook_pre_linear", "post": "hook_post"}
_HAS_SIGN = {"+": torch.gt, "-": torch.lt}
_N_WARM_UP, _N_RANDOM = 3, 256


@contextmanager
def timed(seconds: dict[str, float], part: str) -> Iterator[None]:
    """Add the time of what happens inside, on the accelerator too, to `seconds[part]`."""
    on_cuda = torch.cuda.is_initialized()
    if on_cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    yield
    if on_cuda:
        torch.cuda.synchronize()
    seconds[part] = seconds.get(part, 0.0) + time.perf_counter() - start


@dataclass
class Original:
    """The running result: of every combination, and of every quantity in it, for all neurons.

    counts[combo] (int64) and sums[combo, quantity] (float32) are [layer neuron]. best[combo,
    quantity] is best first; a value of 0 stands where an example lacks the combination.
    """

    counts: dict[str, Tensor] = field(default_factory=dict)
    sums: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    best: dict[tuple[str, str], Best] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)  # of each part of the work

    @torch.inference_mode()
    def add(self, model: Any, act_fn: Any, ids: Tensor, example_id: int) -> None:
        """Take one text, `ids` [1 pos] on the model's device. Every position counts."""
        with timed(self.seconds, "forward"):
            layers = hooked_forward(model, ids)
        with timed(self.seconds, "stack on the host"):
            host = {name: torch.stack([x[0].cpu() for x in layers[name]]) for name in HOOKS}
        for gate_sign, in_sign in itertools.product("+-", repeat=2):
            combo = f"gate{gate_sign}_in{in_sign}"
            with timed(self.seconds, "signs"):
                here = _HAS_SIGN[gate_sign](host["gate"], 0) & _HAS_SIGN[in_sign](host["in"], 0)
                here = here.to(ids.device)
                self.counts[combo] = self.counts.get(combo, 0) + here.sum(dim=1)
                mask = here.float()
            for quantity in QUANTITIES:
                with timed(self.seconds, "masked copies"):
                    values = host["gate" if quantity == "act" else quantity].to(ids.device)
                    masked = (act_fn(values) if quantity == "act" else values) * mask
                key = combo, quantity
                with timed(self.seconds, "sums"):
                    self.sums[key] = self.sums.get(key, 0) + masked.sum(dim=1)
                with timed(self.seconds, "maxima"):
                    score, _position = masked.abs().max(dim=1)
                with timed(self.seconds, "lists"):
                    self.best[key] = longer_list(self.best.get(key), score, example_id)


def hooked_forward(model: Any, ids: Tensor) -> dict[str, list[Tensor]]:
    """Quantity -> [1 pos neuron] of each layer of a TransformerBridge, on its device."""
    names = [f"blocks.{layer}.mlp.{{}}" for layer in range(model.cfg.n_layers)]
    wanted = [name.format(hook) for name in names for hook in HOOKS.values()]
    _logits, cache = model.run_with_cache(ids, names_filter=wanted)
    return {q: [cache[name.format(hook)] for name in names] for q, hook in HOOKS.items()}


def longer_list(best: Best | None, score: Tensor, example_id: int) -> Best:
    """The K best once one more, `score` [layer neuron], is put to the end."""
    scores, ids = score[None], torch.full_like(score, example_id, dtype=torch.int64)[None]
    if best is not None:
        scores, ids = torch.cat([best[0], scores]), torch.cat([best[1], ids])
    top = scores.topk(min(K, len(scores)), dim=0)
    return top.values, ids.gather(0, top.indices)


def hook(hf_model: Any) -> tuple[Any, Any]:
    """The model with TransformerLens' hooks, which changes it in place, and its act_fn."""
    from transformer_lens.model_bridge.sources import build_bridge_from_module
    from transformers.activations import ACT2FN

    config, kind = hf_model.config, type(hf_model).__name__
    act_fn = ACT2FN[getattr(config, "hidden_activation", None) or config.hidden_act]
    return build_bridge_from_module(hf_model, kind, hf_config=config), act_fn


def tokenised(folder: str, texts: Sequence[str]) -> list[list[int]]:
    """The token ids of each text as a scan reads them: BOS (or EOS) once."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    first = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return [ids if ids[0] == first else [first, *ids] for ids in rows if ids]


def measure_original(hf_model: Any, rows: Sequence[list[int]]) -> dict[str, Any]:
    """Seconds and tokens/s of the original's way and, text by text between, of a bare forward."""
    device = hf_model.device
    # The same weights, without hooks and with the model's own attention.
    bare = copy.deepcopy(hf_model, {id(p): p for p in hf_model.parameters()}).base_model
    model, act_fn = hook(hf_model)
    texts = [torch.tensor([ids], device=device) for ids in rows]
    for some in (texts[:_N_WARM_UP], texts):
        original, bare_seconds = Original(), dict[str, float]()
        for example_id, ids in enumerate(some):
            with timed(bare_seconds, "forward"), torch.inference_mode():
                bare(input_ids=ids, use_cache=False)
            original.add(model, act_fn, ids, example_id)
    tokens, seconds = sum(map(len, rows)), sum(original.seconds.values())
    return {
        "examples": len(rows),
        "tokens": tokens,
        "seconds": round(seconds, 3),
        "tokens_per_s": round(tokens / seconds, 1),
        "parts_s": {name: round(part, 3) for name, part in original.seconds.items()},
        "bare_forward_tokens_per_s": round(tokens / bare_seconds["forward"], 1),
    }


def measure(options: argparse.Namespace, scratch: str) -> dict[str, Any]:
    """Both sides on the same texts; `scratch` is an empty folder, for models and datasets."""
    from transformers import AutoModelForCausalLM

    device, folder, limit = torch.device(options.device), options.model, options.max_length
    hf_model: Any
    if options.random_llama:
        hf_model, folder = random_llama(options.random_llama, device), f"{scratch}/model"
        if not options.only_original:
            hf_model.save_pretrained(folder)
    else:
        hf_model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        hf_model.to(device)
    corpus, key = ("tokenized", "input_ids") if options.texts == RANDOM else ("local", "text")
    if options.texts == RANDOM:
        n, d_vocab = options.max_examples or _N_RANDOM, hf_model.config.vocab_size
        drawn = random_texts(np.random.default_rng(0), n, (256, 512), d_vocab)
        rows = lines = [ids.tolist() for ids in drawn]
    else:
        lines = json.loads(Path(options.texts).read_text())[: options.max_examples]
        rows = tokenised(folder, lines)
    original = measure_original(hf_model, [ids[:limit] for ids in rows])
    made = provenance()
    found: dict[str, Any] = {
        "what": "against_the_original",
        "model": f"random Llama {options.random_llama}" if options.random_llama else folder,
        "texts": options.texts,
        "device": str(device),
        "hardware": made["hardware"],
        "versions": made["packages"],
        "original": original,
    }
    if options.only_original:
        return found
    hf_model.cpu()
    torch.cuda.empty_cache()  # for Gatescope, which has a process of its own
    settings = {"model.name": f'"{folder}"', "model.device": options.device, "corpus": corpus}
    settings |= {"corpus.max_length": limit}
    gatescope = marginal_rate(settings, [{key: line} for line in lines], Path(scratch))
    if original["tokens"] != gatescope["whole"]["tokens"]:
        raise SystemExit(f"not the same tokens: {original} and {gatescope}")
    ratio = gatescope["marginal_tokens_per_s"] / original["tokens_per_s"]
    return {**found, "gatescope": gatescope, "ratio": round(ratio, 2)}


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Gatescope against the original's way of working")
    stories = SHARED / "tinystories_1000.json"
    parser.add_argument("model", nargs="?", help="a folder", default=str(SHARED / "stories260K"))
    parser.add_argument("texts", nargs="?", help="a JSON list, or `random`", default=str(stories))
    parser.add_argument("--random-llama", nargs=4, type=int, metavar=SHAPE)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--max-examples", type=int, help=f"default all, or {_N_RANDOM} random ones")
    parser.add_argument("--max-length", type=int, default=1024, help="tokens of a text")
    parser.add_argument("--only-original", action="store_true", help="leave Gatescope out")
    options = parser.parse_args(arguments)
    if options.max_examples is not None and options.max_examples < 2:
        parser.error(f"--max-examples {options.max_examples}: give 2 or more")
    if options.random_llama:
        options.texts = RANDOM
    options.model = str(Path(options.model).resolve())  # commands run elsewhere
    for path in ([] if options.random_llama else [options.model]) + [options.texts]:
        if path != RANDOM and not Path(path).exists():
            parser.error(f"{path} is not there; name a MODEL_FOLDER and TEXTS, or --random-llama")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no CUDA device here; take cpu")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; ends with exit code 2 where the model, texts or device are absent."""
    with tempfile.TemporaryDirectory() as scratch:
        print(json.dumps(measure(_options(arguments), scratch)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
