"""A neuron and tables on the terminal, whatever the corpus holds."""

from __future__ import annotations

import io
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from synthetic import HOSTILE_TOKENS, Synthetic, rewrite, write_synthetic

from pipeline.cli import main
from pipeline.naming import COMBO_NAMES, RANKINGS
from pipeline.query import Dataset, Neuron, fetch, open_dataset
from pipeline.view.terminal import render_neuron, render_table
from pipeline.view.visible import visible

STYLE = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    path = tmp_path_factory.mktemp("terminal") / "ds"
    return write_synthetic(path, n_words=2, before=40, after=20, max_length=80)


@pytest.fixture(scope="module")
def ds(made: Synthetic) -> Iterator[Dataset]:
    with open_dataset(made.path) as dataset:
        yield dataset


@pytest.fixture(scope="module")
def neurons(ds: Dataset) -> list[Neuron]:
    return [ds.neuron(layer, index) for layer in ds.layers for index in range(8)]


def printed(renderable: RenderableType, width: int = 80, **console: Any) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, **({"color_system": None} | console)).print(renderable)
    return stream.getvalue()


def example(**changes: Any) -> dict[str, Any]:
    entry = {
        "combo": "gate+_in-", "ranking": "post", "score": 1.5, "example_id": 7, "position": 3,
        "window_start": 1, "n_duplicates": 0, "tokens": ["The", " cat", " sat", " down"],
    }  # fmt: skip
    return entry | changes


def neuron_with(*examples: dict[str, Any]) -> Neuron:
    row = {
        "layer": 31, "neuron": 9634, "flipped": True, "io_class": "conditional enrichment",
        "cos_gate_in": 0.53, "cos_gate_out": -0.001, "cos_in_out": None,
        "norm_gate": 1.0, "norm_in": 2.0, "norm_out": 3.0,
    }  # fmt: skip
    stats = [
        {
            "combo": combo, "n_tokens": 20_000_000, "n_zero": 3, "count": count,
            "frequency": count / 20_000_000, "mean_gate": mean, "mean_in": mean,
            "mean_act": mean, "mean_post": mean,
        }
        for combo, count, mean in zip(
            COMBO_NAMES, (1, 0, 12_345_678, 7_654_318), (-0.00012, None, 0.5, -12.25), strict=True
        )
    ]  # fmt: skip
    return Neuron("org/model", row, tuple(stats), examples)


def test_all_that_a_person_wants_of_a_neuron() -> None:
    text = printed(render_neuron(neuron_with(example())))
    assert text == (
        "31.9634  conditional enrichment  in org/model\n"
        "cos(gate,in) 0.530   cos(gate,out) -0.001   cos(in,out) -\n"
        "|gate| 1.000   |in| 2.000   |out| 3.000\n"
        "flipped: in, post, w_in and w_out are negated, so that cos(gate,in) >= 0\n"
        "20,000,000 tokens, gate or in exactly 0 at 3 of them\n"
        "\n"
        "combination  frequency       count  mean gate   mean in  mean act  mean post\n"
        "gate+_in+       <0.01%           1   -0.00012  -0.00012  -0.00012   -0.00012\n"
        "gate+_in-        0.00%           0          -         -         -          -\n"
        "gate-_in+       61.73%  12,345,678      0.500     0.500     0.500      0.500\n"
        "gate-_in-       38.27%   7,654,318    -12.250   -12.250   -12.250    -12.250\n"
        "\n"
        "gate+_in-, the best by post\n"
        "    1.500                             The cat» sat« down                     7:3\n"
    )


def test_a_neuron_of_weights_alone_and_without_a_gate() -> None:
    row = {
        "layer": 3, "neuron": 1, "flipped": False, "io_class": "depletion", "cos_gate_in": None,
        "cos_gate_out": None, "cos_in_out": -0.75, "norm_gate": None, "norm_in": 2.0,
        "norm_out": 0.05,
    }  # fmt: skip
    assert printed(render_neuron(Neuron("org/model", row, (), ()))) == (
        "3.1  depletion  in org/model\n"
        "cos(gate,in) -   cos(gate,out) -   cos(in,out) -0.750\n"
        "|gate| -   |in| 2.000   |out| 0.05\n"
    )


def test_the_tokens_of_weights_are_a_line_a_list() -> None:
    row = dict(neuron_with().row) | {"flipped": False}
    tokens = [" the", "[bold]", "\u202e", "x" * 100]
    lists = [("in", "embedding", "highest"), ("out", "unembedding", "lowest")]
    entries = [
        {"weight": weight, "matrix": matrix, "side": side, "rank": rank, "token": token}
        for weight, matrix, side in lists
        for rank, token in enumerate(tokens)
    ]
    lines = printed(render_neuron(Neuron("m", row, (), (), tuple(entries)))).splitlines()
    assert [line.rstrip() for line in lines[3:]] == [
        "",
        "weight  matrix       dot product  tokens",
        f"in      embedding    highest       the|[bold]|<U+202E>|{'x' * 24}…",
        f"out     unembedding  lowest        the|[bold]|<U+202E>|{'x' * 24}…",
    ]


def test_the_peak_is_marked_with_and_without_colour() -> None:
    neuron = neuron_with(example(n_duplicates=12))
    plain = printed(render_neuron(neuron))
    line = plain.splitlines()[-1]
    assert "The cat» sat« down" in line
    assert line.endswith("  7:3 +12")
    assert "\x1b" not in plain
    coloured = printed(render_neuron(neuron), force_terminal=True, color_system="truecolor")
    assert "The cat\x1b[1;7m sat\x1b[0m down" in coloured
    without = printed(
        render_neuron(neuron), force_terminal=True, color_system="truecolor", no_color=True
    )
    assert "» sat«" in STYLE.sub("", without)
    empty = printed(render_neuron(neuron_with(example(tokens=["a", "b", "", "c"]))))
    assert "ab»∅«c" in empty


def test_lists_and_lengths_can_be_chosen(ds: Dataset) -> None:
    neuron = ds.neuron(1, 3)
    for ranking in RANKINGS:
        for n in (0, 1, 3):
            text = printed(render_neuron(neuron, ranking=ranking, n=n))
            shown = [line for line in text.splitlines() if re.search(r"  \d+:\d+( \+\d+)?$", line)]
            assert len(shown) == sum(len(neuron.list_of(c, ranking)[:n]) for c in COMBO_NAMES)
            assert text.count(f"the best by {ranking}") == (
                sum(1 for c in COMBO_NAMES if neuron.list_of(c, ranking)) if n else 0
            )


@pytest.mark.parametrize("width", [80, 60, 132])
@pytest.mark.parametrize("coloured", [False, True])
def test_nothing_of_a_hostile_corpus_reaches_the_terminal(
    neurons: list[Neuron], width: int, coloured: bool
) -> None:
    colours: dict[str, Any] = (
        {"force_terminal": True, "color_system": "truecolor"} if coloured else {}
    )
    n_lines = 0
    for neuron in neurons:
        text = printed(render_neuron(neuron, n=10), width, **colours)
        for line in STYLE.sub("", text).split("\n"):
            assert cell_len(line) <= width
            assert not [c for c in line if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
            n_lines += 1
    assert n_lines > 300


def test_examples_take_one_line_each_and_end_with_their_place(ds: Dataset) -> None:
    for index in range(8):
        neuron = ds.neuron(0, index)
        text = printed(render_neuron(neuron))
        for combo in COMBO_NAMES:
            entries = neuron.list_of(combo, "post")[:3]
            if not entries:
                continue
            lines = text.split(f"{combo}, the best by post\n")[1].split("\n")[: len(entries)]
            for line, entry in zip(lines, entries, strict=True):
                assert line.split()[0] == f"{entry['score']:.3f}"
                place = f"{entry['example_id']}:{entry['position']}"
                place += f" +{entry['n_duplicates']}" if entry["n_duplicates"] else ""
                assert line.endswith(f"  {place}")
                assert line.count("»") >= 1


def test_peaks_stand_below_each_other() -> None:
    entries = [
        example(tokens=["日本", "語", " x", "y"] * 9, position=13, score=3.0),
        example(),
        example(tokens=["a" * 200, " b", "c" * 200, " d"], score=0.5),
        example(tokens=["\u202e", "🙂", "\n", "\x1b[2J"], example_id=123456, n_duplicates=15),
    ]
    lines = printed(render_neuron(neuron_with(*entries), n=9)).splitlines()[-4:]
    assert {cell_len(line[: line.index("»")]) for line in lines} == {45}
    assert all(cell_len(line) <= 80 for line in lines)
    assert "<U+202E>🙂»↵«␛[2J" in lines[3]
    assert lines[3].endswith("  123456:3 +15")


def test_visible_is_one_line_without_controls() -> None:
    for token in [*HOSTILE_TOKENS, *map(chr, range(0x300)), "\u2028", "\u2029", "\ud800", "\ufeff"]:
        text = visible(token)
        assert not [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
        assert len(text.splitlines()) <= 1
    assert visible(" plain [bold] text, 日本 é 🙂") == " plain [bold] text, 日本 é 🙂"
    assert visible("a\r\n\tb\x00") == "a␍↵⇥b␀"
    assert visible("\u202e\x9b") == "<U+202E><U+009B>"


def test_markup_is_text() -> None:
    neuron = neuron_with(example(tokens=["[bold]", "[/]", "[link=file:///x]", ":smile:"]))
    assert "[bold][/]»[link=file:///x]«:smile:" in printed(render_neuron(neuron), width=100)
    assert "[red]x[/red] :smile:" in printed(render_table(["[b]"], [["[red]x[/red] :smile:"]]))


def test_a_table(ds: Dataset) -> None:
    names, rows = fetch(ds.query("sign_frequencies"))
    lines = printed(render_table(names, rows)).splitlines()
    assert all(cell_len(line) <= 80 for line in lines)
    assert len(lines) == 2 + len(rows)  # long titles take two lines
    assert lines[2].split()[:3] == ["0", "gate+_in+", "8"]
    text = printed(render_table(["a", "b"], [[None, 1.23456789], [float("nan"), -0.0]]))
    assert [line.split() for line in text.splitlines()] == [
        ["a", "b"],
        ["-", "1.235"],
        ["nan", "-0"],
    ]
    assert printed(render_table(["a", "b"], [])) == "no rows of a, b\n"
    names, rows = fetch(ds.query("unexpected_signs", min_cosine=0, min_disagreement=0))
    head, titles = printed(render_table(names, rows)).splitlines()[:2]
    assert head.split() == ["disagreement_", "freq_gate_", "freq_gate_"]
    assert titles.split()[2:4] == ["cos_gate_in", "frequency"]


def test_a_table_that_is_too_wide_becomes_blocks(ds: Dataset) -> None:
    names, rows = fetch(ds.table("neuron_summary"), 2)
    lines = printed(render_table(names, rows)).splitlines()
    assert len(lines) == 2 * len(names) + 1
    assert [line.split()[0] for line in lines[: len(names)]] == names
    wide = printed(render_table(names, rows), width=400).splitlines()
    assert len(wide) == 1 + len(rows)


def test_hostile_texts_in_tables(ds: Dataset) -> None:
    for statement in ("from vocab", "select example_id, text, input_ids from corpus limit 5"):
        for width in (80, 200):
            text = printed(render_table(*fetch(ds.sql(statement))), width)
            bad = [c for c in text if unicodedata.category(c) in ("Cc", "Cf") and c != "\n"]
            assert not bad
            assert all(cell_len(line) <= width for line in text.split("\n"))


def test_view_needs_no_duckdb_and_no_torch() -> None:
    source = (Path(__file__).parents[1] / "pipeline/view/terminal.py").read_text("utf-8")
    assert not re.search(r"^\s*(import|from) (duckdb|torch|pyarrow)", source, re.MULTILINE)


def test_nothing_of_a_hostile_dataset_acts_on_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A dataset from elsewhere may hold anything, in its manifest and in columns of names too."""
    made = write_synthetic(tmp_path / "ds", model="org/\x1b[31mred[/]", n_neurons=3)
    escape = "\x1b]0;title\x07[b]"

    def hostile(column: str) -> Callable[[pa.Table], pa.Table]:
        def changed(table: pa.Table) -> pa.Table:
            i = table.schema.get_field_index(column)
            texts = [escape + text for text in table[column].to_pylist()]
            return table.set_column(i, table.schema.field(i), [texts])

        return changed

    for table, column in (("weight_tokens", "weight"), ("sign_stats", "combo")):
        rewrite(made.path / f"{table}/layer=0/part-0.parquet", hostile(column))
    path = str(made.path)
    for words in (
        ["show", path, "0.0"],
        ["show", path, "99.0"],
        ["query", path, "top_examples", "layer=99", "neuron=0"],
        ["query", path, "models"],
        ["query", path, "--sql", "from sign_stats limit 3"],
        ["verify", path],
        ["figures", path, "--out", str(tmp_path / "figures")],
    ):
        main(words)
        captured = capsys.readouterr()
        assert "\x1b" not in captured.out + captured.err, words
        assert captured.out + captured.err
