"""What a disk has changed in the files of an unfinished run, or of a dataset, is said."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from crews import Runner
from datasets_compared import differences_between

from pipeline.cli import main
from pipeline.errors import GatescopeError


class Killed(BaseException):
    pass


@pytest.fixture(scope="module")
def halfway(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed when one of two layers was written."""
    output = tmp_path_factory.mktemp("halfway") / "dataset"

    def mishap(worker: Any, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if method == "merge" and arguments[0] == 3 and not done:
            raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        Runner(texts, patch)(output, 1, mishap)
    return output


@pytest.fixture
def copy(halfway: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(halfway, tmp_path / "dataset"))


@pytest.fixture
def runner(texts: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    return Runner(texts, monkeypatch)


def flip(path: Path, at: int, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def column_at(path: Path, column: str, part: float) -> int:
    """Where in a file the data of a column of its last row group lie."""
    group = pq.ParquetFile(path).metadata.row_group(pq.ParquetFile(path).num_row_groups - 1)
    for index in range(group.num_columns):
        chunk = group.column(index)
        if chunk.path_in_schema.startswith(column):
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            return start + int(part * chunk.total_compressed_size)
    raise AssertionError(column)


@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_the_corpus_table_of_an_unfinished_run(runner: Runner, copy: Path, part: float) -> None:
    shutil.rmtree(copy / "_work/snapshots")
    (file,) = (copy / "corpus").iterdir()
    flip(file, column_at(file, "input_ids", part), 2)
    with pytest.raises(GatescopeError, match=r"corpus/part-00000\.parquet is damaged \("):
        runner(copy)


def test_any_bit_of_the_data_of_a_finished_dataset(
    undisturbed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    for table in ("examples/layer=3", "sign_stats/layer=3", "corpus", "vocab"):
        output = Path(shutil.copytree(undisturbed, tmp_path / table.replace("/", "-")))
        (file,) = (output / table).iterdir()
        flip(file, rng.randrange(4, file.stat().st_size // 2), rng.randrange(8))
        assert main(["verify", str(output)]) == 1
        assert "FAILED" in capsys.readouterr().out
    assert main(["verify", str(undisturbed)]) == 0


@pytest.mark.parametrize("said", ['{"neurons": 512}', "[]", "null", "{}"])
def test_a_layer_that_is_said_to_be_written(
    undisturbed: Path, runner: Runner, copy: Path, said: str
) -> None:
    (copy / "_work/layers/3.json").write_text(said)
    runner(copy)
    assert differences_between(undisturbed, copy) == []


@pytest.mark.parametrize("table", ["neurons", "examples"])
def test_a_layer_whose_table_has_gone(
    undisturbed: Path, runner: Runner, copy: Path, table: str
) -> None:
    assert (copy / "_work/layers/0.json").exists()
    shutil.rmtree(copy / table / "layer=0")
    runner(copy)
    assert differences_between(undisturbed, copy) == []


@pytest.mark.parametrize("name", ["run.json", "corpus.json"])
@pytest.mark.parametrize("content", ["[1, 2]", "null", '{"units": [{}]}', "{", "", "\0\1"])
def test_records_that_are_something_else(
    runner: Runner, copy: Path, name: str, content: str
) -> None:
    (copy / "_work" / name).write_text(content)
    with pytest.raises(GatescopeError, match=r"delete (the|that) folder"):
        runner(copy)


@pytest.mark.parametrize("content", ["[]", "{}", "null", "{"])
def test_a_status_that_is_something_else(
    copy: Path, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (copy / "_work/status.json").write_text(content)
    assert main(["status", str(copy)]) == 2
    assert "status.json is damaged" in capsys.readouterr().err


def test_an_output_that_is_removed_meanwhile(
    undisturbed: Path, runner: Runner, tmp_path: Path
) -> None:
    output = tmp_path / "dataset"

    def mishap(worker: Any, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if method == "scan" and arguments[0].unit_id == 2 and not done:
            shutil.rmtree(output)

    with pytest.raises(GatescopeError, match=r"removed or replaced while the run wrote there"):
        runner(output, 1, mishap)
    runner(output)
    assert differences_between(undisturbed, output) == []
