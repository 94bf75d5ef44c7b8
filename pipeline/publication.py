"""What is published of a dataset: its files, its manifest, its card, and the version's tag."""

from __future__ import annotations

import hashlib
import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from pipeline.hub import State, Upload, card, upload_of_file, upload_of_text
from pipeline.query.source import MANIFEST, Source
from pipeline.schema import TABLES
from pipeline.view.progress import progress

CARD: Final = "README.md"
MB: Final = 1e6
_NO_CORPUS: Final = {
    "table": "corpus",
    "columns": None,
    "why": "the texts were left out when it was published; windows of the examples are there",
}


@dataclass(frozen=True)
class Publication:
    """All that is to be sent of a dataset, and the tag of this version."""

    manifest: dict[str, Any]
    files: tuple[Upload, ...]
    tag: str


def published_manifest(manifest: dict[str, Any], no_corpus: bool) -> dict[str, Any]:
    """The manifest as it is published."""
    manifest = deepcopy(manifest)
    if no_corpus and "corpus" in manifest["tables"]:
        del manifest["tables"]["corpus"], manifest["files"]["corpus"]
        manifest["missing"] = [*(manifest.get("missing") or []), _NO_CORPUS]
    return manifest


def make_publication(
    source: Source, manifest: dict[str, Any], repo: str, console: Console
) -> Publication:
    """Hash the files of a dataset, and make the card of the repository."""
    listed = [file for of_table in manifest["files"].values() for file in of_table]
    total = sum(file["bytes"] for file in listed)
    with progress(console, "Hashing", "MB", total / MB) as advance:
        tables = [
            upload_of_file(
                file["path"], Path(source.root) / file["path"], lambda n: advance(n / MB)
            )
            for file in listed
        ]
    lines = sorted(f"{file.sha256}  {file.path_in_repo}\n" for file in tables)
    tag = hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
    said = [
        upload_of_text(CARD, card(manifest, repo)),
        upload_of_text(MANIFEST, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"),
    ]
    return Publication(manifest, (*tables, *said), tag)


def lacking_files(publication: Publication, state: State | None) -> list[Upload]:
    """What the repository does not have."""
    if state is None:
        return list(publication.files)
    lacking = [file for file in publication.files if not state.has(file)]
    # Somebody may have written on the card there: of the same dataset it is left as it is.
    same = [file.path_in_repo for file in lacking] == [CARD] and MANIFEST in state.files
    return [] if same else lacking


def stale_files(publication: Publication, state: State) -> list[str]:
    """Files of tables that an earlier version had, and this one has not."""
    mine = {file.path_in_repo for file in publication.files}
    return [path for path in state.files if path.split("/")[0] in TABLES and path not in mine]
