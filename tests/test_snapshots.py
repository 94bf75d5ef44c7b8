"""Snapshots on disk: whatever byte is not as it was written is seen."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch
from test_reduce import Case, scanned

from pipeline.store import (
    DamagedSnapshot,
    Place,
    Snapshot,
    commit_snapshot,
    committed_snapshots,
    open_layer,
    sweep_snapshots,
    write_snapshot,
)

CASE = Case(n_examples=4, max_length=12, n_neurons=2, on_grid=False, spare=1)


def written(place: Place, worker: str, number: int, units: tuple[int, ...]) -> Snapshot:
    state = scanned(CASE, CASE.examples())
    return write_snapshot(place, worker, number, units, {0: state, 1: state})


def test_any_byte_of_a_layer(tmp_path: Path) -> None:
    place = Place(tmp_path)
    snapshot = written(place, "a", 1, (0, 1))
    commit_snapshot(place, snapshot)
    path = tmp_path / snapshot.folder / "layer-0001.safetensors"
    whole = path.read_bytes()
    rng = random.Random(0)
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        with pytest.raises(DamagedSnapshot), open_layer(place, snapshot, 1, CASE.state):
            pass
    for damage in (b"", whole[:-1], whole + b"\0"):
        path.write_bytes(damage)
        with pytest.raises(DamagedSnapshot), open_layer(place, snapshot, 1, CASE.state):
            pass
    path.write_bytes(whole)
    with open_layer(place, snapshot, 1, CASE.state) as stored:
        assert torch.equal(stored.neurons(0, 2).counts, scanned(CASE, CASE.examples()).counts)
    path.unlink()
    with pytest.raises(DamagedSnapshot), open_layer(place, snapshot, 1, CASE.state):
        pass


def test_any_byte_of_a_commit(tmp_path: Path) -> None:
    """The snapshot is as good as none: its units are scanned again, none is counted twice."""
    place = Place(tmp_path)
    commit_snapshot(place, snapshot := written(place, "a", 1, (0, 1)))
    (found,) = committed_snapshots(place)
    assert found == snapshot
    path = tmp_path / snapshot.folder / "commit.json"
    whole = path.read_bytes()
    for at in range(len(whole)):
        for bit in (0, 5, 7):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << bit
            path.write_bytes(damaged)
            # White space may become other white space.
            assert committed_snapshots(place) in ([], [snapshot]), at
    for damage in (b"", whole[: len(whole) // 2], b"[]", b"null", b"{}"):
        path.write_bytes(damage)
        assert committed_snapshots(place) == []


def test_what_is_not_committed_does_not_count(tmp_path: Path) -> None:
    place = Place(tmp_path)
    written(place, "a", 1, (0,))
    assert committed_snapshots(place) == []


def test_one_that_is_replaced_does_not_count(tmp_path: Path) -> None:
    """Also where the driver died between the commit and the removal of what it replaces."""
    place = Place(tmp_path)
    commit_snapshot(place, first := written(place, "a", 1, (0, 1)))
    shutil.copytree(tmp_path / first.folder, tmp_path / "kept")
    second = written(place, "b", 1, (0, 1, 5))
    commit_snapshot(place, second, [first])
    assert committed_snapshots(place) == [second]
    assert not (tmp_path / first.folder).exists()
    shutil.copytree(tmp_path / "kept", tmp_path / first.folder)
    assert committed_snapshots(place) == [second]
    sweep_snapshots(place, [second])
    assert not (tmp_path / first.folder).exists()
    assert committed_snapshots(place) == [second]
    # Where the later one is damaged, the one before it is as good as ever.
    shutil.copytree(tmp_path / "kept", tmp_path / first.folder)
    (tmp_path / second.folder / "commit.json").write_text("{")
    assert committed_snapshots(place) == [first]


def test_units_are_counted_once_or_not_at_all(tmp_path: Path) -> None:
    place = Place(tmp_path)
    commit_snapshot(place, written(place, "a", 1, (0, 1)))
    commit_snapshot(place, larger := written(place, "b", 1, (1, 2, 3)))
    notes: list[str] = []
    assert committed_snapshots(place, notes.append) == [larger]
    assert len(notes) == 1
    assert "a/000001 covers units that another one has too" in notes[0]


def test_strays_cost_nothing(tmp_path: Path) -> None:
    """Such as a file manager leaves, or a snapshot that was never ended."""
    place = Place(tmp_path)
    commit_snapshot(place, kept := written(place, "a", 2, (0, 1)))
    written(place, "b", 1, (2,))
    for stray in (".DS_Store", "a/.DS_Store", "a/000001/x", "c/d/e/f"):
        path = tmp_path / "_work/snapshots" / stray
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    sweep_snapshots(place, committed_snapshots(place))
    assert committed_snapshots(place) == [kept]
    assert {name.split("/")[2] for name in place.names("_work/snapshots")} == {"a"}
    with open_layer(place, kept, 1, CASE.state):
        pass


def test_an_error_of_who_reads_is_its_own(tmp_path: Path) -> None:
    """What is not found by the merge is no fault of the snapshot."""
    place = Place(tmp_path)
    commit_snapshot(place, snapshot := written(place, "a", 1, (0,)))
    for error in (FileNotFoundError("mine"), OSError("mine")):
        with pytest.raises(type(error), match="mine"), open_layer(place, snapshot, 0, CASE.state):
            raise error
