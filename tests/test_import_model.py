"""Import with the model: positions, windows and weights equal our own run's; and refusals."""

from __future__ import annotations

import io
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets_compared import differences_between, table_of
from measured import K, Measured, Row, measure, mixed_files, one_file
from rich.console import Console
from synthetic import rewrite
from test_import import broken, every_query
from tiny_models import ARCHITECTURES, Tiny, build, byte_level_tokenizer, save

from pipeline.cli import main
from pipeline.config import compose_config
from pipeline.console import messages
from pipeline.errors import GatescopeError
from pipeline.imported import filling, import_dataset
from pipeline.query import open_dataset
from pipeline.run import run

WORDS = (f"scan.k={K}", "corpus.max_length=64", "scan.window.before=4", "scan.window.after=3")
WINDOW = ("position", "peak_token", "window_start", "token_ids", "gate", "in")


def imported(measured: Measured, source: Path, output: Path, *words: str, **given: Any) -> Any:
    import_dataset(
        str(source),
        str(output),
        corpus=str(given.get("corpus", measured.corpus)),
        model=str(given.get("model", measured.model)),
        overrides=[*WORDS, *words],
        console=messages(),
    )
    return json.loads((output / "manifest.json").read_text("utf-8"))


@pytest.fixture(scope="module", params=["llama", "gemma2", "olmo2"])
def measured(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """SwiGLU; GeGLU with norms before and after; a norm after alone."""
    return measure(tmp_path_factory.mktemp("measured"), request.param)


@pytest.fixture(scope="module")
def dataset(measured: Measured, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("imported")
    manifest = imported(measured, mixed_files(measured.rows, folder / "source"), folder / "dataset")
    assert manifest["imported"]["n_filled"] == manifest["imported"]["n_entries"] > 5000
    assert manifest["missing"] == []
    return folder / "dataset"


@pytest.fixture(scope="module")
def ours(measured: Measured, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("ours") / "dataset"
    words = [
        f"model.name={measured.model}", "corpus=tokenized", f"corpus.path={measured.corpus}",
        f"output={output}",
    ]  # fmt: skip
    run(compose_config(["experiment=gluscope", *WORDS, *words]), messages())
    return output


def test_positions_are_those_of_the_reference(dataset: Path, measured: Measured) -> None:
    rows = table_of(dataset, "examples").to_pylist()
    texts = pq.read_table(measured.corpus)["input_ids"].to_pylist()
    for row in rows:
        key = tuple(row[k] for k in ("layer", "neuron", "combo", "ranking", "example_id"))
        assert row["position"] == measured.positions[key]
        text = texts[row["example_id"]]
        start, stop = max(row["position"] - 4, 0), row["position"] + 4
        assert row["window_start"] == start
        assert row["token_ids"] == text[start:stop]
        assert len(row["gate"]) == len(row["in"]) == len(row["token_ids"])
        assert row["peak_token"] == text[row["position"]]


def test_it_is_our_own_run(dataset: Path, ours: Path) -> None:
    for name in ("neurons", "layers", "weight_tokens", "vocab", "corpus"):
        assert table_of(dataset, name).equals(table_of(ours, name)), name
    one, other = (table_of(path, "sign_stats") for path in (dataset, ours))
    for column in ("count", "n_zero", "n_tokens", "combo"):
        assert one[column].equals(other[column]), column
    for column in ("frequency", "mean_gate", "mean_in", "mean_act", "mean_post"):
        a, b = (np.array(t[column].to_pylist(), dtype=float) for t in (one, other))
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    key = ("layer", "neuron", "combo", "ranking", "example_id")
    there = {tuple(r[k] for k in key): r for r in table_of(ours, "examples").to_pylist()}
    n_same = 0
    for row in table_of(dataset, "examples").to_pylist():
        mine = there.get(tuple(row[k] for k in key))
        if mine is None:
            continue
        n_same += 1
        for column in ("position", "peak_token", "window_start", "token_ids"):
            assert row[column] == mine[column]
        for column in ("score", "gate_value", "in_value", "post_value", "gate", "in"):
            np.testing.assert_allclose(row[column], mine[column], rtol=1e-4, atol=1e-5)
    assert n_same >= 0.99 * len(there)


def test_it_is_sound_and_runs_again(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(dataset), "--rerun", "200"]) == 0
    out = capsys.readouterr().out
    assert "200 stored examples equal a fresh forward" in out
    assert "an entry is filled in as a whole, or null" in out


def test_queries_and_neurons(dataset: Path) -> None:
    with open_dataset(dataset) as opened:
        found = {name: rows for name, rows in every_query(opened).items() if not rows}
        # What no neuron of so small a model is like, and what several datasets are for.
        rare = {
            "compare_datasets", "rare_combinations", "rarely_or_always_positive_gates",
            "unexpected_signs", "neurons_by_token", "neurons_by_weight_token",
            "class_against_baseline", "frequency_matched_baseline",
        }  # fmt: skip
        assert found.keys() <= rare
        neuron = opened.neuron(1, 5)
        assert all(opened.notes(query.sql) == [] for query in opened.queries())
        assert neuron.texts == {}
        assert all(entry["tokens"] for entry in neuron.examples)
        assert neuron.list_of("gate-_in+", "act")


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    return measure(tmp_path_factory.mktemp("llama"), seed=3)


def test_entries_that_do_not_fit_stay_null(llama: Measured, tmp_path: Path) -> None:
    rows = [dict(row) for row in llama.rows]
    n_wrong = 0
    for row in rows[::7]:
        column = "gate+_in+_hook_post_max_values"
        values = row[column]
        if values[0] > 0:
            row[column] = [values[0] * np.float32(1.5), *values[1:]]
            n_wrong += 1
    manifest = imported(llama, one_file(rows, tmp_path), tmp_path / "dataset")
    said = manifest["imported"]
    assert said["n_entries"] - said["n_filled"] == n_wrong > 10
    (lack,) = manifest["missing"]
    assert lack["table"] == "examples"
    assert set(WINDOW) < set(lack["columns"])
    assert lack["why"] == (
        f"{n_wrong} of {said['n_entries']:,} entries do not have the published score in this model"
    )
    table = table_of(tmp_path / "dataset", "examples")
    assert table["position"].null_count == n_wrong
    for row in table.filter(table["position"].is_null()).to_pylist():
        assert (row["rank"], row["ranking"]) == (0, "post")
        assert row["post_value"] == row["score"]
        assert all(row[name] is None for name in (*WINDOW, "gate_value", "in_value"))
    assert broken(tmp_path / "dataset") == {}
    assert main(["verify", str(tmp_path / "dataset"), "--rerun", "50"]) == 0
    with open_dataset(tmp_path / "dataset") as dataset:
        every_query(dataset)
        assert "published score" in dataset.notes("select position from examples")[0]


DAMAGE = {
    "examples.token_ids": ("post", "token_ids", lambda v: [v[0] ^ 1, *v[1:]]),
    "examples.filled": ("act", "gate", lambda v: None),
    "examples.position": ("in", "position", lambda v: 500),
    "examples.window": ("act", "window_start", lambda v: v + 1),
    "examples.peak_values": ("gate", "gate", lambda v: [x + 0.5 for x in v]),
    "examples.signs": ("gate", "in_value", lambda v: -v),
    "examples.published": ("post", "score", lambda v: v + 1.0),
    "examples.act": ("act", "score", lambda v: v + 0.1),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_seen(name: str, llama: Measured, tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    imported(llama, one_file(llama.rows, tmp_path), output, "model.layers=[1]", "weights.k=0")
    ranking, column, change = DAMAGE[name]

    def changed(rows: pa.Table) -> pa.Table:
        values = rows.to_pylist()
        row = next(row for row in values[40:] if row["ranking"] == ranking)
        row[column] = change(row[column])
        return pa.Table.from_pylist(values, schema=rows.schema)

    rewrite(output / "examples/layer=1/part-0.parquet", changed)
    assert name in broken(output)


def refused(measured: Measured, source: Path, output: Path, *words: str, **given: Any) -> str:
    with pytest.raises(GatescopeError) as caught:
        imported(measured, source, output, *words, **given)
    assert not (output / "manifest.json").exists()
    return str(caught.value)


def test_another_model_is_refused(llama: Measured, tmp_path: Path) -> None:
    source = one_file(llama.rows, tmp_path)
    save(build(ARCHITECTURES["llama"], seed=8), tmp_path / "other")
    said = refused(llama, source, tmp_path / "dataset", model=tmp_path / "other")
    assert "gives the published score of" in said
    assert said.endswith("give the model and the texts that were measured, or set "
                         "scan.canonical_signs=false")  # fmt: skip
    # And then it is done with the right one, in the same place.
    imported(llama, source, tmp_path / "dataset")
    assert broken(tmp_path / "dataset") == {}


def test_other_texts_are_refused(llama: Measured, tmp_path: Path) -> None:
    """As many texts, as long, and other tokens in them."""
    texts = pq.read_table(llama.corpus)["input_ids"].to_pylist()
    turned = [[(i * 7 + 3) % 80 for i in text] for text in texts]
    pq.write_table(pa.table({"input_ids": turned}), tmp_path / "texts.parquet")
    said = refused(
        llama, one_file(llama.rows, tmp_path), tmp_path / "dataset",
        corpus=tmp_path / "texts.parquet",
    )  # fmt: skip
    assert "give the model and the texts that were measured" in said


def test_signs_that_are_not_flipped(tmp_path: Path) -> None:
    measured = measure(tmp_path, flips=False)
    source = one_file(measured.rows, tmp_path)
    said = refused(measured, source, tmp_path / "dataset")
    assert re.search(r"of the neurons that are flipped [0-3]% fit and of the others 100%", said)
    assert said.endswith("it was measured without flips; set scan.canonical_signs=false")
    imported(measured, source, tmp_path / "dataset", "scan.canonical_signs=false")
    assert broken(tmp_path / "dataset") == {}
    assert not any(table_of(tmp_path / "dataset", "neurons")["flipped"].to_pylist())


def test_a_model_of_another_size(llama: Measured, tmp_path: Path) -> None:
    wide = Tiny("llama", {"intermediate_size": 48})
    save(build(wide), tmp_path / "wide")
    few = Tiny("llama", {"num_hidden_layers": 2})
    save(build(few), tmp_path / "few")
    source, out = one_file(llama.rows, tmp_path), tmp_path / "dataset"
    said = refused(llama, source, out, model=tmp_path / "wide")
    assert "layer 0 has 40 neurons in the source, and 48 in --model" in said
    said = refused(llama, source, out, model=tmp_path / "few")
    assert "the source has layer 2, and --model" in said
    assert "has layers 0 to 1" in said


def test_texts_are_tokenised_by_the_model(tmp_path: Path) -> None:
    tokenizer = byte_level_tokenizer()
    model = build(Tiny("llama", {"vocab_size": len(tokenizer)}))
    save(model, tmp_path / "model", tokenizer)
    (tmp_path / "texts.json").write_text(json.dumps(["the cat sat on the mat", "the dog, it sat"]))
    words = [
        f"model.name={tmp_path / 'model'}", "corpus=local",
        f"corpus.path={tmp_path / 'texts.json'}", f"output={tmp_path / 'ours'}",
    ]  # fmt: skip
    run(compose_config(["experiment=gluscope", *WORDS, *words]), messages())
    rows = published_of(tmp_path / "ours")
    measured = Measured(Tiny("llama"), tmp_path / "model", tmp_path / "texts.json", rows, {}, 0)
    manifest = imported(measured, one_file(rows, tmp_path), tmp_path / "dataset")
    assert manifest["imported"]["n_filled"] == manifest["imported"]["n_entries"] > 1000
    corpora = [table_of(tmp_path / name, "corpus") for name in ("ours", "dataset")]
    assert corpora[0].equals(corpora[1])
    entries = [table_of(tmp_path / name, "examples") for name in ("ours", "dataset")]
    for column in ("example_id", "position", "peak_token", "token_ids"):
        assert entries[0][column].equals(entries[1][column]), column


def published_of(dataset: Path) -> list[Row]:
    """A dataset of ours in GLUScope's columns."""
    hooks = {"post": "hook_post", "in": "hook_pre_linear", "gate": "hook_pre"}
    rows: dict[tuple[int, int], Row] = {}
    for stat in table_of(dataset, "sign_stats").to_pylist():
        row = rows.setdefault(
            (stat["layer"], stat["neuron"]), {k: stat[k] for k in ("layer", "neuron")}
        )
        row[f"{stat['combo']}_freq"] = stat["frequency"]
        for ranking, hook in hooks.items():
            row[f"{stat['combo']}_{hook}_mean"] = stat[f"mean_{ranking}"]
            row[f"{stat['combo']}_{hook}_max_values"] = []
            row[f"{stat['combo']}_{hook}_max_indices"] = []
    for entry in table_of(dataset, "examples").to_pylist():
        stem = f"{entry['combo']}_{hooks[entry['ranking']]}_max"
        row = rows[entry["layer"], entry["neuron"]]
        row[f"{stem}_values"].append(entry[f"{entry['ranking']}_value"])
        row[f"{stem}_indices"].append(entry["example_id"])
    return list(rows.values())


def test_killed_while_the_model_runs(
    llama: Measured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = one_file(llama.rows, tmp_path)

    class Killed(BaseException):
        pass

    def killed(*args: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(filling.Filler, "_run", killed)
        with pytest.raises(Killed):
            imported(llama, source, tmp_path / "dataset")
    assert not (tmp_path / "dataset/manifest.json").exists()
    imported(llama, source, tmp_path / "dataset")
    imported(llama, source, tmp_path / "undisturbed")
    assert differences_between(tmp_path / "dataset", tmp_path / "undisturbed") == []
    assert not (tmp_path / "dataset/_work").exists()


def test_told_to_leave(
    llama: Measured,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A SIGTERM while the model runs ends it in a line; the same command again goes on."""
    run_batch = filling.Filler._run

    def told(*args: Any) -> None:
        run_batch(*args)
        os.kill(os.getpid(), signal.SIGTERM)

    source, output = one_file(llama.rows, tmp_path), tmp_path / "dataset"
    words = [
        "import", str(source), str(output), "--corpus", str(llama.corpus),
        "--model", str(llama.model), *WORDS, "scan.tokens_per_batch=30",
    ]  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(filling.Filler, "_run", told)
        assert main(words) == 143
    assert "told to leave" in capsys.readouterr().err
    assert not (output / "manifest.json").exists()
    assert main(words) == 0
    said = capsys.readouterr()
    assert "Resuming" in said.err
    assert "of them with position and window" in said.out
    assert f"verify {output} --rerun 100" in said.out
    assert broken(output) == {}
    assert main(words) == 0
    assert "already complete" in capsys.readouterr().out


@pytest.mark.parametrize("tokens", [1, 20, 1000])
def test_batches_change_nothing_but_rounding(llama: Measured, tmp_path: Path, tokens: int) -> None:
    source = one_file(llama.rows, tmp_path)
    manifest = imported(llama, source, tmp_path / "dataset", f"scan.tokens_per_batch={tokens}")
    assert manifest["imported"]["n_filled"] == manifest["imported"]["n_entries"]
    for row in table_of(tmp_path / "dataset", "examples").to_pylist():
        key = tuple(row[k] for k in ("layer", "neuron", "combo", "ranking", "example_id"))
        assert row["position"] == llama.positions[key]


@pytest.mark.parametrize("canonical", [True, False])
def test_golden(shared: Path, tmp_path: Path, canonical: bool) -> None:
    """What the original code gives for a trained model, filled in by that model."""
    golden = shared / "golden/stories260K"
    source = golden / f"reference{'_refactored' if canonical else ''}.parquet"

    def imported_golden(*words: str) -> None:
        import_dataset(
            str(source),
            str(tmp_path / "dataset"),
            corpus=str(golden / "corpus.parquet"),
            model=str(shared / "data/stories260K"),
            overrides=words,
            console=Console(file=io.StringIO()),
        )

    if not canonical:
        # The rest is as with signs that are negated.
        with pytest.raises(GatescopeError, match=r"set scan\.canonical_signs=false$"):
            imported_golden()
        return
    imported_golden(f"scan.canonical_signs={str(canonical).lower()}")
    said = json.loads((tmp_path / "dataset/manifest.json").read_text("utf-8"))["imported"]
    assert said["n_filled"] >= 0.999 * said["n_entries"] > 190_000
    assert broken(tmp_path / "dataset") == {}
    words = [
        f"model.name={shared / 'data/stories260K'}", "corpus=tokenized",
        f"corpus.path={golden / 'corpus.parquet'}", f"scan.canonical_signs={canonical}",
        f"output={tmp_path / 'ours'}",
    ]  # fmt: skip
    run(compose_config(["experiment=gluscope", *words]), Console(file=io.StringIO()))
    with open_dataset([tmp_path / "dataset", tmp_path / "ours"]) as both:
        models = both.sql("select model from models order by place").fetchall()
        assert len(models) == 2
        n, n_same, furthest = both.sql(
            """
            select
                count(*),
                count(*) filter (where a."position" = b."position"),
                max(abs(a.score - b.score) / greatest(b.score, 1))
            from examples as a
            inner join examples as b
                using (layer, neuron, combo, ranking, example_id)
            where a.model = $one and b.model = $other and a."position" is not null
            """,
            one=models[0][0],
            other=models[1][0],
        ).fetchall()[0]
        most, means = both.sql(
            """
            select
                max(abs(a."count" - b."count")),
                max(abs(a.mean_post - b.mean_post) / abs(b.mean_post))
            from sign_stats as a
            inner join sign_stats as b using (layer, neuron, combo)
            where a.model = $one and b.model = $other
            """,
            one=models[0][0],
            other=models[1][0],
        ).fetchall()[0]
    assert n > 160_000
    assert n_same >= 0.9999 * n
    assert furthest <= 1e-4
    assert most <= 3
    assert means <= 2e-3
