"""Import of what GLUScope has measured: every form of source, what is taken over, what is not."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets_compared import differences_between, table_of
from measured import HOOKS, SOURCES, K, Measured, Row, measure, one_file
from synthetic import rewrite
from test_query_dataset import stand_in

from pipeline.cli import main
from pipeline.console import messages
from pipeline.errors import GatescopeError
from pipeline.imported import import_dataset, importing
from pipeline.naming import COMBO_NAMES
from pipeline.query import check_invariants, fetch, load_queries, open_dataset

ARGUMENTS: dict[str, Any] = {
    "layer": 0,
    "neuron": 3,
    "token": "the",
    "io_class": "orthogonal output",
}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measure(tmp_path_factory.mktemp("measured"))


@pytest.fixture(scope="module")
def source(measured: Measured, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return one_file(measured.rows, tmp_path_factory.mktemp("source"))


def imported(
    source: Path | str, output: Path, *overrides: str, corpus: Path | None = None
) -> dict[str, Any]:
    import_dataset(
        str(source),
        str(output),
        corpus=None if corpus is None else str(corpus),
        model=None,
        overrides=[f"scan.k={K}", *overrides],
        console=messages(),
    )
    return json.loads((output / "manifest.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def plain(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("plain") / "dataset"
    imported(source, output)
    return output


@pytest.fixture(scope="module")
def with_texts(source: Path, measured: Measured, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("texts") / "dataset"
    imported(source, output, "corpus.max_length=64", corpus=measured.corpus)
    return output


def broken(path: Path) -> dict[str, tuple[str, ...]]:
    with open_dataset(path) as dataset:
        return {check.name: check.violations for check in check_invariants(dataset) if not check.ok}


def test_what_is_published_is_there(plain: Path, measured: Measured) -> None:
    stats = {
        (row["layer"], row["neuron"], row["combo"]): row
        for row in table_of(plain, "sign_stats").to_pylist()
    }
    lists: dict[tuple[Any, ...], list[Row]] = {}
    for row in table_of(plain, "examples").to_pylist():
        key = (row["layer"], row["neuron"], row["combo"], row["ranking"])
        lists.setdefault(key, []).append(row)
    n_lists = 0
    for row in measured.rows:
        for combo in COMBO_NAMES:
            got = stats[row["layer"], row["neuron"], combo]
            assert got["frequency"] == row[f"{combo}_freq"]
            assert got["count"] is got["n_tokens"] is got["n_zero"] is None
            for quantity, hook in HOOKS.items():
                mean = row[f"{combo}_{hook}_mean"]
                assert got[f"mean_{quantity}"] == (None if math.isnan(mean) else mean)
                values = row.get(f"{combo}_{hook}_max_values", [])
                ids = row.get(f"{combo}_{hook}_max_indices", [])
                wanted = [(v, i) for v, i in zip(values, ids, strict=True) if v != 0]
                entries = lists.pop((row["layer"], row["neuron"], combo, quantity), [])
                n_lists += bool(entries)
                assert [entry["rank"] for entry in entries] == list(range(len(wanted)))
                assert [entry["score"] for entry in entries] == [abs(v) for v, _ in wanted]
                assert [entry["example_id"] for entry in entries] == [i for _, i in wanted]
                own = f"{quantity}_value"
                for entry, (value, _) in zip(entries, wanted, strict=True):
                    assert entry.get(own, value) == value
                    others = {"gate_value", "in_value", "post_value", "position", "gate"} - {own}
                    assert all(entry[name] is None for name in others)
    assert not lists
    assert n_lists > 1000


def test_what_is_not_published_is_said(plain: Path, with_texts: Path, source: Path) -> None:
    for path, has_texts in ((plain, False), (with_texts, True)):
        manifest = json.loads((path / "manifest.json").read_text("utf-8"))
        said = manifest["imported"]
        assert (said["format"], said["source"], said["n_filled"]) == ("gluscope", str(source), None)
        assert said["act_lists"] is True
        assert list(said["files"]) == [source.name]
        assert manifest["config"]["scan"]["rankings"] == ["post", "in", "gate"]
        whole = {lack["table"] for lack in manifest["missing"] if lack["columns"] is None}
        assert whole == {"vocab", "weight_tokens"} | (set() if has_texts else {"corpus"})
        assert whole.isdisjoint(manifest["tables"])
        assert whole.isdisjoint(manifest["files"])
        for lack in manifest["missing"]:
            assert lack["why"] in ("imported without --model", "imported without --corpus")
            if lack["columns"]:
                # A value that ranks stays.
                columns = table_of(path, lack["table"]).select(lack["columns"])
                own = [name for name in columns.column_names if name.endswith("_value")]
                assert all(c.null_count == len(c) for c in columns.drop_columns(own).columns)
        assert (manifest["corpus"]["n_tokens"] is None) != has_texts


@pytest.mark.parametrize("form", [name for name in SOURCES if name != "one file"])
def test_every_form_of_source(form: str, plain: Path, measured: Measured, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    place = SOURCES[form](measured.rows, tmp_path / "source" / "")
    imported(place, tmp_path / "dataset")
    assert differences_between(plain, tmp_path / "dataset") == []


@pytest.mark.parametrize(
    ("scheme", "root", "name"),
    [
        ("hf", "datasets/org/name", "org/name"),
        ("hf", "datasets/org/name@v1", "hf://datasets/org/name@v1"),
        ("s3", "bucket/some", "s3://bucket/some"),
        ("s3", "bucket/some", "s3://bucket/some/data/published.parquet"),
    ],
)
def test_a_source_elsewhere(
    scheme: str,
    root: str,
    name: str,
    plain: Path,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    filesystem = stand_in(monkeypatch, scheme)()
    filesystem.put(str(source), f"/{root}/data/published.parquet")
    filesystem.pipe(f"/{root}/other/config.parquet", b"something else")
    monkeypatch.chdir(tmp_path)
    imported(name, tmp_path / "dataset")
    assert differences_between(plain, tmp_path / "dataset") == []


def test_a_tensor_file_elsewhere(plain: Path, measured: Measured, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(SOURCES["summary.pt"](measured.rows, tmp_path)), "/far/summary.pt")
    try:
        imported("memory://far/summary.pt", tmp_path / "dataset")
    finally:
        memory.rm("/far", recursive=True)
    assert differences_between(plain, tmp_path / "dataset") == []


def test_a_dataset_at_a_url(plain: Path, source: Path) -> None:
    memory = fsspec.filesystem("memory")
    import_dataset(
        str(source),
        "memory://out/ds",
        corpus=None,
        model=None,
        overrides=[f"scan.k={K}"],
        console=messages(),
    )
    try:
        with open_dataset("memory://out/ds") as there, open_dataset(plain) as here:
            for table in ("sign_stats", "examples"):
                query = f"select * from {table} order by all limit 500"
                assert there.sql(query).fetchall() == here.sql(query).fetchall()
    finally:
        memory.rm("/out", recursive=True)


def test_texts_give_counts(with_texts: Path, measured: Measured) -> None:
    stats = table_of(with_texts, "sign_stats").to_pylist()
    assert {row["n_tokens"] for row in stats} == {measured.n_tokens}
    for row in stats:
        assert row["count"] == round(row["frequency"] * measured.n_tokens)
        assert row["n_zero"] == 0
    corpus = table_of(with_texts, "corpus")
    assert (
        corpus["input_ids"].to_pylist() == pq.read_table(measured.corpus)["input_ids"].to_pylist()
    )
    assert corpus["text"].to_pylist()[3] == "text 3"


def test_they_are_sound(plain: Path, with_texts: Path) -> None:
    assert broken(plain) == {}
    assert broken(with_texts) == {}


def test_columns_that_are_there_are_enough(
    measured: Measured, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fewer hooks, no swish, no lists of one combination, and columns that nobody knows."""

    def kept(name: str) -> bool:
        gone = (
            "swish",
            "hook_pre_max",
            "gate+_in+_hook_pre_linear_max",
            "gate-_in-_hook_post_mean",
        )
        return not any(part in name for part in gone)

    rows = [
        {name.replace("_hook", "_mlp.hook"): v for name, v in row.items() if kept(name)}
        | {"odd": 1.0}
        for row in measured.rows
    ]
    manifest = imported(one_file(rows, tmp_path), tmp_path / "dataset")
    assert "left out: odd" in capsys.readouterr().err
    assert manifest["config"]["scan"]["rankings"] == ["post", "in"]
    assert manifest["imported"]["act_lists"] is False
    said = {str(lack["columns"]): lack["why"] for lack in manifest["missing"]}
    assert said["['mean_act']"] == "the source has none"
    assert said["['mean_post']"] == "the source has none of gate-_in-"
    assert "gate+_in+ by in" in said["[]"]
    assert broken(tmp_path / "dataset") == {}
    rankings = set(table_of(tmp_path / "dataset", "examples")["ranking"].to_pylist())
    assert rankings == {"post", "in"}


def test_frequencies_alone(measured: Measured, tmp_path: Path) -> None:
    rows = [
        {name: v for name, v in row.items() if name.endswith(("freq", "layer", "neuron"))}
        for row in measured.rows
    ]
    manifest = imported(one_file(rows, tmp_path), tmp_path / "dataset")
    assert "examples" not in manifest["tables"]
    assert broken(tmp_path / "dataset") == {}
    with open_dataset(tmp_path / "dataset") as dataset:
        assert not dataset.neuron(0, 3).examples
        every_query(dataset)


def every_query(dataset: Any) -> dict[str, list[tuple[Any, ...]]]:
    found = {}
    for name, query in load_queries().items():
        values = {p.name: ARGUMENTS[p.name] for p in query.parameters if p.required}
        columns, found[name] = fetch(dataset.query(name, **values))
        assert columns == [column.name for column in query.columns]
    return found


def test_queries_give_what_they_can(plain: Path, with_texts: Path) -> None:
    for path in (plain, with_texts):
        with open_dataset(path) as dataset:
            found = every_query(dataset)
            for name in (
                "activation_means", "sign_frequencies", "frequency_distribution", "top_examples",
                "examples_by_neurons",
            ):  # fmt: skip
                assert found[name], name
            # A cosine that is not known is no small one.
            assert found["class_shares_by_threshold"] == []
            for name, query in load_queries().items():
                if name in ("cosines", "peak_tokens", "io_classes", "weight_tokens"):
                    assert "imported without --model" in " ".join(dataset.notes(query.sql)), name
            assert dataset.notes('select frequency from sign_stats where "rank" = 0') == []


def test_queries_of_an_import_are_those_of_its_frequencies(plain: Path, with_texts: Path) -> None:
    columns = "layer, neuron, gate_positive_frequency, in_positive_frequency, agreement_frequency"
    query = f"select {columns} from neuron_summary order by layer, neuron"
    with open_dataset(plain) as one, open_dataset(with_texts) as other:
        a, b = (np.array(ds.sql(query).fetchall()) for ds in (one, other))
        np.testing.assert_allclose(a, b, atol=1e-6)
        assert a[:, 2].min() >= 0
        means = [fetch(ds.query("activation_means"))[1] for ds in (one, other)]
    for left, right in zip(*means, strict=True):
        assert left[:2] == right[:2]
        assert left[2] is None
        assert right[2] > 0
        np.testing.assert_allclose(left[3:], right[3:], rtol=1e-5)


def test_a_neuron_without_windows(plain: Path, with_texts: Path) -> None:
    with open_dataset(plain) as dataset:
        neuron = dataset.neuron(1, 5)
        assert all(entry["tokens"] is None for entry in neuron.examples)
        assert neuron.texts == {}
    with open_dataset(with_texts) as dataset:
        neuron = dataset.neuron(1, 5)
        assert neuron.texts == {e["example_id"]: f"text {e['example_id']}" for e in neuron.examples}


def test_show_says_what_is_not_known(
    plain: Path, with_texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(plain), "1.5", "--ranking", "act"]) == 0
    shown = capsys.readouterr().out
    assert "cos(gate,in) -" in shown
    assert " tokens, gate or in" not in shown
    assert "gate-_in+, the best by act" in shown
    assert " at ?" in shown
    assert "None" not in shown
    assert main(["show", str(with_texts), "1.5"]) == 0
    shown = capsys.readouterr().out
    assert " at ?" not in shown
    assert "text " in shown
    assert "tokens, gate or in exactly 0 at 0 of them" in shown


def test_the_same_again_is_left_alone(
    source: Path, tmp_path: Path, measured: Measured, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "dataset"
    imported(source, output)
    before = {path: path.stat().st_mtime_ns for path in output.rglob("*")}
    imported(source, output)
    assert "already complete" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in output.rglob("*")} == before
    with pytest.raises(GatescopeError, match="a finished dataset with other settings is there"):
        imported(source, output, "scan.window.before=3")
    other = one_file([row | {"gate+_in+_freq": 0.0} for row in measured.rows[:1]], tmp_path)
    with pytest.raises(GatescopeError, match=r"import\.published\.parquet"):
        imported(other, output)


@pytest.mark.parametrize("has_texts", [False, True])
def test_killed_and_done_again(
    source: Path,
    measured: Measured,
    plain: Path,
    with_texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    has_texts: bool,
) -> None:
    class Killed(BaseException):
        pass

    write, n_calls = importing.write_published_examples, []

    def killed(*args: Any) -> int:
        n_calls.append(args[1])
        if len(n_calls) == 2:
            raise Killed
        return write(*args)

    given: dict[str, Any] = {"corpus": measured.corpus} if has_texts else {}
    words = ["corpus.max_length=64"] if has_texts else []
    monkeypatch.setattr(importing, "write_published_examples", killed)
    with pytest.raises(Killed):
        imported(source, tmp_path / "dataset", *words, **given)
    assert not (tmp_path / "dataset/manifest.json").exists()
    imported(source, tmp_path / "dataset", *words, **given)
    # The first layer was whole, and is not written again.
    assert n_calls == [0, 1, 1, 2]
    assert differences_between(with_texts if has_texts else plain, tmp_path / "dataset") == []
    assert broken(tmp_path / "dataset") == {}


def test_an_unfinished_one_of_another_source_starts_anew(
    source: Path, plain: Path, measured: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = [row | {"gate+_in+_freq": 2.0} if row["layer"] == 2 else row for row in measured.rows]
    (tmp_path / "wrong").mkdir()
    with pytest.raises(GatescopeError, match=r"neuron 2\.0: gate"):
        imported(one_file(wrong, tmp_path / "wrong"), tmp_path / "dataset")
    imported(source, tmp_path / "dataset")
    assert differences_between(plain, tmp_path / "dataset") == []


def test_some_layers(source: Path, plain: Path, tmp_path: Path) -> None:
    manifest = imported(source, tmp_path / "dataset", "model.layers=[0,2]")
    assert manifest["model"]["layers"] == [0, 2]
    assert manifest["model"]["n_layers"] == 3
    assert broken(tmp_path / "dataset") == {}
    for table in ("sign_stats", "examples"):
        whole, some = table_of(plain, table), table_of(tmp_path / "dataset", table)
        layer = np.array(whole["layer"])
        assert some.equals(whole.filter((layer != 1).tolist()))


DAMAGE: dict[str, tuple[str, str, Any]] = {
    "stored.order": ("sign_stats", "combo", lambda v: "gate+_in+"),
    "sign_stats.frequency": ("sign_stats", "frequency", lambda v: v + 1.5),
    "sign_stats.missing": ("sign_stats", "count", lambda v: 3),
    "sign_stats.mean_sign": ("sign_stats", "mean_gate", lambda v: -v),
    "sign_stats.mean_null": ("sign_stats", "mean_post", lambda v: None),
    "examples.published": ("examples", "score", lambda v: v * 1.01),
    "examples.missing": ("examples", "position", lambda v: 0),
    "examples.list": ("examples", "ranking", lambda v: "random"),
    "examples.example_id": ("examples", "example_id", lambda v: -1),
    "ranks.rank": ("examples", "rank", lambda v: v + 1),
    "neurons.missing": ("neurons", "io_class", lambda v: "depletion"),
    "layers.neurons": ("layers", "n_neurons", lambda v: v + 1),
    "layers.missing": ("layers", "n_flipped", lambda v: 1),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_seen(name: str, plain: Path, tmp_path: Path) -> None:
    shutil.copytree(plain, tmp_path / "ds")
    table, column, change = DAMAGE[name]

    def changed(rows: pa.Table) -> pa.Table:
        values = rows.to_pylist()
        values = [{}, *values] if table == "layers" else values
        place = next(i for i, row in enumerate(values[1:], 1) if row.get("frequency", 1) > 0)
        values[place][column] = change(values[place][column])
        return pa.Table.from_pylist(list(filter(None, values)), schema=rows.schema)

    rewrite(tmp_path / "ds" / f"{table}/layer=1/part-0.parquet", changed)
    assert name in broken(tmp_path / "ds")
