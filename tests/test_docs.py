"""The README names every command, setting, table, column and query that exists, and no other."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from pipeline import schema
from pipeline.cli import _parser
from pipeline.config.settings import setting_types
from pipeline.query import load_queries

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def _section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def _words(text: str) -> set[str]:
    """What stands in backquotes, outside blocks of code."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return set(re.findall(r"`([^`]+)`", prose))


def test_settings() -> None:
    rows = [
        line.split("|")[1]
        for line in _section("Your own model and texts").splitlines()
        if line.startswith("| `")
    ]
    named = set(re.findall(r"`([^`]+)`", " ".join(rows)))
    assert named == set(setting_types())


def test_queries() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", _section("The queries"), flags=re.MULTILINE)
    assert dict(rows) == {name: query.question for name, query in load_queries().items()}


@pytest.mark.parametrize("table", schema.TABLES)
def test_tables_and_columns(table: str) -> None:
    (row,) = [
        line for line in _section("The tables").splitlines() if line.startswith(f"| `{table}`")
    ]
    named = set(re.findall(r"`([^`]+)`", row)) - {table}
    columns = {
        "corpus": set(schema.CORPUS_COLUMNS),
        "vocab": set(schema.VOCAB.names),
        **{name: set(of_table.names) for name, of_table in schema.LAYER_TABLES.items()},
    }[table]
    if table == "layers":
        # One count stands for the eleven.
        columns -= set(schema.CLASS_COLUMNS.values()) - {"n_enrichment"}
        named = {word.removesuffix(" ...") for word in named}
    assert named == columns


def test_tables_are_all_named() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", _section("The tables"), flags=re.MULTILINE)
    assert sorted(rows) == sorted(schema.TABLES)


def test_commands_and_their_options() -> None:
    (actions,) = [
        action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction)
    ]
    rows = re.findall(r"^\| `gatescope (\w+)", _section("Commands"), flags=re.MULTILINE)
    assert sorted(rows) == sorted(actions.choices)
    known = {
        option
        for command in actions.choices.values()
        for action in command._actions
        for option in action.option_strings
    }
    ours = [line for line in README.splitlines() if "gatescope " in line and "ray job" not in line]
    assert set(re.findall(r"(?<![\w-])--[a-z-]+", "\n".join(ours))) <= known


def test_every_choice_in_an_example_exists() -> None:
    conf = Path(__file__).parents[1] / "conf"
    chosen = re.findall(r"(?<![\w.])(model|corpus|experiment|cluster)=([\w.-]+)", README)
    assert chosen
    for group, choice in chosen:
        assert (conf / group / f"{choice}.yaml").exists(), f"{group}={choice}"


def test_no_file_that_is_linked_is_missing() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
