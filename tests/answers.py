"""What named queries answer, what pandas makes of the same rows, and datasets that are hard to ask.

The frames are calculated from the rows of a synthetic dataset, apart from any SQL.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow as pa
from synthetic import Synthetic, rewrite

from pipeline.naming import COMBO_NAMES
from pipeline.query import Dataset, Datasets, fetch

FREQUENCIES = dict(
    zip(
        COMBO_NAMES,
        (
            "freq_gate_pos_in_pos",
            "freq_gate_pos_in_neg",
            "freq_gate_neg_in_pos",
            "freq_gate_neg_in_neg",
        ),
        strict=True,
    )
)

# Values for the parameters that have no default.
_REQUIRED: dict[str, dict[str, Any]] = {
    "class_against_baseline": {"io_class": "orthogonal output"},
    "frequency_matched_baseline": {"io_class": "orthogonal output"},
    "neurons_by_token": {"token": "word3"},
    "neurons_by_weight_token": {"token": "word3"},
    "peak_tokens": {"layer": 1, "neuron": 3},
    "top_examples": {"layer": 1, "neuron": 3},
    "weight_tokens": {"layer": 1, "neuron": 3},
}


def arguments(query: str) -> dict[str, Any]:
    """Values for the parameters of a query that have no default."""
    return _REQUIRED.get(query, {})


def rows_of(ds: Dataset | Datasets, name: str, **parameters: Any) -> list[dict[str, Any]]:
    """The rows of a named query's answer."""
    names, rows = fetch(ds.query(name, **parameters))
    return [dict(zip(names, row, strict=True)) for row in rows]


def answer(ds: Dataset | Datasets, name: str, **parameters: Any) -> pd.DataFrame:
    """A named query's answer as a frame."""
    names, rows = fetch(ds.query(name, **parameters))
    return pd.DataFrame(rows, columns=names)


def frame(made: Synthetic, table: str) -> pd.DataFrame:
    """A table as it was made."""
    return pd.DataFrame(made.tables[table])


def assert_same(found: pd.DataFrame, wanted: pd.DataFrame) -> None:
    """Fail unless an answer has these values in this order; `wanted` may have other columns too."""
    wanted = wanted[found.columns].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)


def neurons_with_frequencies(made: Synthetic) -> pd.DataFrame:
    """One row a neuron: its weights and all its frequencies."""
    stats = frame(made, "sign_stats")
    counts = stats.pivot(index=["layer", "neuron"], columns="combo", values="count")
    counts = counts.rename(columns=FREQUENCIES)
    pp, pn, np_, nn = (counts[name] for name in FREQUENCIES.values())
    # Counts are summed up before they are divided: rounding would part what ties.
    counts = counts.assign(
        gate_positive_frequency=pp + pn,
        in_positive_frequency=pp + np_,
        agreement_frequency=pp + nn,
    )
    shares = counts / stats["n_tokens"].iloc[0]
    return frame(made, "neurons").merge(shares.reset_index(), on=["layer", "neuron"])


def set_columns(made: Synthetic, table: str, layer: int, **columns: list[Any]) -> None:
    """Replace columns of a layer's part of a table."""

    def changed(old: pa.Table) -> pa.Table:
        for name, values in columns.items():
            at = old.schema.get_field_index(name)
            field = old.schema.field(at)
            old = old.set_column(at, field, pa.array(values, field.type))
        return old

    rewrite(made.path / table / f"layer={layer}" / "part-0.parquet", changed)


def change_layers(made: Synthetic, table: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Replace every layer's part of a table."""
    for layer in made.shape.layers:
        rewrite(made.path / table / f"layer={layer}" / "part-0.parquet", change)
