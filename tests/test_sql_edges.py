"""Every query on datasets that are hard to ask: nothing scanned, no gate, NaN, ties, one neuron."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from answers import answer, arguments, change_layers, rows_of, set_columns
from synthetic import Synthetic, write_synthetic

from pipeline.query import Dataset, fetch, load_queries, open_dataset
from pipeline.schema import COSINES

QUERIES = load_queries()
N_NEURONS = 12
NAN = float("nan")


def _no_tokens(made: Synthetic) -> None:
    """A scan of texts of one token each, which is left out."""
    n = 4 * N_NEURONS
    nothing = {f"mean_{q}": [None] * n for q in ("gate", "in", "act", "post")}
    zeros = dict.fromkeys(("n_tokens", "n_zero", "count"), [0] * n)
    for layer in made.shape.layers:
        set_columns(made, "sign_stats", layer, frequency=[NAN] * n, **zeros, **nothing)
    change_layers(made, "examples", lambda table: table.slice(0, 0))


def _nan(made: Synthetic) -> None:
    """Layer 0 has no cosine that is a number, layer 1 lacks one of each."""
    for layer in made.shape.layers:
        for i, cosine in enumerate(COSINES):
            values = np.linspace(-0.9, 0.9, N_NEURONS)
            values[slice(None) if layer == 0 else i] = NAN
            set_columns(made, "neurons", layer, **{cosine: values.tolist()})


def _ties(made: Synthetic) -> None:
    """Neurons of which one is like another, in the order in which the files are written."""
    for layer in made.shape.layers:
        n = N_NEURONS
        equal = {name: [0.6] * n for name in (*COSINES, "norm_gate", "norm_in", "norm_out")}
        classes = ["orthogonal output", "enrichment"] * (n // 2)
        set_columns(made, "neurons", layer, io_class=classes, flipped=[False] * n, **equal)
        counts = [5, 30, 70, 2] * n
        columns = {"count": counts, "n_tokens": [107] * 4 * n, "n_zero": [0] * 4 * n}
        frequencies = [count / 107 for count in counts]
        means = {f"mean_{q}": [0.5] * 4 * n for q in ("gate", "in", "act", "post")}
        set_columns(made, "sign_stats", layer, frequency=frequencies, **columns, **means)
    for table in ("examples", "weight_tokens"):
        change_layers(made, table, _with_equal_scores)


def _with_equal_scores(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("score")
    ones = pa.array([1.0] * table.num_rows, pa.float32())
    return table.set_column(at, table.schema.field(at), ones)


# What a dataset is like from the start, and what is changed in it.
HARD: dict[str, tuple[dict[str, Any], Callable[[Synthetic], None] | None]] = {
    "no scan": ({"scan": False}, None),
    "no gate": ({"scan": False, "gated": False}, None),
    "no lists": ({"weight_k": 0}, None),
    "no tokens": ({}, _no_tokens),
    "nan": ({}, _nan),
    "ties": ({}, _ties),
    "one text": ({"n_examples": 1}, None),
}


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Dataset]]:
    folder = tmp_path_factory.mktemp("hard")
    opened = {}
    for name, (changes, change) in HARD.items():
        made = write_synthetic(folder / name, n_neurons=N_NEURONS, seed=3, **changes)
        if change is not None:
            change(made)
        opened[name] = open_dataset(made.path)
    yield opened
    for dataset in opened.values():
        dataset.close()


@pytest.mark.parametrize("name", sorted(QUERIES))
@pytest.mark.parametrize("kind", HARD)
def test_every_query_answers(hard: dict[str, Dataset], kind: str, name: str) -> None:
    relation = hard[kind].query(name, **arguments(name))
    names, rows = fetch(relation)
    assert names == [column.name for column in QUERIES[name].columns]
    needs_a_scan = QUERIES[name].theme in ("activations", "examples")
    if kind in ("no scan", "no gate", "no tokens") and needs_a_scan:
        assert rows == []
    # The last compares others with the first.
    lists = ("weight_tokens", "neurons_by_weight_token", "compare_datasets")
    if QUERIES[name].theme in ("weights", "across models") and name not in lists:
        assert rows
    # A neuron's own cosine may be NaN, what is calculated may not.
    if name not in ("cosines", "extreme_cosines", "rarely_or_always_positive_gates"):
        assert not np.isnan([x for row in rows for x in row if isinstance(x, float)]).any()


@pytest.mark.parametrize("name", sorted(QUERIES))
def test_ties_are_in_the_same_order_however_files_are_written(
    hard: dict[str, Dataset], tmp_path: Path, name: str
) -> None:
    made = write_synthetic(tmp_path / "ds", n_neurons=N_NEURONS, seed=3)
    _ties(made)
    for table in ("neurons", "sign_stats", "examples", "weight_tokens"):
        change_layers(made, table, lambda t: t.take(list(range(t.num_rows))[::-1]))
    parameters = arguments(name)
    if "n" in {parameter.name for parameter in QUERIES[name].parameters}:
        parameters = parameters | {"n": 3}
    with open_dataset(made.path) as backwards:
        found = fetch(backwards.query(name, **parameters))[1]
    wanted = fetch(hard["ties"].query(name, **parameters))[1]
    assert [_rounded(row) for row in found] == [_rounded(row) for row in wanted]


def _rounded(row: tuple[Any, ...]) -> list[Any]:
    """Sums depend on their order in the last digits."""
    return [round(x, 9) if isinstance(x, float) else x for x in row]


def test_no_gate_leaves_its_columns_empty(hard: dict[str, Dataset]) -> None:
    ds = hard["no gate"]
    for name in ("randomness_by_layer", "cosine_quantiles_by_layer"):
        assert set(answer(ds, name)["cosine"]) == {"cos_in_out"}
    assert set(answer(ds, "norms_by_layer")["weight"]) == {"in", "out"}
    assert set(answer(ds, "weight_tokens", layer=1, neuron=3)["weight"]) == {"in", "out"}
    assert rows_of(ds, "extreme_cosines", cosine="cos_gate_in") == []
    assert {row["median_cos_gate_in"] for row in rows_of(ds, "median_cosines_by_layer")} == {None}
    assert len(rows_of(ds, "extreme_cosines")) == 20


def test_without_activations_weights_still_answer(hard: dict[str, Dataset]) -> None:
    for kind in ("no scan", "no tokens"):
        ds = hard[kind]
        for row in rows_of(ds, "combination_by_class"):
            assert row["n_neurons"] > 0
            assert row["gate_positive_frequency"] is None
        for row in rows_of(ds, "compare_models"):
            assert row["median_cos_in_out"] is not None
            assert row["mean_gate_positive_frequency"] is None
        assert rows_of(ds, "cosine_vs_gate_frequency") == []
        assert rows_of(ds, "correlations") == []


def test_cosines_that_are_no_numbers_are_left_out(hard: dict[str, Dataset]) -> None:
    ds = hard["nan"]
    for name in ("randomness_by_layer", "cosine_quantiles_by_layer"):
        found = answer(ds, name)
        assert set(found["layer"]) == {1}
        assert set(found["n_neurons"]) == {N_NEURONS - 1}
    assert len(rows_of(ds, "extreme_cosines", n=100)) == N_NEURONS - 1
    medians = rows_of(ds, "compare_checkpoints")
    assert [row["median_cos_in_out"] is None for row in medians] == [True, False]


def test_every_query_of_two_models(tmp_path: Path) -> None:
    """That of each below the other, the model before the columns; over models, as documented."""
    first = write_synthetic(tmp_path / "a", n_neurons=N_NEURONS, seed=3)
    second = write_synthetic(
        tmp_path / "b", n_neurons=5, model="test/vanilla", scan=False, gated=False
    )
    with (
        open_dataset([first.path, second.path]) as both,
        open_dataset(first.path) as one,
        open_dataset(second.path) as other,
    ):
        for name, query in QUERIES.items():
            if name == "compare_datasets":
                continue  # The second was not scanned.
            parameters = arguments(name)
            names, rows = fetch(both.query(name, **parameters))
            columns = [column.name for column in query.columns]
            if query.scope == "models":
                assert names == columns
                assert {row[0] for row in rows} == {"test/synthetic", "test/vanilla"}
                continue
            assert names == ["model", *columns]
            wanted = [
                (model, *row)
                for model, ds in (("test/synthetic", one), ("test/vanilla", other))
                for row in fetch(ds.query(name, **parameters))[1]
            ]
            assert [_rounded(row) for row in rows] == [_rounded(row) for row in wanted]
