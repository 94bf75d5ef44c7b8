"""What a worker answers: small, whatever the model; nothing of size leaves the worker this way."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.model import ModelFacts
from pipeline.scan.scanner import ScanSettings


class Stopped(Exception):
    """The worker was told to stop where it is; what it had not handed over is lost."""


@dataclass(frozen=True)
class Loaded:
    """What is known once a worker has its model: the model's facts, and where it runs."""

    facts: ModelFacts
    node: str
    pid: int
    device: str


@dataclass(frozen=True)
class ScanPlan:
    """The settings of a scan whose states fit; their bytes by device."""

    settings: ScanSettings
    state_bytes: dict[str, int]


@dataclass(frozen=True)
class Begun:
    """How a worker begins: whether its update is compiled.

    `damaged` is a file of the snapshot that it should have gone on from, and did not.
    """

    compiled: bool
    damaged: str | None


@dataclass(frozen=True)
class ScannedUnit:
    """A unit that was counted: its tokens, padded too, the worker's seconds, batches halved.

    `waited_s` are the seconds since the unit before, where that was the last thing to do.
    """

    n_tokens: int
    n_padded: int
    seconds: float
    waited_s: float
    n_halved: int


@dataclass(frozen=True)
class Pulse:
    """That a worker lives: tokens and steps so far, what it should tell, and if it has to go."""

    n_tokens: int
    n_steps: int
    notes: tuple[str, ...]
    leaving: bool
