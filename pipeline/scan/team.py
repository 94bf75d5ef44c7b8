"""The workers of a run: hired, watched, given one thing at a time, replaced when they are gone."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import Any, Final

from pipeline.errors import GatescopeError
from pipeline.scan.crew import Crew, Hired, Lost
from pipeline.scan.messages import Loaded, Pulse
from pipeline.scan.rate import Rate

# The longest that answers are waited for at a time, and between two looks at a worker's pulse.
_TICK_S: Final = 0.2
_PULSE_EVERY_S: Final = 1.0
# Workers that are lost, nothing done between, before the run is given up: so many, and so many
# times the whole team, which may go at once. The next is hired later each time, up to so long.
_MOST_LOST_IN_VAIN: Final = 12
_TEAMS_LOST_IN_VAIN: Final = 3
_LONGEST_PAUSE_S: Final = 30.0
# What a worker does for long without a step between, and how much longer it is waited for.
_WITHOUT_STEPS: Final = ("load", "plan", "begin")
_PATIENCE_WITHOUT_STEPS: Final = 6.0
# A driver that was held up for longer has not looked: nobody hung meanwhile that it can tell.
_HELD_UP_S: Final = 5.0


@dataclass
class Member:
    """A worker as the team sees it. `job` is what it was asked last and has not answered."""

    name: str
    hired: Hired
    loaded: Loaded | None = None
    job: Job | None = None
    pulse: Pulse | None = None
    _pulse: Future[Pulse] | None = None
    _asked: float = 0.0
    _alive: float = 0.0
    _rate: Rate = field(default_factory=Rate)

    @property
    def n_tokens(self) -> int:
        """Tokens that it has counted, also of the unit that it is at."""
        return 0 if self.pulse is None else self.pulse.n_tokens

    @property
    def leaving(self) -> bool:
        """Whether it has asked to be let go."""
        return self.pulse is not None and self.pulse.leaving

    @property
    def tokens_per_s(self) -> float:
        """Over the last minute."""
        return self._rate.tokens_per_s


@dataclass
class Job:
    """What a worker was asked: a method, what it is about (a unit, a layer), and since when."""

    method: str
    about: Any
    answer: Future[Any]
    since: float


@dataclass(frozen=True)
class Outcome:
    """The end of a job, after so many seconds: its answer, or the error.

    `lost` where the worker is gone with it.
    """

    member: Member
    method: str
    about: Any
    answer: Any
    error: BaseException | None
    lost: bool
    seconds: float


class Team:
    """The members and what has become of them; a context manager that dismisses all at its end."""

    def __init__(self, crew: Crew, hang_after_s: float, note: Callable[[str], object]) -> None:
        self.members: dict[str, Member] = {}
        self.n_lost = 0
        self.n_wanted = 0
        self.hiring = True
        self._crew = crew
        self._hang_after_s = hang_after_s
        self._note = note
        self._noted: set[str] = set()
        # No name is used twice, so that no two workers write to one folder, not even one that was
        # given up and lives on.
        self._prefix = secrets.token_hex(3)
        self._n_hired = 0
        self._lost_in_vain = 0
        self._last_lost = ""
        self._looked = time.monotonic()
        self._hire_at = 0.0

    def __enter__(self) -> Team:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Dismiss all; nothing more can be asked."""
        try:
            for member in list(self.members.values()):
                self.dismiss(member)
        finally:
            self._crew.close()

    def ask(self, member: Member, method: str, about: Any, *arguments: Any) -> None:
        """Give a member that has nothing to do something to do."""
        assert member.job is None
        now = time.monotonic()
        member.job = Job(method, about, member.hired.ask(method, *arguments), now)
        member._alive = now

    def dismiss(self, member: Member, *, lost: bool = False) -> None:
        """End a worker, or give up one that is lost."""
        del self.members[member.name]
        idle = member.job is None and member.loaded is not None and not lost
        member.hired.dismiss(idle=idle)

    def at_work(self, *methods: str) -> bool:
        """Whether any member has still to answer one of these."""
        return any(member.job and member.job.method in methods for member in self.members.values())

    def progressed(self) -> None:
        """A unit was counted or a layer written: workers that are lost are not lost in vain."""
        self._lost_in_vain = 0

    def poll(self) -> list[Outcome]:
        """Hire who is missing, wait for answers, and give those that have come.

        A member that is lost, or that has hung and was ended, comes with an error and `lost`.
        """
        self._hire()
        awaited = [member.job.answer for member in self.members.values() if member.job]
        if awaited:
            wait(awaited, _TICK_S, return_when=FIRST_COMPLETED)
        else:
            time.sleep(_TICK_S)
        outcomes = [
            self._outcome(member, member.job)
            for member in list(self.members.values())
            if member.job and member.job.answer.done()
        ]
        now = time.monotonic()
        held_up = now - self._looked > _HELD_UP_S
        self._looked = now
        for member in list(self.members.values()):
            if held_up:
                member._alive = now
            hung = self._look_at(member)
            if hung is not None:
                outcomes.append(hung)
        for outcome in outcomes:
            if outcome.lost:
                self.replace(outcome)
        return outcomes

    def _hire(self) -> None:
        if not self.hiring or time.monotonic() < self._hire_at:
            return
        self.n_wanted = self._crew.n_wanted()
        while len(self.members) < self.n_wanted:
            member_name = f"{self._prefix}-{self._n_hired}"
            self._n_hired += 1
            member = Member(member_name, self._crew.hire(member_name))
            self.members[member_name] = member
            self.ask(member, "load", None)

    def _outcome(self, member: Member, job: Job) -> Outcome:
        member.job = None
        error = job.answer.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        lost = isinstance(error, Lost)
        if error is None and job.method == "load":
            member.loaded = job.answer.result()
        answer = None if error is not None else job.answer.result()
        seconds = time.monotonic() - job.since
        return Outcome(member, job.method, job.about, answer, error, lost, seconds)

    def _look_at(self, member: Member) -> Outcome | None:
        """Take the pulse now and then; gives the end of what a member that hangs was doing."""
        now = time.monotonic()
        if member._pulse is None:
            if now - member._asked >= _PULSE_EVERY_S:
                member._pulse, member._asked = member.hired.pulse(), now
        elif member._pulse.done():
            # A worker that is gone says so through its job.
            if member._pulse.exception() is None:
                self._take_pulse(member, member._pulse.result(), now)
            member._pulse = None
        job = member.job
        # Before its first pulse a worker waits for a machine, for as long as that takes.
        if job is None or member.pulse is None:
            return None
        patience = _PATIENCE_WITHOUT_STEPS if job.method in _WITHOUT_STEPS else 1.0
        limit_s = self._hang_after_s * patience
        if now - member._alive < limit_s:
            return None
        error = Lost(f"no sign of life for {limit_s:.0f} s at {job.method}")
        return Outcome(member, job.method, job.about, None, error, True, now - job.since)

    def _take_pulse(self, member: Member, pulse: Pulse, now: float) -> None:
        before, member.pulse = member.pulse, pulse
        if before is None or pulse.n_steps != before.n_steps:
            member._alive = now
        member._rate.add(pulse.n_tokens)
        for text in pulse.notes:
            if text not in self._noted:
                self._noted.add(text)
                self._note(text)

    def replace(self, outcome: Outcome) -> None:
        """Its worker is lost, or of no use any more: another one is hired, later each time."""
        if outcome.member.name in self.members:
            self.dismiss(outcome.member, lost=outcome.lost)
        self.n_lost += 1
        self._lost_in_vain += 1
        self._last_lost = f"{outcome.method}: {outcome.error}"
        rounds = self._lost_in_vain / max(1, self.n_wanted)
        if self._lost_in_vain > 1 and rounds >= 1:
            pause = min(_LONGEST_PAUSE_S, 2.0 ** (rounds - 1))
            self._hire_at = time.monotonic() + pause

    def check(self) -> None:
        """Raise GatescopeError where worker after worker is lost and nothing is done between."""
        most = max(_MOST_LOST_IN_VAIN, _TEAMS_LOST_IN_VAIN * self.n_wanted)
        if self._lost_in_vain >= most:
            raise GatescopeError(
                f"{self._lost_in_vain} workers were lost one after the other and nothing was done "
                f"between, the last at {self._last_lost}; see what ended them (memory, a package "
                "that a machine lacks), then run the same command again"
            )
