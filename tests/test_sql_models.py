"""The queries over several models against pandas."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from answers import answer, assert_same, frame, neurons_with_frequencies, rows_of
from synthetic import Synthetic, write_synthetic

from pipeline.naming import IO_CLASSES
from pipeline.query import Datasets, open_dataset

CLASSES = {name.replace(" ", "_"): name for name in IO_CLASSES}
COSINES = ["cos_gate_in", "cos_gate_out", "cos_in_out"]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[Synthetic]:
    """Two revisions of a model and another one, which has more layers and neurons."""
    folder = tmp_path_factory.mktemp("sql")
    return [
        write_synthetic(folder / "a", n_neurons=20, seed=1, revision="step1"),
        write_synthetic(folder / "b", n_neurons=20, seed=2, revision="step2"),
        write_synthetic(folder / "c", n_neurons=25, seed=3, layers=(0, 1, 4), model="test/other"),
    ]


@pytest.fixture(scope="module")
def ds(three: list[Synthetic]) -> Iterator[Datasets]:
    with open_dataset([made.path for made in three]) as datasets:
        yield datasets


NAMES = ["test/synthetic@step1", "test/synthetic@step2", "test/other"]


def shares_and_medians(neurons: pd.DataFrame) -> pd.DataFrame:
    """By layer: number of neurons, share of every class, median of every cosine."""
    layers = neurons.groupby("layer")
    columns = {
        column: layers["io_class"].apply(lambda c, name=name: (c == name).mean())
        for column, name in CLASSES.items()
    }
    columns |= {f"median_{cosine}": layers[cosine].median() for cosine in COSINES}
    return pd.DataFrame({"n_neurons": layers.size(), **columns}).reset_index()


def test_models(three: list[Synthetic], ds: Datasets) -> None:
    rows = rows_of(ds, "models")
    assert [row["model"] for row in rows] == NAMES
    assert [row["place"] for row in rows] == [0, 1, 2]
    assert [row["revision"] for row in rows] == ["step1", "step2", "0"]
    assert [row["n_layers"] for row in rows] == [2, 2, 5]
    assert [row["n_layers_here"] for row in rows] == [2, 2, 3]
    assert [row["n_neurons"] for row in rows] == [40, 40, 75]
    assert {row["gated"] for row in rows} == {True}


def test_compare_models(three: list[Synthetic], ds: Datasets) -> None:
    parts = []
    for made, model in zip(three, NAMES, strict=True):
        neurons = neurons_with_frequencies(made)
        part = shares_and_medians(neurons).assign(model=model)
        part["relative_depth"] = part["layer"] / max(made.shape.layers)
        by_layer = neurons.groupby("layer")
        for name in ("gate_positive_frequency", "agreement_frequency"):
            part[f"mean_{name}"] = by_layer[name].mean().to_numpy()
        parts.append(part)
    wanted = pd.concat(parts)
    found = answer(ds, "compare_models")
    assert_same(found, wanted)
    assert found["relative_depth"].tolist() == [0, 1, 0, 1, 0, 0.25, 1]
    assert found[list(CLASSES)].sum(axis=1).to_numpy() == pytest.approx(1)


def test_compare_models_with_one_layer_and_without_a_gate(tmp_path: Path) -> None:
    small = write_synthetic(tmp_path / "small", layers=(0,), n_neurons=5)
    vanilla = write_synthetic(
        tmp_path / "vanilla", n_neurons=9, model="test/vanilla", scan=False, gated=False
    )
    with open_dataset([small.path, vanilla.path]) as ds:
        one, *two = rows_of(ds, "compare_models")
        scanned, unscanned = rows_of(ds, "models")
    assert (scanned["gated"], unscanned["gated"]) == (True, False)
    assert scanned["n_tokens"] == small.manifest["corpus"]["n_tokens"]
    assert unscanned["n_tokens"] is None
    assert one["relative_depth"] == 0
    assert one["mean_gate_positive_frequency"] is not None
    assert [row["relative_depth"] for row in two] == [0, 1]
    medians = frame(vanilla, "neurons").groupby("layer")["cos_in_out"].median()
    for row in two:
        assert row["median_cos_in_out"] == pytest.approx(medians[row["layer"]])
        for name in ("median_cos_gate_in", "median_cos_gate_out", "mean_agreement_frequency"):
            assert row[name] is None


def test_compare_checkpoints(three: list[Synthetic], ds: Datasets) -> None:
    """The third dataset has other sizes, so nothing of it is compared."""
    found = answer(ds, "compare_checkpoints")
    wanted = pd.concat([
        shares_and_medians(frame(made, "neurons")).assign(model=model)
        for made, model in zip(three, NAMES, strict=True)
    ])  # fmt: skip
    same = ["model", "layer", "n_neurons", *CLASSES, *(f"median_{c}" for c in COSINES)]
    assert_same(found[same], wanted)
    changes = [c for c in found.columns if c.startswith(("previous", "same", "pearson", "change"))]
    assert len(changes) == 6
    compared = found["model"] == NAMES[1]
    assert found.loc[~compared, changes].isna().to_numpy().all()
    before, after = (frame(made, "neurons") for made in three[:2])
    for row in found[compared].itertuples():
        old, new = (t[t["layer"] == row.layer].set_index("neuron") for t in (before, after))
        assert row.previous == NAMES[0]
        assert row.same_class == pytest.approx((old["io_class"] == new["io_class"]).mean())
        pearson = np.corrcoef(old["cos_in_out"], new["cos_in_out"])[0, 1]
        assert row.pearson_cos_in_out == pytest.approx(pearson)
        flips = {c: [np.where(t["flipped"], -1, 1) for t in (old, new)] for c in COSINES[:2]}
        assert any((a != b).any() for a, b in flips.values())
        for cosine in COSINES:
            a, b = flips.get(cosine, [1, 1])
            change = (b * new[cosine] - a * old[cosine]).abs().mean()
            assert getattr(row, f"change_{cosine}") == pytest.approx(change)


def test_checkpoints_in_another_order_and_an_equal_one(three: list[Synthetic]) -> None:
    with open_dataset([three[1].path, three[0].path, three[0].path]) as ds:
        rows = rows_of(ds, "compare_checkpoints")
    models = [row["model"] for row in rows][::2]
    assert models[0] == NAMES[1]
    assert [row["previous"] for row in rows[::2]] == [None, *models[:2]]
    for row in rows[4:]:
        assert (row["same_class"], row["change_cos_gate_in"], row["change_cos_in_out"]) == (1, 0, 0)
        assert row["pearson_cos_in_out"] == pytest.approx(1)


def test_a_flip_alone_is_no_change(tmp_path: Path) -> None:
    """The same weights, once with canonical signs and once without."""
    flipped = write_synthetic(tmp_path / "a", n_neurons=20, canonical_signs=True)
    as_is = write_synthetic(tmp_path / "b", n_neurons=20, canonical_signs=False)
    assert frame(flipped, "neurons")["flipped"].any()
    with open_dataset([flipped.path, as_is.path]) as ds:
        rows = rows_of(ds, "compare_checkpoints")[2:]
    for row in rows:
        assert row["same_class"] == 1
        assert [row[f"change_{cosine}"] for cosine in COSINES] == [0, 0, 0]
