"""Where workers come from: this process, or (scan/ray_crew.py) a Ray cluster."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable

from pipeline.config import RunConfig
from pipeline.scan.messages import Pulse
from pipeline.scan.worker import Worker


class Lost(Exception):
    """A worker is gone, whatever it was doing; the message says what is known of why."""


@runtime_checkable
class Hired(Protocol):
    """A worker somewhere: what it is asked is answered later."""

    def ask(self, method: str, *arguments: Any) -> Future[Any]:
        """Call a method of the worker. The future fails with Lost where the worker is gone."""
        ...

    def pulse(self) -> Future[Pulse]:
        """The worker's pulse, whatever else it is doing."""
        ...

    def dismiss(self, *, idle: bool) -> None:
        """End the worker now; one that is not idle is stopped, and its answer may never come."""
        ...


@runtime_checkable
class Crew(Protocol):
    """Hires workers."""

    def n_wanted(self) -> int:
        """How many workers there should be now; it may change."""
        ...

    def hire(self, name: str) -> Hired:
        """A new worker, which may not run yet."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class OwnProcess:
    """A crew of one worker in a thread of this process."""

    def __init__(self, output: str, config: RunConfig) -> None:
        self._output = output
        self._config = config

    def n_wanted(self) -> int:
        """One."""
        return 1

    def hire(self, name: str) -> Hired:
        """The worker."""
        return _InThread(Worker(name, self._output, self._config))

    def close(self) -> None:
        """Nothing is left."""


class _InThread:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="worker")

    def ask(self, method: str, *arguments: Any) -> Future[Any]:
        return self._thread.submit(getattr(self._worker, method), *arguments)

    def pulse(self) -> Future[Pulse]:
        pulse: Future[Pulse] = Future()
        pulse.set_result(self._worker.pulse())
        return pulse

    def dismiss(self, *, idle: bool) -> None:
        self._worker.stop()
        self._thread.shutdown(cancel_futures=True)
        self._worker.close()
