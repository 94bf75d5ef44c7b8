"""What launches a run on a cluster: the SLURM script with stand-ins for SLURM, the manifest."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from pipeline.config import compose_config

DEPLOY = Path(__file__).parents[1] / "deploy"

# Writes down how it was called; `gatescope` also lives until it is told to leave.
_STAND_IN = """#!/usr/bin/env bash
echo "$(basename "$0") $*" >> {log}
"""
_GATESCOPE = """#!/usr/bin/env bash
echo "gatescope $* at $RAY_ADDRESS" >> {log}
leave() {{ sleep 0.3; echo "gatescope left" >> {log}; exit {code}; }}
trap leave TERM
for _ in $(seq {steps}); do sleep 0.05; done
exit 0
"""


def run_script(
    folder: Path, *, steps: int, code: int = 143, n_nodes: int = 2
) -> tuple[subprocess.Popen[bytes], Path]:
    log, path = folder / "log", folder / "bin"
    path.mkdir()
    for name in ("ray", "srun", "scontrol"):
        (path / name).write_text(_STAND_IN.format(log=log))
    (path / "gatescope").write_text(_GATESCOPE.format(log=log, steps=steps, code=code))
    for file in path.iterdir():
        file.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{path}:{os.environ['PATH']}",
        "SLURM_JOB_ID": "1234567",
        "SLURM_JOB_NUM_NODES": str(n_nodes),
        "SLURM_CPUS_PER_TASK": "32",
        "SLURM_GPUS_ON_NODE": "8",
    }
    script = str(DEPLOY / "slurm.sbatch")
    command = ["bash", script, "model=demo", "output=/shared/a b"]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE), log


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def tell_to_leave(process: subprocess.Popen[bytes], log: Path) -> None:
    """SIGTERM, once the run has begun and the script waits for it."""
    deadline = time.monotonic() + 30
    while not any(line.startswith("gatescope") for line in lines(log)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)


def test_the_script_of_slurm(tmp_path: Path) -> None:
    process, log = run_script(tmp_path, steps=1)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    told = lines(log)
    assert told[0].startswith("ray start --head")
    assert "--num-cpus=32 --num-gpus=8" in told[0]
    address = next(line for line in told if line.startswith("gatescope")).rpartition(" at ")[2]
    assert address.endswith(":24567")
    assert any(
        line.startswith("srun --nodes=1 --ntasks=1") and f"--address={address}" in line
        for line in told
    )
    assert any(
        line.startswith("gatescope run cluster=slurm model=demo output=/shared/a b")
        for line in told
    )
    assert told[-1] == "ray stop"
    assert not any(line.startswith("scontrol") for line in told)


def test_a_job_whose_time_is_over_goes_back_into_the_queue(tmp_path: Path) -> None:
    process, log = run_script(tmp_path, steps=2000, n_nodes=1)
    tell_to_leave(process, log)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert lines(log)[-3:] == ["gatescope left", "scontrol requeue 1234567", "ray stop"]
    assert not any(line.startswith("srun") for line in lines(log))


def test_a_run_that_fails_is_not_started_again(tmp_path: Path) -> None:
    process, log = run_script(tmp_path, steps=2000, code=2, n_nodes=1)
    tell_to_leave(process, log)
    process.communicate(timeout=60)
    assert process.returncode == 2
    assert not any(line.startswith("scontrol") for line in lines(log))


def test_the_manifest_of_kuberay() -> None:
    manifest = yaml.safe_load((DEPLOY / "rayjob.yaml").read_text())
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", "RayJob")
    command, verb, *overrides = shlex.split(manifest["spec"]["entrypoint"])
    assert (command, verb) == ("gatescope", "run")
    config = compose_config(overrides)
    assert (config.cluster.name, config.cluster.address) == ("ray", "auto")
    assert str(config.output).startswith("s3://")
    spec = manifest["spec"]["rayClusterSpec"]
    ray = pytest.importorskip("ray")
    assert spec["rayVersion"] == ray.__version__
    for group in spec["workerGroupSpecs"]:
        (container,) = group["template"]["spec"]["containers"]
        assert container["resources"]["limits"] == container["resources"]["requests"]


def test_bash_reads_the_script() -> None:
    subprocess.run(["bash", "-n", str(DEPLOY / "slurm.sbatch")], check=True)
