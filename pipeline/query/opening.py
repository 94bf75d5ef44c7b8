"""Opening one dataset, or several at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import overload

from pipeline.errors import GatescopeError
from pipeline.query.dataset import Dataset
from pipeline.query.several import Datasets
from pipeline.query.source import find_source

Place = str | os.PathLike[str]


@overload
def open_dataset(source: Place) -> Dataset: ...  # type: ignore[overload-overlap]  # text is a sequence


@overload
def open_dataset(source: Sequence[Place]) -> Datasets: ...


def open_dataset(source: Place | Sequence[Place]) -> Dataset | Datasets:
    """Open a dataset: a folder, a URL that fsspec opens, or a Hub id `org/name[@revision]`.

    A list of them opens all at once, and every table then has a column `model` before its own.
    Raises GatescopeError where there is no complete dataset.
    """
    if isinstance(source, str | os.PathLike):
        return Dataset(find_source(source))
    if not source:
        raise GatescopeError("there is no dataset to open: give the folder, URL or Hub id of one")
    return Datasets([find_source(place) for place in source])
