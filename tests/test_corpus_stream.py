"""Limits, counts and checks on the way from rows to examples, and what is made of many."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_standins import (
    SHARED,
    STORIES,
    ByteTokenizer,
    examples,
    need_shared,
    opened,
    refusal,
    written,
)
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from pipeline.config import CorpusConfig
from pipeline.corpus import Example, Fingerprint, open_corpus, split_units
from pipeline.errors import GatescopeError


def jsonl(path: Path, *rows: Any) -> Path:
    return written(path, "\n".join(map(json.dumps, rows)))


def ids_of(found: list[Example]) -> list[list[int]]:
    return [example.input_ids.tolist() for example in found]


def test_an_example_is_the_cut_ids_and_the_whole_text(tmp_path: Path) -> None:
    (example,) = examples(written(tmp_path / "a.txt", "abcdef"), max_length=4, add_bos=True)
    assert example.input_ids.dtype == np.int32
    assert example.input_ids.tolist() == [1, 100, 101, 102]
    assert example.text == "abcdef"


def test_texts_without_words_are_skipped_and_counted(tmp_path: Path) -> None:
    rows = [{"text": t} for t in ("", " \n\t\u00a0", None, "a\0", "x\ud800y", "b")] + [{"id": 1}]
    corpus = opened(jsonl(tmp_path / "a.jsonl", *rows))
    assert [example.text for example in corpus] == ["a\0", "b"]
    assert corpus.skipped == {"empty text": 4, "lone surrogate in the text": 1}
    assert (corpus.n_examples, corpus.n_tokens) == (2, 3)


def test_texts_without_tokens_are_skipped_and_counted(tmp_path: Path) -> None:
    class Deaf(ByteTokenizer):
        def __call__(self, text: list[str], **settings: bool) -> dict[str, list[list[int]]]:
            return {"input_ids": [[] if one == "mute" else [5] for one in text]}

    corpus = opened(jsonl(tmp_path / "a.jsonl", "mute", "loud"), Deaf(), add_bos=True)
    assert ids_of(list(corpus)) == [[1, 5]]
    assert corpus.skipped == {"no tokens": 1}


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("a.txt", "", "it holds no row"),
        ("a.txt", " \n\n \r\n", "it holds no row"),
        ("a.json", "", "it holds no row"),
        ("a.json", " [ ] ", "it holds no row"),
        ("a.jsonl", "\n\n", "it holds no row"),
        ("a.csv", "", "it holds no row"),
        ("a.csv", "text\n", "it holds no row"),
        ("a.json", '["", " "]', "2 x empty text"),
        ("a.jsonl", '{"text": null}', "1 x empty text"),
    ],
)
def test_nothing_left_is_an_error(tmp_path: Path, name: str, content: str, part: str) -> None:
    path = written(tmp_path / name, content)
    message = refusal(path)
    assert message.startswith(f"{path} gives no example ({part}")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "a.parquet")
    assert "gives no example (it holds no row" in refusal(tmp_path / "a.parquet")


def test_a_missing_text_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    jsonl(tmp_path / "a.jsonl", {"id": 1, "content": "a"})
    written(tmp_path / "a.csv", "id,content\n1,a\n")
    pq.write_table(pa.table({"id": [1], "content": ["a"]}), tmp_path / "a.parquet")
    for path in sorted(tmp_path.iterdir()):
        message = refusal(path)
        assert message == (
            f"{path} has no column 'text', only id, content: set corpus.text_column=..."
        )
        assert examples(path, text_column="content")[0].text == "a"
    # One file of a folder is enough, even where others have the column.
    jsonl(tmp_path / "0.jsonl", {"text": "a"})
    assert f"{tmp_path}/a.csv has no column 'text'" in refusal(tmp_path)


@pytest.mark.parametrize("value", [5, 1.5, True, ["a"], {"a": 1}])
def test_a_text_that_is_none_is_an_error_with_file_row_and_type(tmp_path: Path, value: Any) -> None:
    path = jsonl(tmp_path / "a.jsonl", {"text": "fine"}, {"text": value})
    message = refusal(path)
    assert f"{path}, line 2: column 'text' holds {type(value).__name__} {value}" in message
    pq.write_table(pa.table({"text": [value, value]}), tmp_path / "a.parquet")
    assert "a.parquet, row 0 (from 0): column 'text' holds" in refusal(tmp_path / "a.parquet")


def test_ids_beyond_the_model_are_refused_when_the_tokenizer_gives_them(tmp_path: Path) -> None:
    config = CorpusConfig(source="local", path=str(written(tmp_path / "a.txt", "az")))
    assert len(list(open_corpus(config, ByteTokenizer(), ord("z") + 4))) == 1
    with pytest.raises(GatescopeError, match="token id 125, the model has d_vocab=125"):
        list(open_corpus(config, ByteTokenizer(), ord("z") + 3))
    with pytest.raises(GatescopeError, match=r"no tokenizer: corpus\.tokenized=true"):
        open_corpus(config, None, 259)


@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=40),
    max_length=st.integers(2, 20),
    max_tokens=st.integers(2, 200),
    add_bos=st.booleans(),
)
def test_max_tokens_is_kept_and_reached(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[int],
    max_length: int,
    max_tokens: int,
    add_bos: bool,
) -> None:
    path = jsonl(tmp_path_factory.mktemp("j") / "a.jsonl", *["x" * n for n in [3, *lengths]])
    whole = ids_of(examples(path, max_length=max_length, add_bos=add_bos))
    corpus = opened(path, max_length=max_length, add_bos=add_bos, max_tokens=max_tokens)
    cut = ids_of(list(corpus))
    assert all(cut)
    assert max(map(len, whole)) <= max_length
    flat = list(itertools.chain(*cut))
    assert flat == list(itertools.chain(*whole))[: len(flat)]
    wanted = min(max_tokens, sum(map(len, whole)))
    # A BOS alone is not worth an example.
    assert len(flat) == wanted or (add_bos and len(flat) == wanted - 1)
    assert cut[:-1] == whole[: len(cut) - 1]
    assert corpus.n_tokens == len(flat)
    assert corpus.fraction_read is not None


def endless() -> Iterator[SimpleNamespace]:
    for number in itertools.count():
        yield SimpleNamespace(id=f"t{number}", text="ten words " * 2)


def test_reading_stops_at_max_tokens() -> None:
    n_read = 0

    def counted() -> Iterator[SimpleNamespace]:
        nonlocal n_read
        for text in endless():
            n_read += 1
            yield text

    config = CorpusConfig(max_tokens=100, max_length=16)
    corpus = open_corpus(config, ByteTokenizer(), 259, demo_texts=counted())
    found = list(corpus)
    assert [len(example.input_ids) for example in found] == [16] * 6 + [4]
    assert found[6].source == {"id": "t6"}
    assert n_read < 50
    assert corpus.fraction_read == 1.0


def test_examples_come_while_the_source_is_read() -> None:
    corpus = open_corpus(CorpusConfig(), ByteTokenizer(), 259, demo_texts=endless())
    assert [example.source["id"] for example in itertools.islice(corpus, 3)] == ["t0", "t1", "t2"]
    assert corpus.fraction_read is None
    with pytest.raises(RuntimeError, match="iterated once"):
        next(iter(corpus))


def test_the_built_in_demo_corpus() -> None:
    config = CorpusConfig(max_tokens=5000, max_length=512)
    corpus = open_corpus(config, ByteTokenizer(), 259)
    found = list(corpus)
    assert corpus.source_columns == {"id": "string"}
    assert sum(len(example.input_ids) for example in found) == 5000
    assert all(example.source["id"] and example.text for example in found)
    assert "Python" in corpus.location


def test_texts_are_tokenised_many_at_a_time(tmp_path: Path) -> None:
    tokenizer = ByteTokenizer()
    examples(jsonl(tmp_path / "a.jsonl", *["a short text"] * 3000), tokenizer)
    assert [n_texts for n_texts, _ in tokenizer.batches] == [1024, 1024, 952]
    tokenizer = ByteTokenizer()
    examples(jsonl(tmp_path / "a.jsonl", *["x" * 100_000] * 30), tokenizer, max_length=10_000)
    assert tokenizer.batches[0] == (10, 1_000_000)


def test_progress_goes_from_zero_to_one(tmp_path: Path) -> None:
    written(tmp_path / "a.txt", "some text\n\n" * 5000)
    jsonl(tmp_path / "b.jsonl.gz", *[f"text {i}" for i in range(5000)])
    pq.write_table(pa.table({"text": ["some text"] * 5000}), tmp_path / "c.parquet")
    written(tmp_path / "d.txt", "")
    corpus = opened(tmp_path)
    assert corpus.n_bytes_total == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert corpus.fraction_read == 0.0
    shares = [share for _ in corpus if (share := corpus.fraction_read) is not None]
    assert shares[0] < 0.6
    assert shares == sorted(shares)
    assert corpus.fraction_read == 1.0


def stories_tokenizer() -> PreTrainedTokenizerFast:
    file = need_shared(STORIES / "tokenizer.json")
    return PreTrainedTokenizerFast(tokenizer_file=str(file), bos_token="<s>", eos_token="</s>")


def test_the_golden_tokens_are_reproduced(tmp_path: Path) -> None:
    golden = need_shared(SHARED / "golden" / "stories260K" / "corpus.parquet")
    rows = pq.read_table(golden).to_pylist()
    config = CorpusConfig(source="local", path=str(golden), tokenized=True)
    read = open_corpus(config, None, 512)
    found = list(read)
    assert ids_of(found) == [row["input_ids"] for row in rows]
    assert [example.text for example in found] == [row["text"] for row in rows]
    assert read.source_columns == {"source_example_id": "int64"}
    path = jsonl(tmp_path / "a.jsonl", *[row["text"] for row in rows])
    config = CorpusConfig(source="local", path=str(path), max_length=256)
    again = list(open_corpus(config, stories_tokenizer(), 512))
    assert ids_of(again) == [row["input_ids"] for row in rows]


@given(rows=st.lists(st.lists(st.integers(-(2**31), 2**31 - 1))), at=st.integers(0))
def test_the_fingerprint_is_of_the_ids_and_of_where_they_are_cut(
    rows: list[list[int]], at: int
) -> None:
    def of(cut: list[list[int]]) -> str:
        fingerprint = Fingerprint()
        for ids in cut:
            fingerprint.update(np.array(ids, dtype=np.int64))
        return fingerprint.hexdigest()

    parts = [int.to_bytes(v, 4, "little", signed=True) for ids in rows for v in (len(ids), *ids)]
    assert of(rows) == hashlib.sha256(b"".join(parts)).hexdigest()
    assert of([*rows, []]) != of(rows)
    if rows and rows[0]:
        at %= len(rows[0])
        changed = [[*rows[0]], *rows[1:]]
        changed[0][at] ^= 1
        assert of(changed) != of(rows)
        assert of([rows[0][:at], rows[0][at:], *rows[1:]]) != of(rows)


def test_the_fingerprint_takes_integers_only() -> None:
    for wrong in (np.array([1.0]), np.array([[1]])):
        with pytest.raises(TypeError, match=re.escape("integers [pos]")):
            Fingerprint().update(wrong)


@given(lengths=st.lists(st.integers(1, 50)), unit_tokens=st.integers(1, 120))
def test_units_are_runs_that_close_when_full(lengths: list[int], unit_tokens: int) -> None:
    made = [Example(np.zeros(n, np.int32), str(i), {}) for i, n in enumerate(lengths)]
    units = list(split_units(iter(made), unit_tokens))
    assert [example.text for unit in units for example in unit] == [e.text for e in made]
    sizes = [[len(example.input_ids) for example in unit] for unit in units]
    assert all(sum(unit[:-1]) < unit_tokens for unit in sizes)
    assert all(sum(unit) >= unit_tokens for unit in sizes[:-1])
    assert all(units)
