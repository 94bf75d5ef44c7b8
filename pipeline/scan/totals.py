"""What a run of the driver has counted, for the manifest and for the display."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from pipeline.scan.messages import ScannedUnit
from pipeline.store import now


@dataclass
class Totals:
    """Sums over all workers, of this run of the driver alone.

    `busy_s` are the seconds that workers spent on units, and `waited_s` those that passed between
    two of them; `n_units_again` counts the units that were given out once more.
    """

    n_tokens: int = 0
    n_padded: int = 0
    n_halved: int = 0
    n_resumed_units: int = 0
    n_units_again: int = 0
    n_snapshots: int = 0
    n_damaged: int = 0
    busy_s: float = 0.0
    waited_s: float = 0.0
    compiled: bool = False
    scan_s: float = 0.0
    _started: float = field(default_factory=time.monotonic)
    last_snapshot: str | None = None
    n_units_of: Counter[str] = field(default_factory=Counter)
    n_tokens_of: Counter[str] = field(default_factory=Counter)
    nodes: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add_unit(self, worker: str, scanned: ScannedUnit) -> None:
        """A worker has counted a unit."""
        self.n_tokens += scanned.n_tokens
        self.n_padded += scanned.n_padded
        self.n_halved += scanned.n_halved
        self.busy_s += scanned.seconds
        self.waited_s += scanned.waited_s
        self.n_units_of[worker] += 1
        self.n_tokens_of[worker] += scanned.n_tokens
        self.scan_s = time.monotonic() - self._started

    def add_snapshot(self) -> None:
        """A snapshot was committed."""
        self.n_snapshots += 1
        self.last_snapshot = now()
        self.scan_s = time.monotonic() - self._started
