"""Results as CSV, JSON and Parquet: nothing lost, nothing that another program cannot read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest
from synthetic import Synthetic, write_synthetic

from pipeline.errors import GatescopeError
from pipeline.query import RESULT_FORMATS, Dataset, fetch, open_dataset, write_result

ODD = """
    select
        'nan'::double as not_a_number,
        'inf'::float as infinite,
        null as nothing,
        [1.5, 'nan'::float] as list,
        {'x': 1, 'y': '-inf'::double} as struct,
        '\\x00\\xff'::blob as bytes,
        1.50 as decimal,
        sum(9007199254740993) as sum,
        date '2026-01-31' as day,
        '' as empty,
        'a "b", c' || chr(10) || '日本' || chr(27) as text,
        true as yes
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("output") / "ds")


@pytest.fixture(scope="module")
def ds(made: Synthetic) -> Iterator[Dataset]:
    with open_dataset(made.path) as dataset:
        yield dataset


def written(ds: Dataset, statement: str, format_: str) -> bytes:
    stream = io.BytesIO()
    write_result(ds.sql(statement), format_, stream)
    return stream.getvalue()


def refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is no JSON")


def test_json(ds: Dataset) -> None:
    rows = json.loads(written(ds, ODD, "json"), parse_constant=refuse_constant)
    assert rows == [
        {
            "not_a_number": None,
            "infinite": None,
            "nothing": None,
            "list": [1.5, None],
            "struct": {"x": 1, "y": None},
            "bytes": "00ff",
            "decimal": 1.5,
            "sum": 9007199254740993,
            "day": "2026-01-31",
            "empty": "",
            "text": 'a "b", c\n日本\x1b',
            "yes": True,
        }
    ]


def test_json_of_many_and_of_no_rows(ds: Dataset) -> None:
    rows = json.loads(written(ds, "select range as i from range(2500)", "json"))
    assert rows == [{"i": i} for i in range(2500)]
    assert json.loads(written(ds, "select 1 as i where false", "json")) == []


def test_json_keeps_columns_of_one_name(ds: Dataset) -> None:
    text = written(ds, "select 1 as a, 2 as a, 3 as a_2, 4 as a", "json")
    assert json.loads(text) == [{"a": 1, "a_3": 2, "a_2": 3, "a_4": 4}]


def test_csv(ds: Dataset) -> None:
    text = written(ds, ODD, "csv").decode("utf-8")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert row["not_a_number"] == "nan"
    assert row["nothing"] == ""
    assert row["text"] == 'a "b", c\n日本\x1b'
    assert row["decimal"] == "1.50"
    # Null and the empty text are told apart.
    assert written(ds, "select null as a, '' as b", "csv") == b'a,b\n,""\n'
    assert written(ds, "select 1 as a where false", "csv") == b"a\n"


def test_parquet(ds: Dataset, made: Synthetic) -> None:
    raw = written(ds, "select * from examples order by all", "parquet")
    table = pq.read_table(io.BytesIO(raw))
    assert table.num_rows == len(made.tables["examples"])
    with open_dataset(made.path) as again:
        assert table.column_names == again.table("examples").columns


def test_hostile_texts_survive_every_format(ds: Dataset, made: Synthetic) -> None:
    wanted = [row["text"] for row in made.tables["corpus"]]
    statement = "select text from corpus order by example_id"
    assert [row["text"] for row in json.loads(written(ds, statement, "json"))] == wanted
    raw = written(ds, statement, "parquet")
    assert pq.read_table(io.BytesIO(raw))["text"].to_pylist() == wanted
    found = [row[0] for row in fetch(ds.sql(statement))[1]]
    assert found == wanted
    # Python's csv module refuses NUL, DuckDB does not.
    without_nul = f"select replace(text, chr(0), '') as text from ({statement})"
    text = written(ds, without_nul, "csv").decode("utf-8")
    rows = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [row[0] for row in rows] == [text.replace("\x00", "") for text in wanted]


def test_errors_while_reading_are_one_line(ds: Dataset) -> None:
    bad = ds.sql("select token::int as i from vocab")
    with pytest.raises(GatescopeError, match=r"^SQL: Conversion Error: .*") as error:
        fetch(bad)
    assert "\n" not in str(error.value)
    for format_ in RESULT_FORMATS:
        with pytest.raises(GatescopeError, match=r"^SQL: Conversion Error"):
            write_result(bad, format_, io.BytesIO())
    with pytest.raises(GatescopeError, match=r"there is no format jsn; did you mean json\?"):
        write_result(bad, "jsn", io.BytesIO())


def test_fetch_gives_the_first_rows(ds: Dataset) -> None:
    names, rows = fetch(ds.sql("select neuron from neurons order by layer desc, neuron desc"), 3)
    assert (names, rows) == (["neuron"], [(7,), (6,), (5,)])
