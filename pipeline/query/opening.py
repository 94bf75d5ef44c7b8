"""Opening one dataset."""

from __future__ import annotations

import os

from pipeline.query.dataset import Dataset
from pipeline.query.source import find_source


def open_dataset(source: str | os.PathLike[str]) -> Dataset:
    """Open a dataset: a folder, a URL that fsspec opens, or a Hub id `org/name[@revision]`.

    Raises GatescopeError where there is no complete dataset.
    """
    return Dataset(find_source(source))
