"""Snapshots: a worker's whole state, one safetensors file a layer, and the units that it covers.

A snapshot counts once its `commit.json` is there: it is written last and holds each file's SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from pipeline.errors import GatescopeError
from pipeline.reduce import NEURON_AXIS, LayerState, StateSettings, neurons_of
from pipeline.store.place import WORK, Place


@dataclass(frozen=True)
class Snapshot:
    """A committed snapshot: which worker, which in its row, and the units that it covers."""

    worker: str
    number: int
    units: tuple[int, ...]
    checksums: Mapping[str, str]

    @property
    def folder(self) -> str:
        """Its folder in the output place."""
        return _folder(self.worker, self.number)


def _folder(worker: str, number: int) -> str:
    return f"{WORK}/snapshots/{worker}/{number:06d}"


def _layer_file(layer: int) -> str:
    return f"layer-{layer:04d}.safetensors"


def save_snapshot(
    place: Place,
    worker: str,
    number: int,
    units: tuple[int, ...],
    states: Mapping[int, LayerState],
) -> Snapshot:
    """Write a snapshot layer by layer, commit it, and remove the worker's earlier ones."""
    folder = _folder(worker, number)
    checksums: dict[str, str] = {}
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

        place.write(f"{folder}/{name}", fill)
    snapshot = Snapshot(worker, number, units, checksums)
    commit = {"worker": worker, "number": number, "units": units, "checksums": checksums}
    place.write_json(f"{folder}/commit.json", {**commit, "sha256": _digest(commit)})
    for name in place.names(f"{WORK}/snapshots/{worker}"):
        if not name.startswith(f"{folder}/"):
            place.remove(name)
    return snapshot


def _digest(commit: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(commit, sort_keys=True).encode()).hexdigest()


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_snapshots(place: Place) -> list[Snapshot]:
    """The newest whole snapshot of every worker; what is uncommitted or damaged is passed over.

    A damaged one (checksum) costs its units a second scan, nothing else. Snapshots whose units
    overlap are refused: units are counted once or not at all.
    """
    newest: dict[str, Snapshot] = {}
    for name in place.names(f"{WORK}/snapshots"):
        if not name.endswith("/commit.json"):
            continue
        snapshot = _read_commit(place, name)
        if snapshot is None or not _is_whole(place, snapshot):
            continue
        if snapshot.worker not in newest or newest[snapshot.worker].number < snapshot.number:
            newest[snapshot.worker] = snapshot
    snapshots = sorted(newest.values(), key=lambda snapshot: snapshot.worker)
    units = [unit for snapshot in snapshots for unit in snapshot.units]
    if len(units) != len(set(units)):
        raise GatescopeError(
            f"output={place.url}: two snapshots cover the same unit; delete {WORK}/snapshots there "
            "and run the same command again"
        )
    return snapshots


def _read_commit(place: Place, name: str) -> Snapshot | None:
    with place.local(name) as path:
        try:
            commit: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if commit.pop("sha256") != _digest(commit):
                return None
            return Snapshot(
                worker=str(commit["worker"]),
                number=int(commit["number"]),
                units=tuple(int(unit) for unit in commit["units"]),
                checksums=dict(commit["checksums"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def _is_whole(place: Place, snapshot: Snapshot) -> bool:
    for file, checksum in snapshot.checksums.items():
        name = f"{snapshot.folder}/{file}"
        if not place.exists(name):
            return False
        with place.local(name) as path:
            if _checksum(path) != checksum:
                return False
    return True


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
    """One layer's state in a snapshot; `settings` are those that it was made with."""
    with (
        place.local(f"{snapshot.folder}/{_layer_file(layer)}") as path,
        safe_open(path, framework="pt") as file,
    ):
        yield StoredLayer(file, settings)
