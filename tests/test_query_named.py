"""The header of a query file, and what a user may get wrong about its parameters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pytest
from synthetic import write_synthetic

from pipeline.errors import GatescopeError
from pipeline.naming import IO_CLASSES
from pipeline.query import Dataset, fetch, load_queries, open_dataset
from pipeline.query.named import parse_query

TEXT = """\
-- name: some
-- question: What is asked?
-- theme: tests
-- parameter: layer integer required | the layer
-- parameter: token text = "a b" | a token | with a bar
-- parameter: combo combo = null | a combination
-- parameter: least number = 0.5 | a threshold
-- column: x | what it is
select $layer as x
-- a comment of the SQL
where $token = $combo and $least
"""


@pytest.fixture(scope="module")
def ds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dataset]:
    path = write_synthetic(tmp_path_factory.mktemp("named") / "ds").path
    with open_dataset(path) as dataset:
        yield dataset


def test_a_header_is_read() -> None:
    query = parse_query(TEXT, Path("some.sql"))
    assert (query.name, query.question, query.theme) == ("some", "What is asked?", "tests")
    assert [(p.name, p.kind, p.required, p.default, p.meaning) for p in query.parameters] == [
        ("layer", "integer", True, None, "the layer"),
        ("token", "text", False, "a b", "a token | with a bar"),
        ("combo", "combo", False, None, "a combination"),
        ("least", "number", False, 0.5, "a threshold"),
    ]
    assert [(c.name, c.meaning) for c in query.columns] == [("x", "what it is")]
    assert query.sql.startswith("select $layer as x\n-- a comment")
    assert query.usage == "some layer=INTEGER [token=a b] [combo=COMBO] [least=0.5]"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("-- name: some\n", "", "needs one `-- name:`"),
        ("-- theme: tests\n", "-- theme: a\n-- theme: b\n", "needs one `-- theme:`"),
        ("-- name: some", "-- name: other", "holds the query other"),
        ("-- theme", "-- topic", r"some.sql:3: not a header line: -- topic: tests"),
        ("layer integer required", "layer int required", "layer int required"),
        ("layer integer required", "layer integer", "layer integer"),
        ('"a b"', "a b", "Expecting value"),
        ("x | what", "x what", "not `name . meaning`"),
        ("-- theme", "-- scope: all\n-- theme", "the only scope to name is models, not .'all'"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_query(TEXT.replace(old, new), Path("some.sql"))


def test_values_and_their_texts_are_the_same(ds: Dataset) -> None:
    query = load_queries()["top_examples"]
    typed = query.bind({"layer": 1, "neuron": 3, "n": 2, "combo": "gate+_in-"})
    assert typed == query.bind({"layer": "1", "neuron": "3", "n": "2", "combo": "gate+_in-"})
    assert typed == query.bind({"layer": np.int64(1), "neuron": 3, "n": 2, "combo": "gate+_in-"})
    assert typed["ranking"] == "post"
    assert fetch(ds.query("top_examples", layer="1", neuron="3")) == fetch(
        ds.query("top_examples", layer=1, neuron=3)
    )
    rare = load_queries()["rare_combinations"]
    assert rare.bind({"max_frequency": "0.5"}) == rare.bind({"max_frequency": 0.5})


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"neuron": 3}, r"^top_examples needs layer, the neuron's layer; usage: top_examples lay"),
        ({"layer": 1, "neuron": 3, "nn": 2}, r"^top_examples: there is no parameter nn;"),
        ({"layer": 1, "neuron": 3, "rankin": "post"}, r"did you mean ranking\? there are: layer"),
        ({"layer": "one", "neuron": 3}, r"^layer='one' does not fit: give a whole number from 0"),
        ({"layer": True, "neuron": 3}, r"^layer=True does not fit"),
        ({"layer": 1.0, "neuron": 3}, r"^layer=1.0 does not fit"),
        ({"layer": None, "neuron": 3}, r"^layer=None does not fit"),
        ({"layer": -1, "neuron": 3}, r"^layer=-1 does not fit"),
        ({"layer": "9" * 5000, "neuron": 3}, r"^layer='99"),
        ({"layer": 1, "neuron": 3, "n": None}, r"^n=None does not fit"),
        (
            {"layer": 1, "neuron": 3, "combo": "+-"},
            r"combo='\+-' does not fit: give one of gate\+_",
        ),
        (
            {"layer": 1, "neuron": 3, "ranking": "swish"},
            r"give one of post, in, gate, random, act$",
        ),
        (
            {"layer": 9, "neuron": 3},
            r"^layer 9 is not in this dataset of .*; its layers are 0 to",
        ),
        ({"layer": 1, "neuron": 8}, r"^neuron 1.8 of .* does not exist; .* layer 1 are 0 to 7$"),
        ({"layer": 1, "neuron": 10**30}, r"^neuron=10+ does not fit: give a whole number from 0"),
    ],
)
def test_mistakes_are_one_line(ds: Dataset, parameters: dict[str, object], message: str) -> None:
    with pytest.raises(GatescopeError, match=message) as error:
        ds.query("top_examples", **parameters)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


def test_other_kinds(ds: Dataset) -> None:
    with pytest.raises(GatescopeError, match=r"^max_frequency=.much. does not fit: give a number"):
        ds.query("rare_combinations", max_frequency="much")
    for query, name, value, takes in (
        ("rare_combinations", "max_frequency", 1.5, "a number from 0 to 1"),
        ("class_shares_by_threshold", "low", -0.5, "a number from 0 to 1"),
        ("class_shares_by_threshold", "step", -0.1, "a number, 0 or more"),
        ("correlations", "z", 0, "a number above 0"),
        ("correlations", "z", float("nan"), "a number above 0"),
        ("frequency_distribution", "bins", 0, "a whole number from 1 to 1000000000"),
        ("unexpected_signs", "min_cosine", float("inf"), "a finite number"),
    ):
        with pytest.raises(GatescopeError, match=f"^{name}=.* does not fit: give {takes}$"):
            ds.query(query, **{name: value})
    with pytest.raises(GatescopeError, match=r"token=3 does not fit: give text$"):
        ds.query("neurons_by_token", token=3)
    with pytest.raises(GatescopeError, match=r"did you mean sign_frequencies or .*\? there are: "):
        ds.query("sign_frequency")
    with pytest.raises(GatescopeError, match=r"sign_frequencies: there is no parameter layer; the"):
        ds.query("sign_frequencies", layer=1)


KINDS = """\
-- name: kinds
-- question: ?
-- theme: tests
-- parameter: integer integer = 1 | x
-- parameter: number number = 1 | x
-- parameter: text text = "" | x
-- parameter: combo combo = "gate+_in+" | x
-- parameter: ranking ranking = "post" | x
-- parameter: io_class io_class = "depletion" | x
-- parameter: cosine cosine = "cos_in_out" | x
-- parameter: weight weight = "out" | x
-- parameter: matrix matrix = "embedding" | x
-- parameter: side side = "lowest" | x
select 1
"""


@pytest.mark.parametrize(
    ("kind", "value", "right"),
    [
        *[
            ("integer", v, "a whole number from 0 to 1000000000")
            for v in ("-1", "1.0", "", "x", 1.5, 10**20, None, True, [1], "1e3", -1, "nan")
        ],
        *[
            ("number", v, "a finite number")
            for v in ("x", "", "nan", "inf", "-Infinity", "1e999", float("nan"), None, True, [1])
        ],
        ("number", 10**400, "a finite number"),
        *[("text", v, "text") for v in (1, None, True, [])],
        *[("combo", v, "one of gate+_in+, gate+_in-, gate-_in+, gate-_in-") for v in ("+-", None)],
        *[
            ("ranking", v, "one of post, in, gate, random, act")
            for v in ("swish", "Post", 1, None, [])
        ],
        ("io_class", "strengthening", f"one of {', '.join(IO_CLASSES)}"),
        ("cosine", "in_out", "one of cos_gate_in, cos_gate_out, cos_in_out"),
        ("weight", "w_gate", "one of gate, in, out"),
        ("matrix", "both", "one of embedding, unembedding"),
        ("side", "", "one of highest, lowest"),
    ],
)
def test_every_kind_says_what_is_right(kind: str, value: object, right: str) -> None:
    query = parse_query(KINDS, Path("kinds.sql"))
    with pytest.raises(GatescopeError) as error:
        query.bind({kind: value})
    assert str(error.value).endswith(f" does not fit: give {right}")
    assert str(error.value).startswith(f"{kind}=")
    assert query.bind({})[kind] == query.bind({kind: query.bind({})[kind]})[kind]


def test_a_default_is_shown_whatever_it_is() -> None:
    text = KINDS.replace("integer = 1", "integer = 0").replace('"lowest"', "null")
    usage = parse_query(text, Path("kinds.sql")).usage
    assert usage.startswith("kinds [integer=0] [number=1] [text=] [combo=gate+_in+] ")
    assert usage.endswith("[side=SIDE]")


@pytest.mark.parametrize(
    "token",
    [
        "'; drop view neurons; --",
        "' or 1 = 1 --",
        "$layer",
        '"quoted", comma',
        "\x00",
        "\x1b[31mred",
        "日本",
        "",
    ],
)
def test_a_token_is_never_sql(ds: Dataset, token: str) -> None:
    names, rows = fetch(ds.query("neurons_by_token", token=token))
    assert {row[names.index("token")] for row in rows} <= {token}
    assert ds.table("neurons").count("*").fetchall() == [(16,)]


def test_hostile_tokens_are_found(ds: Dataset) -> None:
    for ranking in ("post", "random"):
        _, rows = fetch(
            ds.query("neurons_by_token", token="'; drop view neurons; --", ranking=ranking)
        )
        if rows:
            return
    raise AssertionError("the hostile token is the peak of no example: choose another seed")


def test_a_query_reads_another_one_as_a_table(tmp_path: Path) -> None:
    header = "-- name: {0}\n-- question: {0}?\n-- theme: t\n"
    parameter = "-- parameter: n integer = 3 | rows\n-- column: i | a number\n"
    one, two = tmp_path / "one.sql", tmp_path / "two.sql"
    one.write_text(f"{header.format('one')}{parameter}select unnest(range($n)) as i\n")
    two.write_text(f"{header.format('two')}-- uses: one\n{parameter}select i + 1 as i from one\n")
    both = load_queries(tmp_path)
    found = duckdb.sql(both["two"].sql, params={"n": 4}).fetchall()
    assert found == [(1,), (2,), (3,), (4,)]
    one.unlink()
    with pytest.raises(ValueError, match=r"two\.sql: uses one, and there is no one\.sql beside it"):
        load_queries(tmp_path)
