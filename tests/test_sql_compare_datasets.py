"""The query `compare_datasets` against plain Python over the rows of both datasets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from answers import rows_of
from synthetic import Synthetic, rewrite, write_synthetic

from pipeline.cli import main
from pipeline.query import open_dataset

_MEANS = ("gate", "in", "act", "post")


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Synthetic, Synthetic]:
    """The same model measured twice, the second time with other numbers in everything."""
    first = write_synthetic(tmp_path / "first", n_neurons=9, seed=5)
    second = write_synthetic(tmp_path / "second", n_neurons=9, seed=6)
    return first, second


def _compared(a: Synthetic, b: Synthetic, **parameters: Any) -> list[dict[str, Any]]:
    with open_dataset([a.path, b.path]) as datasets:
        return rows_of(datasets, "compare_datasets", **parameters)


def _relative(a: float, b: float) -> float:
    return abs(a - b) / max(abs(a), abs(b)) if a or b else 0.0


def _lists(made: Synthetic, rankings: set[str]) -> dict[tuple, list[dict[str, Any]]]:
    lists: dict[tuple, list[dict[str, Any]]] = {}
    for row in sorted(made.tables["examples"], key=lambda row: row["rank"]):
        if row["ranking"] in rankings:
            key = (row["layer"], row["neuron"], row["combo"], row["ranking"])
            lists.setdefault(key, []).append(row)
    return lists


def _not_tied(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries that the other list lacks and that do not tie with its last."""
    there, last = {row["example_id"] for row in other}, other[-1]["score"]
    return [row for row in one if row["example_id"] not in there and row["score"] > 1.0001 * last]


def test_itself(pair: tuple[Synthetic, Synthetic]) -> None:
    rows = _compared(pair[0], pair[0])
    assert len(rows) == 4 * len(pair[0].shape.layers)
    for row in rows:
        assert row["max_frequency_difference"] == row["mean_frequency_difference"] == 0
        assert {row[f"max_{name}_difference"] for name in _MEANS} <= {0, None}
        if row["n_lists"]:
            assert (row["list_overlap"], row["same_lists"], row["same_but_for_ties"]) == (1, 1, 1)
            assert row["max_score_difference"] == 0


@pytest.mark.parametrize("ranking", [None, "gate", "random"])
def test_another_measurement(pair: tuple[Synthetic, Synthetic], ranking: str | None) -> None:
    first, second = pair
    rankings = {ranking} if ranking else {"post", "in", "gate"}
    stats = [
        {(r["layer"], r["neuron"], r["combo"]): r for r in made.tables["sign_stats"]}
        for made in pair
    ]
    lists = [_lists(made, rankings) for made in pair]
    rows = _compared(first, second, ranking=ranking)
    assert {row["model"] for row in rows} == {str(second.path)}
    n_unequal = 0
    for row in rows:
        keys = [key for key in stats[0] if (key[0], key[2]) == (row["layer"], row["combo"])]
        off = {key: abs(stats[0][key]["frequency"] - stats[1][key]["frequency"]) for key in keys}
        assert row["n_neurons"] == len(keys)
        assert row["max_frequency_difference"] == pytest.approx(max(off.values()))
        assert row["mean_frequency_difference"] == pytest.approx(np.mean(list(off.values())))
        assert off[row["layer"], row["max_frequency_neuron"], row["combo"]] == max(off.values())
        for name in _MEANS:
            values = [
                (stats[0][key][f"mean_{name}"], stats[1][key][f"mean_{name}"]) for key in keys
            ]
            known = [_relative(a, b) for a, b in values if a is not None and b is not None]
            assert row[f"max_{name}_difference"] == (pytest.approx(max(known)) if known else None)
        of_lists = [
            key
            for key in lists[0].keys() | lists[1].keys()
            if (key[0], key[2]) == (row["layer"], row["combo"])
        ]
        overlaps, scores, untied = [], [], []
        for key in of_lists:
            a, b = (of.get(key, []) for of in lists)
            n = min(len(a), len(b))
            shared = {r["example_id"] for r in a[:n]} & {r["example_id"] for r in b[:n]}
            overlaps.append(len(shared) / n if n else 0)
            untied.append(n > 0 and not _not_tied(a[:n], b[:n]) and not _not_tied(b[:n], a[:n]))
            scores += [_relative(x["score"], y["score"]) for x, y in zip(a, b, strict=False)]
        assert row["n_lists"] == len(of_lists)
        if of_lists:
            assert row["list_overlap"] == pytest.approx(np.mean(overlaps))
            assert row["same_lists"] == pytest.approx(np.mean([o == 1 for o in overlaps]))
            assert row["same_but_for_ties"] == pytest.approx(np.mean(untied))
        assert row["max_score_difference"] == (pytest.approx(max(scores)) if scores else None)
        n_unequal += row["max_frequency_difference"] > 0
    assert n_unequal > 0


def test_a_list_that_only_one_has(pair: tuple[Synthetic, Synthetic]) -> None:
    first = pair[0]

    def without_post_of_neuron_2(examples: pa.Table) -> pa.Table:
        keep = [
            (row["neuron"], row["ranking"]) != (2, "post")
            for row in examples.select(["neuron", "ranking"]).to_pylist()
        ]
        return examples.filter(pa.array(keep))

    before = _compared(first, first, ranking="post")
    whole = first.path.with_name("whole")
    shutil.copytree(first.path, whole)
    rewrite(first.path / "examples/layer=0/part-0.parquet", without_post_of_neuron_2)
    with open_dataset([whole, first.path]) as datasets:
        after = rows_of(datasets, "compare_datasets", ranking="post")
    assert [row["n_lists"] for row in before] == [row["n_lists"] for row in after]
    overlaps = {row["layer"]: [] for row in after}
    for row in after:
        overlaps[row["layer"]] += [row["list_overlap"]] if row["n_lists"] else []
    assert {layer for layer, shares in overlaps.items() if min(shares) < 1} == {0}


def test_ties_at_the_end_of_a_list(pair: tuple[Synthetic, Synthetic]) -> None:
    """Which of two examples with the same score is kept is chance."""
    first = pair[0]
    whole = first.path.with_name("whole")
    shutil.copytree(first.path, whole)

    def another_last(examples: pa.Table) -> pa.Table:
        rows = examples.to_pylist()
        for row, after in zip(rows, [*rows[1:], {"rank": 0}], strict=True):
            if after["rank"] == 0:
                row["example_id"] += 10**6
        return pa.Table.from_pylist(rows, schema=examples.schema)

    for layer in first.shape.layers:
        rewrite(first.path / f"examples/layer={layer}/part-0.parquet", another_last)
    with open_dataset([whole, first.path]) as datasets:
        rows = rows_of(datasets, "compare_datasets")
    assert {row["same_lists"] for row in rows if row["n_lists"]} == {0}
    assert {row["same_but_for_ties"] for row in rows if row["n_lists"]} == {1}


def test_one_dataset_alone(
    pair: tuple[Synthetic, Synthetic], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", str(pair[0].path), "compare_datasets"]) == 0
    assert "compare_datasets compares datasets; give two" in capsys.readouterr().err
