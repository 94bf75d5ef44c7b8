"""`gatescope query` as it is typed: datasets, a query's name, parameters, SQL."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from synthetic import write_synthetic

from pipeline.cli import main
from pipeline.errors import GatescopeError
from pipeline.query import load_queries, sorted_words
from pipeline.view.summary import render_queries

QUERIES = ("io_classes", "sign_frequencies", "top_examples")


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A scanned dataset in a folder with `=` in its name, and weights alone."""
    folder = tmp_path_factory.mktemp("words")
    one = write_synthetic(folder / "model=x,layer=7", model="org/one").path
    two = write_synthetic(folder / "two", model="org/two", scan=False, gated=False).path
    return str(one), str(two)


def test_words_are_told_apart(places: tuple[str, str]) -> None:
    one, two = places
    for words, wanted in (
        ([one], ((one,), None, {})),
        ([one, two], ((one, two), None, {})),
        ([two, one, one], ((two, one, one), None, {})),
        ([one, "io_classes"], ((one,), "io_classes", {})),
        ([two, one, "io_classes", "n=3", "s=a=b"],
         ((two, one), "io_classes", {"n": "3", "s": "a=b"})),
        # The first word is a dataset whatever its name, the first query's name ends them.
        (["io_classes"], (("io_classes",), None, {})),
        (["io_classes", "io_classes", "x=io_classes"],
         (("io_classes",), "io_classes", {"x": "io_classes"})),
        (["gone", "away", "io_classes", "x="], (("gone", "away"), "io_classes", {"x": ""})),
        ([one, "s3://bucket/a=b", "org/name", "org/name@v1.0"],
         ((one, "s3://bucket/a=b", "org/name", "org/name@v1.0"), None, {})),
    ):  # fmt: skip
        assert sorted_words(words, QUERIES) == wanted


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["io_clases"], r"^there is no query or dataset io_clases; did you mean io_classes\?"),
        (
            ["{two}", "topexamples"],
            r"no query or dataset topexamples; .* top_examples\? there are: i",
        ),
        (["{two}", "topexamples", "layer=1", "neuron=2"], r"query or dataset topexamples;"),
        (["gone", "topexamples", "n=1"], r"^there is no query or dataset topexamples;"),
        (["gone", "{two}"], r"^there is no query or dataset gone; there are: io_classes, "),
        (
            ["{two}", "n=3"],
            r"^query: n=3 follows no query's name, and there is no such dataset; wri",
        ),
        (["n=3", "topexamples"], r"^query: n=3 follows no query's name"),
        (["io_classes", "3"], r"^query parameter '3' is not PARAMETER=VALUE: write n=5$"),
        (["io_classes", "=3"], r"^query parameter '=3' is not PARAMETER=VALUE"),
        (["io_classes", "{two}"], r"two' is not PARAMETER=VALUE"),
    ],
)
def test_words_that_make_no_sense(places: tuple[str, str], words: list[str], message: str) -> None:
    with pytest.raises(GatescopeError, match=message):
        sorted_words([places[0], *(word.format(two=places[1]) for word in words)], QUERIES)


def test_a_named_query_of_several(
    places: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", *places, "extreme_cosines", "--format", "csv", "n=2", "side=lowest"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["model"] for row in rows] == ["org/one", "org/one", "org/two", "org/two"]
    assert main(["query", "--format=json", *reversed(places), "compare_models"]) == 0
    models = [row["model"] for row in json.loads(capsys.readouterr().out)]
    assert models == sorted(models, reverse=True)
    assert set(models) == {"org/one", "org/two"}
    assert main(["query", *places, "--format", "json", "--sql", "from models order by place"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["model"], row["gated"]) for row in found] == [
        ("org/one", True),
        ("org/two", False),
    ]


def test_one_dataset_has_no_column_of_models(
    places: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["query", places[0], "io_classes", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("io_class,")
    assert main(["query", places[0], "--sql", "from neurons limit 1", "--format", "csv"]) == 0
    assert capsys.readouterr().out.startswith("layer,neuron,")


def test_a_note_says_what_is_not_there(
    places: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    note = (
        f"Note: {places[1]} has no sign_stats (it was made with scan=none); what depends on it is "
        "empty\n"
    )
    for words in (
        [places[1], "sign_frequencies"],
        [*places, "sign_frequencies"],
        [places[1], "--sql", "select count(freq_gate_pos_in_pos) from neuron_summary"],
    ):
        assert main(["query", *words, "--format", "csv"]) == 0
        captured = capsys.readouterr()
        assert captured.err == note
        assert "Note" not in captured.out
    for words in ([places[0], "sign_frequencies"], [*places, "io_classes"], list(places)):
        assert main(["query", *words]) == 0
        assert capsys.readouterr().err == ""


def test_mistakes(places: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        ([*places, "io_clases"], "there is no query or dataset io_clases; did you mean io_classes"),
        ([places[0], "gone/away", "io_classes"], "gone/away"),
        ([*places, "extreme_cosines", "side=middle"], "give one of highest, lowest"),
        (
            [*places, "top_examples", "layer=0", "neuron=99"],
            "neuron 0.99 of org/one does not exist",
        ),
        ([*places, "io_classes", "--sql", "select 1"], "io_classes does not exist"),
        ([*places, "--sql", "from nuerons"], "did you mean neurons"),
    ):
        assert main(["query", *words]) == 2
        captured = capsys.readouterr()
        assert message in captured.err
        assert captured.err.startswith("gatescope: ")
        assert captured.err.count("\n") == 1
        assert captured.out == ""


def test_show_and_verify_of_weights_alone(
    places: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", places[1], "1.3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("  in org/two")
    assert lines[1].startswith("cos(gate,in) -   cos(gate,out) -   cos(in,out) ")
    assert lines[2].startswith("|gate| -   |in| ")
    assert not any("combination" in line for line in lines)
    assert main(["verify", places[1]]) == 0
    assert "the dataset is sound" in capsys.readouterr().out
    assert main(["verify", places[1], "--rerun", "3"]) == 2
    assert "has no examples" in capsys.readouterr().err


def listed(datasets: tuple[str, ...], width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(
        render_queries(list(load_queries().values()), datasets)
    )
    return stream.getvalue().splitlines()


def test_the_list_says_what_every_query_asks_and_takes() -> None:
    lines = listed(("outputs/one", "my models/two"), 100)
    assert all(len(line.rstrip()) <= 100 for line in lines)
    assert len(lines) < 4 * len(load_queries())
    text = " ".join(" ".join(lines).split())
    for query in load_queries().values():
        assert f"{query.usage} {query.question}" in text
        for parameter in query.parameters:
            assert f"{parameter.kind.upper()} {parameter.takes}" in text
    assert "gatescope query outputs/one 'my models/two' median_cosines_by_layer" in text
    themes = [line for line in lines if line and not line.startswith((" ", "Next"))]
    assert themes == [*dict.fromkeys(q.theme for q in load_queries().values()), themes[-1]]


def test_the_list_is_whole_in_a_narrow_terminal() -> None:
    text = " ".join(" ".join(listed(("x",), 60)).split())
    for query in load_queries().values():
        assert query.question in text


def test_the_list_of_several(places: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", *places]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in load_queries())
    assert Path(places[1]).name in printed


def test_a_parameter_that_is_given_twice(places: tuple[str, str]) -> None:
    assert main(["query", places[0], "rare_combinations", "n=1", "n=2"]) == 2


def test_a_long_answer_is_cut_for_the_terminal_alone(
    places: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "select unnest(range(1500)) as i"
    assert main(["query", places[0], "--sql", rows]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[-2].split() == ["999"]
    assert printed[-1] == "... the first 1,000 rows; --format csv gives all"
    assert main(["query", places[0], "--sql", "select unnest(range(1000)) as i"]) == 0
    assert "first" not in capsys.readouterr().out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("format_", ["table", "csv", "json", "parquet"])
def test_a_result_for_which_there_is_no_room(places: tuple[str, str], format_: str) -> None:
    command = [sys.executable, "-m", "pipeline", "query", places[0], "models", "--format", format_]
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.startswith("gatescope: query: the result cannot be written (No space left")
    assert "Traceback" not in ended.stderr
