r"""What Ray costs: workers on Ray against one process, the driver's memory, the object store.

    python benchmarks/cluster_cost.py
    python benchmarks/cluster_cost.py --rounds 3 --examples 512

Each round runs `gatescope run` on a random Llama twice, one after the other: in one process with
all cores, and with a Ray worker on each core. The rate is that after start-up: of the units that
were counted while all workers were counting, over the seconds of that. `waiting` is the part of the
workers' time that passed between two units: all that Ray and the driver cost them. The peaks are of
the driver's process, and of the shared memory of Ray's object store; `--examples` and the shape
change the sizes of corpus and state, to see what does not grow with them. One line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from random_llama import SHAPE, random_llama, random_texts

from pipeline.provenance import provenance

_CHECKOUT = Path(__file__).resolve().parents[1]
_VOCAB = 4096


def rate_after_start_up(events: list[dict[str, Any]]) -> float:
    """Tokens a second from when the last worker has counted its first unit to the first end."""
    counted = [event for event in events if event["event"] == "unit_counted"]
    times: dict[str, list[float]] = defaultdict(list)
    for event in counted:
        times[event["worker"]].append(_seconds(event["time"]))
    start = max(each[0] for each in times.values())
    end = min(each[-1] for each in times.values())
    # A worker's first unit after the start was begun before it.
    n_tokens = sum(e["tokens"] for e in counted if start < _seconds(e["time"]) <= end)
    return n_tokens / (end - start)


def _seconds(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text).timestamp()


def watched(command: list[str]) -> dict[str, float]:
    """Run a command to its end; peaks of its own memory and of Ray's object store, in MiB."""
    process = subprocess.Popen(command, cwd=_CHECKOUT, stdout=subprocess.DEVNULL)
    driver, peaks = psutil.Process(process.pid), {"driver_mib": 0.0, "object_store_mib": 0.0}
    while process.poll() is None:
        try:
            own = driver.memory_info().rss / 2**20
            peaks["driver_mib"] = max(peaks["driver_mib"], round(own, 1))
            for child in driver.children(recursive=True):
                if child.name() == "raylet":
                    shared = _shared_memory(child.pid)
                    peaks["object_store_mib"] = max(peaks["object_store_mib"], round(shared, 1))
        except (psutil.Error, OSError):
            pass  # gone between two looks
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return peaks


def _shared_memory(pid: int) -> float:
    """MiB of shared memory that a process has touched: of a raylet, its object store."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssShmem:"):
            return int(line.split()[1]) / 1024
    return 0.0


def measured(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """All rounds, as the line of JSON."""
    folder = scratch / "model"
    cpu = torch.device("cpu")
    random_llama(args.shape, cpu, torch.float32, d_vocab=_VOCAB).save_pretrained(folder)
    rows = random_texts(np.random.default_rng(0), args.examples, (256, 512), _VOCAB)
    corpus = scratch / "texts.jsonl"
    corpus.write_text("".join(json.dumps({"input_ids": ids.tolist()}) + "\n" for ids in rows))
    settings = [f"model.name={folder}", "corpus=tokenized", f"corpus.path={corpus}"]
    settings += ["scan.compile=true", f"scan.unit_tokens={args.unit_tokens}"]
    n_workers = args.workers or os.cpu_count() or 1
    crews = {
        "one_process": [],
        "ray": ["cluster=ray", f"cluster.workers={n_workers}", "cluster.cpus_per_worker=1"],
    }
    rates: dict[str, list[float]] = defaultdict(list)
    peaks: dict[str, dict[str, float]] = {}
    waiting: list[float] = []
    for n in range(args.rounds):
        for name, crew in crews.items():
            output = scratch / f"{name}-{n}"
            command = [sys.executable, "-m", "pipeline", "run", *settings, *crew]
            peaks[name] = watched([*command, f"output={output}"])
            lines = (output / "events.jsonl").read_text().splitlines()
            rates[name].append(rate_after_start_up([json.loads(line) for line in lines]))
            if name == "ray":
                manifest = json.loads((output / "manifest.json").read_text())
                waiting.append(round(manifest["scan"]["waiting"], 4))
    ratios = [ray / one for one, ray in zip(rates["one_process"], rates["ray"], strict=True)]
    facts = provenance()
    return {
        "benchmark": "cluster_cost",
        "shape": args.shape,
        "n_tokens": sum(map(len, rows)),
        "unit_tokens": args.unit_tokens,
        "workers": n_workers,
        "tokens_per_s": {name: [round(r, 1) for r in each] for name, each in rates.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratio_of_each_round": [round(ratio, 3) for ratio in ratios],
        "waiting": waiting,
        "peaks": peaks,
        "hardware": facts["hardware"],
        "packages": facts["packages"],
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description="What Ray costs.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--shape", type=int, nargs=4, default=(512, 6, 1408, 8), metavar=SHAPE)
    parser.add_argument("--examples", type=int, default=256, help="texts of 256 to 512 tokens")
    parser.add_argument("--unit-tokens", type=int, default=8192)
    parser.add_argument("--workers", type=int, help="default: one a core")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="cluster-cost-") as scratch:
        print(json.dumps(measured(options, Path(scratch))))


if __name__ == "__main__":
    main()
