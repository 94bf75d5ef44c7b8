"""Where every unit is: waiting, with a worker, or in a committed snapshot. Exactly one of these.

Pure bookkeeping: nothing is read or written, and all of it can be rebuilt from the corpus and the
committed snapshots.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from pipeline.store import Snapshot, Unit


@dataclass
class _Held:
    """What a worker has: the snapshot that it goes on from, units counted since, one at work."""

    base: Snapshot | None = None
    done: list[int] = field(default_factory=list)
    doing: int | None = None

    @property
    def covered(self) -> set[int]:
        return {*(self.base.units if self.base else ()), *self.done}


class Ledger:
    """Gives units to workers and takes them back from those that are gone."""

    def __init__(self, units: Iterable[Unit], snapshots: Iterable[Snapshot]) -> None:
        self._units = {unit.unit_id: unit for unit in units}
        self._kept = {snapshot.name: snapshot for snapshot in snapshots}
        kept = self.kept_units()
        self._waiting = deque(unit_id for unit_id in self._units if unit_id not in kept)
        self._held: dict[str, _Held] = {}

    @property
    def snapshots(self) -> list[Snapshot]:
        """The committed snapshots."""
        return [self._kept[name] for name in sorted(self._kept)]

    def kept_units(self) -> set[int]:
        """The units that committed snapshots cover."""
        return {unit for snapshot in self._kept.values() for unit in snapshot.units}

    @property
    def n_waiting(self) -> int:
        """Units that no worker has and no snapshot covers."""
        return len(self._waiting)

    @property
    def n_kept(self) -> int:
        """Units that committed snapshots cover."""
        return sum(len(snapshot.units) for snapshot in self._kept.values())

    @property
    def n_done(self) -> int:
        """Units that are kept, or counted by a worker that lives."""
        return self.n_kept + sum(len(held.done) for held in self._held.values())

    @property
    def n_tokens_done(self) -> int:
        """The tokens of those."""
        done = Counter(unit for held in self._held.values() for unit in held.done)
        return sum(self._units[unit].n_tokens for unit in (*self.kept_units(), *done))

    @property
    def is_complete(self) -> bool:
        """Whether committed snapshots cover every unit."""
        return self.n_kept == len(self._units)

    def unit(self, unit_id: int) -> Unit:
        """A unit by its number."""
        return self._units[unit_id]

    def orphan(self) -> Snapshot | None:
        """The snapshot of a worker that is gone, for another to go on from: the largest, if any.

        The rest wait for the next worker, or for the merge.
        """
        taken = {held.base.name for held in self._held.values() if held.base is not None}
        free = [snapshot for name, snapshot in self._kept.items() if name not in taken]
        return max(free, key=lambda s: (len(s.units), s.name), default=None)

    def join(self, worker: str, base: Snapshot | None) -> None:
        """A worker begins, with the states of a snapshot or with empty ones."""
        assert worker not in self._held
        self._held[worker] = _Held(base)

    def take(self, worker: str) -> Unit | None:
        """The next unit, now with this worker; None where none is waiting."""
        held = self._held[worker]
        assert held.doing is None
        if not self._waiting:
            return None
        held.doing = self._waiting.popleft()
        return self._units[held.doing]

    def next_waiting(self) -> Unit | None:
        """The unit that is given out next."""
        return self._units[self._waiting[0]] if self._waiting else None

    def count(self, worker: str) -> None:
        """The worker has counted the unit that it had taken."""
        held = self._held[worker]
        assert held.doing is not None
        held.done.append(held.doing)
        held.doing = None

    def n_uncommitted(self, worker: str) -> int:
        """Units that would be lost with this worker, the one at work left out."""
        return len(self._held[worker].done) if worker in self._held else 0

    def commit(self, worker: str, snapshot: Snapshot) -> list[Snapshot]:
        """The worker's snapshot counts now; gives those that it replaces.

        Raises ValueError where it covers other units than the worker has counted.
        """
        held = self._held[worker]
        if set(snapshot.units) != held.covered or len(snapshot.units) != len(held.covered):
            raise ValueError(
                f"snapshot {snapshot.name} covers {sorted(snapshot.units)} and its worker was "
                f"given {sorted(held.covered)}"
            )
        replaced = [] if held.base is None else [held.base]
        for old in replaced:
            del self._kept[old.name]
        self._kept[snapshot.name] = snapshot
        held.base, held.done = snapshot, []
        return replaced

    def part(self, worker: str) -> tuple[list[int], int | None]:
        """The worker is gone, or its states are: gives its units, and of these the one at work.

        They wait again, that one last: if it is to blame, the others are counted first.
        """
        held = self._held.pop(worker, _Held())
        self._waiting.extendleft(reversed(held.done))
        if held.doing is not None:
            self._waiting.append(held.doing)
        return [*held.done, *([] if held.doing is None else [held.doing])], held.doing

    def drop(self, name: str) -> Snapshot | None:
        """A snapshot is damaged. Its units wait again, unless its worker lives and still has them.

        None where it is not, or no longer, one of those that count.
        """
        snapshot = self._kept.pop(name, None)
        if snapshot is None:
            return None
        for held in self._held.values():
            if held.base is not None and held.base.name == name:
                held.base, held.done = None, [*snapshot.units, *held.done]
                return snapshot
        self._waiting.extend(snapshot.units)
        return snapshot
