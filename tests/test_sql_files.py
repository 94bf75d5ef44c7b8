"""The SQL files: what they say of themselves is so, and they are written alike."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from answers import arguments
from synthetic import write_synthetic

from pipeline.query import Dataset, fetch, load_queries, open_dataset
from pipeline.query.named import load_views
from pipeline.shipped import QUERIES

REQUIRED = {
    "weights": {
        "class_shares_by_threshold",
        "cosine_quantiles_by_layer",
        "cosines",
        "extreme_cosines",
        "io_classes",
        "io_classes_by_layer",
        "median_cosines_by_layer",
        "neurons_by_weight_token",
        "norms_by_layer",
        "randomness_by_layer",
        "weight_tokens",
    },
    "activations": {
        "activation_means",
        "frequency_distribution",
        "output_norm_by_combination",
        "rare_combinations",
        "rarely_or_always_positive_gates",
        "sign_frequencies",
    },
    "weights and activations": {
        "class_against_baseline",
        "combination_by_class",
        "correlations",
        "cosine_and_gate_frequency",
        "cosine_vs_gate_frequency",
        "frequency_and_output_norm",
        "frequency_matched_baseline",
        "unexpected_signs",
    },
    "examples": {"examples_by_neurons", "neurons_by_token", "peak_tokens", "top_examples"},
    "across models": {"compare_checkpoints", "compare_datasets", "compare_models", "models"},
}


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    made = write_synthetic(tmp_path_factory.mktemp("sql") / "ds", n_neurons=12, seed=3)
    with open_dataset(made.path) as dataset:
        yield dataset


def test_all_required_queries_are_there() -> None:
    themes: dict[str, set[str]] = {}
    for query in load_queries().values():
        themes.setdefault(query.theme, set()).add(query.name)
    assert set(themes) == set(REQUIRED)
    for theme, names in REQUIRED.items():
        assert themes[theme] >= names


@pytest.mark.parametrize("name", sorted(load_queries()))
def test_documented_columns_and_parameters_are_the_real_ones(ds: Dataset, name: str) -> None:
    query = load_queries()[name]
    relation = ds.query(name, **arguments(name))
    assert relation.columns == [column.name for column in query.columns]
    _, rows = fetch(relation)
    # It compares others with the first.
    assert rows or name == "compare_datasets", "the synthetic dataset answers every query"
    statement = ds._database.cursor().extract_statements(query.sql)[0]
    assert statement.named_parameters == {parameter.name for parameter in query.parameters}
    assert query.question.endswith("?")


@pytest.mark.parametrize("name", sorted(load_views()))
def test_documented_columns_of_views_are_the_real_ones(ds: Dataset, name: str) -> None:
    columns = [column.name for column in load_views()[name].columns]
    assert ds.table(name).columns == columns


def test_sql_files_are_formatted_alike() -> None:
    for path in [*QUERIES.glob("*.sql"), *QUERIES.glob("views/*.sql")]:
        text = path.read_text("utf-8")
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        body = [line for line in text.splitlines() if not line.startswith("--")]
        for line in text.splitlines():
            assert len(line) <= 100, f"{path.name}: {line}"
            assert line == line.rstrip()
        for line in body:
            assert (len(line) - len(line.lstrip())) % 4 == 0, f"{path.name}: {line}"
            unquoted = "".join(line.split("'")[::2])
            assert unquoted == unquoted.lower(), f"{path.name}: {line}"
