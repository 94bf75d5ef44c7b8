"""How far a run is: what its display shows, and what `gatescope status` reads from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class WorkerStatus:
    """One worker: where it is, what it does, its tokens in this run and a second."""

    name: str
    node: str
    doing: str
    n_tokens: int
    tokens_per_s: float


@dataclass(frozen=True)
class RunStatus:
    """A run at a moment. `time` and `last_snapshot` are UTC, ISO 8601; `phase` is one word.

    Units are `done` once a worker has counted them and `kept` once a snapshot covers them.
    `seconds_left` is of the scan, None before there is a rate.
    """

    time: str
    phase: str
    host: str
    pid: int
    n_layers: int
    n_layers_done: int
    # Of a scan; a run without one has none of it.
    n_units: int = 0
    n_units_done: int = 0
    n_units_kept: int = 0
    n_tokens: int = 0
    n_tokens_done: int = 0
    tokens_per_s: float = 0.0
    seconds_left: float | None = None
    workers: tuple[WorkerStatus, ...] = ()
    n_workers_wanted: int = 1
    n_workers_lost: int = 0
    n_units_again: int = 0
    last_snapshot: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As written to the output place."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> RunStatus:
        """What `to_json` gave."""
        workers = tuple(WorkerStatus(**worker) for worker in value["workers"])
        return cls(**{**value, "workers": workers})
