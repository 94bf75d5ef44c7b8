"""Tokenised sources and Hub data sets (played by local files: no network here)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_standins import ByteTokenizer, opened, refusal, written

from pipeline.config import CorpusConfig
from pipeline.corpus import open_corpus
from pipeline.errors import GatescopeError


def table(path: Path, **columns: Any) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_ids_are_taken_as_they_are_and_cut(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", input_ids=[[100, 101, 102], [5], None, [], [0, 258]])
    corpus = opened(path, tokenized=True, max_length=2, add_bos=True)
    found = list(corpus)
    assert [example.input_ids.tolist() for example in found] == [[100, 101], [5], [0, 258]]
    assert all(example.input_ids.dtype == "int32" for example in found)
    assert found[0].text == "ab"  # decoded: the part that the model reads
    assert corpus.skipped == {"empty input_ids": 2}


def test_the_text_of_a_tokenized_source(tmp_path: Path) -> None:
    ids = [[100], [101], [102]]
    path = table(tmp_path / "a.parquet", input_ids=ids, text=["A", None, ""], id=[1, 2, 3])
    assert [example.text for example in opened(path, tokenized=True)] == ["A", "b", ""]
    config = CorpusConfig(source="local", path=str(path), tokenized=True)
    assert [example.text for example in open_corpus(config, None, 259)] == ["A", "", ""]
    found = list(opened(path, tokenized=True, max_tokens=2))
    assert [example.source for example in found] == [{"id": 1}, {"id": 2}]
    rows = [{"input_ids": [100], "text": "x\ud800"}, {"input_ids": [101]}]
    corpus = opened(written(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows))), tokenized=True)
    assert [example.text for example in corpus] == ["b"]
    assert corpus.skipped == {"lone surrogate in the text": 1}


@pytest.mark.parametrize("width", [pa.uint8(), pa.int16(), pa.uint32(), pa.int64()])
def test_integers_of_every_width(tmp_path: Path, width: pa.DataType) -> None:
    for kind in (pa.list_(width), pa.large_list(width), pa.list_(width, 2)):
        path = table(tmp_path / "a.parquet", input_ids=pa.array([[1, 200 % 120]], kind))
        (example,) = opened(path, tokenized=True)
        assert example.input_ids.tolist() == [1, 80]


@pytest.mark.parametrize(
    ("ids", "part"),
    [
        ([3, 259], "line 2: token id 259 is not in [0, 259), the model's d_vocab"),
        ([3] * 50 + [300], "line 2: token id 300 is not in"),
        ([-1, 3], "line 2: token id -1 is not in"),
        ([2**70], f"line 2: token id {2**70} is not in"),
        ([3, 4.0], "line 2: input_ids must be a list of integers, not float 4.0"),
        ([True, 3], "line 2: input_ids must be a list of integers, not bool True"),
        ([3, None], "line 2: input_ids must be a list of integers, not NoneType"),
        ([[3], [4]], "line 2: input_ids must be a list of integers, not list [3]"),
        ("34", "line 2: input_ids must be a list of integers, not str '34'"),
        (7, "line 2: input_ids must be a list of integers, not int 7"),
        ({"a": 1}, "line 2: input_ids must be a list of integers, not dict"),
    ],
)
def test_ids_that_are_no_ids_of_the_model(tmp_path: Path, ids: Any, part: str) -> None:
    rows = [{"input_ids": [3, 4]}, {"input_ids": ids}]
    path = written(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    # Beyond max_length too: such ids are of another tokenizer.
    message = refusal(path, tokenized=True, max_length=10)
    assert message.startswith(f"{path}, {part}")


def test_wrong_ids_in_parquet_name_the_row(tmp_path: Path) -> None:
    path = table(tmp_path / "a.parquet", input_ids=[[1]] * 400 + [[5, 999]])
    assert f"{path}, row 400 (from 0): token id 999" in refusal(path, tokenized=True)
    path = table(tmp_path / "a.parquet", input_ids=[[1.0]])
    assert "not float 1.0" in refusal(path, tokenized=True)
    path = table(tmp_path / "a.parquet", ids=[[1]], text=["a"])
    assert refusal(path, tokenized=True) == (
        f"{path} has no column 'input_ids', only ids, text: set corpus.tokenized=false to read text"
    )
    path = table(tmp_path / "a.parquet", input_ids=pa.array([None, []], pa.list_(pa.int64())))
    assert "gives no example (2 x empty input_ids" in refusal(path, tokenized=True)


def hub_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out like a data set's repository, opened in place of the Hub's."""
    folder = tmp_path / "repository"
    for split in ("train", "test"):
        texts = [f"{split} {i}" for i in range(300)]
        table(
            folder / "data" / f"{split}-0.parquet",
            text=texts,
            id=list(range(300)),
            meta=[{"x": 1}] * 300,
        )
    real = datasets.load_dataset_builder
    asked: dict[str, Any] = {}

    def local(path: str, **settings: Any) -> Any:
        asked.update(settings, path=path)
        settings.pop("revision")
        builder = real(str(folder), cache_dir=str(tmp_path / "cache"), **settings)
        builder.hash = "0123abcd"  # what the Hub's module factory gives: the resolved commit
        return builder

    monkeypatch.setattr(datasets, "load_dataset_builder", local)
    monkeypatch.setattr(sys.modules[__name__], "ASKED", asked)
    return folder


ASKED: dict[str, Any] = {}


def test_a_hub_data_set_is_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_folder(tmp_path, monkeypatch)
    corpus = opened("some/set", source="hub", split="test", revision="v1", max_tokens=200)
    assert ASKED == {"path": "some/set", "name": None, "revision": "v1"}
    assert corpus.location == "some/set@0123abcd (test)"
    assert corpus.source_columns == {"id": "int64"}
    assert corpus.dropped_columns == ("meta",)
    assert corpus.n_bytes_total is None
    found = list(corpus)
    assert [example.text for example in found[:2]] == ["test 0", "test 1"]
    assert found[1].source == {"id": 1}
    assert corpus.n_tokens == 200
    assert not list((tmp_path / "cache").rglob("*.arrow"))


def test_a_hub_data_set_without_declared_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_folder(tmp_path, monkeypatch)
    stream_of = datasets.IterableDataset
    monkeypatch.setattr(stream_of, "features", property(lambda self: None))
    corpus = opened("some/set", source="hub")
    assert corpus.source_columns == {"id": "int64"}
    assert len(list(corpus)) == 300


def test_mistakes_about_a_hub_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub_folder(tmp_path, monkeypatch)
    message = refusal("some/set", source="hub", split="validation")
    assert message.startswith("corpus.path=some/set cannot be opened (Bad split: validation.")
    assert "corpus.split=validation" in message
    message = refusal("some/set", source="hub", text_column="body")
    assert message == (
        "corpus.path=some/set has no column 'text', only text, id, meta: set corpus.text_column=..."
    ).replace("'text'", "'body'")
    assert "BuilderConfig 'nosuch' not found" in refusal("some/set", source="hub", subset="nosuch")
    config = CorpusConfig(source="nowhere", path="x")
    with pytest.raises(GatescopeError, match="none of demo, local, hub"):
        open_corpus(config, ByteTokenizer(), 259)


OFFLINE = """
from pipeline.config import CorpusConfig
from pipeline.corpus import open_corpus
from pipeline.errors import GatescopeError
config = CorpusConfig(source="hub", path="no/such", tokenized=True)
try:
    open_corpus(config, None, 9)
except GatescopeError as error:
    print(error)
"""


def test_no_network_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        env=environment,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    assert run.stdout == (
        "corpus.path=no/such cannot be opened (Couldn't reach 'no/such' on the Hub "
        "(OfflineModeIsEnabled)): check the id, corpus.split=train, "
        "the network and, for a private or gated one, `hf auth login`\n"
    )


def test_the_public_names_import_without_datasets_or_torch() -> None:
    code = (
        "import sys, pipeline.corpus; print([m for m in ('datasets', 'torch') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "[]\n"
