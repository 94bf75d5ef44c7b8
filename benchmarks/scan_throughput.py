r"""The scan against the bare forward of the same model, interleaved in one process.

    python benchmarks/scan_throughput.py                             # a random Llama on the CPU
    python benchmarks/scan_throughput.py --model FOLDER --lengths 64 256
    python benchmarks/scan_throughput.py --device cuda --shape 4096 32 11008 32 \
        --dtype bfloat16 --lengths 1024 1024 --examples 64

Each round takes new random texts and times, one after the other: the bare Hugging Face body (its
own attention, length-sorted, `--bare-batch` texts at once, no logits, no cache), the hooked forward
alone, the reduction with lists that nothing can enter, and the scan. The parts are differences of
these. Lists are first filled by `--warm` texts, as early in a corpus nearly every text enters them.
Snapshots are timed once. One line of JSON is printed. It needs no Ray, Hydra, DuckDB or datasets,
but for `--command N`: then `gatescope run` scans a quarter of N texts and all of them, everything
on, between two bare forward passes over the N, and its marginal rate is set against theirs.
"""

from __future__ import annotations

import argparse
import copy
import functools
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# As the command `gatescope` does (pipeline/cli.py says why), before torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

import numpy as np
import torch
import transformers
from random_llama import SHAPE, random_llama, random_texts
from whole_run import marginal_rate

from pipeline.config import ModelConfig
from pipeline.model import GatedModel, ModelInfo, inspect_model, load_model
from pipeline.model.hook import hook_model
from pipeline.naming import RANKINGS
from pipeline.provenance import provenance
from pipeline.scan import Scanner, ScanSettings, choose_tokens_per_batch, state_bytes
from pipeline.scan.batches import length_sorted_batches
from pipeline.scan.compiled import Update, choose_update
from pipeline.store import Place, UnitExamples, write_snapshot

Rows = list[np.ndarray]


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--model", help="a folder; else a random Llama of --shape")
    parser.add_argument(
        "--shape",
        type=int,
        nargs=4,
        default=(512, 6, 1408, 8),
        metavar=SHAPE,
    )
    parser.add_argument(
        "--kv-heads", type=int, help="of the random Llama; default as many as heads"
    )
    parser.add_argument("--vocab", type=int, default=4096, help="of the random Llama")
    parser.add_argument("--lengths", type=int, nargs=2, default=(256, 512), metavar=("MIN", "MAX"))
    parser.add_argument("--examples", type=int, default=96, help="texts of a round")
    parser.add_argument("--warm", type=int, default=192, help="texts before the first round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bare-batch", type=int, default=8)
    parser.add_argument("--tokens-per-batch", type=int, help="of the scan; default as in a run")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", default="true", choices=("true", "false"))
    parser.add_argument("--command", type=int, metavar="N", help="and `gatescope run` on N texts")
    return parser.parse_args(arguments)


def models(args: argparse.Namespace) -> tuple[torch.nn.Module, GatedModel]:
    """The bare body and the hooked model, of the same weights."""
    config = ModelConfig(name=args.model or "random", device=args.device, dtype=args.dtype)
    if args.model:
        hooked = load_model(config, inspect_model(config))
        bare = transformers.AutoModel.from_pretrained(args.model, dtype=hooked.dtype)
        return bare.to(hooked.device).eval(), hooked
    cuda = args.device.startswith("cuda") or (args.device == "auto" and torch.cuda.is_available())
    default = torch.bfloat16 if cuda else torch.float32
    dtype = default if args.dtype == "auto" else getattr(torch, args.dtype)
    device = torch.device(("cuda" if cuda else "cpu") if args.device == "auto" else args.device)
    causal = random_llama(args.shape, device, dtype, d_vocab=args.vocab, n_kv_heads=args.kv_heads)
    info = ModelInfo(
        name="random",
        location="nowhere",
        revision=None,
        architecture=type(causal).__name__,
        n_layers=args.shape[1],
        d_vocab=args.vocab,
        max_positions=None,
        gated=True,
        hf_config=causal.config,
    )
    # The bare body shares the weights, and loses none of its own modules to the hooks.
    body = causal.model
    memo = {id(tensor): tensor for tensor in (*body.parameters(), *body.buffers())}
    bare = copy.deepcopy(body, memo)
    return bare.eval(), hook_model(causal, info)


def timed(work: Callable[[], object], device: torch.device) -> float:
    """Seconds, all kernels included."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def bare_forward(body: torch.nn.Module, rows: Rows, batch: int, device: torch.device) -> None:
    """What a scan is measured against: the body alone, length-sorted, `batch` texts at once."""
    ordered = sorted(rows, key=len, reverse=True)
    with torch.inference_mode():
        for start in range(0, len(ordered), batch):
            part = [
                torch.from_numpy(ids.astype(np.int64)) for ids in ordered[start : start + batch]
            ]
            input_ids = torch.nn.utils.rnn.pad_sequence(part, batch_first=True)
            body(input_ids=input_ids.to(device), use_cache=False)


def nothing(*_: object) -> None:
    """An update that leaves only the hooked forward."""


def closed(scanner: Scanner) -> Scanner:
    """A scanner into whose lists nothing can enter."""
    for state in scanner.states.values():
        state.worst.fill_(torch.iinfo(torch.int64).max)
    return scanner


def measured_command(
    args: argparse.Namespace, bare: torch.nn.Module, model: GatedModel
) -> dict[str, Any]:
    """The marginal rate of `gatescope run` against the bare forward before and after it."""
    rows = random_texts(np.random.default_rng(1), args.command, args.lengths, args.vocab)
    n_tokens = sum(map(len, rows))

    def bare_rate() -> float:
        work = functools.partial(bare_forward, bare, rows, args.bare_batch, model.device)
        return n_tokens / timed(work, model.device)

    with tempfile.TemporaryDirectory() as scratch:
        folder = args.model
        if folder is None:
            folder = f"{scratch}/model"
            cpu = torch.device("cpu")
            random_llama(
                args.shape, cpu, model.dtype, d_vocab=args.vocab, n_kv_heads=args.kv_heads
            ).save_pretrained(folder)
        settings = {
            "model.name": f'"{folder}"',
            "model.device": model.device,
            "model.dtype": str(model.dtype).removeprefix("torch."),
            "corpus": "tokenized",
            "scan.compile": args.compile,
        }
        before = bare_rate()
        found = marginal_rate(
            settings, [{"input_ids": ids.tolist()} for ids in rows], Path(scratch)
        )
        bare_rates = [before, bare_rate()]
    return {
        **found,
        "bare_forward_tokens_per_s": [round(rate, 1) for rate in bare_rates],
        "ratio": round(found["marginal_tokens_per_s"] / statistics.mean(bare_rates), 3),
    }


def measured(args: argparse.Namespace) -> dict[str, Any]:
    """All rounds, as the line of JSON."""
    bare, model = models(args)
    settings = ScanSettings(16, 16, RANKINGS, 48, 15, True, args.tokens_per_batch or 1, 0)
    n_bytes = state_bytes(model, settings)
    n_state_bytes = n_bytes.total()
    twice = n_bytes + n_bytes
    tokens_per_batch = args.tokens_per_batch or choose_tokens_per_batch(model, twice)
    settings = ScanSettings(16, 16, RANKINGS, 48, 15, True, tokens_per_batch, 0)
    states = settings.state(model, model.layers[0])
    update, compiled = choose_update(args.compile, 0, model.device, states, sys.exit)

    def scanner(by: Update) -> Scanner:
        return Scanner(model, settings, by)

    # The closed lists need no room: one entry and a window of one position.
    narrow = ScanSettings(1, 0, RANKINGS, 0, 0, True, tokens_per_batch, 0)
    scanners = {
        "hooked": scanner(nothing),
        "reduced": closed(Scanner(model, narrow, update)),
        "scan": scanner(update),
    }
    rng = np.random.default_rng(0)
    n_scanned = 0

    def texts(n: int) -> UnitExamples:
        nonlocal n_scanned
        first, n_scanned = n_scanned, n_scanned + n
        return UnitExamples(first, random_texts(rng, n, args.lengths, args.vocab))

    few = texts(8)
    bare_forward(bare, few.input_ids, args.bare_batch, model.device)
    for each in scanners.values():
        each.scan(0, few, nothing)
    scanners["scan"].scan(0, texts(args.warm), nothing)
    if model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(model.device)
    seconds: dict[str, list[float]] = {name: [] for name in ("bare", *scanners)}
    n_tokens: list[int] = []
    padding = []
    for number in range(args.rounds):
        unit = texts(args.examples)
        lengths = np.array([len(ids) for ids in unit.input_ids])
        n_tokens.append(int(lengths.sum()))
        batches = length_sorted_batches(lengths, tokens_per_batch)
        padding.append(1 - lengths.sum() / sum(len(b) * lengths[b].max() for b in batches))

        def bare_pass(unit: UnitExamples = unit) -> None:
            bare_forward(bare, unit.input_ids, args.bare_batch, model.device)

        seconds["bare"].append(timed(bare_pass, model.device))
        for name, each in scanners.items():

            def scan(each: Scanner = each, number: int = number, unit: UnitExamples = unit) -> None:
                each.scan(number + 1, unit, nothing)

            seconds[name].append(timed(scan, model.device))
        print(
            f"round {number + 1}/{args.rounds}: scan / bare forward = "
            f"{seconds['bare'][-1] / seconds['scan'][-1]:.3f}",
            file=sys.stderr,
        )
    peak = torch.cuda.max_memory_allocated(model.device) if model.device.type == "cuda" else None
    with tempfile.TemporaryDirectory() as folder:
        snapshot_s = timed(
            lambda: write_snapshot(Place(folder), "worker-0", 1, (0,), scanners["scan"].states),
            model.device,
        )
    n_pairs = [n * sum(map(model.n_neurons, model.layers)) for n in n_tokens]

    def ns_per_pair(name: str, less: str | None = None) -> float:
        taken = seconds[name] if less is None else np.subtract(seconds[name], seconds[less])
        return round(statistics.median(np.divide(taken, n_pairs)) * 1e9, 3)

    ratios = np.divide(seconds["bare"], seconds["scan"])
    rate = statistics.median(np.divide(n_tokens, seconds["scan"]))
    made = provenance()
    return {
        "what": "scan_throughput",
        "model": args.model or "random Llama {} x {} x {}, {} heads".format(*args.shape),
        "dtype": str(model.dtype).removeprefix("torch."),
        "device": str(model.device),
        "hardware": made["hardware"],
        "versions": made["packages"],
        "compiled": compiled,
        "tokens_per_batch": tokens_per_batch,
        "padding": round(statistics.mean(padding), 4),
        "n_examples": {"before": args.warm + len(few.input_ids), "after": n_scanned},
        "n_tokens_a_round": n_tokens,
        "bare_forward_tokens_per_s": round(
            statistics.median(np.divide(n_tokens, seconds["bare"])), 1
        ),
        "scan_tokens_per_s": round(rate, 1),
        "hours_for_20m_tokens": round(20e6 / rate / 3600, 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_of_each_round": [round(r, 3) for r in ratios.tolist()],
        "ns_per_token_and_neuron": {
            "bare forward": ns_per_pair("bare"),
            "hooked forward": ns_per_pair("hooked"),
            "reduction": ns_per_pair("reduced", "hooked"),
            "lists": ns_per_pair("scan", "reduced"),
        },
        "state_gib": round(n_state_bytes / 2**30, 3),
        "snapshot_s": round(snapshot_s, 2),
        "peak_memory_gib": None if peak is None else round(peak / 2**30, 2),
        "command": measured_command(args, bare, model) if args.command else None,
    }


if __name__ == "__main__":
    print(json.dumps(measured(parsed())))
