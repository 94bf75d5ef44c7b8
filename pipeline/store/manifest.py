"""What a dataset says of itself: `manifest.json`, and the record of a run that is not finished.

The manifest has the model, the corpus, the settings, versions and hardware, the rows of each table
(`tables`) and the files that they lie in (`files`), by which the pages of `pipeline/view` find what
they read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import GatescopeError
from pipeline.schema import TABLES
from pipeline.status import RunStatus
from pipeline.store.corpus import CorpusIndex
from pipeline.store.events import EVENTS
from pipeline.store.parquet import ends_well, layer_part
from pipeline.store.place import WORK, Place
from pipeline.store.snapshots import SNAPSHOTS
from pipeline.store.writer import LEASE, LOCK

T = TypeVar("T")

MANIFEST = "manifest.json"
_RUN = f"{WORK}/run.json"
_CORPUS = f"{WORK}/corpus.json"
_STATUS = f"{WORK}/status.json"
_LAYERS = f"{WORK}/layers"


def read_status(place: Place) -> RunStatus | None:
    """How far an unfinished run was when it last said so, or None."""
    return _parsed(place, _STATUS, RunStatus.from_json) if place.exists(_STATUS) else None


def _parsed(place: Place, name: str, parse: Callable[[Any], T]) -> T:
    try:
        return parse(place.read_json(name))
    # JSON, and yet not what was written there.
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise GatescopeError(
            f"output={place.url}: {name} is damaged, or of another version "
            f"({type(error).__name__}: {error}); delete the folder and run again"
        ) from error


def read_manifest(place: Place) -> dict[str, Any] | None:
    """The manifest of a complete dataset, or None."""
    return dict(place.read_json(MANIFEST)) if place.exists(MANIFEST) else None


def table_files(
    place: Place, first_examples: Mapping[str, int]
) -> dict[str, list[dict[str, str | int]]]:
    """The files of each table for the manifest: path, bytes, of the corpus the first example.

    A reader of byte ranges over HTTP can list no folder, and needs the size to find a footer.
    `first_examples` has the number of the first example in each part of the corpus.
    """
    files: dict[str, list[dict[str, str | int]]] = {}
    for path, size in sorted(place.sizes().items()):
        table = path.partition("/")[0]
        if table in TABLES and path.endswith(".parquet"):
            first = {"first_example": first_examples[path]} if path in first_examples else {}
            files.setdefault(table, []).append({"path": path, "bytes": size, **first})
    return files


class RunRecord:
    """What an unfinished run has left in its work folder: its settings, its corpus."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def refuse_foreign(self) -> None:
        """Raise GatescopeError where the folder holds files that no run of ours wrote."""
        # What passes, and what a run leaves that was going on while its folder was removed.
        ours = (LOCK, LEASE, EVENTS, _STATUS, f"{WORK}/tmp-", f"{_LAYERS}/", f"{SNAPSHOTS}/")
        names = [name for name in self._place.names() if not name.startswith(ours)]
        if names == [""]:
            raise GatescopeError(f"output={self._place.url}: is a file; choose a new folder")
        if names and _RUN not in names:
            raise GatescopeError(
                f"output={self._place.url}: the folder holds {len(names)} files (such as "
                f"{names[0]}) and no Gatescope run; choose a new or empty folder"
            )

    def settings(self) -> dict[str, Any] | None:
        """The settings that the run began with, or None before there was anything to keep."""
        kept = self._place.exists(_CORPUS) or self._place.names(_LAYERS)
        return _parsed(self._place, _RUN, dict) if kept else None

    def begin(self, settings: dict[str, Any]) -> None:
        """Start anew with these settings: what an earlier run left unfinished goes."""
        for name in (*TABLES, EVENTS, _STATUS, _LAYERS, SNAPSHOTS):
            self._place.remove(name)
        self._place.write_json(_RUN, settings)

    def sweep(self) -> None:
        """Remove the temporary files of runs that were killed."""
        for name in self._place.names(WORK):
            if name.startswith(f"{WORK}/tmp-"):
                self._place.remove(name)

    def corpus(self) -> CorpusIndex:
        """The index of the corpus table that is written."""
        return _parsed(self._place, _CORPUS, CorpusIndex.from_json)

    def keep_corpus(self, index: CorpusIndex) -> None:
        """The corpus table is whole: from here on the run can be resumed."""
        self._place.write_json(_CORPUS, index.to_json())

    def layers(self, tables: Collection[str]) -> dict[int, dict[str, int]]:
        """The rows of each of `tables`, of the layers that have them all."""
        found: dict[int, dict[str, int]] = {}
        for name in self._place.names(_LAYERS):
            number = name.rpartition("/")[2].removesuffix(".json")
            n_rows = self._place.read_json(name)
            is_whole = isinstance(n_rows, dict) and n_rows.keys() == set(tables)
            if number.isdecimal() and is_whole:
                parts = [layer_part(table, int(number)) for table in tables]
                if all(map(self._is_whole, parts)):
                    found[int(number)] = n_rows
        return found

    def _is_whole(self, part: str) -> bool:
        """Whether a part is there and, in a folder, ends as a Parquet file does."""
        if not self._place.exists(part):
            return False
        # What an upload has put at a URL is whole, and to see it would be to fetch it.
        return not self._place.is_local or ends_well(Path(self._place.address) / part)

    def keep_layer(self, layer: int, n_rows: dict[str, int]) -> None:
        """A layer's tables are written, from snapshots that covered every unit."""
        self._place.write_json(f"{_LAYERS}/{layer}.json", n_rows)

    def keep_status(self, status: RunStatus) -> None:
        """How far the run is; the last one that is written is what `gatescope status` reads."""
        self._place.write_json(_STATUS, status.to_json(), durable=False)

    def finish(self, manifest: dict[str, Any]) -> None:
        """Write the manifest, the last file of a dataset: from now on it is complete."""
        units = self.corpus().units if self._place.exists(_CORPUS) else ()
        files = table_files(self._place, {u.part: u.first_example for u in reversed(units)})
        self._place.write_json(MANIFEST, {**manifest, "files": files})

    def clear(self) -> None:
        """Remove the work folder."""
        self._place.remove(WORK)
