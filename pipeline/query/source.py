"""Where a dataset lies: a folder, a URL or a Hub id, its manifest and the files of its tables."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import GatescopeError
from pipeline.naming import HUB_ID
from pipeline.schema import LAYER_TABLES, TABLES

MANIFEST: Final = "manifest.json"
_WORK: Final = "_work"
_FLAT_TABLES: Final = tuple(name for name in TABLES if name not in LAYER_TABLES)
_PART: Final = re.compile(
    rf"(?:({'|'.join(LAYER_TABLES)})/layer=(\d+)|({'|'.join(_FLAT_TABLES)}))/part-[^/]*\.parquet"
)


@dataclass(frozen=True)
class Source:
    """A complete dataset: its manifest, and the files of each table as DuckDB opens them.

    `filesystem` is None for a local folder. `sizes` has the bytes of each file, None where its
    place does not tell. `layers` are those that any table has a part of. `strays` are files in the
    folders of the tables that are no part of one.
    """

    name: str
    root: str
    filesystem: fsspec.AbstractFileSystem | None
    manifest: dict[str, Any]
    files: dict[str, tuple[str, ...]]
    sizes: dict[str, int | None]
    layers: tuple[int, ...]
    strays: tuple[str, ...]

    @property
    def absent(self) -> tuple[str, ...]:
        """The tables that the dataset does not have, as its manifest does not name them."""
        known = (*self.manifest["tables"], *self.files)
        return tuple(table for table in TABLES if table not in known)

    def layer_files(self, table: str, layer: int) -> tuple[str, ...]:
        """The files of a table's partition."""
        folder = f"/{table}/layer={layer}/"
        return tuple(path for path in self.files.get(table, ()) if folder in path)


def find_source(source: str | os.PathLike[str]) -> Source:
    """The dataset in a folder, at an fsspec URL, or of a Hub id `org/name[@revision]`.

    Raises GatescopeError where there is none, or none that is complete.
    """
    if not isinstance(source, str | os.PathLike) or not os.fspath(source).strip():
        raise GatescopeError(
            f"{source!r} is no place of a dataset: give a folder, a URL or a Hub id"
        )
    name = os.fspath(source)
    url = dataset_url(name)
    if url.startswith("hf://"):
        # Here and not above: it takes a while, and folders are opened without it.
        from pipeline.hub.revision import pinned

        url = pinned(url)
    # Backends raise what they like (httpx's errors are no OSError); all mean that it can't be read.
    try:
        filesystem, root = fsspec.core.url_to_fs(url)
        root = root.rstrip("/")
        present = filesystem.exists(f"{root}/{MANIFEST}")
        raw = filesystem.cat_file(f"{root}/{MANIFEST}") if present else b""
        manifest = _manifest(name, raw) if present else {}
        sizes = _sizes(filesystem, root, manifest) if present else {}
        is_folder = present or filesystem.isdir(root)
        unfinished = not present and filesystem.isdir(f"{root}/{_WORK}")
    except GatescopeError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise GatescopeError(
            f"{name}: cannot open {url} ({reason}); give the folder, the URL or the Hub id of a "
            "dataset"
        ) from error
    if not present:
        raise GatescopeError(_refusal(name, url, is_folder, unfinished))
    local = isinstance(filesystem, LocalFileSystem)
    names = list(sizes)
    files, strays = _sorted_out(names)
    prefix = root if local else filesystem.unstrip_protocol(root)
    return Source(
        name=name,
        root=prefix,
        filesystem=None if local else filesystem,
        manifest=manifest,
        files={
            table: tuple(f"{prefix}/{part}" for part in parts) for table, parts in files.items()
        },
        sizes={f"{prefix}/{part}": sizes[part] for parts in files.values() for part in parts},
        layers=tuple(sorted({int(m[2]) for n in names if (m := _PART.fullmatch(n)) and m[2]})),
        strays=tuple(strays),
    )


def _sizes(
    filesystem: fsspec.AbstractFileSystem, root: str, manifest: dict[str, Any]
) -> dict[str, int | None]:
    """The bytes of each file below `root` by its path from there, None where unknown."""
    if "https" in filesystem.protocol:
        # A web server need not list folders; the manifest does.
        files = [file for of_table in manifest.get("files", {}).values() for file in of_table]
        return {file["path"]: file["bytes"] for file in sorted(files, key=lambda f: f["path"])}
    found = filesystem.find(root, detail=True)
    return {path[len(root) + 1 :]: found[path].get("size") for path in sorted(found)}


def dataset_url(name: str) -> str:
    """The URL of a dataset that a person names, or the absolute path of a local folder."""
    if "://" in name:
        return name
    path = Path(name).expanduser()
    # `outputs/demo` may be a folder or a Hub id: a folder where `outputs` is one.
    first = path.parts[0] if path.parts else "."
    if HUB_ID.fullmatch(name) and not path.exists() and not Path(first).is_dir():
        return f"hf://datasets/{name}"
    return str(path.absolute())


def _refusal(name: str, url: str, is_folder: bool, unfinished: bool) -> str:
    if not is_folder:
        return f"{name} does not exist ({url}); give the folder, URL or Hub id of a dataset"
    why = (
        "the run is unfinished; run the same command again to continue"
        if unfinished
        else "give the folder that a finished `gatescope run` has written"
    )
    return f"{name} is not a complete Gatescope dataset: no {MANIFEST}; {why}"


def _sorted_out(names: list[str]) -> tuple[dict[str, list[str]], list[str]]:
    """The parts of each table in the order of their rows, and files that belong to none."""
    parts: dict[str, list[tuple[int, str]]] = {}
    strays = []
    for name in names:
        match = _PART.fullmatch(name)
        if match:
            parts.setdefault(match[1] or match[3], []).append((int(match[2] or 0), name))
        elif name.split("/")[0] in TABLES:
            strays.append(name)
    ordered = [table for table in TABLES if table in parts]
    return {table: [part for _, part in sorted(parts[table])] for table in ordered}, strays


def _manifest(name: str, raw: bytes) -> dict[str, Any]:
    try:
        manifest = json.loads(raw)
    except ValueError as error:
        raise GatescopeError(
            f"{name}: {MANIFEST} is damaged ({error}); fetch or write the dataset again"
        ) from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("tables"), dict):
        raise GatescopeError(
            f"{name}: {MANIFEST} is not that of a Gatescope dataset (it names no tables); "
            "give the folder that a finished `gatescope run` has written"
        )
    return manifest
