"""Whether files are still the ones that a run began with, without reading all of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

_SAMPLE = 1 << 20


def sampled_digest(paths: Iterable[Path], root: Path) -> str:
    """SHA-256 over each file's name below `root`, its size, and its first and last MiB.

    Reads 2 MiB a file, so that a corpus or a model of any size is checked in no time; an edit that
    keeps a large file's size and both its ends goes unseen.
    """
    digest = hashlib.sha256()
    for path in sorted(paths):
        size = path.stat().st_size
        digest.update(f"{path.relative_to(root)}\0{size}\0".encode("utf-8", "surrogateescape"))
        with path.open("rb") as file:
            digest.update(file.read(_SAMPLE))
            if size > _SAMPLE:
                file.seek(max(_SAMPLE, size - _SAMPLE))
                digest.update(file.read())
    return digest.hexdigest()


def folder_digest(path: Path, suffixes: tuple[str, ...] = ()) -> str:
    """`sampled_digest` of a file, or of a folder's files (only those that end in `suffixes`)."""
    if path.is_file():
        return sampled_digest([path], path.parent)
    files = [file for file in path.rglob("*") if file.is_file()]
    return sampled_digest(
        [file for file in files if not suffixes or file.name.endswith(suffixes)], path
    )
