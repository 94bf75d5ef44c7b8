"""Every kind of file: what its rows are."""

from __future__ import annotations

import bz2
import json
import lzma
import os
import tracemalloc
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_standins import SHARED, ByteTokenizer, need_shared, opened, refusal, texts, written
from hypothesis import given
from hypothesis import strategies as st

import pipeline.corpus.json_rows as json_rows
from pipeline.corpus.tables import ParquetFile


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=100)
    return path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("one\ntwo\n\nthree\n", ["one\ntwo", "three"]),
        ("one\r\ntwo\r\n\r\nthree\r\n", ["one\ntwo", "three"]),
        ("one\rtwo\r\rthree", ["one\ntwo", "three"]),
        ("\n\n one \n \t \n\n\n\nthree \n\n", [" one ", "three "]),
        ("\ufeffone\n\n\ufefftwo", ["one", "\ufefftwo"]),
        (
            "nul \0 kept\n\nline\u2028separator\x0cfeed",
            ["nul \0 kept", "line\u2028separator\x0cfeed"],
        ),
    ],
)
def test_txt_is_cut_at_blank_lines(tmp_path: Path, content: str, expected: list[str]) -> None:
    assert texts(written(tmp_path / "a.txt", content)) == expected


PARAGRAPH = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1).filter(str.strip),
    min_size=1,
    max_size=3,
).map("\n".join)


@given(
    paragraphs=st.lists(PARAGRAPH.filter(lambda p: not p.startswith("\ufeff")), min_size=1),
    blank=st.sampled_from(["\n\n", "\n \t\n", "\n\n\n\n"]),
    ending=st.sampled_from(["\n", "\r\n"]),
)
def test_txt_gives_back_the_paragraphs_that_were_joined(
    tmp_path_factory: pytest.TempPathFactory, paragraphs: list[str], blank: str, ending: str
) -> None:
    path = tmp_path_factory.mktemp("txt") / "a.txt"
    written(path, blank.join(paragraphs).replace("\n", ending))
    assert texts(path) == paragraphs


def test_json_of_strings_and_of_objects(tmp_path: Path) -> None:
    wanted = ["a", "b\n\nb", "nul \0"]
    objects = [{"text": text, "n": n} for n, text in enumerate(wanted)]
    assert texts(written(tmp_path / "s.json", json.dumps(wanted, indent=1))) == wanted
    assert texts(written(tmp_path / "o.json", json.dumps(objects))) == wanted
    lines = "\r\n\r\n".join(map(json.dumps, objects)) + "\n"
    assert texts(written(tmp_path / "l.jsonl", lines)) == wanted
    assert texts(written(tmp_path / "l.json", "\n" + lines)) == wanted  # lines in a .json
    assert texts(written(tmp_path / "b.json", "\ufeff" + json.dumps(wanted))) == wanted


JSON_ITEM = st.one_of(
    st.text(max_size=60), st.dictionaries(st.just("text") | st.text(), st.text() | st.integers())
)


@given(items=st.lists(JSON_ITEM), indent=st.none() | st.integers(0, 2), block=st.integers(1, 40))
def test_a_json_list_is_read_the_same_however_it_is_cut_into_blocks(
    tmp_path_factory: pytest.TempPathFactory, items: list[Any], indent: int | None, block: int
) -> None:
    path = written(
        tmp_path_factory.mktemp("json") / "a.json",
        json.dumps(items, indent=indent, ensure_ascii=len(items) % 2 == 0).encode(
            "utf-8", "surrogatepass"
        ),
    )
    rows = [item if isinstance(item, dict) else {"text": item} for item in items]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_rows, "_BLOCK", block)
        reader = json_rows.JsonFile(fsspec.filesystem("file"), str(path), "a.json", 0, "text")
        assert list(reader.rows()) == list(enumerate(rows))


def test_csv_keeps_quoted_commas_line_breaks_and_the_word_null(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv", '\ufeffid,text\r\n1,"a, ""b""\nc"\r\n\r\n2,NA\n3,null\n4,None'
    )
    assert texts(path) == ['a, "b"\nc', "NA", "null", "None"]
    long_text = "word " * 100_000
    assert texts(written(tmp_path / "b.csv", f"text\n{long_text}\n")) == [long_text]


def test_parquet_rows_in_order_over_row_groups(tmp_path: Path) -> None:
    wanted = [f"text {i}" for i in range(1000)]
    for text_type in (pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())):
        path = parquet(tmp_path / "a[1] *.parquet", text=pa.array(wanted, text_type))
        assert texts(path) == wanted


def test_compressed_files(tmp_path: Path) -> None:
    data = b'{"text": "one"}\n{"text": "two"}\n'
    (tmp_path / "a.jsonl.bz2").write_bytes(bz2.compress(data))
    (tmp_path / "b.jsonl.xz").write_bytes(lzma.compress(data))
    written(tmp_path / "c.jsonl.GZ", data)
    (tmp_path / "c.jsonl.GZ").rename(tmp_path / "c.jsonl.gz")
    (tmp_path / "c.jsonl.gz").unlink()
    written(tmp_path / "c.jsonl.gz", data)
    assert texts(tmp_path) == ["one", "two"] * 3
    (tmp_path / "d.txt.gz").write_bytes((tmp_path / "c.jsonl.gz").read_bytes()[:-12])
    assert "d.txt.gz cannot be read" in refusal(tmp_path)
    (tmp_path / "d.txt.gz").write_bytes(b"not gzip at all")
    assert "d.txt.gz cannot be read (Not a gzipped file" in refusal(tmp_path)


def test_a_folder_is_read_recursively_sorted_by_path(tmp_path: Path) -> None:
    written(tmp_path / "b.txt", "b")
    written(tmp_path / "a" / "z.jsonl", '{"text": "az"}')
    written(tmp_path / "a" / "y.csv", "text\nay\n")
    written(tmp_path / "c" / "d" / "x.json", '["cdx"]')
    parquet(tmp_path / "c" / "w.parquet", text=["cw"])
    written(tmp_path / "a" / "empty.json", "")
    written(tmp_path / "notes.md", "not read")
    written(tmp_path / ".hidden" / "x.txt", "not read")
    written(tmp_path / "c" / "._x.json", "not read")
    os.symlink(tmp_path / "b.txt", tmp_path / "link.txt")
    os.symlink(tmp_path / "nowhere.txt", tmp_path / "dangling.txt")
    os.symlink(tmp_path, tmp_path / "loop")
    corpus = opened(tmp_path)
    assert [example.text for example in corpus] == ["ay", "az", "b", "cdx", "cw", "b"]
    assert corpus.location == str(tmp_path)


def test_a_relative_path_is_recorded_as_an_absolute_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(tmp_path / "a.txt", "a")
    monkeypatch.chdir(tmp_path)
    assert opened("a.txt").location == str(tmp_path / "a.txt")


def test_urls_that_fsspec_opens(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/corpus/a.jsonl", b'{"text": "one"}')
    pq.write_table(pa.table({"text": ["two"]}), tmp_path / "b.parquet")
    memory.pipe_file("/corpus/b.parquet", (tmp_path / "b.parquet").read_bytes())
    corpus = opened("memory://corpus")
    assert [example.text for example in corpus] == ["one", "two"]
    assert corpus.location == "memory:///corpus"
    assert "memory://nothing does not exist" in refusal("memory://nothing")
    assert "corpus.path=nosuch://a cannot be opened" in refusal("nosuch://a")


def test_only_the_columns_that_are_asked_for_are_read(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", text=["a"], ids=[[1, 2]], id=[7])
    assert list(ParquetFile(str(path), None).rows(["id"])) == [(0, {"id": 7})]


def test_a_read_only_home_does_not_hinder_parquet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    cache = tmp_path / "cache"
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache)
    assert texts(parquet(tmp_path / "a.parquet", text=["one"])) == ["one"]
    assert not cache.exists()


def test_the_stories_and_the_books() -> None:
    stories = need_shared(SHARED / "data" / "tinystories_1000.json")
    assert texts(stories) == json.loads(stories.read_text(encoding="utf-8"))
    assert len(texts(stories)) == 1000
    for book in ("pg1342_pride_and_prejudice.txt", "pg1661_sherlock_holmes.txt"):
        path = need_shared(SHARED / "data" / book)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        paragraphs = texts(path)
        assert len(paragraphs) > 2000
        kept = [line for line in "\n".join(paragraphs).split("\n") if line.strip()]
        assert kept == [line for line in lines if line.strip()]


class Mute(ByteTokenizer):
    """One id for whatever text."""

    def __call__(self, text: list[str], **settings: bool) -> dict[str, list[list[int]]]:
        return {"input_ids": [[5] for _ in text]}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.csv", "a.txt", "a.parquet"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, name: str) -> None:
    peaks = []
    for n_texts in (1000, 4000):
        content = ["word " * 400] * n_texts  # 2 MB, 8 MB
        path = tmp_path / name
        if name == "a.parquet":
            parquet(path, text=content)
        elif name == "a.json":
            written(path, json.dumps(content))
        elif name == "a.jsonl":
            written(path, "\n".join(map(json.dumps, content)))
        else:
            written(path, "\n\n".join(["text", *content]))
        corpus = opened(path, Mute())
        tracemalloc.start()
        assert sum(1 for _ in corpus) in (n_texts, n_texts + 1)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0] + 1e6
