"""What reading a dataset on the Hub transfers: one neuron, one layer, a question about all neurons.

    python benchmarks/hub.py outputs/demo

The dataset is published to a Hub on loopback (tests/loopback_hub.py), by the real client, and read
from there: `pipeline.open` by DuckDB through ranges, `load_dataset` streamed. A line of JSON each:
bytes and requests of files, as a share of the whole dataset, and seconds (of a loopback, so that a
far Hub takes a round trip more for each request).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from loopback_hub import LoopbackHub, loopback_hub

from pipeline.provenance import provenance

_REPO = "org/benchmark"
_READ = """
import sys, time
import pipeline

def step(what, act):
    began = time.perf_counter()
    act()
    print(what, time.perf_counter() - began, flush=True)
    sys.stdin.readline()

opened = []
step("open", lambda: opened.append(pipeline.open(sys.argv[1])))
(ds,) = opened
last = ds.layers[-1]
step("one_neuron", lambda: ds.neuron(last, 7))
step("its_neighbour", lambda: ds.neuron(last, 8))
stats = "select avg(frequency) from sign_stats where layer = "
step("frequencies_of_one_layer", lambda: ds.sql(f"{stats}{ds.layers[0]}").fetchall())
step("cosine_vs_gate_frequency", lambda: ds.query("cosine_vs_gate_frequency").fetchall())
"""
_STREAM = """
import sys, time
from datasets import load_dataset

began = time.perf_counter()
rows = load_dataset(sys.argv[1], "examples", split="train", streaming=True)
for _, row in zip(range(192), rows):
    assert row["token_ids"]
print("stream_192_examples", time.perf_counter() - began, flush=True)
sys.stdin.readline()
"""


def main(arguments: list[str] | None = None) -> None:
    """Publish, read, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", type=Path)
    options = parser.parse_args(arguments)
    sizes = [path.stat().st_size for path in options.dataset.rglob("*.parquet")]
    with loopback_hub() as hub:
        command = [sys.executable, "-m", "pipeline", "publish", str(options.dataset), _REPO]
        subprocess.run(command, env=hub.environment, check=True, stdout=subprocess.DEVNULL)
        for program in (_READ, _STREAM):
            for line in _steps(hub, program, sum(sizes)):
                print(json.dumps(line))


def _steps(hub: LoopbackHub, program: str, whole: int) -> list[dict[str, Any]]:
    """What each step of a program has transferred."""
    command = [sys.executable, "-c", program, _REPO]
    found = []
    hub.asked.clear()
    with subprocess.Popen(
        command, env=hub.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            what, seconds = line.split()
            n_bytes = sum(one.n_sent for one in hub.asked)
            found.append(
                {
                    "what": what,
                    "bytes": n_bytes,
                    "share_of_the_dataset": round(n_bytes / whole, 5),
                    "dataset_bytes": whole,
                    "ranges": sum(one.path.startswith("/cdn/") for one in hub.asked),
                    "other_requests": sum(not one.path.startswith("/cdn/") for one in hub.asked),
                    "seconds": round(float(seconds), 3),
                    **provenance(),
                }
            )
            hub.asked.clear()
            process.stdin.write("\n")
            process.stdin.flush()
    return found


if __name__ == "__main__":
    main()
