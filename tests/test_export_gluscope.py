"""Export to the schema of GLUScope's published datasets, and back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from synthetic import Synthetic, write_synthetic

from pipeline.errors import GatescopeError
from pipeline.exporting import export_dataset
from pipeline.hub.gluscope.schema import published_columns
from pipeline.imported import import_dataset
from pipeline.naming import COMBO_NAMES, HOOKS
from pipeline.query import fetch, open_dataset


def export(dataset: Path, out: Path, **options: Any) -> str:
    """Export, and give what was said besides the result."""
    said = io.StringIO()
    options = {"format": "gluscope", "neurons": []} | options
    export_dataset(str(dataset), str(out), console=Console(file=said, width=200), **options)
    return said.getvalue()


def take_in(source: Path, out: Path, *overrides: str) -> None:
    import_dataset(
        str(source),
        str(out),
        corpus=None,
        model=None,
        overrides=overrides,
        console=Console(file=io.StringIO()),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(
        tmp_path_factory.mktemp("export") / "ds", n_neurons=9, seed=4, layers=(0, 3)
    )


def test_rows_of_a_dataset_of_ours(made: Synthetic, tmp_path: Path) -> None:
    said = export(made.path, tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == [n for n in published_columns() if "swish_max" not in n]
    rows = {(row["layer"], row["neuron"]): row for row in table.to_pylist()}
    assert list(rows) == [(layer, neuron) for layer in (0, 3) for neuron in range(9)]
    for stats in made.tables["sign_stats"]:
        row = rows[stats["layer"], stats["neuron"]]
        assert row[f"{stats['combo']}_freq"] == np.float32(stats["frequency"])
        for quantity, hook in {**HOOKS, "act": "swish"}.items():
            mean, found = stats[f"mean_{quantity}"], row[f"{stats['combo']}_{hook}_mean"]
            assert np.isnan(found) if mean is None else found == np.float32(mean)
    k = made.shape.k
    wanted = {
        (layer, neuron, combo, ranking): ([0.0] * k, [0] * k)
        for layer, neuron in rows
        for combo in COMBO_NAMES
        for ranking in HOOKS
    }
    for entry in made.tables["examples"]:
        if entry["ranking"] in HOOKS:
            key = tuple(entry[name] for name in ("layer", "neuron", "combo", "ranking"))
            wanted[key][0][entry["rank"]] = entry[f"{entry['ranking']}_value"]
            wanted[key][1][entry["rank"]] = entry["example_id"]
    for (layer, neuron, combo, ranking), (values, ids) in wanted.items():
        stem = f"{combo}_{HOOKS[ranking]}_max"
        assert rows[layer, neuron][f"{stem}_values"] == np.float32(values).tolist()
        assert rows[layer, neuron][f"{stem}_indices"] == ids
    # What is not as GLUScope defines it.
    for part in ("position 0", "repeat each other", f"hold {k} examples", "no lists of swish"):
        assert part in said


def test_there_and_back(made: Synthetic, tmp_path: Path) -> None:
    export(made.path, tmp_path / "one.parquet")
    take_in(tmp_path / "one.parquet", tmp_path / "ds", f"scan.k={made.shape.k}")
    export(tmp_path / "ds", tmp_path / "two.parquet")
    one, two = (pq.read_table(tmp_path / name) for name in ("one.parquet", "two.parquet"))
    assert one.schema == two.schema
    assert repr(one.to_pylist()) == repr(two.to_pylist())
    with open_dataset([made.path, tmp_path / "ds"]) as both:
        names, rows = fetch(both.query("compare_datasets"))
    for row in (dict(zip(names, row, strict=True)) for row in rows):
        assert row["max_frequency_difference"] < 1e-7
        assert row["list_overlap"] in (1, None)
        assert row["max_score_difference"] in (0, None)


@pytest.mark.parametrize("name", ["reference", "reference_refactored"])
def test_what_the_original_computed(shared: Path, tmp_path: Path, name: str) -> None:
    source = shared / f"golden/stories260K/{name}.parquet"
    take_in(source, tmp_path / "ds")
    said = export(tmp_path / "ds", tmp_path / "out.parquet")
    assert "Note" not in said
    original, back = pq.read_table(source), pq.read_table(tmp_path / "out.parquet")
    assert back.schema.equals(original.schema)
    for column in original.column_names:
        wanted, found = original[column].to_pylist(), back[column].to_pylist()
        if not column.endswith("_indices"):
            assert found == wanted
            continue
        values = original[column.replace("indices", "values")].to_pylist()
        # The ids beside a value of 0 name no example.
        assert [
            [i for i, value in zip(ids, of, strict=True) if value]
            for ids, of in zip(found, values, strict=True)
        ] == [
            [i for i, value in zip(ids, of, strict=True) if value]
            for ids, of in zip(wanted, values, strict=True)
        ]


def test_what_is_refused(made: Synthetic, tmp_path: Path) -> None:
    there = tmp_path / "there.parquet"
    there.write_bytes(b"mine")
    with pytest.raises(GatescopeError, match=r"there.parquet is there already; give another"):
        export(made.path, there)
    assert there.read_bytes() == b"mine"
    with pytest.raises(GatescopeError, match=r"--neurons: GLUScope's schema holds all neurons"):
        export(made.path, tmp_path / "out", neurons=[(0, 1)])
    with pytest.raises(GatescopeError, match=r"is a URL: give a path"):
        export_dataset(str(made.path), "s3://x/y", format="gluscope", neurons=[], console=Console())
    with pytest.raises(GatescopeError, match="cannot be written"):
        export(made.path, there / "below.parquet")
    weights = write_synthetic(tmp_path / "weights", n_neurons=3, scan=False)
    with pytest.raises(GatescopeError, match=r"has no sign_stats .*; give a dataset of a scan"):
        export(weights.path, tmp_path / "out.parquet")
    assert {path.name for path in tmp_path.iterdir()} == {"there.parquet", "weights"}


def test_names_of_all_kinds(made: Synthetic, tmp_path: Path) -> None:
    """What is a value on the command line is not read as Hydra's grammar."""
    odd = tmp_path / "a, b={c} ${d}'s"
    odd.mkdir()
    export(made.path, odd / "x, y=1.parquet")
    take_in(odd / "x, y=1.parquet", odd / "ds, [1]", f"scan.k={made.shape.k}")
    with open_dataset(odd / "ds, [1]") as dataset:
        assert dataset.layers == made.shape.layers
