"""What an import refuses, in one line that names file, neuron, value and remedy."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from measured import K, Measured, Row, as_table, measure, one_file, saved_to_disk, summary
from synthetic import write_synthetic

from pipeline.console import messages
from pipeline.errors import GatescopeError
from pipeline.imported import import_dataset

Change = Callable[[list[Row]], Sequence[Row]]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measure(tmp_path_factory.mktemp("measured"))


def refused(source: Path | str, output: Path, *overrides: str, **given: Any) -> str:
    """What an import says; nothing but that is left."""
    with pytest.raises(GatescopeError) as caught:
        import_dataset(
            str(source),
            str(output),
            corpus=given.get("corpus"),
            model=given.get("model"),
            overrides=[f"scan.k={K}", *overrides],
            console=messages(),
        )
    assert not (output / "manifest.json").exists()
    said = str(caught.value)
    assert "\n" not in said
    return said


def cell(
    column: str, change: Callable[[Any, Row], Any], neuron: tuple[int, int] = (1, 3)
) -> Change:
    """Change a column of one neuron."""

    def changed(rows: list[Row]) -> list[Row]:
        for row in rows:
            if (row["layer"], row["neuron"]) == neuron:
                row[column] = change(row[column], row)
        return rows

    return changed


def entry(column: str, place: int, change: Callable[[Any], Any]) -> Change:
    """Change an entry of a list of one neuron."""

    def changed(values: Any, row: Row) -> list[Any]:
        values = list(values)
        values[place] = change(values[place])
        return values

    return cell(column, changed)


FREQUENCY = "gate+_in+_freq"
MEAN = "gate+_in+_hook_pre_mean"
VALUES, INDICES = "gate+_in+_hook_pre_max_values", "gate+_in+_hook_pre_max_indices"
NEURON = r"published\.parquet: neuron 1\.3: "
# What is wrong, and what is said of it.
MISTAKES: dict[str, tuple[Change, str]] = {
    "frequency above 1": (
        cell(FREQUENCY, lambda v, row: 1.5),
        NEURON + r"gate\+_in\+_freq: 1\.5 is no share; fetch or write the file again",
    ),
    "frequency below 0": (
        cell(FREQUENCY, lambda v, row: -0.1),
        NEURON + r".*: -0\.1.* is no share",
    ),
    "frequency NaN": (cell(FREQUENCY, lambda v, row: np.nan), NEURON + r".*: nan is no share"),
    "no frequency": (cell(FREQUENCY, lambda v, row: None), NEURON + r".*: nan is no share"),
    "frequencies above 1": (
        cell(FREQUENCY, lambda v, row: v + 0.4),
        NEURON + r"the four frequencies: 1\.4.* is more than 1",
    ),
    "mean NaN": (cell(MEAN, lambda v, row: np.nan), NEURON + r".*_mean: nan is no mean"),
    "mean of the other sign": (
        cell(MEAN, lambda v, row: -v),
        NEURON + r".*_mean: -.*has not the sign",
    ),
    "score NaN": (
        entry(VALUES, 1, lambda v: np.nan),
        NEURON + r"gate\+_in\+_hook_pre_max_values has nan at rank 1: it is not finite",
    ),
    "score of the other sign": (
        entry(VALUES, 0, lambda v: -v),
        NEURON + r".* has -.* at rank 0: it has not the sign",
    ),
    "scores in disorder": (
        entry(VALUES, 1, lambda v: 100.0),
        NEURON + r".* has 100\.0 at rank 1: it comes after a smaller",
    ),
    "a gap": (
        entry(VALUES, 0, lambda v: 0.0),
        NEURON + r".* at rank 1: it comes after a smaller one",
    ),
    "negative index": (
        entry(INDICES, 1, lambda v: -3),
        NEURON + r".* has -3 at rank 1: it is no number of an example",
    ),
    "huge index": (
        entry(INDICES, 1, lambda v: 2**40),
        NEURON + r".* at rank 1: it is no number of an example",
    ),
    "an example twice": (
        cell(INDICES, lambda v, row: [v[1], *v[1:]]),
        NEURON + r".*_max_indices: \d+ is listed twice",
    ),
    "lists of unequal length": (
        cell(INDICES, lambda v, row: v[:-1]),
        NEURON + r".*: 3 indices stand beside 4 values",
    ),
    "entries of what does not occur": (
        cell(FREQUENCY, lambda v, row: 0.0),
        NEURON + r".* \d entries are listed of a combination whose",
    ),
    "no entries of what occurs": (
        cell(VALUES, lambda v, row: [0.0] * K),
        NEURON + r".*: 0 entries are listed of a combination that",
    ),
    "a longer list": (
        lambda rows: [
            row | {VALUES: [9.0, 8.5, *row[VALUES]], INDICES: [900, 901, *row[INDICES]]}
            if row[VALUES][0]
            else row
            for row in rows
        ],
        r"neuron 0\.0: .*: 6 values are more than scan\.k=4; set scan\.k=6",
    ),
    "a neuron twice": (
        lambda rows: [*rows, rows[3]],
        r"neuron 0\.3 comes twice; give the files of one",
    ),
    "no neuron": (
        lambda rows: [r for r in rows if r["neuron"] != 5],
        r"neuron 0\.5 is missing, and 0\.39 is",
    ),
    "a layer cut short": (lambda rows: rows[:-4], r"layer 2 has 36 neurons, and layer 0 has 40"),
    "a negative layer": (
        lambda rows: [row | {"layer": row["layer"] - 1} for row in rows],
        r"neuron -1\.0 is negative",
    ),
    "no rows": (lambda rows: [], r"published\.parquet: holds no row"),
    "other columns": (
        lambda rows: [{"layer": 0, "neuron": 0, "sampled_mean": 1.0}],
        r"has no column gate\+_in\+_freq \(but sampled_mean and others\); give a GLUScope",
    ),
    "no neurons": (
        lambda rows: [{k: row[k] for k in row if k != "neuron"} for row in rows],
        r"has no column neuron",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_values_that_cannot_be(name: str, measured: Measured, tmp_path: Path) -> None:
    change, message = MISTAKES[name]
    rows = list(change([dict(row) for row in measured.rows]))
    if name == "no rows":
        pq.write_table(as_table(measured.rows).slice(0, 0), tmp_path / "published.parquet")
    else:
        one_file(rows, tmp_path)
    said = refused(tmp_path / "published.parquet", tmp_path / "dataset")
    assert re.search(message, said), said


def test_indices_that_are_no_whole_numbers(measured: Measured, tmp_path: Path) -> None:
    table = as_table(measured.rows)
    at = table.column_names.index(INDICES)
    halves = pa.array([[i + 0.5 for i in ids] for ids in table[INDICES].to_pylist()])
    pq.write_table(table.set_column(at, INDICES, halves), tmp_path / "published.parquet")
    said = refused(tmp_path / "published.parquet", tmp_path / "dataset")
    assert ".5 at rank 0: it is no number of an example" in said


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("layer", [0.5] * 120, "layer holds double, not whole numbers"),
        (FREQUENCY, ["much"] * 120, r"gate+_in+_freq holds string, not numbers"),
        (VALUES, [1.0] * 120, "holds double, not lists"),
        (VALUES, [["a"]] * 120, "holds string, not numbers"),
    ],
)
def test_columns_of_other_types(
    column: str, values: list[Any], message: str, measured: Measured, tmp_path: Path
) -> None:
    table = as_table(measured.rows)
    changed = table.set_column(table.column_names.index(column), column, pa.array(values))
    pq.write_table(changed, tmp_path / "published.parquet")
    assert message in refused(tmp_path / "published.parquet", tmp_path / "dataset")


def test_places_without_a_source(measured: Measured, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    assert "there is no such file or folder" in refused(tmp_path / "none.parquet", out)
    (tmp_path / "a.txt").write_text("text")
    assert "is neither a .parquet nor a .pt file" in refused(tmp_path / "a.txt", out)
    (tmp_path / "empty").mkdir()
    assert "holds no Parquet file" in refused(tmp_path / "empty", out)
    (tmp_path / "b.parquet").write_bytes(b"PAR1 and no more")
    assert "b.parquet: cannot be read" in refused(tmp_path / "b.parquet", out)
    assert "is a Gatescope dataset already" in refused(write_synthetic(tmp_path / "ours").path, out)
    whole = as_table(measured.rows)
    (tmp_path / "two").mkdir()
    pq.write_table(whole, tmp_path / "two/a.parquet")
    pq.write_table(whole.drop_columns([FREQUENCY]), tmp_path / "two/b.parquet")
    assert "have not the same columns (gate+_in+_freq)" in refused(tmp_path / "two", out)
    saved = saved_to_disk(measured.rows, tmp_path)
    next(saved.glob("*.arrow")).unlink()
    assert "which is not there" in refused(saved, out)
    assert "no such file or folder" in refused("nosuch://x/y", out) or "cannot be opened"


def test_a_file_that_is_cut(measured: Measured, tmp_path: Path) -> None:
    path = one_file(measured.rows, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "published.parquet: cannot be read" in refused(path, tmp_path / "dataset")


class _Malice:
    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (Path(_Malice.target),))

    target = ""


def test_a_tensor_file_runs_no_code(tmp_path: Path) -> None:
    """What pickle would run is refused unread."""
    _Malice.target = str(tmp_path / "ran")
    torch.save({("gate+_in+", "freq"): _Malice()}, tmp_path / "summary.pt")
    said = refused(tmp_path / "summary.pt", tmp_path / "dataset")
    assert "summary.pt: is not loaded, as it holds more than tensors" in said
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(_Malice()))
    assert "bare.pt: is not loaded" in refused(tmp_path / "bare.pt", tmp_path / "dataset")
    assert not (tmp_path / "ran").exists()
    # It is no harmless file: who does unpickle it finds out.
    pickle.loads((tmp_path / "bare.pt").read_bytes())
    assert (tmp_path / "ran").exists()


def test_tensor_files_of_something_else(measured: Measured, tmp_path: Path) -> None:
    path = tmp_path / "summary.pt"

    def said(value: Any) -> str:
        torch.save(value, path)
        return refused(path, tmp_path / "dataset")

    assert "holds a list, not the dictionary" in said([1, 2])
    assert "has no frequencies" in said({"weights": torch.ones(3)})
    whole = summary(measured.rows)
    assert "has the shape [3, 39]" in said(
        whole | {("gate+_in+", "hook_post", "sum"): torch.ones(3, 39)}
    )
    assert "has no tensor of layer 1 of 3" in said(
        whole | {("gate+_in+", "blocks.0.mlp.hook_post", "sum"): torch.ones(40)}
    )
    path.write_bytes(b"")
    assert "is not loaded" in refused(path, tmp_path / "dataset")


@pytest.mark.parametrize(
    ("words", "given", "message"),
    [
        (
            [],
            {"model": "demo"},
            "--model demo is run on the texts that were measured; give --corpus",
        ),
        (["model=demo"], {}, "model=demo is said with --model"),
        (["corpus.path=x"], {}, "corpus.path=x is said with --corpus"),
        (["scan=none"], {}, "scan=none is not what GLUScope measures"),
        (["scan.dedupe=true"], {}, "scan.dedupe=true is not what GLUScope measures"),
        (["scan.kk=3"], {}, "scan.kk is not a setting: did you mean scan.k?"),
        (["model.layers=[0,7]"], {}, "has no layer 7, but 0, 1, 2"),
        ([], {"corpus": "nowhere.txt"}, "--corpus nowhere.txt: no such file or folder"),
    ],
)
def test_settings_that_do_not_go(
    words: list[str], given: dict[str, str], message: str, measured: Measured, tmp_path: Path
) -> None:
    source = one_file(measured.rows, tmp_path)
    assert message in refused(source, tmp_path / "dataset", *words, **given)


def test_other_texts(measured: Measured, tmp_path: Path) -> None:
    source, texts = one_file(measured.rows, tmp_path), pq.read_table(measured.corpus)

    def said(table: pa.Table, *words: str) -> str:
        pq.write_table(table, tmp_path / "texts.parquet")
        corpus = str(tmp_path / "texts.parquet")
        return refused(source, tmp_path / "dataset", "corpus.max_length=64", *words, corpus=corpus)

    assert "it is beyond the 9 examples of the corpus; give --corpus the texts" in said(
        texts.slice(5)
    )
    longer = pa.concat_tables([texts, texts.slice(0, 1)])
    assert "of its tokens and no whole number" in said(longer).replace(
        f"{measured.n_tokens + len(texts['input_ids'][0])} tokens", "tokens"
    )
    empty = texts.set_column(0, "input_ids", pa.array([[], *texts["input_ids"].to_pylist()[1:]]))
    assert "1 texts of corpus" in said(empty)
    assert "no column input_ids; give --model, whose tokenizer" in said(texts.select(["text"]))


def test_a_folder_that_holds_something_else(measured: Measured, tmp_path: Path) -> None:
    out = tmp_path / "dataset"
    out.mkdir()
    (out / "mine.txt").write_text("mine")
    assert "and no Gatescope run" in refused(one_file(measured.rows, tmp_path), out)
    assert (out / "mine.txt").exists()
