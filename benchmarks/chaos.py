r"""One dataset, made in many ways, with and without things that die: all have to be equal.

    python benchmarks/chaos.py                          # every scenario
    python benchmarks/chaos.py workers_killed node_removed --tokens 400000

Each scenario is `gatescope run` of the built-in model on the same texts, in a process of its own,
and what it leaves is compared with what one undisturbed process leaves: bit for bit, but for means,
which may differ by 1e-12. One line of JSON a scenario: its seconds and their ratio to the same run
undisturbed, workers lost, units that were given out again, the part of the workers' time that they
waited, and what differs (nothing, or the exit code is 1). One thread a worker, as any number of
workers rounds alike only with the same threads.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import psutil

from pipeline.demo.corpus import demo_texts
from pipeline.provenance import provenance

_CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_CHECKOUT / "tests"))

_BUCKET = "gatescope"
_SETTINGS = (
    "corpus=local",
    "corpus.max_length=512",
    "scan.unit_tokens=4000",
    "scan.k=8",
    "scan.spare=8",
    "scan.compile=true",
    # It must not depend on what is free at the moment.
    "scan.tokens_per_batch=2048",
)
_LONGEST_S = 900
# What a scenario has to have told, for it to have been one.
_HAPPENED: dict[str, Callable[[dict[str, Any]], bool]] = {
    "node_removed": lambda line: line["workers_lost"] >= 1,
    "workers_killed": lambda line: line["workers_lost"] >= 1 and line["workers_killed"] >= 2,
    "worker_hangs": lambda line: line["workers_lost"] == 1,
    "driver_killed": lambda line: line["units_again"] >= 1,
    "told_to_leave": lambda line: line["exit_code"] == 143 and line["units_again"] == 0,
    "s3_restarted": lambda line: line["workers_lost"] >= 1,
}
_RAY = ("cluster=ray", "cluster.cpus_per_worker=1")


class Bench:
    """A corpus and a folder; runs commands and compares what they leave."""

    def __init__(self, folder: Path, n_tokens: int, every_s: float, seed: int) -> None:
        self.folder = folder
        self.every_s = every_s
        self.rng = random.Random(seed)
        texts = [text.text for text in itertools.islice(demo_texts(), 4000)]
        self.corpus = folder / "texts.json"
        self.corpus.write_text(json.dumps(texts))
        self.n_tokens = n_tokens
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def start(self, output: str, *settings: str) -> subprocess.Popen[bytes]:
        """`gatescope run` in a process of its own."""
        command = [sys.executable, "-m", "pipeline", "run", *_SETTINGS, *settings]
        command += [f"corpus.path={self.corpus}", f"corpus.max_tokens={self.n_tokens}"]
        log = open(self.folder / "log.txt", "ab")  # noqa: SIM115 (the child's as long as it runs)
        return subprocess.Popen(
            [*command, f"output={output}"],
            cwd=_CHECKOUT,
            env=self.environment,
            stdout=log,
            stderr=log,
        )

    def finish(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for a run that has to end well."""
        if process.wait(_LONGEST_S) != 0:
            raise SystemExit((self.folder / "log.txt").read_text()[-3000:])

    def events(self, output: str) -> list[dict[str, Any]]:
        """What the run has told so far."""
        filesystem, root = fsspec.core.url_to_fs(output, use_listings_cache=False)
        path = f"{root}/events.jsonl"
        if not filesystem.exists(path):
            return []
        lines = filesystem.cat_file(path).decode().splitlines()
        return [json.loads(line) for line in lines if line.endswith("}")]

    def until(self, output: str, process: subprocess.Popen[bytes], n_units: int) -> None:
        """Wait until so many units were counted; the run must not be over before."""
        while process.poll() is None:
            if sum(e["event"] == "unit_counted" for e in self.events(output)) >= n_units:
                return
            time.sleep(0.1)
        raise SystemExit(f"the run was over before {n_units} units: give more --tokens")


def workers_of(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The processes of a run's Ray actors, also of those that still load."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [child for child in children if _name(child).startswith("ray::_Actor")]


def _name(process: psutil.Process) -> str:
    try:
        return (process.cmdline() or [""])[0]
    except psutil.Error:
        return ""


Scenario = Callable[[Bench, str], dict[str, Any]]
_UNDISTURBED: dict[str, tuple[str, ...]] = {
    "one_process": (),
    "one_worker": (*_RAY, "cluster.workers=1"),
    "two_workers": (*_RAY, "cluster.workers=2"),
    "three_workers": (*_RAY, "cluster.workers=3"),
}


def undisturbed(bench: Bench, output: str, *settings: str) -> dict[str, Any]:
    """A run that nothing happens to."""
    bench.finish(bench.start(output, *settings))
    return {}


def two_nodes(bench: Bench, output: str) -> dict[str, Any]:
    """A cluster of two nodes on this machine, a worker on each."""
    with _cluster() as (cluster, _):
        settings = ("cluster=ray-cluster", f"cluster.address={cluster.address}")
        bench.finish(bench.start(output, *settings, "cluster.cpus_per_worker=1"))
    return {}


def node_removed(bench: Bench, output: str) -> dict[str, Any]:
    """One of the two nodes goes in the middle, and a new one comes."""
    with _cluster() as (cluster, node):
        settings = ("cluster=ray-cluster", f"cluster.address={cluster.address}")
        settings += ("cluster.cpus_per_worker=1", "cluster.snapshot_every_s=3")
        process = bench.start(output, *settings)
        bench.until(output, process, 8)
        cluster.remove_node(node, allow_graceful=False)
        bench.until(output, process, 16)
        cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
        bench.finish(process)
    return {"nodes_removed": 1}


@contextmanager
def _cluster() -> Iterator[tuple[Any, Any]]:
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    options = {"num_cpus": 1, "object_store_memory": 100 << 20}
    cluster = Cluster(initialize_head=True, head_node_args=options)
    try:
        yield cluster, cluster.add_node(**options)
    finally:
        cluster.shutdown()


def workers_killed(bench: Bench, output: str) -> dict[str, Any]:
    """Every few seconds one of two workers is killed, also while it loads."""
    process = bench.start(output, *_UNDISTURBED["two_workers"], "cluster.snapshot_every_s=2")
    bench.until(output, process, 2)
    killed = 0
    while process.poll() is None:
        victims = workers_of(process)
        if victims:
            bench.rng.choice(victims).send_signal(signal.SIGKILL)
            killed += 1
        with_pause = time.monotonic() + bench.every_s
        while time.monotonic() < with_pause and process.poll() is None:
            time.sleep(0.1)
    bench.finish(process)
    return {"workers_killed": killed}


def worker_hangs(bench: Bench, output: str) -> dict[str, Any]:
    """A worker is stopped (SIGSTOP) and never goes on."""
    settings = ("cluster.snapshot_every_s=2", "cluster.hang_after_s=5")
    process = bench.start(output, *_UNDISTURBED["two_workers"], *settings)
    bench.until(output, process, 4)
    victims = workers_of(process)
    victims[0].send_signal(signal.SIGSTOP)
    bench.finish(process)
    return {"workers_stopped": 1}


def driver_killed(bench: Bench, output: str) -> dict[str, Any]:
    """The driver is killed three times, and the same command is given again."""
    settings = (*_UNDISTURBED["two_workers"], "cluster.snapshot_every_s=2")
    for n in range(1, 4):
        process = bench.start(output, *settings)
        bench.until(output, process, 6 * n)
        process.send_signal(signal.SIGKILL)
        process.wait()
    bench.finish(bench.start(output, *settings))
    return {"drivers_killed": 3}


def told_to_leave(bench: Bench, output: str) -> dict[str, Any]:
    """SIGTERM to the driver: it leaves after a snapshot, and the next one loses nothing."""
    process = bench.start(output, *_UNDISTURBED["two_workers"])
    bench.until(output, process, 6)
    process.send_signal(signal.SIGTERM)
    code = process.wait()
    bench.finish(bench.start(output, *_UNDISTURBED["two_workers"]))
    return {"exit_code": code}


def moved_to_ray(bench: Bench, output: str) -> dict[str, Any]:
    """One process is killed in the middle, and three workers go on."""
    process = bench.start(output, "cluster.snapshot_every_s=2")
    bench.until(output, process, 8)
    process.send_signal(signal.SIGKILL)
    process.wait()
    bench.finish(bench.start(output, *_UNDISTURBED["three_workers"]))
    return {"drivers_killed": 1}


def s3_restarted(bench: Bench, output: str) -> dict[str, Any]:
    """The output is an S3 server, which is down for a while, and a worker is killed too."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel("ERROR")
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    bench.environment |= {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    os.environ.update(bench.environment)
    filesystem = fsspec.filesystem("s3")
    filesystem.mkdir(_BUCKET)
    url = f"s3://{_BUCKET}/dataset"
    down_s = 8.0
    process = bench.start(url, *_UNDISTURBED["two_workers"], "cluster.snapshot_every_s=2")
    stop = threading.Event()

    def restart() -> None:
        while not stop.wait(0.2):
            if filesystem.exists(f"{_BUCKET}/dataset/_work/snapshots"):
                break
        server.stop()
        time.sleep(down_s)
        again = ThreadedMotoServer(host, port, verbose=False)
        again.start()
        victims = workers_of(process)
        if victims:
            victims[0].send_signal(signal.SIGKILL)

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        bench.finish(process)
    finally:
        stop.set()
        thread.join()
    filesystem.invalidate_cache()
    filesystem.get(f"{_BUCKET}/dataset", output, recursive=True)
    return {"server_down_s": down_s}


_SCENARIOS: dict[str, Scenario] = {
    **{
        name: lambda bench, output, settings=settings: undisturbed(bench, output, *settings)
        for name, settings in _UNDISTURBED.items()
    },
    **{
        scenario.__name__: scenario
        for scenario in (
            two_nodes,
            node_removed,
            workers_killed,
            worker_hangs,
            driver_killed,
            told_to_leave,
            moved_to_ray,
            s3_restarted,
        )
    },
}


def main(arguments: list[str] | None = None) -> None:
    """Run the scenarios and print a line for each."""
    from datasets_compared import differences_between

    parser = argparse.ArgumentParser(
        description="Make one dataset in many ways.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("scenarios", nargs="*", help=", ".join(_SCENARIOS))
    parser.add_argument("--tokens", type=int, default=200_000, help="of the corpus")
    parser.add_argument("--every", type=float, default=8.0, help="seconds between two kills")
    parser.add_argument("--seed", type=int, default=0, help="of who is killed")
    options = parser.parse_args(arguments)
    unknown = set(options.scenarios) - set(_SCENARIOS)
    if unknown:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    names = [n for n in _SCENARIOS if not options.scenarios or n in options.scenarios]
    # What the others are compared with, and what their time is set against.
    names = list(dict.fromkeys(["one_process", "two_workers", *names]))
    facts = provenance()
    seconds: dict[str, float] = {}
    n_different = 0
    with tempfile.TemporaryDirectory(prefix="chaos-") as scratch:
        bench = Bench(Path(scratch), options.tokens, options.every, options.seed)
        for name in names:
            output = Path(scratch) / name
            started = time.perf_counter()
            told = _SCENARIOS[name](bench, str(output))
            seconds[name] = time.perf_counter() - started
            different = differences_between(Path(scratch) / "one_process", output)
            n_different += bool(different)
            manifest = json.loads((output / "manifest.json").read_text())
            events = Counter(event["event"] for event in bench.events(str(output)))
            baseline = "one_process" if name.startswith("one") else "two_workers"
            line = {
                "benchmark": "chaos",
                "scenario": name,
                "tokens": options.tokens,
                "units": manifest["scan"]["n_units"],
                "units_counted": events["unit_counted"],
                "units_again": events["unit_counted"] - manifest["scan"]["n_units"],
                "workers_lost": events["worker_lost"],
                "snapshots": events["snapshot_committed"],
                "waiting": manifest["scan"]["waiting"],
                "tokens_per_s": manifest["scan"]["tokens_per_s"],
                "seconds": round(seconds[name], 1),
                "ratio": round(seconds[name] / seconds[baseline], 2),
                "seconds_lost": round(seconds[name] - seconds[baseline], 1),
                "different": different,
                **told,
                "hardware": facts["hardware"],
                "packages": facts["packages"],
            }
            print(json.dumps(line), flush=True)
            if not _HAPPENED.get(name, lambda line: True)(line):
                raise SystemExit(f"{name}: what it is about did not happen: give more --tokens")
    if n_different:
        raise SystemExit(f"{n_different} of {len(names)} datasets differ")


if __name__ == "__main__":
    main()
