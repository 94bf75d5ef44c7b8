"""Runs over a crew of workers in threads of the test's process, to which things happen."""

from __future__ import annotations

import io
import json
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import pipeline.run
from pipeline.config import RunConfig, compose_config
from pipeline.run import run
from pipeline.scan import Team
from pipeline.scan.crew import Hired, Lost
from pipeline.scan.messages import Pulse
from pipeline.scan.worker import Worker

# Called around each job: the worker, the method, its arguments, and whether it is done yet. May
# raise what the job is to end with.
Mishap = Callable[[Worker, str, tuple[Any, ...], bool], None]


class Threads:
    """Workers that share a process; `n` of them, which may be changed meanwhile."""

    def __init__(self, output: str, config: RunConfig, n: int, mishap: Mishap) -> None:
        self._make = lambda name: Worker(name, output, config)
        self.n = n
        self._mishap = mishap
        # Models are loaded, and states compiled, one after the other: these are no test of that.
        self._one_at_a_time = threading.Lock()
        self.workers: list[Worker] = []

    def n_wanted(self) -> int:
        return self.n

    def hire(self, name: str) -> Hired:
        worker = self._make(name)
        self.workers.append(worker)
        return _Thread(worker, self._mishap, self._one_at_a_time)

    def close(self) -> None:
        pass


class _Thread:
    def __init__(self, worker: Worker, mishap: Mishap, lock: threading.Lock) -> None:
        self.worker = worker
        self._mishap = mishap
        self._lock = lock
        self._thread = ThreadPoolExecutor(1)
        self._gone = False

    def ask(self, method: str, *arguments: Any) -> Future[Any]:
        return self._thread.submit(self._do, method, arguments)

    def _do(self, method: str, arguments: tuple[Any, ...]) -> Any:
        if self._gone:
            raise Lost("gone before")
        try:
            self._mishap(self.worker, method, arguments, False)
            if method in ("load", "begin"):
                with self._lock:
                    answer = getattr(self.worker, method)(*arguments)
            else:
                answer = getattr(self.worker, method)(*arguments)
            self._mishap(self.worker, method, arguments, True)
        except Lost:
            self._gone = True
            raise
        return answer

    def pulse(self) -> Future[Pulse]:
        future: Future[Pulse] = Future()
        if not self._gone:
            future.set_result(self.worker.pulse())
        return future

    def dismiss(self, *, idle: bool) -> None:
        self.worker.stop()
        # Not waited for: a worker that hangs stays behind, as one on another machine may.
        self._thread.shutdown(wait=False, cancel_futures=True)
        if idle:
            self.worker.close()


SETTINGS = [
    "model.layers=[0,3]",
    "corpus=local",
    "corpus.max_length=256",
    "corpus.max_tokens=5000",
    "scan.unit_tokens=500",
    "scan.k=3",
    "scan.spare=3",
    "scan.window.before=8",
    "scan.window.after=3",
    "scan.compile=false",
    "cluster.snapshot_every_s=0.001",
]
N_UNITS = 9


def nothing(worker: Worker, method: str, arguments: tuple[Any, ...], done: bool) -> None:
    """No mishap."""


class Runner:
    """Runs the same configuration over crews of a test's own."""

    def __init__(self, texts: Path, patch: pytest.MonkeyPatch) -> None:
        self.texts = texts
        self.patch = patch
        self.log = io.StringIO()

    def __call__(
        self,
        output: Path | str,
        n_workers: int = 1,
        mishap: Mishap = nothing,
        *more: str,
        hang_after_s: float = 60.0,
        crew: Callable[[Threads], None] = lambda crew: None,
    ) -> dict[str, Any]:
        config = compose_config([*SETTINGS, f"corpus.path={self.texts}", *more, f"output={output}"])

        def hire(config: Any, console: Console) -> Team:
            threads = Threads(str(config.output), config, n_workers, mishap)
            crew(threads)
            return Team(threads, hang_after_s, self.log.write)

        with self.patch.context() as patch:
            patch.setattr(pipeline.run, "hire", hire)
            return run(config, Console(file=self.log, width=200)).manifest


def events(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "events.jsonl").read_text().splitlines()]


def names(output: Path) -> Counter[str]:
    return Counter(event["event"] for event in events(output))
