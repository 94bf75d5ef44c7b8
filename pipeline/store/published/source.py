"""Which published tables lie at a place: a file, a folder, a repository on the Hub."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

import fsspec

from pipeline.errors import GatescopeError
from pipeline.store.published.rows import (
    ArrowTables,
    ParquetTables,
    Published,
    digest_of,
    one_line,
    readable,
)
from pipeline.store.published.tensors import TensorFile


def open_published(url: str) -> Published:
    """What lies at a path or URL: a Parquet file, a `.pt` file, or a folder of tables.

    Raises GatescopeError where there is nothing of the kind.
    """
    # Filesystems of other kinds raise classes of their own, straight from Exception.
    try:
        filesystem, root = fsspec.core.url_to_fs(url)
        root = root.rstrip("/")
        is_folder, there = filesystem.isdir(root), filesystem.exists(root)
        names = sorted(filesystem.find(root)) if is_folder else []
    except Exception as error:
        raise GatescopeError(
            f"{url}: cannot be opened ({one_line(error)}); give a file, a folder, a URL or a Hub "
            "id that can be read"
        ) from error
    if not there:
        raise GatescopeError(
            f"{url}: there is no such file or folder; give a Parquet file, a folder of them, a Hub "
            "id or a summary*.pt"
        )
    if not is_folder:
        name = PurePosixPath(root).name
        if name.endswith(".pt"):
            return TensorFile(filesystem, root, name, digest_of(filesystem, root, name))
        if name.endswith(".parquet"):
            return ParquetTables(filesystem, {name: root})
        raise GatescopeError(
            f"{url}: is neither a .parquet nor a .pt file; give one of these, or a folder"
        )
    return _folder(filesystem, url, root, names)


def _folder(filesystem: Any, url: str, root: str, names: list[str]) -> Published:
    inside = {path[len(root) + 1 :]: path for path in names}
    if "manifest.json" in inside:
        raise GatescopeError(f"{url}: is a Gatescope dataset already; open it as it is")
    if "dataset_dict.json" in inside:
        with readable(f"{url}/dataset_dict.json"):
            splits = json.loads(filesystem.cat_file(inside["dataset_dict.json"]))["splits"]
        if len(splits) != 1:
            raise GatescopeError(
                f"{url}: holds the splits {', '.join(splits)}; give the folder of one of them"
            )
        return _folder(filesystem, url, f"{root}/{splits[0]}", names)
    if "state.json" in inside:
        with readable(f"{url}/state.json"):
            state = json.loads(filesystem.cat_file(inside["state.json"]))
            files = [file["filename"] for file in state["_data_files"]]
        lacking = [name for name in files if name not in inside]
        if lacking or not files:
            raise GatescopeError(
                f"{url}: state.json names {lacking[0] if lacking else 'no file'}, which is not "
                "there; fetch the whole folder again"
            )
        return ArrowTables(filesystem, {name: inside[name] for name in files})
    tables = {
        name: path
        for name, path in inside.items()
        if name.endswith(".parquet") and not any(p.startswith(".") for p in name.split("/"))
    }
    # On the Hub the files of a data set are in `data`, and others may hold something else.
    tables = {name: path for name, path in tables.items() if name.startswith("data/")} or tables
    if not tables:
        raise GatescopeError(
            f"{url}: holds no Parquet file and no dataset of save_to_disk; give a folder with one, "
            "or the file itself"
        )
    return ParquetTables(filesystem, tables)
