"""Correlations of cosines and frequencies, with their intervals, against scipy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import FREQUENCIES, neurons_with_frequencies, rows_of, set_columns
from scipy import stats
from synthetic import Synthetic, write_synthetic

from pipeline.query import Dataset, open_dataset

FIGURES = [
    "pearson", "pearson_low", "pearson_high", "spearman", "spearman_low", "spearman_high"
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("sql") / "ds", n_neurons=30, seed=6)


@pytest.fixture(scope="module")
def ds(made: Synthetic) -> Iterator[Dataset]:
    with open_dataset(made.path) as dataset:
        yield dataset


def expected(x: Any, y: Any, level: float = 0.95) -> list[float]:
    """Both correlations and their intervals."""
    pearson, spearman = stats.pearsonr(x, y), stats.spearmanr(x, y).statistic
    low, high = pearson.confidence_interval(level)
    z = stats.norm.ppf((1 + level) / 2)
    error = math.sqrt((1 + spearman**2 / 2) / (len(x) - 3))
    ends = [math.tanh(math.atanh(spearman) + sign * z * error) for sign in (-1, 1)]
    return [pearson.statistic, low, high, spearman, *ends]


def test_intervals_of_cosine_vs_gate_frequency(made: Synthetic, ds: Dataset) -> None:
    neurons = neurons_with_frequencies(made)
    for parameters, level in (({}, 0.95), ({"z": 2.5758293035489004}, 0.99)):
        rows = rows_of(ds, "cosine_vs_gate_frequency", **parameters)
        assert [row["layer"] for row in rows] == [None, *made.shape.layers]
        for row in rows:
            here = neurons[(row["layer"] is None) | (neurons["layer"] == row["layer"])]
            wanted = expected(here["cos_in_out"], here["gate_positive_frequency"], level)
            assert [row[name] for name in FIGURES] == pytest.approx(wanted, abs=1e-12)
            assert row["pearson_low"] < row["pearson"] < row["pearson_high"]


def test_intervals_that_do_not_exist_are_null(tmp_path: Path) -> None:
    """Three neurons have none, four of which the cosines are in the order of the frequencies."""
    made = write_synthetic(tmp_path / "ds", layers=(0, 1), n_neurons=4)
    for layer, cosines in ((0, [0.1, 0.3, 0.2, float("nan")]), (1, [0.1, 0.2, 0.3, 0.9])):
        counts = [n for positive in (1, 2, 3, 4) for n in (positive, 0, 400 - positive, 0)]
        set_columns(made, "neurons", layer, cos_in_out=cosines)
        set_columns(made, "sign_stats", layer, count=counts)
    with open_dataset(made.path) as ds:
        _, three, ordered = rows_of(ds, "cosine_vs_gate_frequency")
    assert three["n_neurons"] == 3
    assert three["spearman"] == pytest.approx(0.5)
    assert [three[name] for name in FIGURES if "_" in name] == [None] * 4
    assert ordered["spearman"] == pytest.approx(1)
    assert ordered["spearman_low"] is None
    assert ordered["spearman_high"] is None
    assert ordered["pearson_low"] < ordered["pearson"] < ordered["pearson_high"]


def test_a_perfect_correlation_has_no_interval(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "ds", layers=(0,), n_neurons=30)
    n_tokens = made.tables["sign_stats"][0]["n_tokens"]
    positive = [n % 7 for n in range(30)]
    counts = [n for p in positive for n in (p, 0, n_tokens - p, 0)]
    set_columns(made, "sign_stats", 0, count=counts)
    set_columns(made, "neurons", 0, cos_in_out=[-0.1 * p + 0.3 for p in positive])
    with open_dataset(made.path) as ds:
        for row in rows_of(ds, "cosine_vs_gate_frequency"):
            assert [row["pearson"], row["spearman"]] == pytest.approx([-1, -1])
            assert [row[name] for name in FIGURES if "_" in name] == [None] * 4


@pytest.mark.parametrize("layer", [None, 1])
def test_correlations(made: Synthetic, ds: Dataset, layer: int | None) -> None:
    neurons = neurons_with_frequencies(made)
    here = neurons if layer is None else neurons[neurons["layer"] == layer]
    rows = rows_of(ds, "correlations", layer=layer)
    names = [*FREQUENCIES.values(), "gate_positive_frequency", "in_positive_frequency",
             "agreement_frequency"]  # fmt: skip
    assert [(row["cosine"], row["frequency"]) for row in rows] == [
        (cosine, name)
        for cosine in ("cos_gate_in", "cos_gate_out", "cos_in_out")
        for name in sorted(names)
    ]
    for row in rows:
        wanted = expected(here[row["cosine"]], here[row["frequency"]])
        assert [row[name] for name in FIGURES] == pytest.approx(wanted, abs=1e-12)
        assert row["n_neurons"] == len(here)


def test_correlations_leave_out_neurons_without_a_cosine(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "ds", layers=(0,), n_neurons=20)
    cosines = np.linspace(-0.9, 0.9, 20).tolist()
    set_columns(made, "neurons", 0, cos_gate_out=[float("nan"), *cosines[1:]])
    with open_dataset(made.path) as ds:
        rows = rows_of(ds, "correlations")
    neurons = neurons_with_frequencies(made).iloc[1:].assign(cos_gate_out=cosines[1:])
    for row in rows:
        assert row["n_neurons"] == 19
        wanted = expected(neurons[row["cosine"]], neurons[row["frequency"]])
        assert [row[name] for name in FIGURES] == pytest.approx(wanted, abs=1e-12)
