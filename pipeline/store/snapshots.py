"""Snapshots: a worker's whole state, one safetensors file a layer, and the units that it covers.

A worker writes the files of its snapshot; the driver alone commits it, so that a worker that was
given up and still lives changes nothing. A snapshot counts once its `commit.json` is there, which
holds each file's SHA-256 and names the snapshots that it goes on from and replaces.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pipeline.errors import GatescopeError
from pipeline.reduce import NEURON_AXIS, LayerState, StateSettings, neurons_of
from pipeline.store.place import WORK, Place

SNAPSHOTS: Final = f"{WORK}/snapshots"
_COMMIT: Final = "commit.json"


@dataclass(frozen=True)
class Snapshot:
    """A whole state in the output place: which worker's, which in its row, and its units."""

    worker: str
    number: int
    units: tuple[int, ...]
    checksums: Mapping[str, str]

    @property
    def name(self) -> str:
        """What no other snapshot is called: `<worker>/<number>`."""
        return f"{self.worker}/{self.number:06d}"

    @property
    def folder(self) -> str:
        """Its folder in the output place."""
        return f"{SNAPSHOTS}/{self.name}"


class DamagedSnapshot(Exception):
    """A file of a snapshot is missing, or not what was written: its units are to be done again."""

    def __init__(self, snapshot: str, file: str) -> None:
        super().__init__(snapshot, file)
        self.snapshot = snapshot
        self.file = file


def _layer_file(layer: int) -> str:
    return f"layer-{layer:04d}.safetensors"


def write_snapshot(
    place: Place,
    worker: str,
    number: int,
    units: tuple[int, ...],
    states: Mapping[int, LayerState],
    progress: Callable[[], object] = lambda: None,
) -> Snapshot:
    """Write a snapshot's files layer by layer; `progress` is called at each. Commits nothing."""
    snapshot = Snapshot(worker, number, units, checksums := {})
    for layer, state in states.items():
        name = _layer_file(layer)

        def fill(path: Path, name: str = name, state: LayerState = state) -> None:
            tensors = {key: tensor.cpu().contiguous() for key, tensor in state.tensors().items()}
            try:
                save_file(tensors, path)
            except SafetensorError as error:
                # Its message is all that is left of the OSError (no space, no permission).
                raise OSError(str(error)) from error
            checksums[name] = _checksum(path)

        place.write(f"{snapshot.folder}/{name}", fill)
        progress()
    return snapshot


def commit_snapshot(place: Place, snapshot: Snapshot, replaced: Iterable[Snapshot] = ()) -> None:
    """From here on the snapshot counts, and those that it goes on from are gone."""
    replaced = list(replaced)
    commit = {
        "worker": snapshot.worker,
        "number": snapshot.number,
        "units": snapshot.units,
        "checksums": dict(snapshot.checksums),
        "replaces": [other.name for other in replaced],
    }
    place.write_json(f"{snapshot.folder}/{_COMMIT}", {**commit, "sha256": _digest(commit)})
    for other in replaced:
        drop_snapshot(place, other)


def drop_snapshot(place: Place, snapshot: Snapshot) -> None:
    """Remove a snapshot; its commit first, for without it the rest says nothing."""
    place.remove(f"{snapshot.folder}/{_COMMIT}")
    place.remove(snapshot.folder)


def _digest(commit: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(commit, sort_keys=True).encode()).hexdigest()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def committed_snapshots(place: Place) -> list[Snapshot]:
    """All snapshots that count: committed, and replaced by none of the others.

    A damaged commit is passed over: it costs its units a second scan, nothing else. The files
    themselves are checked where they are read. Snapshots whose units overlap are refused: units are
    counted once or not at all.
    """
    found: dict[str, Snapshot] = {}
    replaced: set[str] = set()
    for name in place.names(SNAPSHOTS):
        if name.endswith(f"/{_COMMIT}"):
            snapshot, replaces = _read_commit(place, name)
            if snapshot is not None:
                found[snapshot.name] = snapshot
                replaced.update(replaces)
    snapshots = [found[name] for name in sorted(found.keys() - replaced)]
    units = [unit for snapshot in snapshots for unit in snapshot.units]
    if len(units) != len(set(units)):
        raise GatescopeError(
            f"output={place.url}: two snapshots cover the same unit; delete {SNAPSHOTS} there and "
            "run the same command again"
        )
    return snapshots


def sweep_snapshots(place: Place, kept: Iterable[Snapshot]) -> None:
    """Remove all files below the snapshots' folder but those of the snapshots `kept`."""
    folders = tuple(f"{snapshot.folder}/" for snapshot in kept)
    stale = {
        name.rpartition("/")[0] for name in place.names(SNAPSHOTS) if not name.startswith(folders)
    }
    for folder in sorted(stale):
        place.remove(folder)


def _read_commit(place: Place, name: str) -> tuple[Snapshot | None, list[str]]:
    try:
        commit: dict[str, Any] = json.loads(place.read_bytes(name))
        if commit.pop("sha256") != _digest(commit):
            return None, []
        snapshot = Snapshot(
            worker=str(commit["worker"]),
            number=int(commit["number"]),
            units=tuple(int(unit) for unit in commit["units"]),
            checksums=dict(commit["checksums"]),
        )
        return snapshot, [str(other) for other in commit["replaces"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, []


class StoredLayer:
    """One layer's state in a snapshot, of which any part is read without the rest."""

    def __init__(self, file: Any, settings: StateSettings) -> None:
        self._file = file
        self._settings = settings

    def neurons(self, start: int, stop: int) -> LayerState:
        """The part that belongs to neurons start to stop - 1, on the CPU."""
        tensors = {
            name: self._file.get_slice(name)[neurons_of(name, slice(start, stop))]
            if name in NEURON_AXIS
            else self._file.get_tensor(name)
            for name in self._file.keys()  # noqa: SIM118 (it is no mapping)
        }
        return LayerState.from_tensors(self._settings.part(start, stop), tensors)


@contextmanager
def open_layer(
    place: Place, snapshot: Snapshot, layer: int, settings: StateSettings
) -> Iterator[StoredLayer]:
    """One layer's state in a snapshot; `settings` are those that it was made with.

    Raises DamagedSnapshot where the file is not the one that was committed.
    """
    file = _layer_file(layer)
    if file not in snapshot.checksums:
        raise DamagedSnapshot(snapshot.name, file)
    try:
        with place.local(f"{snapshot.folder}/{file}") as path:
            if _checksum(path) != snapshot.checksums[file]:
                raise DamagedSnapshot(snapshot.name, file)
            with safe_open(path, framework="pt") as opened:
                yield StoredLayer(opened, settings)
    except GatescopeError as error:
        # Never there, or dropped meanwhile because another of its files was damaged.
        if isinstance(error.__cause__, FileNotFoundError):
            raise DamagedSnapshot(snapshot.name, file) from error
        raise
