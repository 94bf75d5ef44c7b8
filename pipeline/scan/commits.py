"""What is kept for good: snapshots that are committed, replaced or dropped, with the ledger."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.scan.ledger import Ledger
from pipeline.scan.totals import Totals
from pipeline.store import (
    CorpusIndex,
    EventLog,
    Place,
    Snapshot,
    commit_snapshot,
    committed_snapshots,
    drop_snapshot,
    sweep_snapshots,
)


class Commits:
    """The ledger of a corpus and the snapshots in the output place, changed together.

    Files of no committed snapshot are removed at the start: those of workers that are gone.
    """

    def __init__(
        self,
        place: Place,
        corpus: CorpusIndex,
        events: EventLog,
        guard: Callable[[], None],
        note: Callable[[str], object],
    ) -> None:
        snapshots = committed_snapshots(place, note)
        sweep_snapshots(place, snapshots)
        self._place = place
        self._note = note
        self._events = events
        self._guard = guard
        self.ledger = Ledger(corpus.units, snapshots)
        self.totals = Totals(n_resumed_units=self.ledger.n_kept)
        self._resumed = {snapshot.name for snapshot in snapshots}

    def commit(self, worker: str, snapshot: Snapshot, seconds: float) -> None:
        """A worker has written a snapshot, in so many seconds; from here on it counts."""
        self._guard()
        replaced = self.ledger.commit(worker, snapshot)
        commit_snapshot(self._place, snapshot, replaced)
        self.totals.add_snapshot()
        self._events.write(
            "snapshot_committed",
            snapshot=snapshot.name,
            units=len(snapshot.units),
            seconds=round(seconds, 3),
        )

    def drop(self, name: str, file: str) -> None:
        """A file of a snapshot is damaged: its units are scanned again.

        Nothing is to be done where the snapshot does not count any more.
        """
        snapshot = self.ledger.drop(name)
        if snapshot is None:
            return
        drop_snapshot(self._place, snapshot)
        n_units = len(snapshot.units)
        self.totals.n_damaged += 1
        self.totals.n_units_again += n_units
        if name in self._resumed:
            self.totals.n_resumed_units -= n_units
        self._events.write("snapshot_damaged", snapshot=name, file=file, units=n_units)
        self._note(f"snapshot {name} is damaged ({file}): {n_units} units are scanned again")
