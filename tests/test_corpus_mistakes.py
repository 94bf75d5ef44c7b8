"""Every mistake a file can have is named in one line: the file, the place, the remedy."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_standins import refusal, written
from fsspec.compression import compr

import pipeline.corpus.json_rows as json_rows


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=100)
    return path


def test_paths_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert f"corpus.path={tmp_path}/no.txt does not exist" in refusal(tmp_path / "no.txt")
    assert "needs corpus.path" in refusal(None)
    written(tmp_path / "a.md", "a")
    assert "a.md is of no known kind: .txt, .json, .jsonl, .csv, .parquet" in refusal(
        tmp_path / "a.md"
    )
    assert "holds no file of a known kind: .txt, .json" in refusal(tmp_path)
    # Root reads files whatever their mode, so the refusal is played.
    path = written(tmp_path / "a.txt", "a")

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(fsspec.filesystem("file")), "open", refused)
    assert (
        refusal(path) == f"{path} cannot be read (Permission denied): mend the file or corpus.path"
    )


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("a.txt", b"fine\n\nnot \xff fine", ["line 3, byte 10 of the file", "UTF-8 (0xff"]),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xe9"}\n', ["line 2, byte 24", "UTF-8 (0xe9"]),
        ("a.json", b'["ok", "\xc3\x28"]', ["byte 8", "UTF-8 (0xc3"]),
        ("a.csv", b"text\na\n\xff\n", ["line 3, byte 7", "UTF-8"]),
        ("a.txt", "utf-16".encode("utf-16"), ["line 1, byte 0", "UTF-8 (0xff"]),
        ("a.txt.gz", b"a\n\xff", ["line 2", "UTF-8"]),
        (
            "a.jsonl",
            '{"text": "a"}\n{"text": \n',
            ["line 2: malformed JSON (Expecting value, column"],
        ),
        ("a.jsonl", "3\n", ["line 1: int 3 is neither an object nor a string"]),
        ("a.jsonl", "[" * 100_000, ["line 1", "malformed JSON (maximum recursion"]),
        (
            "a.jsonl",
            '{"text": "a", "n": ' + "1" * 5000 + "}",
            ["line 1", "malformed JSON (Exceeds"],
        ),
        ("a.json", '[\n"a",\n\n"b" "c"]', ["line 4: malformed JSON (, or ] expected)"]),
        ("a.json", '["a",\n{"text": }, "b"]', ["line 2: malformed JSON (Expecting value)"]),
        ("a.json", '["a",\n"b"', ["line 2", "the file ends before the list does"]),
        ("a.json", '["a",\n', ["line 2", "malformed JSON"]),
        ("a.json", '["a",\n"b', ["line 2", "malformed JSON"]),
        ("a.json", '["a",]', ["line 1", "malformed JSON"]),
        ("a.json", '["a"]\n["b"]', ["line 2", "something follows"]),
        ("a.json", '["a", 12]', ["item 1 (from 0): int 12 is neither"]),
        ("a.json", '["a", ["b"]]', ["item 1 (from 0): list"]),
        ("a.json", '{\n "text": "a"\n}', ["line 1", "holds a list of objects or strings, or one"]),
        ("a.csv", "id,text\n1,a\n2,b,c\n", ["line 3: malformed CSV (3 cells", "header has 2"]),
        ("a.csv", "id,text\n1,a\n2\n", ["line 3: malformed CSV (1 cells"]),
        ("a.csv", 'text\n"a\nb\n', ["line 2: malformed CSV"]),
        ("a.csv", "text,text\na,b\n", ["more than one column is called 'text'"]),
        ("a.parquet", b"", ["a.parquet cannot be opened (Parquet file size is 0 bytes)"]),
        ("a.parquet", b"no parquet" * 9, ["a.parquet cannot be opened (Parquet magic bytes"]),
    ],
)
def test_a_broken_file_is_named_with_the_place(
    tmp_path: Path, name: str, content: bytes | str, parts: list[str]
) -> None:
    path = written(tmp_path / name, content)
    message = refusal(path)
    assert message.startswith(str(path))
    for part in parts:
        assert part in message


@pytest.mark.parametrize("block", range(1, 9))
def test_a_mistake_is_named_the_same_however_the_file_is_cut_into_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(json_rows, "_BLOCK", block)
    path = written(tmp_path / "a.json", '["é🎉é'.encode() + b"\xff")
    assert refusal(path).startswith(f"{path}, byte 10: invalid UTF-8 (0xff")
    path = written(tmp_path / "a.json", '["a", 1234567890]')
    assert "item 1 (from 0): int 1234567890 is neither" in refusal(path)


def test_a_mistake_far_into_a_file_is_named_too(tmp_path: Path) -> None:
    good = json.dumps({"text": "word " * 200})
    lines = [good] * 3000
    lines[2500] = good.replace(":", "=")
    path = written(tmp_path / "a.json", "[" + ",\n".join(lines) + "]")
    assert f"{path}, line 2501: malformed JSON" in refusal(path)


def test_broken_parquet_pages_and_texts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The logger of `datasets` does not propagate; it would tell of the same mistake in its way.
    monkeypatch.setattr(logging.getLogger("datasets"), "handlers", [caplog.handler])
    path = parquet(tmp_path / "a.parquet", text=[f"text {i}" * 9 for i in range(5000)])
    data = bytearray(path.read_bytes())
    data[9_000:12_000] = bytes(3_000)
    path.write_bytes(data)
    assert f"{path} cannot be read after row" in refusal(path)
    sound = pa.array(["a"] * 300)
    bad = pa.StringArray.from_buffers(
        2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xff\xfe")
    )
    pq.write_table(pa.table({"text": pa.concat_arrays([sound, bad])}), path)
    assert f"{path}, row 301 (from 0): invalid UTF-8" in refusal(path)
    assert "cannot be opened" in refusal(written(path, b"no parquet" * 9))
    assert not caplog.records


def test_zst_is_read_by_a_codec_that_reads_all_frames_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "a.jsonl.zst", "whatever")
    # What fsspec falls back on is a function, and that one stops after the first frame.
    monkeypatch.setitem(compr, "zstd", lambda file, **_: file)
    assert refusal(path) == f"{path} needs a package: pip install backports.zstd"
    monkeypatch.delitem(compr, "zstd")
    assert refusal(path) == f"{path} needs a package: pip install backports.zstd"
