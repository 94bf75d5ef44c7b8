"""How fast the snapshots of workers become a layer's `sign_stats` and `examples`.

    python benchmarks/write_merge.py
    python benchmarks/write_merge.py --neurons 11008

One line of JSON. The workers' states are random (synthetic_dataset.py) and the work is the end of a
real run: find the snapshots, check and merge them, drop duplicates, write both
tables. Each number of workers is merged in a process of its own, for its peak of memory; the ratio
is that of the time to the time of one worker.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from synthetic_dataset import Size, make_corpus, make_state

from pipeline.provenance import provenance
from pipeline.store import (
    CorpusIndex,
    Place,
    TokenIndex,
    commit_snapshot,
    committed_snapshots,
    merge_layer,
    write_snapshot,
)

_LAYER = 0
_CORPUS = "corpus.json"
_WORKERS = (1, 3)
# A unit of the synthetic corpus for each worker, and more texts in it than a list has entries.
_FEWEST_EXAMPLES = 400


def prepare(place: Place, size: Size, n_workers: int) -> float:
    """Write a corpus and every worker's snapshot after its share of it; seconds of the saving."""
    corpus = make_corpus(place, size)
    place.write_json(_CORPUS, corpus.to_json())
    seconds = 0.0
    with TokenIndex(place, corpus) as tokens:
        for worker in range(n_workers):
            n = len(corpus.units)
            units = corpus.units[worker * n // n_workers : (worker + 1) * n // n_workers]
            first = units[0].first_example
            lengths = tokens.lengths[first : units[-1].first_example + units[-1].n_examples]
            state = make_state(size.state(), lengths, (size.seed, worker), first_example=first)
            started = time.perf_counter()
            ids = tuple(unit.unit_id for unit in units)
            commit_snapshot(
                place, write_snapshot(place, f"worker-{worker}", 1, ids, {_LAYER: state})
            )
            seconds += time.perf_counter() - started
    return seconds


def merge(folder: Path, size: Size) -> dict[str, Any]:
    """Merge what `prepare` left in a folder; to be called in a process that has done nothing."""
    place = Place(folder)
    corpus = CorpusIndex.from_json(place.read_json(_CORPUS))
    flipped = np.random.default_rng(size.seed).random(size.neurons) < 0.5
    with TokenIndex(place, corpus) as tokens:
        before = psutil.Process().memory_info().rss
        started = time.perf_counter()
        snapshots = committed_snapshots(place)
        rows = merge_layer(place, snapshots, _LAYER, size.state(), size.merge(), flipped, tokens)
        ended = time.perf_counter()
    tables = ("sign_stats", "examples")
    n_bytes = sum(p.stat().st_size for t in tables for p in (folder / t).rglob("*.parquet"))
    # Linux counts it in KiB, macOS in bytes.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak *= 1 if sys.platform == "darwin" else 1024
    return {
        "merge_s": round(ended - started, 2),
        "rows_per_s": round(rows["examples"] / (ended - started)),
        "mib_per_s": round(n_bytes / 2**20 / (ended - started), 2),
        "bytes_a_row": round(n_bytes / sum(rows.values()), 1),
        "peak_rss_gib": round(peak / 2**30, 2),
        "peak_above_start_gib": round((peak - before) / 2**30, 2),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description="Merge the snapshots of workers and write a layer.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--neurons", type=int, default=2048, help="neurons of the layer")
    parser.add_argument("--examples", type=int, default=4000, help="texts of the corpus")
    parser.add_argument("--spare", type=int, default=16, help="entries of a list kept above k")
    parser.add_argument("--merge", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.examples < _FEWEST_EXAMPLES:
        parser.error(f"--examples {options.examples}: three workers need {_FEWEST_EXAMPLES}")
    size = Size(neurons=options.neurons, examples=options.examples, spare=options.spare)
    if options.merge:
        print(json.dumps(merge(options.merge, size)))
        return
    merged: dict[str, dict[str, Any]] = {}
    for n_workers in _WORKERS:
        with tempfile.TemporaryDirectory(prefix="write-merge-") as folder:
            save_s = prepare(Place(folder), size, n_workers)
            sizes = [f"--{name}={getattr(size, name)}" for name in ("neurons", "examples", "spare")]
            ran = subprocess.run(
                [sys.executable, __file__, *sizes, "--merge", folder],
                check=True,
                capture_output=True,
                text=True,
            )
        merged[str(n_workers)] = {"save_s": round(save_s, 2), **json.loads(ran.stdout)}
    one, most = (merged[str(n)] for n in (_WORKERS[0], _WORKERS[-1]))
    made = provenance()
    line = {
        "what": "write_merge",
        "size": asdict(size),
        "state_gib": round(size.state().n_bytes / 2**30, 3),
        "workers": merged,
        "ratio": round(most["merge_s"] / max(one["merge_s"], 0.01), 2),
        "hardware": made["hardware"],
        "versions": made["packages"],
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
