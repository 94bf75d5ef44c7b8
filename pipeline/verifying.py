"""Every check of a dataset that needs no model: what SQL can state, and the pages of the files."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.query import Check, Dataset, check_invariants
from pipeline.store import Place, damaged_files


def checks_of(dataset: Dataset) -> Iterator[Check]:
    """All checks, as they are made."""
    yield from check_invariants(dataset)
    source = dataset.source
    files = [path for paths in source.files.values() for path in paths]
    names = [path.removeprefix(f"{source.root}/") for path in files]
    found = tuple(damaged_files(Place(source.root), names))
    sentence = "every page of every file is as it was written"
    yield Check("pages", sentence, len(names), len(found), found[:5])
