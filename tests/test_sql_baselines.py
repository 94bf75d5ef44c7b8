"""A class against other neurons of the same layers and gate frequency."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from answers import (
    FREQUENCIES,
    answer,
    frame,
    neurons_with_frequencies,
    rows_of,
)
from scipy import stats
from synthetic import Synthetic, write_synthetic

from pipeline.errors import GatescopeError
from pipeline.query import Dataset, open_dataset

CLASS = "orthogonal output"
GATE = "gate_positive_frequency"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("sql") / "ds", n_neurons=60, seed=7)


@pytest.fixture(scope="module")
def ds(made: Synthetic) -> Iterator[Dataset]:
    with open_dataset(made.path) as dataset:
        yield dataset


def pairs_by_hand(neurons: pd.DataFrame, width: float, seed: int) -> dict[Any, int | None]:
    """The neuron that each of the class is paired with: bin by bin, in the order of a hash."""
    frequency = neurons[GATE]
    neurons = neurons.assign(
        bin=np.floor(frequency / width) if width else frequency,
        place=[
            hashlib.md5(f"{seed}/{row.layer}/{row.neuron}".encode()).hexdigest()
            for row in neurons.itertuples()
        ],
    ).sort_values("place")
    found: dict[Any, int | None] = {}
    for (layer, _), here in neurons.groupby(["layer", "bin"]):
        chosen = here["io_class"] == CLASS
        others = iter(here.loc[~chosen, "neuron"].tolist())
        found |= {(layer, n): next(others, None) for n in here.loc[chosen, "neuron"].tolist()}
    return found


@pytest.mark.parametrize(("width", "seed"), [(0.02, 0), (0.2, 0), (0.2, 1), (0, 0)])
def test_frequency_matched_baseline(made: Synthetic, ds: Dataset, width: float, seed: int) -> None:
    neurons = neurons_with_frequencies(made)
    by_place = neurons.set_index(["layer", "neuron"])
    rows = rows_of(ds, "frequency_matched_baseline", io_class=CLASS, width=width, seed=seed)
    found = {(row["layer"], row["neuron"]): row["baseline_neuron"] for row in rows}
    assert found == pairs_by_hand(neurons, width, seed)
    assert list(found) == sorted(found)
    paired = [row for row in rows if row["baseline_neuron"] is not None]
    assert paired
    assert (len(paired) < len(rows)) == (width < 0.1)
    partners = [(row["layer"], row["baseline_neuron"]) for row in paired]
    assert len(set(partners)) == len(partners)
    for row, partner in zip(paired, partners, strict=True):
        assert row["baseline_io_class"] == by_place.loc[partner, "io_class"] != CLASS
        assert row[GATE] == by_place.loc[(row["layer"], row["neuron"]), GATE]
        assert row[f"baseline_{GATE}"] == by_place.loc[partner, GATE]
        assert abs(row[GATE] - row[f"baseline_{GATE}"]) <= width + 1e-12


def test_another_seed_pairs_otherwise(ds: Dataset) -> None:
    def pairs(seed: int) -> list[Any]:
        rows = rows_of(ds, "frequency_matched_baseline", io_class=CLASS, width=0.2, seed=seed)
        return [row["baseline_neuron"] for row in rows]

    assert pairs(0) == pairs(0)
    assert pairs(0) != pairs(1)


def test_class_against_baseline(made: Synthetic, ds: Dataset) -> None:
    neurons = neurons_with_frequencies(made)
    sums = frame(made, "sign_stats").fillna(0)
    sums["sum"] = sums["count"] * sums["mean_post"].abs() / sums["n_tokens"]
    written = sums.groupby(["layer", "neuron"])["sum"].sum()
    by_place = neurons.set_index(["layer", "neuron"])
    by_place["output_norm"] = written * by_place["norm_out"]
    quantities = [
        "cos_gate_in", "cos_gate_out", "cos_in_out", "norm_gate", "norm_in", "norm_out",
        *FREQUENCIES.values(), GATE, "in_positive_frequency", "agreement_frequency", "output_norm",
    ]  # fmt: skip
    pairs = answer(ds, "frequency_matched_baseline", io_class=CLASS, width=0.2, seed=2)
    n_class = len(pairs)
    pairs = pairs.dropna().astype({"baseline_neuron": int})
    of_class = by_place.loc[list(zip(pairs["layer"], pairs["neuron"], strict=True))]
    others = by_place.loc[list(zip(pairs["layer"], pairs["baseline_neuron"], strict=True))]
    rows = rows_of(ds, "class_against_baseline", io_class=CLASS, width=0.2, seed=2)
    assert [row["quantity"] for row in rows] == sorted(quantities)
    for row in rows:
        x, y = (side[row["quantity"]].to_numpy() for side in (of_class, others))
        assert (row["n_class"], row["n_pairs"]) == (n_class, len(pairs))
        assert row["class_mean"] == pytest.approx(x.mean())
        assert row["baseline_mean"] == pytest.approx(y.mean())
        assert row["mean_difference"] == pytest.approx((x - y).mean())
        assert row["standard_error"] == pytest.approx(stats.sem(x - y))


def test_without_a_scan_no_neuron_is_paired(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "ds", n_neurons=30, scan=False)
    with open_dataset(made.path) as ds:
        pairs = rows_of(ds, "frequency_matched_baseline", io_class=CLASS)
        compared = rows_of(ds, "class_against_baseline", io_class=CLASS)
    assert CLASS in set(frame(made, "neurons")["io_class"])
    assert pairs == compared == []


def test_a_class_that_does_not_exist_is_refused(ds: Dataset) -> None:
    with pytest.raises(GatescopeError, match="one of enrichment, conditional enrichment"):
        ds.query("class_against_baseline", io_class="strengthening")
