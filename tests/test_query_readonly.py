"""SQL reads and nothing else, and what is wrong with it is said in one line."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from synthetic import Synthetic, write_synthetic

from pipeline.errors import GatescopeError
from pipeline.query import Dataset, open_dataset


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("readonly") / "ds")


@pytest.fixture(scope="module")
def ds(made: Synthetic) -> Iterator[Dataset]:
    with open_dataset(made.path) as dataset:
        yield dataset


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to '{path}/x.csv'",
        "copy neurons to '{path}/x.parquet'",
        "with a as (copy (select 1) to '{path}/x.csv') select * from a",
        "with a as (CoPy/* */(select 1) to '{path}/x.csv') from a",
        "with a as (copy\u00a0(select 1) to '{path}/x.csv') from a",
        "with a as (\u3000copy neurons to '{path}/x.csv') from a",
        "with \"日本\" as (copy (select 1) to '{path}/x.csv') select 'copy'",
        "with a as (copy (select $x) to '{path}/x.csv') select $x",
        "describe with a as (copy (select 1) to '{path}/x.csv') select * from a",
        "with a as (copy (select 1 as x) to '{path}/x.csv') pivot a on x using count(*)",
        "pivot (with a as (copy (select 1 as x) to '{path}/x.csv') from a) on x using count(*)",
        "select * from (with a as (copy (select 1) to '{path}/x.csv') select * from a)",
        "from query('with a as (copy (select 1) to ''{path}/x.csv'') select * from a')",
        "from query('copy (select 1) to ''{path}/x.csv''')",
        "from query('with a as (co' || 'py (select 1) to ''{path}/x.csv'') select * from a')",
        "explain\u00a0analyze copy (select 1) to '{path}/x.csv'",
        "explain analyze copy (select 1) to '{path}/x.csv'",
        "explain analyze attach '{path}/x.db'",
        "explain (analyze) copy (select 1) to '{path}/x.csv'",
        "explain analyze with a as (copy (select 1) to '{path}/x.csv') select * from a",
        "select 1; copy (select 1) to '{path}/x.csv'",
        "attach '{path}/x.db'",
        "export database '{path}/x'",
        "install httpfs",
        "load httpfs",
        "create table t as select 1",
        "drop view neurons",
        "set threads = 1",
        "insert into neurons select * from neurons",
        "with a as (insert into neurons select * from neurons returning *) select * from a",
        "delete from corpus",
        "pragma enable_logging('x')",
        "select * from enable_logging(storage = 'file', storage_path = '{path}/log')",
        "vacuum",
        "",
        "-- nothing",
    ],
)
def test_sql_that_writes_is_refused(made: Synthetic, ds: Dataset, statement: str) -> None:
    before = sorted(made.path.rglob("*"))
    values = {"x": 1} if "$x" in statement else {}
    with pytest.raises(GatescopeError, match=r"^SQL: ") as error:
        ds.sql(statement.replace("{path}", str(made.path)), **values).fetchall()
    assert "\n" not in str(error.value)
    assert sorted(made.path.rglob("*")) == before
    assert ds.table("neurons").count("*").fetchall() == [(16,)]


@pytest.mark.parametrize(
    "statement",
    [
        "from neurons",
        "describe neurons",
        "summarize neurons",
        "show tables",
        "values (1)",
        "explain select 1",
        "EXPLAIN\nANALYZE select 1",
        "pivot neurons on layer using count(*) group by neuron",
        "with a as (select 1 as x) select * from a;",
        "select 1 as \"copy\", 'copy' as s -- copy",
        "with copies as (select ' copy' as copy) select count(*) from copies where copy = ' copy';",
        "explain analyze select count(*) from corpus where text like '%copy%'",
        "summarize select 'copy'",
        "select * from (describe select 'copy')",
    ],
)
def test_sql_that_reads(ds: Dataset, statement: str) -> None:
    assert ds.sql(statement).fetchall()


def test_mistakes_in_sql_are_one_line(ds: Dataset) -> None:
    for statement, message in (
        (
            "select * from neurns",
            r"^there is no table neurns; did you mean neurons or .*\? there are: ",
        ),
        ("selct 1", r'^SQL: Parser Error: syntax error at or near "selct" \(in line 1\)$'),
        ("select\nnope\nfrom neurons", r'^SQL: Binder Error: Referenced column "nope" not found'),
        ("select $a", r"^SQL: .*parameters: a$"),
        ("select * from 'https://example.org/x.parquet'", r"^SQL: "),
    ):
        with pytest.raises(GatescopeError, match=message) as error:
            ds.sql(statement).fetchall()
        assert "\n" not in str(error.value)
    with pytest.raises(GatescopeError, match="did you mean sign_stats"):
        ds.table("signstats")
    with pytest.raises(GatescopeError, match=r"there is no table x; drop view neurons; did you"):
        ds.table("x; drop view neurons")


def test_python_variables_are_no_tables(ds: Dataset) -> None:
    numbers = [1, 2]
    with pytest.raises(GatescopeError, match="there is no table numbers"):
        ds.sql("select * from numbers")
    assert numbers


def test_values_are_values(ds: Dataset) -> None:
    found = ds.sql("select $a, $b", a="'; drop view neurons; --", b=None).fetchall()
    assert found == [("'; drop view neurons; --", None)]
