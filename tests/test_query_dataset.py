"""Opening a dataset wherever it lies, reading it, and what is refused."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from synthetic import Synthetic, rewrite, write_synthetic

from pipeline.errors import GatescopeError
from pipeline.naming import COMBO_NAMES
from pipeline.query import Dataset, open_dataset
from pipeline.query.named import load_views


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("query") / "ds", layers=(0, 1, 2, 10))


@pytest.fixture(scope="module")
def ds(made: Synthetic) -> Iterator[Dataset]:
    with open_dataset(made.path) as dataset:
        yield dataset


def n_neurons(source: Any) -> int:
    with open_dataset(source) as dataset:
        return int(dataset.sql("select count(*) from neuron_summary").fetchall()[0][0])


def test_tables_and_manifest(made: Synthetic, ds: Dataset) -> None:
    assert ds.tables == (
        "neurons", "sign_stats", "examples", "corpus", "vocab", "layers", "weight_tokens",
        "neuron_summary", "models",
    )  # fmt: skip
    assert ds.manifest == made.manifest
    assert ds.layers == (0, 1, 2, 10)
    for name, n_rows in made.manifest["tables"].items():
        assert ds.table(name).count("*").fetchall() == [(n_rows,)]
    rows = ds.table("neurons").order("layer, neuron").fetchall()
    names = ds.table("neurons").columns
    assert [dict(zip(names, row, strict=True)) for row in rows] == made.tables["neurons"]


def test_a_neuron_has_all_its_rows(made: Synthetic, ds: Dataset) -> None:
    neuron = ds.neuron(10, 5)
    tokens = [row["token"] for row in made.tables["vocab"]]

    def mine(table: str) -> list[dict[str, Any]]:
        rows = made.tables[table]
        return [row for row in rows if (row["layer"], row["neuron"]) == (10, 5)]

    assert neuron.name == "10.5"
    assert neuron.model == "test/synthetic"
    assert [dict(neuron.row)] == mine("neurons")
    assert [row["combo"] for row in neuron.stats] == list(COMBO_NAMES)
    for found, wanted in zip(neuron.stats, mine("sign_stats"), strict=True):
        assert dict(found) == wanted
    for found, wanted in zip(neuron.examples, mine("examples"), strict=True):
        rest = {k: v for k, v in found.items() if k != "tokens"}
        assert rest == {
            k: pytest.approx(v) if k in ("gate", "in") else v for k, v in wanted.items()
        }
        assert found["tokens"] == [tokens[t] for t in wanted["token_ids"]]
    assert [dict(row) for row in neuron.weight_tokens] == [
        row | {"token": tokens[row["token_id"]]} for row in mine("weight_tokens")
    ]
    listed = neuron.list_of("gate-_in+", "random")
    assert [entry["rank"] for entry in listed] == list(range(len(listed)))
    assert len(listed) > 0


def test_a_neuron_needs_only_its_partition(made: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "ds"
    shutil.copytree(made.path, path)
    with open_dataset(path) as dataset:
        for table in ("neurons", "sign_stats", "examples", "weight_tokens"):
            for layer in (1, 2, 10):
                (path / f"{table}/layer={layer}/part-0.parquet").write_bytes(b"not Parquet")
        assert dataset.neuron(0, 3).examples
        with pytest.raises(GatescopeError, match=r"SQL: .*layer=2"):
            dataset.neuron(2, 3)


@pytest.mark.parametrize("table", ["neurons", "sign_stats", "examples", "layers", "neuron_summary"])
def test_a_layer_opens_one_file_a_table(ds: Dataset, table: str) -> None:
    for condition, parameters in (("layer = 2", {}), ("layer = $layer", {"layer": 2})):
        plan = ds.sql(f"explain analyze from {table} where {condition}", **parameters).fetchall()
        scans = [line for line in plan[0][1].splitlines() if "Scanning Files" in line]
        assert scans
        assert all("1/4" in line for line in scans), plan[0][1]


def test_layers_that_are_no_row_of_numbers(ds: Dataset) -> None:
    with pytest.raises(GatescopeError, match=r"^layer 3 is not .*; its layers are 0, 1, 2, 10$"):
        ds.neuron(3, 0)
    with pytest.raises(GatescopeError, match=r"the neurons of layer 2 are 0 to 7$"):
        ds.neuron(2, 8)
    with pytest.raises(GatescopeError, match=r"neuron 2\.-1 of test/synthetic does not exist"):
        ds.neuron(2, -1)
    assert ds.neuron(np.int32(2), np.int64(1)).name == "2.1"


@pytest.mark.usefixtures("unchecked_signatures")
def test_a_layer_that_is_no_number(ds: Dataset) -> None:
    with pytest.raises(GatescopeError, match=r"layer '2' does not fit: give a whole number"):
        ds.neuron("2", 1)


def test_file_url_memory_url_and_relative_path(
    made: Synthetic, monkeypatch: pytest.MonkeyPatch
) -> None:
    n = len(made.tables["neurons"])
    assert n_neurons(f"file://{made.path}") == n
    monkeypatch.chdir(made.path.parent)
    assert n_neurons("ds") == n
    assert n_neurons("ds/") == n
    memory = fsspec.filesystem("memory")
    memory.put(str(made.path), "/some where/ds", recursive=True)
    try:
        assert n_neurons("memory://some where/ds") == n
        assert n_neurons("memory:///some where/ds/") == n
        with open_dataset("memory://some where/ds") as dataset:
            assert dataset.neuron(10, 5).examples
    finally:
        memory.rm("/some where", recursive=True)


def stand_in(monkeypatch: pytest.MonkeyPatch, scheme: str) -> type[MemoryFileSystem]:
    """A file system in memory behind another scheme of fsspec, for this test."""

    class StandIn(MemoryFileSystem):
        protocol = scheme
        store: ClassVar[dict[str, Any]] = {}
        pseudo_dirs: ClassVar[list[str]] = [""]
        cachable = False

        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return str(super()._strip_protocol(path.removeprefix(f"{scheme}://")))

    monkeypatch.setitem(sys.modules["fsspec.registry"]._registry, scheme, StandIn)
    monkeypatch.setattr("pipeline.hub.revision.pinned", lambda url: url)
    return StandIn


@pytest.mark.parametrize(
    ("scheme", "root", "source"),
    [
        ("hf", "datasets/org/name", "org/name"),
        ("hf", "datasets/org/name@v1.0", "org/name@v1.0"),
        ("hf", "datasets/org/name", "hf://datasets/org/name"),
        ("s3", "bucket/ds", "s3://bucket/ds"),
    ],
)
def test_hub_ids_and_buckets_go_through_fsspec(
    made: Synthetic,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    root: str,
    source: str,
) -> None:
    """DuckDB knows hf:// and s3:// as its own, which would need an extension from the network."""
    filesystem = stand_in(monkeypatch, scheme)()
    filesystem.put(str(made.path), f"/{root}", recursive=True)
    monkeypatch.chdir(tmp_path)
    assert n_neurons(source) == len(made.tables["neurons"])
    with open_dataset(source) as dataset:
        assert dataset.neuron(10, 5).examples
        plan = dataset.sql("explain analyze from examples where layer = 2").fetchall()[0][1]
        assert "Scanning Files: 1/4" in plan


@pytest.mark.parametrize("name", ["it's [1] *", "model=x,layer=7", "neuron=3", "layer=1/a", "ü 日"])
def test_any_name_of_a_folder(made: Synthetic, tmp_path: Path, name: str) -> None:
    shutil.copytree(made.path, tmp_path / name)
    with open_dataset(tmp_path / name) as dataset:
        assert dataset.table("neurons").columns == list(made.tables["neurons"][0])
        wanted = [(layer, 8) for layer in (0, 1, 2, 10)]
        found = dataset.sql("select layer, count(*) from neurons group by layer order by layer")
        assert found.fetchall() == wanted
        assert dataset.neuron(10, 7).neuron == 7


def test_what_is_no_dataset_is_refused(made: Synthetic, tmp_path: Path) -> None:
    with pytest.raises(GatescopeError, match=r"gone does not exist .*; give the folder"):
        open_dataset(tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        GatescopeError, match=r"is not a complete Gatescope dataset: no manifest.json; give"
    ):
        open_dataset(tmp_path / "empty")
    (tmp_path / "half" / "_work").mkdir(parents=True)
    with pytest.raises(
        GatescopeError,
        match=r"no manifest.json; the run is unfinished; run the same command again to continue$",
    ):
        open_dataset(tmp_path / "half")
    for text in ("{", "[]", "{}", '{"tables": 1}', "\udcff"):
        (tmp_path / "empty" / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(
            GatescopeError, match=r"manifest.json is (damaged|not that of)"
        ) as error:
            open_dataset(tmp_path / "empty")
        assert "\n" not in str(error.value)


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(GatescopeError, match=r"^nope://x: cannot open .*Protocol not known: nope"):
        open_dataset("nope://x")


def test_an_unreachable_hub_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(self: Any, path: str, **_: Any) -> bool:
        raise RuntimeError("Name or service\nnot known")

    monkeypatch.setattr(stand_in(monkeypatch, "hf"), "exists", unreachable)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        GatescopeError,
        match=r"^org/name: cannot open hf://datasets/org/name \(Name or service not known\)",
    ):
        open_dataset("org/name")
    # A path below a folder that is there is a path, however much it looks like a Hub id.
    (tmp_path / "org").mkdir()
    with pytest.raises(GatescopeError, match=r"^org/name does not exist"):
        open_dataset("org/name")


def test_threads_share_a_dataset(ds: Dataset) -> None:
    found: list[Any] = []

    def work(number: int) -> None:
        for neuron in range(8):
            found.append(ds.neuron(number, neuron).row["norm_in"])
            found.append(ds.query("sign_frequencies").fetchall()[0][0])

    threads = [threading.Thread(target=work, args=(layer,)) for layer in (0, 1, 2, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 * 8 * 2


def test_close_releases_the_scratch_folder(made: Synthetic) -> None:
    dataset = open_dataset(made.path)
    scratch = Path(dataset._database._scratch.name)
    assert scratch.is_dir()
    dataset.close()
    assert not scratch.exists()
    with pytest.raises(GatescopeError, match="closed"):
        dataset.table("neurons")


def test_a_missing_table_leaves_the_others(made: Synthetic, tmp_path: Path) -> None:
    shutil.copytree(made.path, tmp_path / "ds")
    shutil.rmtree(tmp_path / "ds" / "sign_stats")
    with open_dataset(tmp_path / "ds") as dataset:
        assert "sign_stats" not in dataset.tables
        assert not set(load_views()) & set(dataset.tables)
        assert dataset.table("neurons").fetchall()
        with pytest.raises(GatescopeError, match="there is no table sign_stats"):
            dataset.query("sign_frequencies")


def test_tables_of_no_scan_are_empty(made: Synthetic, ds: Dataset, tmp_path: Path) -> None:
    path = write_synthetic(tmp_path / "ds", scan=False, layers=(0, 2), weight_k=0).path
    with open_dataset(path) as weights:
        assert weights.tables == (
            "neurons", "vocab", "layers", "weight_tokens", "neuron_summary", "models"
        )  # fmt: skip
        assert weights.source.absent == ("sign_stats", "examples", "corpus")
        for name in ds.tables:
            wanted = ds.sql(f"describe {name}").fetchall()
            wanted = wanted[:-1] if name == "corpus" else wanted  # a column of the source's own
            assert weights.sql(f"describe {name}").fetchall() == wanted
        for name in (*weights.source.absent, "weight_tokens"):
            assert weights.table(name).fetchall() == []
        found = weights.sql(
            "select count(*), count(cos_in_out), count(n_tokens), count(agreement_frequency) "
            "from neuron_summary"
        )
        assert found.fetchall() == [(16, 16, 0, 0)]
        neuron = weights.neuron(2, 7)
        assert (neuron.name, neuron.stats, neuron.examples) == ("2.7", (), ())
        assert neuron.row["norm_gate"] > 0
        with pytest.raises(GatescopeError, match=r"^layer 1 is not in this dataset"):
            weights.neuron(1, 0)


def test_a_neuron_without_a_gate(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "ds", scan=False, gated=False)
    with open_dataset(made.path) as weights:
        assert [dict(weights.neuron(1, i).row) for i in range(8)] == made.tables["neurons"][8:]
        assert weights.neuron(1, 0).row["cos_gate_in"] is None
        assert {row["weight"] for row in weights.neuron(1, 0).weight_tokens} == {"in", "out"}


def test_a_token_that_vocab_lacks_is_its_id(made: Synthetic, tmp_path: Path) -> None:
    shutil.copytree(made.path, tmp_path / "ds")
    rewrite(tmp_path / "ds/vocab/part-00000.parquet", lambda table: table.slice(0, 20))
    with open_dataset(tmp_path / "ds") as dataset:
        neuron = dataset.neuron(0, 1)
    for row in neuron.weight_tokens:
        i = row["token_id"]
        assert row["token"] == (made.tables["vocab"][i]["token"] if i < 20 else f"<id {i}>")
    assert any("<id 2" in token for entry in neuron.examples for token in entry["tokens"])


def test_columns_beyond_the_schema_are_shown(made: Synthetic, tmp_path: Path) -> None:
    """Those of the corpus's source, and those of a later version of Gatescope."""
    shutil.copytree(made.path, tmp_path / "ds")
    for layer in (0, 1, 2, 10):
        rewrite(
            tmp_path / f"ds/neurons/layer={layer}/part-0.parquet",
            lambda table: table.append_column("entropy", [[0.5] * 8]),
        )
    with open_dataset(tmp_path / "ds") as dataset:
        assert dataset.table("corpus").columns[-1] == "url"
        assert dataset.neuron(2, 1).row["entropy"] == 0.5
