"""Snapshots: a worker's whole state, one safetensors file a layer, and the units that it covers.

A worker writes the files of its snapshot; the driver alone commits it, so that a worker that was
given up and still lives changes nothing. A snapshot counts once its `commit.json` is there, which
holds each file's SHA-256 and names the snapshots that it goes on from and replaces.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
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
_log = logging.getLogger(__name__)


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
        try:
            drop_snapshot(place, other)
        except GatescopeError as error:
            # It counts no more whether it is there or not, and the next run removes it.
            _log.warning("%s", error)


def drop_snapshot(place: Place, snapshot: Snapshot) -> None:
    """Remove a snapshot; its commit first, for without it the rest says nothing."""
    place.remove(f"{snapshot.folder}/{_COMMIT}")
    place.remove(snapshot.folder)


def _digest(commit: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(commit, sort_keys=True).encode()).hexdigest()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def committed_snapshots(
    place: Place, note: Callable[[str], object] = lambda text: None
) -> list[Snapshot]:
    """All snapshots that count: committed, and replaced by none of the others.

    Passed over is a damaged commit, and of two that cover the same unit, as two runs at once may
    have left them, the smaller one: that costs units a second scan, nothing else, and `note` is
    told. The files themselves are checked where they are read.
    """
    found: dict[str, Snapshot] = {}
    replaced: set[str] = set()
    for name in place.names(SNAPSHOTS):
        if name.endswith(f"/{_COMMIT}"):
            snapshot, replaces = _read_commit(place, name)
            if snapshot is None:
                note(f"{name} is damaged: the units of that snapshot are scanned again")
                continue
            found[snapshot.name] = snapshot
            replaced.update(replaces)
    snapshots: list[Snapshot] = []
    covered: set[int] = set()
    for name in sorted(found.keys() - replaced, key=lambda n: (-len(found[n].units), n)):
        if covered.isdisjoint(found[name].units):
            snapshots.append(found[name])
            covered.update(found[name].units)
        else:
            note(f"snapshot {name} covers units that another one has too, and is left out")
    return sorted(snapshots, key=lambda snapshot: snapshot.name)


def sweep_snapshots(place: Place, kept: Iterable[Snapshot]) -> None:
    """Remove all files below the snapshots' folder but those of the snapshots `kept`."""
    folders = tuple(f"{snapshot.folder}/" for snapshot in kept)
    stale = [name for name in place.names(SNAPSHOTS) if not name.startswith(folders)]
    # Snapshots as a whole, and files that lie elsewhere one by one.
    parts = {name: name.removeprefix(f"{SNAPSHOTS}/").split("/") for name in stale}
    for gone in sorted({"/".join([SNAPSHOTS, *part[:2]]) for part in parts.values()}):
        place.remove(gone)


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
    with ExitStack() as stack:
        try:
            path = stack.enter_context(place.local(f"{snapshot.folder}/{file}"))
            is_whole = _checksum(path) == snapshot.checksums.get(file)
            opened = stack.enter_context(safe_open(path, framework="pt")) if is_whole else None
        except (FileNotFoundError, GatescopeError) as error:
            # Never there, or dropped meanwhile because another of its files was damaged.
            if not isinstance(error.__cause__ or error, FileNotFoundError):
                raise
            opened = None
        if opened is None:
            raise DamagedSnapshot(snapshot.name, file)
        yield StoredLayer(opened, settings)
