"""A whole run of the built-in model: the tables, going on after a stop, refusing what differs."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from datasets import load_dataset
from datasets_compared import differences_between, table_of
from rich.console import Console

import pipeline
from pipeline.config import compose_config
from pipeline.errors import GatescopeError
from pipeline.run import run
from pipeline.scan import Scanner
from pipeline.schema import LAYER_TABLES, TABLES
from pipeline.store import CorpusReader, Place, only_writer

_SETTINGS = [
    "model.layers=[0,3]",
    "corpus=local",
    "corpus.max_length=512",
    "corpus.max_tokens=6000",
    "scan.unit_tokens=1000",
    "scan.k=4",
    "scan.spare=4",
    "scan.window.before=12",
    "scan.window.after=3",
    "cluster.snapshot_every_s=0.001",
]


def _run(output: Path | str, texts: Path, *more: str) -> dict:
    config = compose_config([*_SETTINGS, f"corpus.path={texts}", *more, f"output={output}"])
    return run(config, Console(file=io.StringIO())).manifest


@pytest.fixture(scope="module")
def dataset(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("run") / "dataset"
    _run(output, texts)
    return output


def test_the_folder_holds_the_tables_and_nothing_else(dataset: Path) -> None:
    assert {path.name for path in dataset.iterdir()} == {
        *TABLES,
        "manifest.json",
        "README.md",
        "events.jsonl",
    }
    assert not (dataset / "_work").exists()


def test_the_manifest_tells_how_it_was_made(dataset: Path) -> None:
    manifest = json.loads((dataset / "manifest.json").read_text())
    assert manifest["model"]["architecture"] == "LlamaForCausalLM"
    assert manifest["model"]["layers"] == [0, 3]
    assert manifest["config"]["scan"]["k"] == 4
    assert manifest["corpus"]["n_tokens"] == 6000
    for table, n_rows in manifest["tables"].items():
        assert len(table_of(dataset, table)) == n_rows


def test_every_invariant_holds(dataset: Path) -> None:
    from pipeline.query import check_invariants

    with pipeline.open(dataset) as opened:
        failed = [check for check in check_invariants(opened) if not check.ok]
    assert not failed


def test_stored_rows_equal_a_fresh_forward(dataset: Path) -> None:
    from pipeline.commands import _forward
    from pipeline.query import check_rerun

    with pipeline.open(dataset) as opened:
        check = check_rerun(opened, 60, _forward(opened.manifest, None))
        assert check.ok, check.violations
        assert check.n_rows == 60

        def wrong(input_ids: list[int], neurons: list[tuple[int, int]]) -> list:
            fresh = _forward(opened.manifest, None)(input_ids, neurons)
            return [a._replace(gate=a.gate * 1.01) for a in fresh]

        assert check_rerun(opened, 5, wrong).n_violations == 5


@pytest.mark.parametrize("table", TABLES)
def test_other_readers_read_it(dataset: Path, table: str, tmp_path: Path) -> None:
    n_rows = json.loads((dataset / "manifest.json").read_text())["tables"][table]
    loaded = load_dataset(str(dataset), table, split="train", cache_dir=str(tmp_path))
    assert len(loaded) == n_rows
    # pandas takes `layer=3` for a column of its own, which the files already have.
    assert len(pd.read_parquet(dataset / table, partitioning=None)) == n_rows
    pattern = "*/*.parquet" if table in LAYER_TABLES else "*.parquet"
    counted = duckdb.sql(f"select count(*) from '{dataset / table / pattern}'").fetchall()
    assert counted == [(n_rows,)]


def test_the_same_command_again_does_nothing(dataset: Path, texts: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in dataset.rglob("*")}
    config = compose_config([*_SETTINGS, f"corpus.path={texts}", f"output={dataset}"])
    assert run(config, Console(file=io.StringIO())).already_complete
    assert {path: path.stat().st_mtime_ns for path in dataset.rglob("*")} == before


def test_another_setting_is_refused_by_name(dataset: Path, texts: Path) -> None:
    with pytest.raises(GatescopeError, match=r"scan\.k: 4 there, 5 now"):
        _run(dataset, texts, "scan.k=5")


def test_other_texts_in_the_same_file_are_refused(
    dataset: Path, texts: Path, tmp_path: Path
) -> None:
    same_name = tmp_path / texts.name
    same_name.write_bytes(texts.read_bytes())
    with pytest.raises(GatescopeError, match=r"corpus\.path: "):
        _run(dataset, same_name)
    before = texts.read_bytes()
    try:
        texts.write_bytes(before.replace(b"e", b"a", 1))
        with pytest.raises(GatescopeError, match=r"corpus\.files: "):
            _run(dataset, texts)
    finally:
        texts.write_bytes(before)


class _Stop(BaseException):
    pass


@pytest.mark.parametrize("stop_after", [1, 4])
def test_stopped_and_resumed_equals_undisturbed(
    dataset: Path,
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop_after: int,
) -> None:
    output = tmp_path / "dataset"
    scanned: list[int] = []
    scan_unit = Scanner.scan

    def scan_or_stop(self: Scanner, unit_id: int, *rest: object) -> int:
        if len(scanned) == stop_after:
            raise _Stop
        scanned.append(unit_id)
        return scan_unit(self, unit_id, *rest)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Scanner, "scan", scan_or_stop)
        with pytest.raises(_Stop):
            _run(output, texts)
    assert not (output / "manifest.json").exists()
    with pytest.raises(GatescopeError, match="unfinished"):
        pipeline.open(output)
    with pytest.raises(GatescopeError, match=r"scan\.k: 4 there, 3 now"):
        _run(output, texts, "scan.k=3")
    manifest = _run(output, texts)
    assert manifest["scan"]["n_resumed_units"] == stop_after
    assert differences_between(dataset, output) == []


def test_a_damaged_snapshot_is_scanned_again(
    dataset: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "dataset"
    read = CorpusReader.read

    def read_or_stop(self: CorpusReader, unit: object) -> object:
        if unit.unit_id == 3:  # type: ignore[attr-defined]
            raise _Stop
        return read(self, unit)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(CorpusReader, "read", read_or_stop)
        with pytest.raises(_Stop):
            _run(output, texts)
    layer = next((output / "_work/snapshots").rglob("layer-0003.safetensors"))
    damaged = bytearray(layer.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    layer.write_bytes(damaged)
    assert _run(output, texts)["scan"]["n_resumed_units"] == 0
    assert differences_between(dataset, output) == []


def test_killed_and_resumed_equals_undisturbed(dataset: Path, texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    command = [sys.executable, "-m", "pipeline", "run", *_SETTINGS]
    command += [f"corpus.path={texts}", f"output={output}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not list(output.glob("_work/snapshots/*/*/commit.json")):
            assert process.poll() is None, process.stderr.read().decode()  # type: ignore[union-attr]
            assert time.monotonic() < deadline, "no snapshot in two minutes"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert not (output / "manifest.json").exists()
    _run(output, texts)
    assert differences_between(dataset, output) == []


def test_a_folder_of_other_files_is_left_alone(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(GatescopeError, match=r"holds 1 files \(such as thesis.tex\)"):
        _run(tmp_path, texts)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_work_folder_of_others_is_left_alone(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "_work").mkdir()
    (tmp_path / "_work/notes").write_text("mine")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/mine.txt").write_text("mine")
    with pytest.raises(GatescopeError, match="no Gatescope run"):
        _run(tmp_path, texts)
    assert (tmp_path / "corpus/mine.txt").read_text() == "mine"
    assert (tmp_path / "_work/notes").read_text() == "mine"


def test_what_is_refused_leaves_nothing_and_can_be_corrected(texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    with pytest.raises(GatescopeError, match=r"model\.layers"):
        _run(output, texts, "model.layers=[99]")
    with pytest.raises(GatescopeError, match=r"lower scan\.k"):
        _run(output, texts, "scan.k=900000000")
    assert not output.exists()
    _run(output, texts, "corpus.max_tokens=500")
    assert (output / "manifest.json").exists()


def test_two_runs_do_not_write_to_one_place(texts: Path, tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    with only_writer(Place(output)), pytest.raises(GatescopeError, match="another run is writing"):
        _run(output, texts)
    _run(output, texts, "corpus.max_tokens=500")
    assert (output / "manifest.json").exists()


def test_an_output_behind_fsspec(dataset: Path, texts: Path) -> None:
    url = "memory://gatescope-test/dataset"
    _run(url, texts)
    with pipeline.open(url) as remote, pipeline.open(dataset) as local:
        for table in TABLES:
            counts = [ds.sql(f"select count(*) from {table}").fetchall() for ds in (remote, local)]
            assert counts[0] == counts[1]


def test_nan_weights_stop_the_run(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(self: Scanner, unit_id: int, *rest: object) -> int:
        self.states[3].sums[0, 0, 0] = float("nan")
        return scan_unit(self, unit_id, *rest)  # type: ignore[arg-type]

    scan_unit = Scanner.scan
    monkeypatch.setattr(Scanner, "scan", poisoned)
    with pytest.raises(GatescopeError, match=r"layer 3: NaN or infinite activations in unit 0"):
        _run(tmp_path / "dataset", texts)
    assert not (tmp_path / "dataset/manifest.json").exists()
