"""The queries about weights against pandas and numpy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from answers import answer, assert_same, frame, rows_of, set_columns
from synthetic import Synthetic, io_class, vanilla_class, write_synthetic

from pipeline.query import Dataset, open_dataset

COSINES = ["cos_gate_in", "cos_gate_out", "cos_in_out"]
THRESHOLDS = [0.3, 0.4, 0.5, 0.6, 0.7]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("sql") / "ds", n_neurons=40, seed=5)


@pytest.fixture(scope="module")
def ds(made: Synthetic) -> Iterator[Dataset]:
    with open_dataset(made.path) as dataset:
        yield dataset


def wanted_shares(neurons: pd.DataFrame) -> dict[Any, float]:
    """Number and share by layer (None: all), threshold and class."""
    found = {}
    for threshold in THRESHOLDS:
        classes = neurons.apply(lambda n, t=threshold: io_class(*n[COSINES], t), axis=1)
        for layer in (None, *neurons["layer"].unique()):
            of_layer = classes if layer is None else classes[neurons["layer"] == layer]
            for name, n in of_layer.value_counts().items():
                found[layer, threshold, name, "n_neurons"] = n
                found[layer, threshold, name, "share"] = n / len(of_layer)
    return found


def found_shares(rows: list[dict[str, Any]]) -> dict[Any, float]:
    return {
        (row["layer"], row["threshold"], row["io_class"], what): row[what]
        for row in rows
        for what in ("n_neurons", "share")
    }


def test_io_classes(made: Synthetic, ds: Dataset) -> None:
    neurons = frame(made, "neurons")
    wanted = neurons["io_class"].value_counts()
    rows = rows_of(ds, "io_classes")
    assert {row["io_class"]: row["n_neurons"] for row in rows} == wanted.to_dict()
    for row in rows:
        layers = neurons.loc[neurons["io_class"] == row["io_class"], "layer"]
        assert row["share"] == pytest.approx(row["n_neurons"] / len(neurons))
        assert row["n_layers"] == layers.nunique()
        assert row["median_layer"] == sorted(layers)[(len(layers) - 1) // 2]
    order = [(-row["n_neurons"], row["io_class"]) for row in rows]
    assert order == sorted(order)


def test_class_shares_by_threshold(made: Synthetic, ds: Dataset) -> None:
    rows = rows_of(ds, "class_shares_by_threshold")
    assert found_shares(rows) == pytest.approx(wanted_shares(frame(made, "neurons")))
    order = [
        (-1 if r["layer"] is None else r["layer"], r["threshold"], -r["n_neurons"], r["io_class"])
        for r in rows
    ]
    assert order == sorted(order)
    of_half = {(r["layer"], r["io_class"]): r["share"] for r in rows if r["threshold"] == 0.5}
    for row in rows_of(ds, "io_classes_by_layer"):
        assert of_half[row["layer"], row["io_class"]] == pytest.approx(row["share"])


def test_parameters_of_class_shares_by_threshold(ds: Dataset) -> None:
    def thresholds(**parameters: float) -> list[float]:
        rows = rows_of(ds, "class_shares_by_threshold", **parameters)
        return sorted({row["threshold"] for row in rows})

    assert thresholds() == THRESHOLDS
    assert thresholds(low=0.1, high=0.9, step=0.2) == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert thresholds(low=0.25, high=0.42, step=0.05) == [0.25, 0.3, 0.35, 0.4]
    assert thresholds(low=0.6, step=0) == [0.6]
    assert thresholds(low=0.6, high=0.5) == []
    assert thresholds(low=0.6, high=0.6) == [0.6]


def test_a_cosine_on_a_threshold_counts_as_zero(tmp_path: Path) -> None:
    """Each threshold of the default steps is met exactly, though 0.3 + 2 * 0.1 is not 0.5."""
    made = write_synthetic(tmp_path / "ds", layers=(0,), n_neurons=10)
    cosines = [sign * t for t in THRESHOLDS for sign in (1, -1)]
    set_columns(made, "neurons", 0, **dict.fromkeys(COSINES, cosines))
    with open_dataset(made.path) as ds:
        found = found_shares(rows_of(ds, "class_shares_by_threshold"))
    neurons = pd.DataFrame({"layer": 0, **dict.fromkeys(COSINES, cosines)})
    assert found == pytest.approx(wanted_shares(neurons))
    assert found[0, 0.5, "orthogonal output", "n_neurons"] == 6


def test_classes_where_cosines_are_no_numbers(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "ds", layers=(0,), n_neurons=3)
    nan = float("nan")
    columns = {
        "cos_gate_in": [nan, 0.9, 0.9],
        "cos_gate_out": [nan, nan, 0.9],
        "cos_in_out": [nan, 0.9, nan],
    }
    set_columns(made, "neurons", 0, **columns)
    with open_dataset(made.path) as ds:
        found = found_shares(rows_of(ds, "class_shares_by_threshold", low=0.5, step=0))
    names = {name for layer, _, name, _ in found if layer == 0}
    assert names == {
        "orthogonal output", "atypical conditional enrichment", "atypical proportional change"
    }  # fmt: skip


def test_classes_without_a_gate(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "ds", n_neurons=30, scan=False, gated=False)
    with open_dataset(made.path) as ds:
        found = found_shares(rows_of(ds, "class_shares_by_threshold"))
        classes = {row["io_class"] for row in rows_of(ds, "io_classes")}
    assert classes == {"enrichment", "orthogonal output", "depletion"}
    cosines = frame(made, "neurons")["cos_in_out"]
    for threshold in THRESHOLDS:
        wanted = cosines.map(lambda x, t=threshold: vanilla_class(x, t)).value_counts()
        of_all = {
            name: n
            for (layer, t, name, what), n in found.items()
            if (layer, t, what) == (None, threshold, "n_neurons")
        }
        assert of_all == wanted.to_dict()


def test_randomness_by_layer(made: Synthetic, tmp_path: Path) -> None:
    """Another interval for each cosine and layer, one of them unknown."""
    other = write_synthetic(tmp_path / "ds", made.shape)
    for layer in made.shape.layers:
        for i, cosine in enumerate(COSINES):
            ends = {"low": -0.1 * (i + 1) - layer / 20, "high": 0.2 * (i + 1) + layer / 20}
            if (layer, i) == (1, 2):
                ends = {"low": float("nan"), "high": float("nan")}
            columns = {f"mismatched_{end}_{cosine}": [x] for end, x in ends.items()}
            set_columns(other, "layers", layer, **columns)
    with open_dataset(other.path) as ds:
        rows = rows_of(ds, "randomness_by_layer")
    neurons = frame(made, "neurons")
    assert [(r["layer"], r["cosine"]) for r in rows] == [
        (layer, cosine) for layer in made.shape.layers for cosine in COSINES
    ]
    for row in rows:
        x = neurons.loc[neurons["layer"] == row["layer"], row["cosine"]]
        assert row["n_neurons"] == len(x)
        assert row["share_outside_randomness"] == pytest.approx(((x < -0.12) | (x > 0.12)).mean())
        if (row["layer"], row["cosine"]) == (1, "cos_in_out"):
            assert row["share_outside_mismatched"] is None
            continue
        i = COSINES.index(row["cosine"])
        low, high = -0.1 * (i + 1) - row["layer"] / 20, 0.2 * (i + 1) + row["layer"] / 20
        assert (row["mismatched_low"], row["mismatched_high"]) == (low, high)
        assert row["share_outside_mismatched"] == pytest.approx(((x < low) | (x > high)).mean())


def test_cosine_quantiles_by_layer(made: Synthetic, ds: Dataset) -> None:
    neurons = frame(made, "neurons")
    found = answer(ds, "cosine_quantiles_by_layer")
    tails = [2.0**-i for i in range(10, 1, -1)]
    probabilities = [*tails, 0.5, *(1 - p for p in reversed(tails))]
    assert len(found) == len(made.shape.layers) * 3 * 19
    for (layer, cosine), rows in found.groupby(["layer", "cosine"]):
        x = neurons.loc[neurons["layer"] == layer, cosine]
        assert rows["probability"].tolist() == probabilities
        assert rows["quantile"].to_numpy() == pytest.approx(np.quantile(x, probabilities))
        assert set(rows["n_neurons"]) == {len(x)}


def test_norms_by_layer(made: Synthetic, ds: Dataset) -> None:
    neurons = frame(made, "neurons")
    rows = rows_of(ds, "norms_by_layer")
    assert [r["weight"] for r in rows] == ["gate", "in", "out"] * len(made.shape.layers)
    for row in rows:
        norms = neurons.loc[neurons["layer"] == row["layer"], f"norm_{row['weight']}"]
        wanted = norms.describe()[["count", "mean", "min", "25%", "50%", "75%", "max"]]
        found = [row[f"{name}_norm"] for name in ("mean", "min", "q1", "median", "q3", "max")]
        assert [row["n_neurons"], *found] == pytest.approx(wanted.tolist())


@pytest.mark.parametrize("cosine", COSINES)
@pytest.mark.parametrize("side", ["highest", "lowest"])
def test_extreme_cosines(made: Synthetic, ds: Dataset, cosine: str, side: str) -> None:
    neurons = frame(made, "neurons")
    wanted = neurons.sort_values(cosine, ascending=side == "lowest").head(7)
    found = answer(ds, "extreme_cosines", cosine=cosine, side=side, n=7)
    assert_same(found, wanted)
    of_one = answer(ds, "extreme_cosines", cosine=cosine, side=side, layer=1, n=100)
    assert set(of_one["layer"]) == {1}
    assert len(of_one) == made.shape.n_neurons


def test_weight_tokens(made: Synthetic, ds: Dataset) -> None:
    tokens = [row["token"] for row in made.tables["vocab"]]
    wanted = [
        (w["weight"], w["matrix"], w["side"], w["rank"], tokens[w["token_id"]], w["token_id"],
         w["score"])
        for w in made.tables["weight_tokens"]
        if (w["layer"], w["neuron"]) == (1, 3)
    ]  # fmt: skip
    found = [tuple(row.values()) for row in rows_of(ds, "weight_tokens", layer=1, neuron=3)]
    assert found == wanted
    chosen = {"weight": "in", "matrix": "embedding", "side": "lowest", "n": 2}
    some = [tuple(r.values()) for r in rows_of(ds, "weight_tokens", layer=1, neuron=3, **chosen)]
    assert some == [w for w in wanted if w[:3] == ("in", "embedding", "lowest") and w[3] < 2]


def test_neurons_by_weight_token(made: Synthetic, ds: Dataset) -> None:
    token_id = [row["token"] for row in made.tables["vocab"]].index(" word3")
    entries = frame(made, "weight_tokens")
    entries = entries[entries["token_id"] == token_id]
    entries = entries.merge(frame(made, "neurons")[["layer", "neuron", "io_class"]])
    entries["token"] = " word3"
    entries["place"] = entries["score"].where(entries["side"] == "lowest", -entries["score"])
    kinds = ["weight", "matrix", "side"]
    entries = entries.sort_values([*kinds, "place", "layer", "neuron"])
    found = answer(ds, "neurons_by_weight_token", token="word3", n=1000)
    assert entries.duplicated([*kinds, "score"]).any()
    assert_same(found, entries)
    few = answer(ds, "neurons_by_weight_token", token=" word3", n=2)
    wanted = entries.groupby(kinds).head(2)
    assert_same(few, wanted)
    chosen = {"weight": "out", "matrix": "unembedding", "side": "highest"}
    one = answer(ds, "neurons_by_weight_token", token="word3", **chosen)
    assert set(one["weight"]) == {"out"}
    assert len(one) == min(20, (entries[kinds] == list(chosen.values())).all(axis=1).sum())
    assert answer(ds, "neurons_by_weight_token", token="no such token").empty
