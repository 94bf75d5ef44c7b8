"""The ledger: whatever workers do, every unit is in one place, and in the end it is kept."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.scan.ledger import Ledger
from pipeline.store import Snapshot, Unit

UNITS = tuple(Unit(i, "corpus/part-00000.parquet", i, 10 * i, 10, 100 + i) for i in range(12))


def snapshot(worker: str, number: int, units: set[int] | list[int]) -> Snapshot:
    return Snapshot(worker, number, tuple(units), {})


class _Model:
    """Workers as they are: what each has in its states, and what it was given."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.states: dict[str, list[int]] = {}
        self.at_work: dict[str, int] = {}
        self.n = 0

    def check(self) -> None:
        ledger = self.ledger
        uncommitted = [
            unit
            for worker, units in self.states.items()
            for unit in units[len(units) - ledger.n_uncommitted(worker) :]
        ]
        kept = [unit for s in ledger.snapshots for unit in s.units]
        everywhere = Counter([*kept, *uncommitted, *self.at_work.values()])
        assert set(everywhere.values()) <= {1}
        assert len(everywhere) + ledger.n_waiting == len(UNITS)
        assert ledger.n_kept == len(kept)
        assert ledger.n_done == len(kept) + len(uncommitted)
        done = sum(UNITS[unit].n_tokens for unit in (*kept, *uncommitted))
        assert ledger.n_tokens_done == done

    def step(self, rng: random.Random) -> None:
        workers = list(self.states)
        free = [worker for worker in workers if worker not in self.at_work]
        does = rng.choice(["join", "take", "take", "count", "count", "commit", "lose", "drop"])
        if does == "join" and len(workers) < 4:
            base = self.ledger.orphan()
            self.n += 1
            worker = f"w{self.n}"
            self.ledger.join(worker, base)
            self.states[worker] = [] if base is None else list(base.units)
        elif does == "take" and free:
            worker = rng.choice(free)
            coming = self.ledger.next_waiting()
            unit = self.ledger.take(worker)
            assert unit == coming
            if unit is not None:
                self.at_work[worker] = unit.unit_id
        elif does == "count" and self.at_work:
            worker = rng.choice(list(self.at_work))
            self.states[worker].append(self.at_work.pop(worker))
            self.ledger.count(worker)
        elif does == "commit" and free:
            worker = rng.choice(free)
            self.n += 1
            self.ledger.commit(worker, snapshot(worker, self.n, self.states[worker]))
        elif does == "lose" and workers:
            worker = rng.choice(workers)
            n_lost = self.ledger.n_uncommitted(worker) + (worker in self.at_work)
            again, at = self.ledger.part(worker)
            assert len(again) == n_lost
            assert at == self.at_work.pop(worker, None)
            del self.states[worker]
        elif does == "drop" and self.ledger.snapshots and rng.random() < 0.3:
            damaged = rng.choice(self.ledger.snapshots)
            assert self.ledger.drop(damaged.name) == damaged
            assert self.ledger.drop(damaged.name) is None


@given(seed=st.integers(0, 2**32), n_steps=st.integers(1, 200))
def test_a_unit_is_in_one_place(seed: int, n_steps: int) -> None:
    rng = random.Random(seed)
    model = _Model(Ledger(UNITS, []))
    for _ in range(n_steps):
        model.step(rng)
        model.check()
    # Undisturbed, what is left is done.
    model.states.clear()
    for worker in [*model.at_work, *(f"w{i}" for i in range(model.n + 1))]:
        model.ledger.part(worker)
    base = model.ledger.orphan()
    model.ledger.join("last", base)
    units = [] if base is None else list(base.units)
    while (unit := model.ledger.take("last")) is not None:
        model.ledger.count("last")
        units.append(unit.unit_id)
    model.ledger.commit("last", snapshot("last", 1, units))
    assert model.ledger.is_complete
    covered = [unit for s in model.ledger.snapshots for unit in s.units]
    assert sorted(covered) == list(range(len(UNITS)))


def test_a_new_driver_knows_the_same() -> None:
    """All that is needed can be rebuilt from the corpus and the committed snapshots."""
    ledger = Ledger(UNITS, [snapshot("a", 3, [0, 1]), snapshot("b", 1, [4])])
    assert (ledger.n_kept, ledger.n_waiting, ledger.is_complete) == (3, 9, False)
    assert ledger.orphan() == snapshot("a", 3, [0, 1])
    ledger.join("c", ledger.orphan())
    assert ledger.orphan() == snapshot("b", 1, [4])
    first = ledger.take("c")
    assert first is not None
    assert first.unit_id == 2


def test_what_was_at_work_waits_last() -> None:
    ledger = Ledger(UNITS[:5], [])
    ledger.join("a", None)
    for _ in range(2):
        ledger.take("a")
        ledger.count("a")
    ledger.take("a")
    assert ledger.part("a") == ([0, 1, 2], 2)
    ledger.join("b", None)
    order = []
    while (unit := ledger.take("b")) is not None:
        ledger.count("b")
        order.append(unit.unit_id)
    assert order == [0, 1, 3, 4, 2]


def test_a_snapshot_of_other_units_is_refused() -> None:
    ledger = Ledger(UNITS, [])
    ledger.join("a", None)
    ledger.take("a")
    ledger.count("a")
    for units in ([], [1], [0, 1], [0, 0]):
        with pytest.raises(ValueError, match="was given"):
            ledger.commit("a", snapshot("a", 1, units))
    ledger.commit("a", snapshot("a", 1, [0]))


def test_a_snapshot_is_lost_while_its_worker_lives() -> None:
    ledger = Ledger(UNITS[:3], [])
    ledger.join("a", None)
    ledger.take("a")
    ledger.count("a")
    ledger.commit("a", snapshot("a", 1, [0]))
    assert ledger.n_uncommitted("a") == 0
    ledger.drop("a/000001")
    # Its states still hold the unit: it is written again, not scanned again.
    assert (ledger.n_uncommitted("a"), ledger.n_waiting) == (1, 2)
    assert ledger.commit("a", snapshot("a", 2, [0])) == []
