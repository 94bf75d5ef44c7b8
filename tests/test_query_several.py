"""Several datasets at once: their tables joined, their answers one below the other."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from synthetic import Synthetic, rewrite, write_synthetic

import pipeline
from pipeline.errors import GatescopeError
from pipeline.query import Dataset, Datasets, fetch, load_queries, open_dataset
from pipeline.query.named import Query, load_views, parse_query
from pipeline.schema import LAYER_TABLES, TABLES

# Values for the parameters that have no default.
VALUES: dict[str, Any] = {"layer": 0, "neuron": 0, "token": "word3", "io_class": "depletion"}
TABLES_THERE = (*TABLES, *load_views(), "models")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Synthetic]:
    """A scanned one, weights alone of a deeper model, and weights of one neuron without a gate."""
    folder = tmp_path_factory.mktemp("several")
    return [
        write_synthetic(folder / "b", model="org/b", n_neurons=12, revision="main"),
        write_synthetic(folder / "a", model="org/a", scan=False, layers=(0, 2, 10), seed=1),
        write_synthetic(
            folder / "c", model="org/c", scan=False, gated=False, n_neurons=1,
            matrices=("embedding",), layers=(0,), seed=2,
        ),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def ds(made: list[Synthetic]) -> Iterator[Datasets]:
    with open_dataset([one.path for one in made]) as several:
        yield several


def rows_of(opened: Dataset | Datasets, statement: str, **values: Any) -> list[dict[str, Any]]:
    names, rows = fetch(opened.sql(statement, **values))
    return [dict(zip(names, row, strict=True)) for row in rows]


def required(query: Query) -> dict[str, Any]:
    return {p.name: VALUES[p.name] for p in query.parameters if p.required}


def test_every_table_has_the_rows_of_all_after_their_model(
    made: list[Synthetic], ds: Datasets
) -> None:
    assert ds.tables == TABLES_THERE
    assert list(ds.datasets) == ["org/b", "org/a", "org/c"]
    for table in LAYER_TABLES:
        found = rows_of(ds, f"from {table}")
        wanted = [
            {"model": one.shape.model} | row for one in made for row in one.tables.get(table, [])
        ]
        if table == "layers":  # null where a row leaves a column out
            names = ds.table("layers").columns
            wanted = [{name: row.get(name) for name in names} for row in wanted]
        assert ds.table(table).columns[0] == "model"

        def order(row: dict[str, Any]) -> tuple[Any, ...]:
            keys = ("model", "layer", "neuron", "combo", "ranking", "weight", "matrix", "side")
            return *(str(row.get(key)) for key in keys), row.get("rank", 0)

        assert len(found) == len(wanted) > 0
        for one, other in zip(sorted(found, key=order), sorted(wanted, key=order), strict=True):
            assert one.keys() == other.keys()
            rest = {k: v for k, v in one.items() if k not in ("gate", "in", "score")}
            assert rest == {k: v for k, v in other.items() if k in rest}
    n_vocab = len(made[0].tables["vocab"])
    assert rows_of(ds, "select model, count(*) as n from vocab group by model order by model") == [
        {"model": model, "n": n_vocab} for model in ("org/a", "org/b", "org/c")
    ]
    assert rows_of(ds, "select distinct model from corpus") == [{"model": "org/b"}]


def test_models(made: list[Synthetic], ds: Datasets) -> None:
    assert rows_of(ds, "from models") == [
        {
            "model": one.shape.model, "place": place, "name": one.shape.model,
            "revision": one.shape.revision, "n_layers": max(one.shape.layers) + 1, "d_model": 64,
            "n_tokens": one.manifest["corpus"]["n_tokens"] if one.shape.scan else None,
            "gated": one.shape.gated,
        }
        for place, one in enumerate(made)
    ]  # fmt: skip
    with open_dataset(made[1].path) as alone:
        assert rows_of(alone, "select model, place, n_layers, n_tokens from models") == [
            {"model": "org/a", "place": 0, "n_layers": 11, "n_tokens": None}
        ]
    member = ds.datasets["org/a"]
    assert rows_of(member, "select model from models") == [{"model": "org/a"}]


@pytest.mark.parametrize("name", sorted(load_queries()))
def test_named_queries_are_put_one_below_the_other(
    made: list[Synthetic], ds: Datasets, name: str
) -> None:
    query = load_queries()[name]
    names, rows = fetch(ds.query(name, **required(query)))
    if query.scope == "models":
        assert names == [column.name for column in query.columns]
        # One of them alone was scanned.
        assert rows or name == "compare_datasets"
        return
    wanted = []
    for one in made:
        with open_dataset(one.path) as alone:
            own_names, own = fetch(alone.query(name, **required(query)))
        assert names == ["model", *own_names]
        wanted += [(one.shape.model, *row) for row in own]
    assert len(rows) == len(wanted)
    for row, other in zip(rows, wanted, strict=True):
        # The order of a sum is that of the threads.
        assert row == tuple(
            pytest.approx(v, rel=1e-12, nan_ok=True) if isinstance(v, float) else v for v in other
        )


def test_the_order_of_results_and_datasets_is_kept(ds: Datasets) -> None:
    """Also where the model's names and the rows are not in the order of the alphabet."""
    ds._queries["falling"] = parse_query(
        "-- name: falling\n-- question: ?\n-- theme: x\n-- parameter: n integer = 5 | rows\n"
        "select layer, neuron from neurons order by layer desc, neuron desc limit $n\n",
        Path("falling.sql"),
    )
    try:
        _, rows = fetch(ds.query("falling", n=2))
    finally:
        del ds._queries["falling"]
    assert rows == [
        ("org/b", 1, 11), ("org/b", 1, 10), ("org/a", 10, 7), ("org/a", 10, 6), ("org/c", 0, 0)
    ]  # fmt: skip


SCOPED = """\
-- name: scoped
-- question: How many neurons of a class has each model, and how many texts?
-- theme: x
-- scope: models
-- parameter: least integer = 0 | rows
-- column: model | the model
with corpus as (select model, count(*) as n from vocab group by model)
-- corpus, of the common table expression above
select m.model, m.place, count(*) as n, any_value(c.n) as n_vocab, count(s.n_tokens) as n_summary
from models as m
join neurons as n on m.model = n.model
join neuron_summary as s on n.model = s.model and n.layer = s.layer and n.neuron = s.neuron
left join corpus as c on m.model = c.model
where n.neuron >= $least
group by m.model, m.place
order by m.place
"""


def test_a_query_over_models_sees_the_column(made: list[Synthetic], ds: Datasets) -> None:
    query = parse_query(SCOPED, Path("scoped.sql"))
    assert query.scope == "models"
    ds._queries["scoped"] = query
    try:
        _, rows = fetch(ds.query("scoped"))
        _, fewer = fetch(ds.query("scoped", least=1))
    finally:
        del ds._queries["scoped"]
    assert rows == [("org/b", 0, 24, 33, 24), ("org/a", 1, 24, 33, 0), ("org/c", 2, 1, 33, 0)]
    assert fewer == [("org/b", 0, 22, 33, 22), ("org/a", 1, 21, 33, 0)]
    for place, one in enumerate(made):
        with open_dataset(one.path) as alone:
            alone._queries["scoped"] = query
            _, own = fetch(alone.query("scoped"))
        assert own == [(rows[place][0], 0, *rows[place][2:])]


def test_a_list_of_one_has_the_column_as_well(made: list[Synthetic]) -> None:
    with pipeline.open([made[0].path]) as several:
        assert several.table("neurons").columns[:2] == ["model", "layer"]
        assert several.query("sign_frequencies").columns[:2] == ["model", "layer"]
    with pipeline.open((str(made[0].path), made[1].path)) as several:
        assert list(several.datasets) == ["org/b", "org/a"]
    with pipeline.open(str(made[0].path)) as alone:
        assert alone.table("neurons").columns[0] == "layer"
    with pytest.raises(GatescopeError, match="there is no dataset to open: give"):
        pipeline.open([])
    with pytest.raises(GatescopeError, match="gone does not exist"):
        pipeline.open([made[0].path, made[0].path.parent / "gone"])


def test_names_of_models_that_are_the_same(tmp_path: Path) -> None:
    def place(name: str, revision: str, model: str = "org/m") -> Path:
        return write_synthetic(
            tmp_path / name, scan=False, layers=(0,), n_neurons=1, model=model, revision=revision
        ).path

    one, two, again, other = (
        place("one", "r1"), place("two", "r2"), place("again", "r2"), place("other", "r1", "org/n")
    )  # fmt: skip

    def names(*places: Path) -> list[str]:
        with open_dataset(places) as several:
            return [row["model"] for row in rows_of(several, "from models order by place")]

    assert names(one, other) == ["org/m", "org/n"]
    assert names(one, two, other) == ["org/m@r1", "org/m@r2", "org/n"]
    assert names(two, one, again) == [str(two), "org/m@r1", str(again)]
    assert names(one, one) == [str(one), f"{one} (2)"]

    def told(path: Path, asked: str | None, commit: str | None) -> Path:
        manifest = json.loads((path / "manifest.json").read_text("utf-8"))
        manifest["config"]["model"] = {"revision": asked}
        manifest["model"]["revision"] = commit
        (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        return path

    with open_dataset([one, two]) as several:
        found = rows_of(several, "select distinct model from neurons order by model")
        assert [row["model"] for row in found] == ["org/m@r1", "org/m@r2"]
        assert several.neuron(0, 0, model="org/m@r2").model == "org/m@r2"
        assert rows_of(several, "select name, revision from models order by place") == [
            {"name": "org/m", "revision": "r1"}, {"name": "org/m", "revision": "r2"}
        ]  # fmt: skip
    # As the run was told it, not its commit; without one the name alone.
    assert names(told(one, "step8", "c1"), told(two, None, "c2")) == ["org/m@step8", "org/m@c2"]
    assert names(one, told(two, None, None)) == ["org/m@step8", "org/m"]
    assert names(one, told(two, "step8", "c2")) == [str(one), str(two)]


def test_tables_that_none_has_are_empty(made: list[Synthetic]) -> None:
    with open_dataset([made[1].path, made[2].path]) as several:
        assert "sign_stats" not in several.tables
        assert several.table("sign_stats").columns[:3] == ["model", "layer", "neuron"]
        assert several.table("sign_stats").fetchall() == []
        assert several.query("sign_frequencies").fetchall() == []


def test_a_name_is_text(tmp_path: Path) -> None:
    hostile = 'it\'s "x"; drop view neurons; --\n$layer'
    shape: dict[str, Any] = {"scan": False, "layers": (0,)}
    one = write_synthetic(tmp_path / "a", model=hostile, **shape).path
    two = write_synthetic(tmp_path / "b", **shape).path
    with open_dataset([one, two]) as several:
        assert rows_of(several, "select distinct model from neurons where model <> 'x'")
        _, rows = fetch(several.query("io_classes_by_layer"))
        assert {row[0] for row in rows} == {hostile, "test/synthetic"}
    with open_dataset(one) as alone:
        _, rows = fetch(alone.query("compare_models"))
        assert {row[0] for row in rows} == {hostile}


def test_a_neuron_of_one_of_the_models(made: list[Synthetic], ds: Datasets) -> None:
    with open_dataset(made[0].path) as alone:
        assert ds.neuron(1, 11, model="org/b") == alone.neuron(1, 11)
    assert ds.neuron(10, 3, model="org/a").stats == ()
    assert ds.neuron(0, 0, model="org/c").row["cos_gate_in"] is None
    with pytest.raises(GatescopeError, match=r"^neuron 0.0: of which model\? give model=, one of"):
        ds.neuron(0, 0)
    with pytest.raises(GatescopeError, match=r"^there is no model org/d; did you mean org/"):
        ds.neuron(0, 0, model="org/d")
    with pytest.raises(GatescopeError, match=r"^layer 1 is not in this dataset of org/a; its lay"):
        ds.neuron(1, 0, model="org/a")


def test_members_are_datasets(made: list[Synthetic], ds: Datasets) -> None:
    for one in made:
        member = ds.datasets[one.shape.model]
        assert member.manifest == one.manifest
        assert member.layers == one.shape.layers
        there = [name for name in TABLES_THERE if name not in member.source.absent]
        assert member.tables == tuple(there)
        assert bool(member.source.absent) == (not one.shape.scan)
        assert len(rows_of(member, "from neurons")) == len(one.tables["neurons"])
        assert member.table("neurons").columns[0] == "layer"
        assert len(fetch(member.query("io_classes"))[1]) > 0
        _, rows = fetch(member.query("compare_models"))
        assert {row[0] for row in rows} == {one.shape.model}


def test_mistakes_name_the_model_and_all_that_there_is(ds: Datasets) -> None:
    for call, message in (
        (lambda: ds.query("no"), r"^there is no query no;"),
        (lambda: ds.query("io_classes", n=1), r"^io_classes: there is no parameter n; there are: "),
        (
            lambda: ds.query("peak_tokens", layer=2, neuron=0),
            r"^layer 2 is not .* of org/b; its",
        ),
        (
            lambda: ds.query("peak_tokens", layer=0, neuron=9),
            r"^neuron 0.9 of org/a does not exist; the neurons of layer 0 are 0 to 7",
        ),
        (lambda: ds.table("neuron"), r"^there is no table neuron; did you mean neurons"),
        (lambda: ds.sql("from nuerons"), r"^there is no table nuerons; did you mean neurons"),
        (lambda: ds.sql("drop view neurons"), r"^SQL: DROP is not allowed"),
        (lambda: ds.sql("use d0"), r"^SQL: .* is not allowed"),
    ):
        with pytest.raises(GatescopeError, match=message):
            call()


def test_notes_tell_which_tables_are_not_there(ds: Datasets, made: list[Synthetic]) -> None:
    assert ds.notes("from neurons") == []
    assert ds.notes("select 'sign_stats' as corpus from neurons -- examples") == []
    assert ds.notes("with c as (select * from Corpus) select * from c, examples") == [
        f"{made[i].path} has no examples, corpus (it was made with scan=none); what depends on it "
        "is empty"
        for i in (1, 2)
    ]
    # A view reads tables too.
    assert [note.split(" (")[0] for note in ds.notes("from neuron_summary")] == [
        f"{made[1].path} has no sign_stats", f"{made[2].path} has no sign_stats"
    ]  # fmt: skip
    assert ds.notes("pivot neurons on layer using count(*)") == []
    with open_dataset(made[0].path) as alone:
        assert all(alone.notes(query.sql) == [] for query in alone.queries())


def test_conditions_reach_the_files(ds: Datasets) -> None:
    plan = ds.sql(
        "explain analyze from weight_tokens where model = 'org/a' and layer = $layer", layer=2
    ).fetchall()[0][1]
    assert "Scanning Files: 1/3" in plan
    assert plan.count("READ_PARQUET") == 1


def test_corpora_with_other_columns(tmp_path: Path) -> None:
    """By name, and of types that fit both."""
    one = write_synthetic(tmp_path / "a", model="a").path
    two = write_synthetic(tmp_path / "b", model="b").path
    for part in (0, 1):
        rewrite(
            two / f"corpus/part-{part:05d}.parquet",
            lambda table: (
                table.drop_columns("url")
                .append_column("year", [[2026] * len(table)])
                .append_column("text2", table["text"].combine_chunks())
            ),
        )
    with open_dataset([one, two]) as several:
        assert several.table("corpus").columns[-3:] == ["url", "year", "text2"]
        found = rows_of(several, "select distinct model, url is null as n, year from corpus")
        assert sorted(found, key=lambda row: str(row["model"])) == [
            {"model": "a", "n": False, "year": None}, {"model": "b", "n": True, "year": 2026}
        ]  # fmt: skip


def test_datasets_from_one_file_system_and_another(made: list[Synthetic]) -> None:
    memory = fsspec.filesystem("memory")
    for number, one in enumerate(made[:2]):
        memory.put(str(one.path), f"/several/{number}", recursive=True)
    try:
        places = ["memory://several/0", str(made[2].path), "memory://several/1"]
        with open_dataset(places) as several:
            found = rows_of(several, "select model, count(*) as n from neurons group by model")
            assert {row["model"]: row["n"] for row in found} == {
                "org/a": 24, "org/b": 24, "org/c": 1
            }  # fmt: skip
            assert several.neuron(1, 3, model="org/b").examples
    finally:
        memory.rm("/several", recursive=True)


def test_a_table_that_is_damaged_in_one(made: list[Synthetic], tmp_path: Path) -> None:
    path = tmp_path / "ds"
    shutil.copytree(made[0].path, path)
    shutil.rmtree(path / "sign_stats")
    with open_dataset([made[1].path, path]) as several:
        # Named by its manifest, so no empty table takes its place.
        assert "sign_stats" not in several.datasets["org/b"].tables
        assert len(rows_of(several, "from neurons")) == 48
        assert rows_of(several, "from sign_stats") == []
        with pytest.raises(GatescopeError, match=r"^org/b: there is no table sign_stats; "):
            several.query("sign_frequencies")
        with pytest.raises(GatescopeError, match="there is no table sign_stats"):
            several.neuron(0, 0, model="org/b")
    (path / "neurons/layer=0/part-0.parquet").write_bytes(b"not Parquet")
    with pytest.raises(GatescopeError, match=r"/ds: the table neurons cannot be read"):
        open_dataset([made[1].path, path])


def test_a_manifest_that_says_little(made: list[Synthetic], tmp_path: Path) -> None:
    path = tmp_path / "ds"
    shutil.copytree(made[1].path, path)
    tables = json.loads((path / "manifest.json").read_text("utf-8"))["tables"]
    (path / "manifest.json").write_text(json.dumps({"tables": tables}), encoding="utf-8")
    with open_dataset([path, made[0].path]) as several:
        assert rows_of(several, "from models where place = 0") == [
            {
                "model": str(path), "place": 0, "name": None, "revision": None, "n_layers": None,
                "d_model": None, "n_tokens": None, "gated": None,
            }
        ]  # fmt: skip
        assert several.notes("from corpus") == [
            f"{path} has no corpus (none was written); what depends on it is empty"
        ]


def test_threads_share_them(ds: Datasets) -> None:
    failures: list[BaseException] = []

    def work(model: str) -> None:
        try:
            for _ in range(5):
                assert ds.neuron(0, 0, model=model).model == model
                assert len(fetch(ds.datasets[model].table("models"))[1]) == 1
                assert {row[0] for row in fetch(ds.query("io_classes"))[1]} == set(ds.datasets)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(model,)) for model in ds.datasets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_they_close_together(made: list[Synthetic]) -> None:
    several = open_dataset([one.path for one in made])
    scratch = Path(several._database._scratch.name)
    assert "org/b, org/a, org/c" in repr(several)
    several.close()
    assert not scratch.exists()
    with pytest.raises(GatescopeError, match="closed"):
        several.table("neurons")
    with pytest.raises(GatescopeError, match="closed"):
        several.datasets["org/a"].table("neurons")


def test_classes_by_different_thresholds_are_pointed_out(tmp_path: Path) -> None:
    paths = [
        write_synthetic(tmp_path / str(t), model=f"org/{t}", threshold=t).path for t in (0.5, 0.3)
    ]
    note = "the classes are not by the same threshold of the cosines: org/0.5 0.5, org/0.3 0.3"
    with open_dataset(paths) as different:
        assert different.notes("from neuron_summary") == [note]
        assert different.notes("from vocab") == []
    with open_dataset([paths[0], paths[0]]) as same:
        assert same.notes("from neurons") == []


@pytest.mark.parametrize("source", ["", " "])
def test_what_is_no_place(source: str, tmp_path: Path) -> None:
    with pytest.raises(GatescopeError, match=r"is no place of a dataset: give a folder"):
        open_dataset([write_synthetic(tmp_path / "ds").path, source])


def test_a_layer_that_is_gone_is_pointed_out(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "ds", layers=(0, 3, 5))
    (made.path / "neurons/layer=3/part-0.parquet").unlink()
    wanted = f"{made.path} lacks layer 3 of neurons, which its manifest names: `gatescope verify`"
    with open_dataset(made.path) as alone, open_dataset([made.path, made.path]) as twice:
        assert [note[: len(wanted)] for note in alone.notes("from neuron_summary")] == [wanted]
        assert alone.notes("from sign_stats") == []
        assert len(twice.notes("from neurons")) == 2
