"""The source's own columns: which are carried, under which name, as which type."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from corpus_standins import opened, written
from hypothesis import given
from hypothesis import strategies as st

import pipeline.corpus.source as source_module
from pipeline.corpus import Corpus, Example
from pipeline.corpus.columns import Unfit, fit, kind_of_cell, kind_of_value, widest
from pipeline.schema import corpus_schema


def read(corpus: Corpus) -> list[Example]:
    """The examples; all of their columns fit the schema that the corpus announced."""
    found = list(corpus)
    schema = corpus_schema(corpus.source_columns)
    rows = [
        {"example_id": i, "n_tokens": 0, "input_ids": e.input_ids, "text": e.text} | e.source
        for i, e in enumerate(found)
    ]
    pa.Table.from_pylist(rows, schema=schema).validate(full=True)
    return found


def jsonl(path: Path, *rows: dict[str, Any]) -> Path:
    return written(path, "\n".join(map(json.dumps, rows)))


def column(corpus: Corpus, name: str) -> list[Any]:
    return [example.source[name] for example in read(corpus)]


def test_parquet_scalars_are_carried_and_nested_columns_named(tmp_path: Path) -> None:
    when = dt.datetime(2024, 5, 6, 7, 8, 9)
    columns = {
        "text": pa.array(["a", "b"]),
        "id": pa.array([7, None], pa.int8()),
        "big": pa.array([2**63 + 1, 0], pa.uint64()),
        "half": pa.array([0.5, math.nan], pa.float16()),
        "flag": pa.array([True, None]),
        "url": pa.array(["http://a", None], pa.large_string()),
        "label": pa.array(["x", "y"]).dictionary_encode(),
        "us": pa.array([when, None], pa.timestamp("us")),
        "ns": pa.array([when, None], pa.timestamp("ns", "UTC")),
        "day": pa.array([when.date(), None]),
        "clock": pa.array([when.time(), None]),
        "money": pa.array([decimal.Decimal("1.20"), None]),
        "nothing": pa.nulls(2),
        "raw": pa.array([b"x", None]),
        "tags": pa.array([["x"], None]),
        "meta": pa.array([{"x": 1}, None]),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    corpus = opened(tmp_path / "a.parquet")
    assert corpus.source_columns == {
        "id": "int64",
        "big": "string",
        "half": "float64",
        "flag": "bool",
        "url": "string",
        "label": "string",
        "us": "string",
        "ns": "string",
        "day": "string",
        "clock": "string",
        "money": "string",
        "nothing": "string",
    }
    assert corpus.dropped_columns == ("raw", "tags", "meta")
    first, second = read(corpus)
    assert first.source == {
        "id": 7,
        "big": "9223372036854775809",
        "half": 0.5,
        "flag": True,
        "url": "http://a",
        "label": "x",
        "us": "2024-05-06T07:08:09",
        "ns": "2024-05-06T07:08:09+00:00",
        "day": "2024-05-06",
        "clock": "07:08:09",
        "money": "1.20",
        "nothing": None,
    }
    assert [name for name, value in second.source.items() if value is not None] == [
        "big",
        "half",
        "label",
    ]
    assert corpus.nulled == {}


def test_json_types_are_widened_over_the_rows(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "a.jsonl",
        {"text": "a", "late": None, "number": 1, "mixed": 1, "huge": 2**70, "tags": 1},
        {"text": "b", "late": 5, "number": 2.5, "mixed": "x", "flag": True, "tags": ["t"]},
        {"text": "c", "new": "n", "mixed": False, "when": "2024-05-06"},
    )
    corpus = opened(path)
    assert corpus.source_columns == {
        "late": "int64",
        "number": "float64",
        "mixed": "string",
        "huge": "string",
        "flag": "bool",
        "new": "string",
        "when": "string",
    }
    assert corpus.dropped_columns == ("tags",)
    assert [example.source for example in read(corpus)] == [
        {
            "late": None,
            "number": 1.0,
            "mixed": "1",
            "huge": str(2**70),
            "flag": None,
            "new": None,
            "when": None,
        },
        {
            "late": 5,
            "number": 2.5,
            "mixed": "x",
            "huge": None,
            "flag": True,
            "new": None,
            "when": None,
        },
        {
            "late": None,
            "number": None,
            "mixed": "false",
            "huge": None,
            "flag": None,
            "new": "n",
            "when": "2024-05-06",
        },
    ]
    assert corpus.nulled == {}


def test_types_do_not_change_after_the_rows_that_were_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "HEAD_ROWS", 10)
    head = {"text": "a", "n": 1, "f": 1.5, "s": "s", "b": True, "none": None}
    path = jsonl(
        tmp_path / "a.jsonl",
        *[head] * 10,
        {"text": "b", "n": 2.0, "f": 3, "s": 4, "b": False, "none": 5, "new": 6},
        {"text": "c", "n": 2.5, "f": "x", "s": {"x": 1}, "b": 1, "none": [1]},
        {"text": "d", "n": 2**63, "f": 10**400, "s": None, "b": "true", "none": 1.0},
    )
    corpus = opened(path)
    assert corpus.source_columns == {
        "n": "int64",
        "f": "float64",
        "s": "string",
        "b": "bool",
        "none": "string",
    }
    assert [example.source for example in read(corpus)[10:]] == [
        {"n": 2, "f": 3.0, "s": "4", "b": False, "none": "5"},
        {"n": None, "f": None, "s": None, "b": None, "none": None},
        {"n": None, "f": None, "s": None, "b": True, "none": "1.0"},
    ]
    assert corpus.nulled == {"n": 2, "f": 2, "s": 1, "b": 1, "none": 1}


def test_csv_cells_get_types_where_no_digit_is_lost(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv",
        "text,int,float,bool,zip,mixed,long,empty,exact\n"
        "a,1,1.5,true,00501,1,123456789012345678901,,0.1234567890123456789\n"
        "b,-2,2,False,10001,x,1,,1\n"
        "c,,,,,,,,\n",
    )
    corpus = opened(path)
    assert corpus.source_columns == {
        "int": "int64",
        "float": "float64",
        "bool": "bool",
        "zip": "string",
        "mixed": "string",
        "long": "string",
        "empty": "string",
        "exact": "string",
    }
    rows = [list(example.source.values()) for example in read(corpus)]
    assert rows[0][:4] == [1, 1.5, True, "00501"]
    assert rows[0][5:] == ["123456789012345678901", None, "0.1234567890123456789"]
    assert rows[1] == [-2, 2.0, False, "10001", "x", "1", None, "1"]
    assert rows[2] == [None] * 8


def test_files_of_a_folder_share_their_columns(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", "text,id,only_a\na,1,x\n")
    jsonl(tmp_path / "b.jsonl", {"text": "b", "id": 2.5, "only_b": True})
    pq.write_table(pa.table({"text": ["c"], "id": ["three"]}), tmp_path / "c.parquet")
    written(tmp_path / "d.txt", "d")
    corpus = opened(tmp_path)
    assert corpus.source_columns == {"id": "string", "only_a": "string", "only_b": "bool"}
    assert [list(example.source.values()) for example in read(corpus)] == [
        ["1", "x", None],
        ["2.5", None, True],
        ["three", None, None],
        [None, None, None],
    ]


def test_names_that_are_taken_are_prefixed(tmp_path: Path) -> None:
    row = {"body": "a", "text": 1, "Example_ID": 2, "source_text": 3, "id": 4, "ID": 5, "": 6}
    corpus = opened(jsonl(tmp_path / "a.jsonl", row | {"n_tokens": 7}), text_column="body")
    (example,) = read(corpus)
    assert example.text == "a"
    assert example.source == {
        "source_text": 1,
        "source_Example_ID": 2,
        "source_source_text": 3,
        "id": 4,
        "source_ID": 5,
        "unnamed": 6,
        "source_n_tokens": 7,
    }
    assert corpus.source_columns == dict.fromkeys(example.source, "int64")


def test_the_other_columns_of_a_tokenized_source(tmp_path: Path) -> None:
    row = {"input_ids": [4, 5], "text": "t", "attention_mask": [1, 1], "id": "x"}
    corpus = opened(jsonl(tmp_path / "a.jsonl", row), tokenized=True)
    assert corpus.source_columns == {"id": "string"}
    assert corpus.dropped_columns == ("attention_mask",)
    # Read as text, the ids are one more nested column.
    corpus = opened(jsonl(tmp_path / "a.jsonl", row))
    assert corpus.dropped_columns == ("input_ids", "attention_mask")


def test_lone_surrogates_in_a_column_are_replaced(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.jsonl", r'{"text": "a", "t\udfff": "x\ud800y", "u": "\ud83d\ude00"}'
    )
    (example,) = read(opened(path))
    assert example.source == {"t\ufffd": "x\ufffdy", "u": "\U0001f600"}


SCALAR = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.integers(-9, 9).map(str)
)


@given(values=st.lists(SCALAR, min_size=1))
def test_every_value_fits_the_kind_that_all_of_them_gave(values: list[Any]) -> None:
    kind = kind_of_value(values[0])
    for value in values[1:]:
        kind = widest(kind, kind_of_value(value))
    for value in values:
        fitted = fit(value, kind)
        assert (fitted is None) == (value is None)
        if kind in ("bool", "int64") or (kind == "string" and isinstance(value, str)):
            assert fitted == value
        if kind == "float64" and value is not None:
            assert fitted == float(value) or math.isnan(value)


@given(cells=st.lists(st.one_of(st.text("0123456789.-eE+", max_size=25), st.just("true"))))
def test_every_cell_fits_and_keeps_its_digits(cells: list[str]) -> None:
    kinds = [kind_of_cell(cell) for cell in cells]
    for cell, kind in zip(cells, kinds, strict=True):
        fitted = fit(cell, kind)
        if kind == "int64":
            assert str(fitted) == cell
        elif kind == "float64":
            assert decimal.Decimal(repr(fitted)) == decimal.Decimal(cell)
        elif kind == "string":
            assert fitted == cell


def test_nothing_is_invented_for_a_value_that_does_not_fit() -> None:
    for value, kind in [("007", "int64"), ("", "float64"), (1, "bool"), (True, "int64")]:
        with pytest.raises(Unfit):
            fit(value, kind)  # type: ignore[arg-type]
