"""Whether a unit is to blame for what happens to the workers that take it."""

from __future__ import annotations

from collections import Counter
from typing import Final

from pipeline.errors import GatescopeError
from pipeline.store import Unit

# A unit at which a worker raises an error is given out so often, and so is one at which workers are
# lost, unless that may well be chance.
_TRIES: Final = 3
_MOST_TRIES: Final = 10
# How likely a run may be to blame a unit that only had bad luck.
_CHANCE: Final = 0.01


class Blame:
    """Counts what was lost at each unit, and at all others.

    On a cluster whose machines come and go, workers are lost at any unit. One is to blame where a
    worker was lost at each of its tries, three at least, and such a row would come about by chance
    in one of a hundred runs, as often as workers are lost otherwise; or after ten.
    """

    def __init__(self, n_units: int) -> None:
        self._n_units = n_units
        self._errors: Counter[int] = Counter()
        self._losses: Counter[int] = Counter()
        self._n_counted = self._n_lost_elsewhere = 0

    def counted(self) -> None:
        """Some unit was counted."""
        self._n_counted += 1

    def lost_elsewhere(self) -> None:
        """A worker was lost that was at no unit."""
        self._n_lost_elsewhere += 1

    def failed(self, unit: Unit, error: Exception, *, lost: bool) -> None:
        """A worker raised an error at this unit, or was lost.

        Raises GatescopeError where the unit is to blame.
        """
        unit_id = unit.unit_id
        (self._losses if lost else self._errors)[unit_id] += 1
        if self._errors[unit_id] < _TRIES and not self._is_no_chance(unit_id):
            return
        tries = self._errors[unit_id] + self._losses[unit_id]
        last = unit.first_example + unit.n_examples - 1
        raise GatescopeError(
            f"unit {unit_id} (examples {unit.first_example} to {last} of the corpus table) failed "
            f"{tries} times, the last with: {str(error) or type(error).__name__}; what was counted "
            "is kept. Leave these examples out, or mend what fails, and run again"
        ) from error

    def _is_no_chance(self, unit_id: int) -> bool:
        tries = self._losses[unit_id]
        elsewhere = self._losses.total() - tries + self._n_lost_elsewhere
        # Laplace's rule: before anything was seen, lost or not is one as likely as the other.
        chance = (elsewhere + 1) / (elsewhere + self._n_counted + 2)
        return tries >= _TRIES and (chance**tries * self._n_units < _CHANCE or tries >= _MOST_TRIES)
