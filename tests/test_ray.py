"""Workers as Ray actors, on a cluster of two nodes here; what takes long: benchmarks/chaos.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from crews import SETTINGS, Runner, events, names, nothing
from datasets_compared import differences_between

from pipeline.config import ClusterConfig
from pipeline.scan.ray_crew import Share, shares
from pipeline.store import Place, committed_snapshots

# Long enough for things to happen before the end.
_MORE = ("corpus.max_tokens=12000", "scan.unit_tokens=250")
N_UNITS = 19
ray = pytest.importorskip("ray")


def cluster(**settings: Any) -> ClusterConfig:
    return ClusterConfig(name="ray", **settings)


LAPTOP = [{"CPU": 8.0}]
GPU_NODES = [{"CPU": 32.0, "GPU": 8.0}] * 2
UNLIKE = [{"CPU": 2.0}, {"CPU": 7.0}, {"memory": 1.0}]


@pytest.mark.parametrize(
    ("config", "nodes", "share"),
    [
        (cluster(), LAPTOP, Share(2, 4, 0)),
        (cluster(), [{"CPU": 2.0}], Share(1, 2, 0)),
        (cluster(cpus_per_worker=1), LAPTOP, Share(8, 1, 0)),
        (cluster(workers=2), LAPTOP, Share(2, 4, 0)),
        (cluster(workers=2), [{"CPU": 2.0}], Share(2, 1, 0)),
        (cluster(workers=3), [{"CPU": 2.0}], Share(3, 1, 0)),
        (cluster(), GPU_NODES, Share(16, 4, 1)),
        (cluster(gpus_per_worker=4), GPU_NODES, Share(4, 16, 4)),
        (cluster(gpus_per_worker=3, cpus_per_worker=8), GPU_NODES, Share(4, 8, 3)),
        (cluster(workers=5), GPU_NODES, Share(5, 4, 1)),
        # A worker is on one node.
        (cluster(gpus_per_worker=9), GPU_NODES, Share(0, 36, 9)),
        (cluster(gpus_per_worker=0), GPU_NODES, Share(16, 4, 0)),
        (cluster(), UNLIKE, Share(4, 2, 0)),
        (cluster(workers=3), UNLIKE, Share(3, 2, 0)),
        (cluster(), [], Share(0, 4, 0)),
    ],
)
def test_what_a_worker_takes(
    config: ClusterConfig, nodes: list[dict[str, float]], share: Share
) -> None:
    assert shares(config, nodes) == share


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        node = {"num_cpus": 1, "object_store_memory": 100 << 20}
        nodes = Cluster(initialize_head=True, head_node_args=node)
        nodes.add_node(**node)
        yield nodes
        nodes.shutdown()


@pytest.fixture(scope="module")
def longer(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("longer") / "dataset"
    with pytest.MonkeyPatch.context() as patch:
        manifest = Runner(texts, patch)(output, 1, nothing, *_MORE)
    assert manifest["scan"]["n_units"] == N_UNITS
    return output


def started(texts: Path, output: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", "run", *SETTINGS, f"corpus.path={texts}"]
    command += [*_MORE, *more, f"output={output}"]
    # A working folder that is not the workers': paths must not depend on it.
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def until(output: Path, event: str, n: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not (output / "events.jsonl").exists() or names(output)[event] < n:
        if process.poll() is not None:
            pytest.fail(f"the run ended: {process.communicate()[0].decode()}")
        assert time.monotonic() < deadline, f"{n} {event} did not come in two minutes"
        time.sleep(0.02)


def test_two_nodes_and_a_worker_that_is_killed(
    two_nodes: Any, texts: Path, longer: Path, tmp_path: Path
) -> None:
    output = tmp_path / "dataset"
    at = ("cluster=ray-cluster", f"cluster.address={two_nodes.address}")
    with started(texts, output, *at) as process:
        until(output, "worker_ready", 2, process)
        until(output, "unit_counted", 2, process)
        ready = [event for event in events(output) if event["event"] == "worker_ready"]
        os.kill(ready[0]["pid"], signal.SIGKILL)
        said = process.communicate(timeout=240)[0].decode()
    assert process.returncode == 0, said
    assert "a worker was lost at" in said
    assert names(output)["worker_lost"] == 1
    assert differences_between(longer, output) == []
    manifest = json.loads((output / "manifest.json").read_text())
    assert sum(worker["n_units"] for worker in manifest["scan"]["workers"]) >= N_UNITS
    assert not (output / "_work").exists()
    # Nobody is left on the cluster, which is not ours to end.
    deadline = time.monotonic() + 30
    pids = [event["pid"] for event in events(output) if event["event"] == "worker_ready"]
    while (left := list(filter(psutil.pid_exists, pids))) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == []


@pytest.mark.slow
def test_preempted_and_moved_to_one_process(
    two_nodes: Any, texts: Path, longer: Path, tmp_path: Path
) -> None:
    """SIGTERM to a worker makes it leave, to the driver makes all leave; then one goes on alone."""
    output = tmp_path / "dataset"
    at = ("cluster=ray-cluster", f"cluster.address={two_nodes.address}")
    with started(texts, output, *at, "cluster.snapshot_every_s=1000") as process:
        until(output, "unit_counted", 1, process)
        ready = [event for event in events(output) if event["event"] == "worker_ready"]
        os.kill(ready[0]["pid"], signal.SIGTERM)
        until(output, "worker_left", 1, process)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=240)[0].decode()
    assert process.returncode == 143, said
    assert "told to leave" in said
    n_kept = sum(len(s.units) for s in committed_snapshots(Place(output)))
    assert n_kept == names(output)["unit_counted"] > 0
    with started(texts, output, "cluster=inprocess") as process:
        said = process.communicate(timeout=240)[0].decode()
    assert process.returncode == 0, said
    assert names(output)["unit_counted"] == N_UNITS
    assert differences_between(longer, output) == []


def test_no_cluster_there(texts: Path, tmp_path: Path) -> None:
    at = ("cluster=ray-cluster", "cluster.address=127.0.0.1:1")
    with started(texts, tmp_path / "dataset", *at) as process:
        said = process.communicate(timeout=240)[0].decode()
    assert process.returncode == 2, said
    assert "gatescope: cluster.address=127.0.0.1:1: Ray" in said
    assert not (tmp_path / "dataset").exists()
