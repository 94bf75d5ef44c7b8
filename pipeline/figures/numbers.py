"""What a figure draws: the results of named queries."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from pipeline.errors import GatescopeError
from pipeline.query import Dataset, Datasets
from pipeline.query.readonly import user_errors


class NothingToDraw(GatescopeError):
    """A dataset lacks what a figure shows: it `needs` this, in a few words."""

    def __init__(self, figure: str, needs: str) -> None:
        super().__init__(f"figure {figure} needs {needs}, and this dataset has none")
        self.needs = needs


@dataclass(frozen=True)
class Numbers:
    """The result of a named query, or some rows of it.

    `columns` are NumPy arrays of one length; what is null is masked.
    """

    query: str
    columns: Mapping[str, np.ndarray] = field(repr=False)

    def __getitem__(self, column: str) -> Shaped[np.ndarray, " row"]:
        """A column; what is null is NaN in a column of numbers, and None in one of text."""
        values = self.columns[column]
        if not isinstance(values, np.ma.MaskedArray):
            return values
        missing = np.nan if values.dtype.kind in "iuf" else None
        plain = values.data.astype(float if missing is not None else object)
        plain[np.ma.getmaskarray(values)] = missing
        return plain

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def where(self, chosen: Bool[np.ndarray, " row"]) -> Numbers:
        """The rows for which `chosen` is true."""
        return Numbers(self.query, {name: c[chosen] for name, c in self.columns.items()})

    def of(self, column: str, value: Any) -> Numbers:
        """The rows that have this value."""
        return self.where(self[column] == value)

    def known(self, *columns: str) -> Numbers:
        """The rows in which none of these columns is null, and each number finite."""
        chosen = np.ones(len(self), dtype=bool)
        for column in columns:
            values = self[column]
            if values.dtype.kind in "iuf":
                chosen &= np.isfinite(values)
            else:
                chosen &= np.array([value is not None for value in values], dtype=bool)
        return self.where(chosen)

    def values(self, column: str) -> list[Any]:
        """The values that occur in a column, sorted; NaN is none."""
        found = self[column]
        values: list[Any] = np.unique(found[found == found]).tolist()
        return values

    def write_csv(self, path: Path) -> None:
        """The rows with a header, in UTF-8; what is null is empty."""
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(self.columns)
            writer.writerows(zip(*(c.tolist() for c in self.columns.values()), strict=True))


def ask(dataset: Dataset | Datasets, query: str) -> Numbers:
    """The result of a named query."""
    with user_errors():
        return Numbers(query, dataset.query(query).fetchnumpy())
