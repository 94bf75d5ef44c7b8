"""How far a run is, told to its display at once and to the output place now and then."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from pipeline.errors import GatescopeError
from pipeline.scan.driver import Driver
from pipeline.scan.rate import Rate
from pipeline.scan.team import Member, Team
from pipeline.status import RunStatus, WorkerStatus
from pipeline.store import CorpusIndex, Place, RunRecord, Unit, now

_SHOW_EVERY_S: Final = 0.5
# A status that is written to a folder costs little, one that is uploaded a request.
_WRITE_EVERY_S: Final = {True: 2.0, False: 10.0}
_LAST_WRITE_S: Final = 5.0
_log = logging.getLogger(__name__)


class Reporter:
    """Called at every tick of the driver; a context manager.

    The status is written in a thread of its own, for a slow place must not hold up the driver.
    """

    def __init__(
        self, place: Place, corpus: CorpusIndex, team: Team, show: Callable[[RunStatus], None]
    ) -> None:
        self._record = RunRecord(place)
        self._every_s = _WRITE_EVERY_S[place.is_local] * place.pace
        self._corpus = corpus
        self._team = team
        self._show = show
        self._shown = 0.0
        self._rate = Rate()
        self._latest: RunStatus | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, name="status", daemon=True)

    def __enter__(self) -> Reporter:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._latest is not None and kind is not None:
            self._latest = replace(self._latest, phase="stopped", time=now())
        self._over.set()
        self._thread.join(_LAST_WRITE_S)

    def tick(self, driver: Driver) -> None:
        """Show how far the driver is, now and then."""
        if time.monotonic() - self._shown >= _SHOW_EVERY_S:
            self.show(driver)

    def show(self, driver: Driver) -> None:
        """Show how far the driver is now."""
        self._shown = time.monotonic()
        self._latest = self._status(driver)
        self._show(self._latest)

    def _write(self) -> None:
        written = None
        while True:
            over = self._over.wait(self._every_s)
            latest = self._latest
            if latest is not None and latest is not written:
                written = latest
                try:
                    self._record.keep_status(latest)
                except GatescopeError as error:
                    # Nothing depends on it, and the next one may succeed.
                    _log.warning("%s", error)
            if over:
                return

    def _status(self, driver: Driver) -> RunStatus:
        ledger, totals, team = driver.ledger, driver.totals, self._team
        members = list(team.members.values())
        at_work = sum(
            _tokens_at_work(member, totals.n_tokens_of[member.name]) for member in members
        )
        done = min(self._corpus.n_tokens, ledger.n_tokens_done + at_work)
        self._rate.add(totals.n_tokens + at_work)
        rate = self._rate.tokens_per_s
        left = self._corpus.n_tokens - done
        return RunStatus(
            time=now(),
            phase=driver.phase,
            host=socket.gethostname(),
            pid=os.getpid(),
            n_units=len(self._corpus.units),
            n_units_done=ledger.n_done,
            n_units_kept=ledger.n_kept,
            n_tokens=self._corpus.n_tokens,
            n_tokens_done=done,
            tokens_per_s=rate,
            seconds_left=left / rate if rate and left else None,
            n_layers=driver.layers.n_layers,
            n_layers_done=len(driver.layers.written),
            workers=tuple(_worker_status(member) for member in members),
            n_workers_wanted=team.n_wanted,
            n_workers_lost=team.n_lost,
            n_units_again=totals.n_units_again,
            last_snapshot=totals.last_snapshot,
        )


def _tokens_at_work(member: Member, n_counted: int) -> int:
    """Tokens of the unit that a member is at, of which its pulse tells and no answer yet."""
    if member.job is None or member.job.method != "scan":
        return 0
    unit: Unit = member.job.about
    return min(unit.n_tokens, max(0, member.n_tokens - n_counted))


def _worker_status(member: Member) -> WorkerStatus:
    doing = "idle"
    if member.job is not None:
        doing = member.job.method
        if isinstance(member.job.about, Unit):
            doing = f"unit {member.job.about.unit_id}"
        elif member.job.method == "merge":
            doing = f"layer {member.job.about}"
    return WorkerStatus(
        name=member.name,
        node="" if member.loaded is None else member.loaded.node,
        doing=doing,
        n_tokens=member.n_tokens,
        tokens_per_s=member.tokens_per_s,
    )
