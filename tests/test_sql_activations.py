"""The queries about activations and examples against pandas."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from answers import FREQUENCIES, answer, assert_same, frame, neurons_with_frequencies, rows_of
from synthetic import Synthetic, write_synthetic

from pipeline.naming import COMBO_NAMES
from pipeline.query import Dataset, open_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("sql") / "ds", n_neurons=15, seed=4)


@pytest.fixture(scope="module")
def ds(made: Synthetic) -> Iterator[Dataset]:
    with open_dataset(made.path) as dataset:
        yield dataset


def test_output_norm_by_combination(made: Synthetic, ds: Dataset) -> None:
    stats = frame(made, "sign_stats").merge(frame(made, "neurons"), on=["layer", "neuron"])
    stats["norm"] = stats["mean_post"].abs() * stats["norm_out"]
    stats["sum"] = (stats["count"] * stats["norm"]).fillna(0)
    stats["share"] = stats["sum"] / stats.groupby(["layer", "neuron"])["sum"].transform("sum")
    wanted = (
        stats.assign(occurs=stats["count"] > 0)
        .groupby(["layer", "combo"])
        .agg(
            n_neurons=("occurs", "sum"),
            mean_output_norm=("norm", "mean"),
            median_output_norm=("norm", "median"),
            mean_share=("share", "mean"),
        )
        .reset_index()
    )
    assert stats["mean_post"].isna().any()
    found = answer(ds, "output_norm_by_combination")
    assert_same(found, wanted)
    assert found.groupby("layer")["mean_share"].sum().to_numpy() == pytest.approx(1)


def test_post_has_one_sign_in_a_combination(made: Synthetic) -> None:
    """So that the mean of |post| is |mean_post|: every stored window says so."""
    for row in made.tables["examples"]:
        gate, in_ = np.array(row["gate"]), np.array(row["in"])
        here = (np.sign(gate) == row["gate_sign"]) & (np.sign(in_) == row["in_sign"])
        post = gate / (1 + np.exp(-gate)) * in_
        assert (np.sign(post[here]) == row["gate_sign"] * row["in_sign"]).all()


def test_activation_means(made: Synthetic, ds: Dataset) -> None:
    stats = frame(made, "sign_stats")
    found = answer(ds, "activation_means")
    assert found["combo"].tolist() == list(COMBO_NAMES) * len(made.shape.layers)
    for row in found.itertuples():
        here = stats[(stats["layer"] == row.layer) & (stats["combo"] == row.combo)].dropna()
        assert row.n_activations == here["count"].sum()
        for quantity in ("gate", "in", "act", "post"):
            wanted = np.average(here[f"mean_{quantity}"], weights=here["count"])
            assert getattr(row, f"mean_{quantity}") == pytest.approx(wanted)


def test_rarely_or_always_positive_gates(made: Synthetic, ds: Dataset) -> None:
    neurons = neurons_with_frequencies(made)
    gate = neurons["gate_positive_frequency"]
    rare, always = gate < 0.1, gate > 0.8
    neurons["gate_is"] = np.where(rare, "rarely positive", "always positive")
    neurons["distance"] = np.minimum(gate, 1 - gate)
    wanted = neurons[rare | always].sort_values(["distance", "layer", "neuron"])
    assert set(wanted["gate_is"]) == {"rarely positive", "always positive"}
    name = "rarely_or_always_positive_gates"
    assert_same(answer(ds, name, rare=0.1, always=0.8), wanted)
    assert_same(answer(ds, name, rare=0.1, always=0.8, n=3), wanted.head(3))
    never = answer(ds, name, n=2)
    assert never[["layer", "neuron"]].to_numpy().tolist() == [[0, 0], [1, 0]]


def test_combination_by_class(made: Synthetic, ds: Dataset) -> None:
    neurons = neurons_with_frequencies(made)
    means = [
        *FREQUENCIES.values(),
        "gate_positive_frequency",
        "in_positive_frequency",
        "agreement_frequency",
    ]
    classes = neurons.groupby("io_class")
    wanted = classes[means].mean().assign(n_neurons=classes.size()).reset_index()
    wanted = wanted.sort_values(["n_neurons", "io_class"], ascending=[False, True])
    assert_same(answer(ds, "combination_by_class"), wanted)


def test_peak_tokens(made: Synthetic, ds: Dataset) -> None:
    examples = frame(made, "examples")
    for ranking in ("post", "random"):
        here = examples[
            (examples["layer"] == 1) & (examples["neuron"] == 3) & (examples["ranking"] == ranking)
        ]
        wanted = (
            here.groupby(["combo", "peak_token"])
            .agg(
                n_examples=("rank", "size"),
                n_duplicates=("n_duplicates", "sum"),
                best_rank=("rank", "min"),
                best_score=("score", "max"),
            )
            .reset_index()
            .sort_values(["combo", "n_examples", "best_rank"], ascending=[True, False, True])
            .rename(columns={"peak_token": "token_id"})
        )
        wanted["share"] = wanted["n_examples"] / wanted["combo"].map(here["combo"].value_counts())
        wanted["token"] = wanted["token_id"].map(frame(made, "vocab")["token"])
        found = answer(ds, "peak_tokens", layer=1, neuron=3, ranking=ranking)
        assert_same(found, wanted)
    of_one = rows_of(ds, "peak_tokens", layer=1, neuron=3, combo="gate-_in+")
    assert {row["combo"] for row in of_one} == {"gate-_in+"}


@pytest.mark.parametrize("combo", [None, "gate+_in-"])
def test_examples_by_neurons(made: Synthetic, ds: Dataset, combo: str | None) -> None:
    entries = frame(made, "examples")
    entries = entries[entries["ranking"] == "in"]
    entries = entries if combo is None else entries[entries["combo"] == combo]
    n_lists = entries.groupby(["layer", "neuron", "combo"]).ngroups
    rows = []
    for example_id, here in entries.groupby("example_id"):
        places = here["position"].value_counts()
        position = min(places[places == places.max()].index)
        text = made.tables["corpus"][example_id]
        token = made.tables["vocab"][text["input_ids"][position]]["token"]
        rows.append({
            "example_id": example_id, "n_lists": len(here), "share": len(here) / n_lists,
            "n_layers": here["layer"].nunique(), "position": position,
            "n_lists_position": places.max(), "token": token, "text": text["text"][:80],
        })  # fmt: skip
    wanted = pd.DataFrame(rows).sort_values(["n_lists", "example_id"], ascending=[False, True])
    assert wanted["n_lists"].duplicated().any()
    parameters = {"ranking": "in", "combo": combo}
    assert_same(answer(ds, "examples_by_neurons", n=1000, **parameters), wanted)
    for n in range(1, len(wanted)):  # wherever it cuts, also between ties
        assert_same(answer(ds, "examples_by_neurons", n=n, **parameters), wanted.head(n))
