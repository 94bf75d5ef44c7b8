"""Workers as Ray actors, on this machine or on a cluster. Owns ray."""

from __future__ import annotations

import math
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import ray
import ray.exceptions

from pipeline.config import ClusterConfig, RunConfig
from pipeline.errors import GatescopeError
from pipeline.scan.crew import Hired, Lost
from pipeline.scan.messages import Pulse
from pipeline.scan.worker import Worker

# Cores of a worker on a CPU, where neither is set: as many as its batches side by side use.
_CPUS: Final = 4
# Everything of size goes past Ray's object store; 75 MiB are the least that Ray takes.
_OBJECT_STORE: Final = 100 << 20
_LOOK_EVERY_S: Final = 5.0
_CLOSING_S: Final = 10.0
_KNOCKING_S: Final = 10.0
# Settings of the driver's process that decide how a worker behaves.
_PASSED_ON: Final = (
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_OFFLINE",
    "OMP_WAIT_POLICY",
    "THP_MEM_ALLOC_ENABLE",
    "TOKENIZERS_PARALLELISM",
)


class _Actor:
    """A worker in a process of its own. SIGTERM asks it to be let go."""

    def __init__(self, name: str, output: str, config: RunConfig, n_threads: int) -> None:
        self._worker = Worker(name, output, config, n_threads)
        # A constructor runs in the main thread, where signals are set.
        signal.signal(signal.SIGTERM, lambda *_: self._worker.leave())

    def ask(self, method: str, *arguments: Any) -> Any:
        return getattr(self._worker, method)(*arguments)

    @ray.method(concurrency_group="pulse")
    def pulse(self) -> Pulse:
        return self._worker.pulse()


# Ray's types do not know concurrency groups.
_remote: Any = ray.remote(max_restarts=0, concurrency_groups={"pulse": 1})  # type: ignore[call-overload]


@dataclass(frozen=True)
class Share:
    """What each of `n_workers` takes of the cluster."""

    n_workers: int
    n_cpus: int
    n_gpus: int


def shares(cluster: ClusterConfig, nodes: list[dict[str, float]]) -> Share:
    """How the CPUs and GPUs of the nodes that live are shared out.

    `workers=auto` takes every GPU, or the CPUs where there is none.
    """
    gpus = [int(node.get("GPU", 0)) for node in nodes]
    cpus = [int(node.get("CPU", 0)) for node in nodes]
    n_gpus = cluster.gpus_per_worker
    if n_gpus is None:
        n_gpus = 1 if sum(gpus) else 0
    n_cpus = cluster.cpus_per_worker
    if n_cpus is None:
        if n_gpus:
            # The cores of a node go with its GPUs.
            each = [c * n_gpus // g for c, g in zip(cpus, gpus, strict=True) if g]
            n_cpus = max(1, min(each, default=1))
        elif cluster.workers is None:
            n_cpus = max(1, min([_CPUS, *(c for c in cpus if c)]))
        else:
            # The most that leaves room for all.
            n_cpus = max(1, sum(cpus) // cluster.workers)
            while n_cpus > 1 and sum(c // n_cpus for c in cpus) < cluster.workers:
                n_cpus -= 1
    if cluster.workers is not None:
        return Share(cluster.workers, n_cpus, n_gpus)
    return Share(int(sum(_room(node, n_cpus, n_gpus) for node in nodes)), n_cpus, n_gpus)


def _room(node: dict[str, float], n_cpus: int, n_gpus: int) -> float:
    """How many workers that take so much a node has room for."""
    by_cpus = node.get("CPU", 0.0) // n_cpus
    return min(by_cpus, node.get("GPU", 0.0) // n_gpus) if n_gpus else by_cpus


def _nodes() -> list[dict[str, float]]:
    """What each node that lives has."""
    return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


class RayCrew:
    """Hires actors on the cluster that `cluster.address` names, or on one of its own, here."""

    def __init__(self, output: str, config: RunConfig) -> None:
        self._output = output
        self._config = config
        self._own = not ray.is_initialized()
        self._looked = -math.inf
        if self._own:
            with _own_signals():
                _join(config.cluster)
        self._share = self._look()
        if self._own and _address(config.cluster) is None:
            self._refuse_what_never_fits()

    def _look(self) -> Share:
        self._looked = time.monotonic()
        return shares(self._config.cluster, _nodes())

    def _refuse_what_never_fits(self) -> None:
        share, nodes = self._share, _nodes()
        room = int(sum(_room(node, share.n_cpus, share.n_gpus) for node in nodes))
        if room < max(1, share.n_workers):
            has = {kind: int(sum(node.get(kind, 0) for node in nodes)) for kind in ("CPU", "GPU")}
            self.close()
            raise GatescopeError(
                f"cluster=ray: {max(1, share.n_workers)} workers with {share.n_cpus} CPUs and "
                f"{share.n_gpus} GPUs each do not fit on this machine, which has {has['CPU']} CPUs "
                f"and {has['GPU']} GPUs; lower cluster.workers, cluster.cpus_per_worker or "
                "cluster.gpus_per_worker"
            )

    def n_wanted(self) -> int:
        """As many as are set, or as the cluster has room for now."""
        is_late = time.monotonic() - self._looked >= _LOOK_EVERY_S
        if self._config.cluster.workers is None and is_late:
            self._share = self._look()
        # A cluster that has no room yet may grow once it is asked for it.
        return max(1, self._share.n_workers)

    def hire(self, name: str) -> Hired:
        """An actor; it runs once the cluster has room."""
        share = self._share
        environment = {key: os.environ[key] for key in _PASSED_ON if key in os.environ}
        environment["OMP_NUM_THREADS"] = str(share.n_cpus)
        if share.n_gpus == 0:
            # Else a worker that has asked for none sees them all.
            environment["CUDA_VISIBLE_DEVICES"] = ""
        actor = (
            _remote(_Actor)
            .options(
                num_cpus=share.n_cpus,
                num_gpus=share.n_gpus,
                scheduling_strategy="SPREAD",
                runtime_env={"env_vars": environment},
            )
            .remote(name, self._output, self._config, share.n_cpus)
        )
        return _InActor(actor)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        if self._own:
            ray.shutdown()


@contextmanager
def _own_signals() -> Iterator[None]:
    """What SIGTERM does stays as it is, where Ray would end the process."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _address(cluster: ClusterConfig) -> str | None:
    # Inside of `ray job submit` Ray says where it is.
    return cluster.address or os.environ.get("RAY_ADDRESS")


def _join(cluster: ClusterConfig) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray would warn of what it is going to do about GPUs, which is done above.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    address = _address(cluster)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        if address is not None:
            _knock(address)
            ray.init(address=address, namespace="gatescope", **quiet)
            return
        n_cpus = os.cpu_count() or 1
        if cluster.workers is not None and (cluster.cpus_per_worker or 1) == 1:
            # More workers than cores are what was asked for.
            n_cpus = max(n_cpus, cluster.workers)
        ray.init(
            address="local",
            num_cpus=n_cpus,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE,
            **quiet,
        )
    # What goes wrong there comes as errors of many classes.
    except Exception as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        if address is None:
            raise GatescopeError(
                f"cluster=ray: Ray {ray.__version__} cannot be started on this machine "
                f"({said[0]}); mend that, or set cluster=inprocess"
            ) from error
        raise GatescopeError(
            f"cluster.address={address}: Ray {ray.__version__} cannot join a cluster there "
            f"({said[0]}); see that one runs with the same versions of Ray and Python"
        ) from error


def _knock(address: str) -> None:
    """Raise OSError at once where nobody listens, as Ray itself waits for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), _KNOCKING_S).close()


class _InActor:
    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def ask(self, method: str, *arguments: Any) -> Future[Any]:
        return _plain(self._actor.ask.remote(method, *arguments))

    def pulse(self) -> Future[Pulse]:
        return _plain(self._actor.pulse.remote())

    def dismiss(self, *, idle: bool) -> None:
        if idle:
            # Large files of its own go with it. One that does not answer is ended all the same.
            closed = self._actor.ask.remote("close")
            ray.wait([closed], timeout=_CLOSING_S)
        ray.kill(self._actor)


def _plain(reference: Any) -> Future[Any]:
    """A future whose errors are the worker's own, or Lost."""
    plain: Future[Any] = Future()

    def hand_on(answer: Future[Any]) -> None:
        error = answer.exception()
        if error is None:
            plain.set_result(answer.result())
        elif isinstance(error, ray.exceptions.RayTaskError):
            plain.set_exception(error.cause or RuntimeError(str(error)))
        elif isinstance(error, ray.exceptions.RayError):
            plain.set_exception(Lost(_reason(error)))
        else:
            plain.set_exception(error)

    reference.future().add_done_callback(hand_on)
    return plain


def _reason(error: Exception) -> str:
    """What Ray says of a worker that is gone, in one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = [line for line in lines if "died" in line or "killed" in line or "exit" in line]
    if any("creation task" in line for line in lines):
        told = lines  # an error of the constructor, whose own text comes last
    return (told or lines or [type(error).__name__])[-1][:300]
