"""The driver: gives out units, commits snapshots, has the layers written, whatever is lost.

It holds nothing that grows with the model or the corpus but the list of units. All that it knows
can be rebuilt from the output place, so that it may be killed at any time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from pipeline.errors import GatescopeError, Interrupted
from pipeline.model import ModelFacts
from pipeline.scan.blame import Blame
from pipeline.scan.commits import Commits
from pipeline.scan.layers import Layers
from pipeline.scan.messages import Begun, ScannedUnit
from pipeline.scan.scanner import ScanSettings
from pipeline.scan.team import Member, Outcome, Team
from pipeline.store import (
    CorpusIndex,
    DamagedSnapshot,
    EventLog,
    Place,
    RunRecord,
    Snapshot,
)

_log = logging.getLogger(__name__)
# Where no interval is set: a crash costs five minutes, or snapshots a twentieth of the time.
_SNAPSHOT_EVERY_S: Final = 300.0
_SNAPSHOT_SHARE: Final = 0.05


@dataclass
class _Desk:
    """What the driver remembers of a member."""

    begun: bool = False
    n_snapshots: int = 0
    last_snapshot: float = field(default_factory=time.monotonic)
    # What a new worker takes none for: its first one protects its first units soon.
    snapshot_s: float = 0.0


class Driver:
    """One run of the scan and of the merge over a team; `run` ends when every table is written.

    `leave` ends it early: every worker's units are committed, and Interrupted is raised. `tick` is
    called several times a second; `guard` before each commit, and may raise.
    """

    def __init__(
        self,
        place: Place,
        corpus: CorpusIndex,
        facts: ModelFacts,
        settings: ScanSettings,
        team: Team,
        events: EventLog,
        *,
        snapshot_every_s: float | None,
        leave: threading.Event,
        guard: Callable[[], None],
        note: Callable[[str], object],
        tick: Callable[[Driver], None],
    ) -> None:
        self._corpus = corpus
        self._facts = facts
        self._settings = settings
        self._team = team
        self._events = events
        self._every_s = snapshot_every_s
        self._leave = leave
        self._note = note
        self._tick = tick
        self._commits = Commits(place, corpus, events, guard, note)
        self.ledger, self.totals = self._commits.ledger, self._commits.totals
        self.layers = Layers(RunRecord(place), facts.layers)
        self._desks: dict[str, _Desk] = {}
        self._blame = Blame(len(corpus.units))

    @property
    def phase(self) -> str:
        """`scanning`, `merging`, or `leaving`."""
        if self._leave.is_set():
            return "leaving"
        return "merging" if self.ledger.is_complete else "scanning"

    def run(self) -> None:
        """Scan what no snapshot covers, then write the layers that are not written.

        Raises GatescopeError for what a person has to mend, after committing what can be.
        """
        try:
            while not self._is_over():
                self._team.hiring = not self._leave.is_set()
                for member in list(self._team.members.values()):
                    if member.job is None and member.loaded is not None:
                        self._give(member)
                self._take_all(self._team.poll())
                self._team.check()
                self._tick(self)
        except GatescopeError as error:
            self._save_what_is_counted()
            self._events.write("stopped", reason=str(error))
            raise
        if self._leave.is_set():
            self._events.write("left", units=self.ledger.n_kept)
            raise Interrupted

    def _is_over(self) -> bool:
        if self._leave.is_set():
            return not any(
                self.ledger.n_uncommitted(member.name) for member in self._team.members.values()
            ) and not self._team.at_work("scan", "snapshot")
        return self.ledger.is_complete and self.layers.is_complete

    # What a member is asked next.

    def _give(self, member: Member) -> None:
        if member.name not in self._desks:
            self._welcome(member)
        desk = self._desks[member.name]
        n_uncommitted = self.ledger.n_uncommitted(member.name)
        if self._leave.is_set() or member.leaving:
            if n_uncommitted:
                self._ask_for_snapshot(member, desk)
            elif member.leaving:
                self._events.write("worker_left", worker=member.name)
                self._gone(member)
                self._team.dismiss(member)
            return
        if n_uncommitted and self._is_due(desk):
            self._ask_for_snapshot(member, desk)
        elif self.ledger.n_waiting:
            if desk.begun:
                unit = self.ledger.take(member.name)
                self._team.ask(member, "scan", unit, unit, self.ledger.next_waiting())
            else:
                own = self.ledger.orphan()
                self.ledger.join(member.name, own)
                self._team.ask(member, "begin", own, self._settings, self._corpus.fingerprint, own)
        elif n_uncommitted:
            self._ask_for_snapshot(member, desk)
        elif self.ledger.is_complete and self.layers.n_waiting:
            if desk.begun:
                # It drops its states; its snapshot is there for whoever scans again.
                self.ledger.part(member.name)
                desk.begun = False
            layer = self.layers.take()
            what = layer, self._settings, self.ledger.snapshots, self._corpus.fingerprint
            self._team.ask(member, "merge", layer, *what)

    def _welcome(self, member: Member) -> None:
        assert member.loaded is not None
        facts, node = member.loaded.facts, member.loaded.node
        # A folder has other names elsewhere.
        if replace(facts, name=self._facts.name) != self._facts:
            raise GatescopeError(
                f"the worker on {node} has another model than the first one ({facts}, not "
                f"{self._facts}); give all the same kind of device and versions of packages"
            )
        self._desks[member.name] = _Desk()
        device, pid = member.loaded.device, member.loaded.pid
        self.totals.nodes[member.name] = (node, device)
        self._events.write("worker_ready", worker=member.name, node=node, pid=pid, device=device)

    def _is_due(self, desk: _Desk) -> bool:
        every_s = self._every_s
        if every_s is None:
            every_s = max(_SNAPSHOT_EVERY_S, desk.snapshot_s / _SNAPSHOT_SHARE)
        return time.monotonic() - desk.last_snapshot >= every_s

    def _ask_for_snapshot(self, member: Member, desk: _Desk) -> None:
        desk.n_snapshots += 1
        self._team.ask(member, "snapshot", None, desk.n_snapshots)

    # What has come of it.

    def _take_all(self, outcomes: list[Outcome]) -> None:
        """Take every outcome, for each changes the ledger, and then raise the first error."""
        errors = []
        for outcome in outcomes:
            try:
                self._take(outcome)
            except GatescopeError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def _take(self, outcome: Outcome) -> None:
        member, error = outcome.member, outcome.error
        if isinstance(error, DamagedSnapshot) and outcome.method == "merge":
            self.layers.give_back(outcome.about)
            self._commits.drop(error.snapshot, error.file)
        elif isinstance(error, GatescopeError) and not self._is_of_one_machine(outcome):
            # Its states may hold half a unit.
            self._gone(member)
            raise error
        elif error is not None:
            self._failed(outcome)
        elif outcome.method == "begin":
            self._begun(member, outcome.about, outcome.answer)
        elif outcome.method == "scan":
            self._counted(member, outcome)
        elif outcome.method == "snapshot":
            desk = self._desks[member.name]
            desk.last_snapshot = time.monotonic()
            desk.snapshot_s = outcome.seconds
            self._commits.commit(member.name, outcome.answer, desk.snapshot_s)
        elif outcome.method == "merge":
            self.layers.keep(outcome.about, outcome.answer)
            self._events.write("layer_written", layer=outcome.about, worker=member.name)
            self._team.progressed()

    def _begun(self, member: Member, own: Snapshot | None, begun: Begun) -> None:
        desk = self._desks[member.name]
        if begun.damaged is not None and own is not None:
            # It has begun with empty states instead.
            self.ledger.part(member.name)
            self._commits.drop(own.name, begun.damaged)
            self.ledger.join(member.name, None)
            own = None
        desk.begun, desk.last_snapshot = True, time.monotonic()
        self.totals.compiled = begun.compiled
        base = None if own is None else own.name
        self._events.write("worker_begun", worker=member.name, goes_on_from=base)

    def _counted(self, member: Member, outcome: Outcome) -> None:
        scanned: ScannedUnit = outcome.answer
        self.ledger.count(member.name)
        self._blame.counted()
        self._team.progressed()
        self.totals.add_unit(member.name, scanned)
        self._events.write(
            "unit_counted",
            unit=outcome.about.unit_id,
            worker=member.name,
            tokens=scanned.n_tokens,
            seconds=round(scanned.seconds, 3),
        )

    def _failed(self, outcome: Outcome) -> None:
        """A worker raised what nobody can mend by a setting, or is gone."""
        member, said = outcome.member, str(outcome.error) or type(outcome.error).__name__
        again, at = self._gone(member)
        if not outcome.lost:
            self._team.replace(outcome)
        what = {"worker": member.name, "at": outcome.method, "reason": said}
        self._events.write("worker_lost", **what, units_again=again)
        assert isinstance(outcome.error, Exception)
        if outcome.method == "merge":
            self.layers.failed(outcome.about, outcome.error, lost=outcome.lost)
        elif at is not None:
            self._blame.failed(self.ledger.unit(at), outcome.error, lost=outcome.lost)
        elif outcome.lost:
            self._blame.lost_elsewhere()
        elif not self._is_of_one_machine(outcome):
            raise GatescopeError(f"a worker failed at {outcome.method}: {said}") from outcome.error
        how = "was lost" if outcome.lost else "failed"
        self._note(
            f"a worker {how} at {outcome.method} ({said}); {len(again)} units will be scanned again"
        )

    def _is_of_one_machine(self, outcome: Outcome) -> bool:
        """Whether others do well what this worker could not, before it had any unit."""
        return outcome.method in ("load", "begin") and self.totals.n_tokens > 0

    def _gone(self, member: Member) -> tuple[list[int], int | None]:
        self._desks.pop(member.name, None)
        again, at = self.ledger.part(member.name)
        self.totals.n_units_again += len(again)
        return again, at

    def _save_what_is_counted(self) -> None:
        """Before the run stops: commit the units of all members that still can."""
        self._team.hiring = False
        members = self._team.members
        while True:
            for member in list(members.values()):
                if member.job is None and self.ledger.n_uncommitted(member.name):
                    self._ask_for_snapshot(member, self._desks[member.name])
            if not self._team.at_work("scan", "snapshot"):
                return
            for outcome in self._team.poll():
                try:
                    if outcome.error is not None:
                        self._gone(outcome.member)
                    elif outcome.method in ("scan", "snapshot"):
                        self._take(outcome)
                # The first error is the one that is told; the next run scans these units again.
                except GatescopeError as error:
                    _log.warning("%s", error)
                    self._gone(outcome.member)
