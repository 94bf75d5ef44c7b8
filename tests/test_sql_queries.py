"""The named queries against the same figures calculated from the rows in numpy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import rows_of
from synthetic import Synthetic, rewrite, write_synthetic

from pipeline.naming import COMBO_NAMES
from pipeline.query import Dataset, fetch, open_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("sql") / "ds", n_neurons=12, seed=3)


@pytest.fixture(scope="module")
def ds(made: Synthetic) -> Iterator[Dataset]:
    with open_dataset(made.path) as dataset:
        yield dataset


def counts(made: Synthetic) -> dict[tuple[int, int], dict[str, int]]:
    found: dict[tuple[int, int], dict[str, int]] = {}
    for row in made.tables["sign_stats"]:
        found.setdefault((row["layer"], row["neuron"]), {})[row["combo"]] = row["count"]
    return found


def average_ranks(values: np.ndarray) -> np.ndarray:
    return np.array([(values < v).sum() + ((values == v).sum() + 1) / 2 for v in values])


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    return float((x * y).sum() / np.sqrt((x * x).sum() * (y * y).sum()))


def test_neuron_summary(made: Synthetic, ds: Dataset) -> None:
    names, rows = fetch(ds.table("neuron_summary").order("layer, neuron"))
    assert len(rows) == len(made.tables["neurons"])
    for row, neuron in zip(rows, made.tables["neurons"], strict=True):
        found = dict(zip(names, row, strict=True))
        pp, pn, np_, nn = (counts(made)[neuron["layer"], neuron["neuron"]][c] for c in COMBO_NAMES)
        total = found["n_tokens"]
        assert {key: found[key] for key in neuron} == neuron
        assert found["freq_gate_pos_in_pos"] == pytest.approx(pp / total)
        assert found["freq_gate_pos_in_neg"] == pytest.approx(pn / total)
        assert found["freq_gate_neg_in_pos"] == pytest.approx(np_ / total)
        assert found["freq_gate_neg_in_neg"] == pytest.approx(nn / total)
        assert found["gate_positive_frequency"] == pytest.approx((pp + pn) / total)
        assert found["in_positive_frequency"] == pytest.approx((pp + np_) / total)
        assert found["agreement_frequency"] == pytest.approx((pp + nn) / total)
        assert found["n_zero"] == total - pp - pn - np_ - nn


def test_cosine_vs_gate_frequency(made: Synthetic, ds: Dataset) -> None:
    by_neuron = counts(made)
    n_tokens = made.tables["sign_stats"][0]["n_tokens"]
    points = [
        (
            row["layer"],
            row["cos_in_out"],
            (by_neuron[row["layer"], row["neuron"]]["gate+_in+"]
            + by_neuron[row["layer"], row["neuron"]]["gate+_in-"]) / n_tokens,
        )
        for row in made.tables["neurons"]
    ]  # fmt: skip
    rows = rows_of(ds, "cosine_vs_gate_frequency")
    assert [row["layer"] for row in rows] == [None, *made.shape.layers]
    for row in rows:
        chosen = np.array([p[1:] for p in points if row["layer"] in (None, p[0])])
        x, y = chosen.T
        assert row["n_neurons"] == len(chosen)
        assert row["pearson"] == pytest.approx(correlation(x, y), abs=1e-12)
        ranked = correlation(average_ranks(x), average_ranks(y))
        assert row["spearman"] == pytest.approx(ranked, abs=1e-12)


def test_spearman_gives_ties_their_average_rank(tmp_path: Path) -> None:
    """Expected: scipy 1.17.1's spearmanr and pearsonr of the two lists below."""
    made = write_synthetic(tmp_path / "ds", layers=(0,), n_neurons=6)
    cosines, positive = [0.0, 0.0, 0.1, 0.2, 0.2, 0.2], [3, 3, 1, 0, 2, 2]

    def tied(table: Any) -> Any:
        column = table.schema.get_field_index("cos_in_out")
        return table.set_column(column, table.schema.field(column), [cosines])

    def counted(table: Any) -> Any:
        column = table.schema.get_field_index("count")
        values = [n for p in positive for n in (p, 0, 438 - p, 0)]
        return table.set_column(column, table.schema.field(column), [values])

    rewrite(made.path / "neurons/layer=0/part-0.parquet", tied)
    rewrite(made.path / "sign_stats/layer=0/part-0.parquet", counted)
    with open_dataset(made.path) as ds:
        row = rows_of(ds, "cosine_vs_gate_frequency")[0]
    assert row["spearman"] == pytest.approx(-0.699205898780101, abs=1e-12)
    assert row["pearson"] == pytest.approx(-0.6670170091506028, abs=1e-12)


def test_correlation_of_a_constant_is_null_and_nan_cosines_are_left_out(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "ds", n_neurons=4)

    def constant(table: Any) -> Any:
        column = table.schema.get_field_index("cos_in_out")
        values = [0.1, 0.1, 0.1, float("nan")]
        return table.set_column(column, table.schema.field(column), [values])

    rewrite(made.path / "neurons/layer=1/part-0.parquet", constant)
    with open_dataset(made.path) as ds:
        rows = rows_of(ds, "cosine_vs_gate_frequency")
        medians = rows_of(ds, "median_cosines_by_layer")
    assert [row["n_neurons"] for row in rows] == [7, 4, 3]
    assert rows[2]["pearson"] is None
    assert rows[2]["spearman"] is None
    assert rows[0]["spearman"] is not None
    assert medians[1]["median_cos_in_out"] == 0.1


def test_sign_frequencies(made: Synthetic, ds: Dataset) -> None:
    rows = rows_of(ds, "sign_frequencies")
    assert [(row["layer"], row["combo"]) for row in rows] == [
        (layer, combo) for layer in made.shape.layers for combo in COMBO_NAMES
    ]
    for row in rows:
        frequencies = [
            stats["frequency"]
            for stats in made.tables["sign_stats"]
            if (stats["layer"], stats["combo"]) == (row["layer"], row["combo"])
        ]
        assert row["n_neurons"] == len(frequencies)
        assert row["mean_frequency"] == pytest.approx(np.mean(frequencies))
        quartiles = [row[f"{q}_frequency"] for q in ("q1", "median", "q3")]
        assert quartiles == pytest.approx(np.quantile(frequencies, [0.25, 0.5, 0.75]))


def test_io_classes_by_layer(made: Synthetic, ds: Dataset) -> None:
    rows = rows_of(ds, "io_classes_by_layer")
    wanted = Counter((row["layer"], row["io_class"]) for row in made.tables["neurons"])
    assert {(row["layer"], row["io_class"]): row["n_neurons"] for row in rows} == wanted
    for row in rows:
        assert row["share"] == row["n_neurons"] / made.shape.n_neurons
    order = [(row["layer"], -row["n_neurons"]) for row in rows]
    assert order == sorted(order)


def test_median_cosines_by_layer(made: Synthetic, ds: Dataset) -> None:
    for row in rows_of(ds, "median_cosines_by_layer"):
        of_layer = [n for n in made.tables["neurons"] if n["layer"] == row["layer"]]
        for cosine in ("cos_gate_in", "cos_gate_out", "cos_in_out"):
            assert row[f"median_{cosine}"] == pytest.approx(
                np.median([n[cosine] for n in of_layer])
            )
        assert (row["n_neurons"], row["randomness_low"]) == (len(of_layer), -0.12)


def test_unexpected_signs(made: Synthetic, ds: Dataset) -> None:
    n_tokens = made.tables["sign_stats"][0]["n_tokens"]
    wanted = {}
    for neuron in made.tables["neurons"]:
        of_neuron = counts(made)[neuron["layer"], neuron["neuron"]]
        disagreement = (of_neuron["gate+_in-"] + of_neuron["gate-_in+"]) / n_tokens
        if neuron["cos_gate_in"] > 0.5 and disagreement > 0.5:
            wanted[neuron["layer"], neuron["neuron"]] = pytest.approx(disagreement)
    rows = rows_of(ds, "unexpected_signs")
    assert wanted
    assert {(r["layer"], r["neuron"]): r["disagreement_frequency"] for r in rows} == wanted
    falling = [row["disagreement_frequency"] for row in rows]
    assert falling == sorted(falling, reverse=True)
    assert len(rows_of(ds, "unexpected_signs", min_cosine=-1, min_disagreement=0)) > len(rows)


def test_rare_combinations(made: Synthetic, ds: Dataset) -> None:
    best = {
        (e["layer"], e["neuron"], e["combo"]): e
        for e in made.tables["examples"]
        if e["ranking"] == "post" and e["rank"] == 0
    }
    wanted = {
        key: stats["count"]
        for stats in made.tables["sign_stats"]
        if stats["count"] and stats["frequency"] < 0.05
        for key in [(stats["layer"], stats["neuron"], stats["combo"])]
    }
    rows = rows_of(ds, "rare_combinations", max_frequency=0.05)
    assert {(r["layer"], r["neuron"], r["combo"]): r["count"] for r in rows} == wanted
    for row in rows:
        entry = best[row["layer"], row["neuron"], row["combo"]]
        assert row["strongest_post"] == entry["post_value"]
        assert row["token"] == made.tables["vocab"][entry["peak_token"]]["token"]
        assert (row["example_id"], row["position"]) == (entry["example_id"], entry["position"])
    strengths = [abs(row["strongest_post"]) for row in rows]
    assert strengths == sorted(strengths, reverse=True)
    default = rows_of(ds, "rare_combinations")
    assert default
    assert max(row["frequency"] for row in default) < 0.01
    assert len(rows_of(ds, "rare_combinations", max_frequency=0.05, n=2)) == 2


def test_top_examples(made: Synthetic, ds: Dataset) -> None:
    tokens = [row["token"] for row in made.tables["vocab"]]
    rows = rows_of(ds, "top_examples", layer=1, neuron=3, ranking="gate", n=2, context=4)
    wanted = [
        e
        for e in made.tables["examples"]
        if (e["layer"], e["neuron"], e["ranking"]) == (1, 3, "gate") and e["rank"] < 2
    ]
    assert [(r["combo"], r["rank"]) for r in rows] == [(e["combo"], e["rank"]) for e in wanted]
    for row, entry in zip(rows, wanted, strict=True):
        peak = entry["position"] - entry["window_start"]
        words = [tokens[t] for t in entry["token_ids"]]
        before, after = words[max(0, peak - 4) : peak], words[peak + 1 : peak + 5]
        assert row["text"] == "".join(before) + f"»{words[peak]}«" + "".join(after)
        for name in ("score", "gate_value", "example_id", "position", "n_duplicates"):
            assert row[name] == pytest.approx(entry[name])
    one = rows_of(ds, "top_examples", layer=1, neuron=3, combo="gate-_in+")
    assert {row["combo"] for row in one} == {"gate-_in+"}


def test_neurons_by_token(made: Synthetic, ds: Dataset) -> None:
    token_id = [row["token"] for row in made.tables["vocab"]].index(" word3")
    lists = Counter(
        (e["layer"], e["neuron"], e["combo"])
        for e in made.tables["examples"]
        if e["ranking"] == "in"
    )
    hits: dict[Any, list[dict[str, Any]]] = {}
    for e in made.tables["examples"]:
        if e["ranking"] == "in" and e["peak_token"] == token_id:
            hits.setdefault((e["layer"], e["neuron"], e["combo"]), []).append(e)
    rows = rows_of(ds, "neurons_by_token", token="word3", ranking="in")
    assert hits
    assert {(r["layer"], r["neuron"], r["combo"]) for r in rows} == set(hits)
    for row in rows:
        key = row["layer"], row["neuron"], row["combo"]
        assert row["token"] == " word3"
        assert row["n_examples"] == len(hits[key])
        assert row["share"] == len(hits[key]) / lists[key]
        assert row["best_score"] == pytest.approx(max(e["score"] for e in hits[key]))
        assert row["best_rank"] == min(e["rank"] for e in hits[key])
    order = [(-row["n_examples"], -row["best_score"]) for row in rows]
    assert order == sorted(order)
    assert rows_of(ds, "neurons_by_token", token="no such token") == []
    assert len(rows_of(ds, "neurons_by_token", token=" word3", ranking="in", n=1)) == 1
