"""The command as a person meets it: what it prints, its exit codes, what it leaves behind."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.cli import main

_SMALL = [
    "model.layers=[0]",
    "corpus.max_length=512",
    "scan.k=2",
    "scan.spare=2",
    "scan.window.before=4",
]


def _arguments(texts: Path, output: Path, *more: str) -> list[str]:
    return ["run", *_SMALL, "corpus=local", f"corpus.path={texts}", *more, f"output={output}"]


@pytest.fixture(scope="module")
def dataset(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("cli") / "dataset"
    assert main(_arguments(texts, output, "corpus.max_tokens=2000")) == 0
    return output


def _failed(
    capsys: pytest.CaptureFixture[str], output: Path | None, *arguments: str, code: int = 2
) -> str:
    """The message of a command that fails; one line, no traceback, no dataset."""
    assert main(list(arguments)) == code
    captured = capsys.readouterr()
    message = captured.err.strip().splitlines()[-1]
    assert message.startswith("gatescope: ")
    assert "Traceback" not in captured.err + captured.out
    if output is not None:
        assert not (output / "manifest.json").exists()
    return message


def _run(capsys: pytest.CaptureFixture[str], tmp_path: Path, *overrides: str) -> str:
    output = tmp_path / "dataset"
    return _failed(capsys, output, "run", *_SMALL, *overrides, f"output={output}")


def test_run_says_what_it_made_and_what_to_type_next(
    dataset: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(_arguments(texts, dataset, "corpus.max_tokens=2000")) == 0
    printed = capsys.readouterr().out
    assert "already complete: nothing was done" in printed
    assert "2,000 tokens, 512 neurons" in printed
    assert f"gatescope query {dataset}" in printed


def test_query(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", str(dataset)]) == 0
    assert "cosine_vs_gate_frequency" in capsys.readouterr().out
    assert main(["query", str(dataset), "sign_frequencies"]) == 0
    assert "gate+_in-" in capsys.readouterr().out
    sql = "select count(*) as n, nan_value from (select 'nan'::double as nan_value) group by 2"
    assert main(["query", str(dataset), "--sql", sql, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 1, "nan_value": None}]


def test_query_mistakes(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = str(dataset)
    assert "top_examples" in _failed(capsys, None, "query", source, "top_exampels")
    assert "layer" in _failed(capsys, None, "query", source, "top_examples")
    assert "n=five" in _failed(
        capsys, None, "query", source, "top_examples", "layer=0", "neuron=1", "n=five"
    ).replace("'", "")
    assert "PARAMETER=VALUE" in _failed(capsys, None, "query", source, "top_examples", "3")
    assert "nothing" in _failed(capsys, None, "query", source, "--sql", "select nothing")
    assert "does not exist" in _failed(capsys, None, "query", str(dataset.parent / "nowhere"))


def test_show(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(dataset), "0.7"]) == 0
    printed = capsys.readouterr().out
    assert "0.7" in printed
    assert "gate-_in-, the best by post" in printed
    assert "layer.neuron" in _failed(capsys, None, "show", str(dataset), "seven")
    assert "0 to 511" in _failed(capsys, None, "show", str(dataset), "0.512")
    assert "--ranking" in _failed(capsys, None, "show", str(dataset), "0.7", "--ranking", "swish")


def test_verify(dataset: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["verify", str(dataset), "--rerun", "5"]) == 0
    assert "the dataset is sound" in capsys.readouterr().out


def test_verify_finds_a_missing_file(
    texts: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    output = tmp_path / "dataset"
    assert main(_arguments(texts, output, "corpus.max_tokens=500")) == 0
    (output / "sign_stats/layer=0/part-0.parquet").unlink()
    assert main(["verify", str(output)]) == 1
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("empty.txt", b"", "empty.txt gives no example"),
        ("blank.txt", b"\n \n\n", "blank.txt gives no example"),
        ("latin.txt", b"caf\xe9 au lait\n", "latin.txt"),
        ("columns.json", b'[{"body": "a text"}]', "corpus.text_column"),
        ("broken.jsonl", b'{"text": "fine"}\n{"text": \n', "broken.jsonl"),
        ("texts.docx", b"PK", ".txt"),
    ],
)
def test_bad_texts(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, content: bytes, expected: str
) -> None:
    (tmp_path / name).write_bytes(content)
    message = _run(capsys, tmp_path, "corpus=local", f"corpus.path={tmp_path / name}")
    assert expected in message


def test_token_ids_out_of_range(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "ids.parquet"
    pq.write_table(pa.table({"input_ids": [[1, 2, 3], [4, 70_000]]}), path)
    message = _run(capsys, tmp_path, "corpus=tokenized", f"corpus.path={path}")
    assert "70000" in message
    assert "ids.parquet" in message


def test_places_that_cannot_be(
    texts: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert "corpus.path" in _run(capsys, tmp_path, "corpus=local", "corpus.path=nowhere/at/all")
    assert "model.name" in _run(capsys, tmp_path, "model.name=./nowhere")
    (tmp_path / "file").write_text("not a folder")
    output = tmp_path / "file/dataset"
    message = _failed(capsys, None, *_arguments(texts, output))
    assert f"output={output}" in message


def test_a_disk_that_is_full_at_the_end(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pipeline.layer

    def full(*_: object) -> dict[str, int]:
        raise OSError(28, "No space left on device")

    output = tmp_path / "dataset"
    arguments = _arguments(texts, output, "corpus.max_tokens=500")
    with monkeypatch.context() as patch:
        patch.setattr(pipeline.layer, "merge_layer", full)
        assert main(arguments) == 2
    assert not (output / "manifest.json").exists()
    assert main(arguments) == 0
    assert (output / "manifest.json").exists()
