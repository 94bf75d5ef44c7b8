"""Whether two datasets are the same: bit for bit, but for means, which may differ by 1e-12."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.schema import TABLES


def table_of(folder: Path, name: str) -> pa.Table:
    """A table of a dataset, its part files one after the other."""
    parts = sorted((folder / name).rglob("*.parquet"), key=lambda path: (len(str(path)), path))
    return pa.concat_tables(pq.read_table(path, partitioning=None) for path in parts)


def differences_between(one: Path, other: Path) -> list[str]:
    """A line for each column that differs; empty for equal datasets."""
    found = []
    for name in TABLES:
        there = [(folder / name).is_dir() for folder in (one, other)]
        if not all(there):
            # A dataset of weights alone has not all of them.
            found += [f"{name}: in one of them only"] if any(there) else []
            continue
        a, b = table_of(one, name), table_of(other, name)
        if a.schema != b.schema or len(a) != len(b):
            found.append(f"{name}: {len(a)} rows against {len(b)}, or other columns")
            continue
        for column in a.column_names:
            if column.startswith("mean_"):
                x, y = (np.array(t[column].to_pylist(), dtype=float) for t in (a, b))
                same = np.allclose(x, y, rtol=1e-12, atol=0, equal_nan=True)
            else:
                same = a[column].equals(b[column])
            if not same:
                found.append(f"{name}.{column}")
    return found
