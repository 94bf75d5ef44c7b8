"""When a unit is to blame, and when workers are lost by chance."""

from __future__ import annotations

import random

import pytest

from pipeline.errors import GatescopeError
from pipeline.scan.blame import Blame
from pipeline.scan.crew import Lost
from pipeline.store import Unit


def unit(unit_id: int) -> Unit:
    return Unit(unit_id, "corpus/part-00000.parquet", unit_id, 10 * unit_id, 10, 100)


def test_three_errors() -> None:
    blame = Blame(20)
    blame.failed(unit(7), RuntimeError("no"), lost=False)
    blame.failed(unit(8), RuntimeError("no"), lost=False)
    blame.failed(unit(7), RuntimeError("no"), lost=False)
    with pytest.raises(
        GatescopeError, match=r"unit 7 \(examples 70 to 79 .* failed 3 times, the last with: no"
    ):
        blame.failed(unit(7), RuntimeError("no"), lost=False)


def test_three_losses_where_all_else_goes_well() -> None:
    blame = Blame(20)
    for _ in range(20):
        blame.counted()
    blame.failed(unit(7), Lost("killed"), lost=True)
    blame.failed(unit(7), Lost("killed"), lost=True)
    with pytest.raises(GatescopeError, match=r"unit 7 .* failed 3 times"):
        blame.failed(unit(7), Lost("killed"), lost=True)


def test_nothing_goes_well() -> None:
    blame = Blame(20)
    for _ in range(9):
        blame.failed(unit(7), Lost("killed"), lost=True)
    with pytest.raises(GatescopeError, match=r"unit 7 .* failed 10 times"):
        blame.failed(unit(7), Lost("killed"), lost=True)


@pytest.mark.parametrize("chance", [0.01, 0.1, 0.4])
def test_workers_that_are_lost_by_chance(chance: float) -> None:
    """No unit is blamed in nearly all runs of 200 units, however often workers are lost."""
    n_blamed = 0
    for seed in range(100):
        rng, blame = random.Random(seed), Blame(200)
        waiting = list(range(200))
        try:
            while waiting:
                at = waiting.pop(0)
                if rng.random() < chance:
                    blame.failed(unit(at), Lost("killed"), lost=True)
                    waiting.append(at)
                else:
                    blame.counted()
        except GatescopeError:
            n_blamed += 1
    assert n_blamed <= 6, n_blamed
