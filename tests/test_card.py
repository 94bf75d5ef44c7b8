"""The card of a dataset: its metadata, its text, and its code, which runs as it is pasted."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import duckdb
import pytest
from huggingface_hub import DatasetCard
from loopback_hub import LoopbackHub
from synthetic import Synthetic, write_synthetic

from pipeline.config import compose_config, to_dict
from pipeline.hub.card import card
from pipeline.schema import TABLES, columns_of

_CODE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    made = write_synthetic(tmp_path_factory.mktemp("card") / "ds", n_neurons=12, seed=4)
    text = card(json.loads((made.path / "manifest.json").read_text("utf-8")))
    (made.path / "README.md").write_text(text, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def manifest(made: Synthetic) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((made.path / "manifest.json").read_text("utf-8"))
    return found


def metadata(text: str) -> dict[str, Any]:
    found: dict[str, Any] = DatasetCard(text).data.to_dict()
    return found


def blocks(text: str, language: str) -> list[str]:
    return [code for kind, code in _CODE.findall(text) if kind == language]


def test_every_table_is_a_configuration_and_neurons_the_default(manifest: dict[str, Any]) -> None:
    said = metadata(card(manifest, "org/name"))
    configs = {config["config_name"]: config for config in said["configs"]}
    assert list(configs) == list(TABLES)
    assert [name for name, config in configs.items() if config.get("default")] == ["neurons"]
    assert configs["examples"]["data_files"] == "examples/layer=*/part-*.parquet"
    assert configs["corpus"]["data_files"] == "corpus/part-*.parquet"
    assert said["license"] == "other"
    assert "gatescope" in said["tags"]


@pytest.mark.parametrize(
    ("n_rows", "size"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (90_000_000, "10M<n<100M"), (10**12, "n>1T")],
)
def test_the_size_is_that_of_the_largest_table(
    manifest: dict[str, Any], n_rows: int, size: str
) -> None:
    changed = manifest | {"tables": dict.fromkeys(manifest["tables"], 0) | {"examples": n_rows}}
    assert metadata(card(changed))["size_categories"] == [size]


def test_the_hub_takes_its_metadata(manifest: dict[str, Any], loopback: LoopbackHub) -> None:
    for repo in (None, "org/name"):
        assert validated(loopback, card(manifest, repo)) == []
    broken = card(manifest).replace("config_name: corpus", "config_name: neurons")
    assert validated(loopback, broken)


def validated(hub: LoopbackHub, text: str) -> list[str]:
    """The Hub's errors for the metadata of a card."""
    import httpx

    answer = httpx.post(
        f"{hub.url}/api/validate-yaml", json={"content": text, "repoType": "dataset"}
    )
    return [error["message"] for error in answer.json().get("errors", [])]


def test_every_column_stands_there_with_type_meaning_and_unit(manifest: dict[str, Any]) -> None:
    text = card(manifest)
    for table in TABLES:
        _, section = text.split(f"### `{table}`\n", 1)
        for column in columns_of(table):
            row = f"| `{column.name}` | {column.type} | {column.meaning} | {column.unit} |\n"
            assert row in section.split("\n### ")[0].split("\n## ")[0]


def test_the_command_makes_the_dataset_again(manifest: dict[str, Any]) -> None:
    config = compose_config(["experiment=gluscope", "model.name=org/model", "corpus=fineweb-edu"])
    changed = manifest | {"config": to_dict(config)}
    changed["model"] = manifest["model"] | {"name": "org/model", "revision": "abc123"}
    text = card(changed)
    (line,) = [line for block in blocks(text, "console") for line in block.splitlines()]
    assert line.startswith("$ gatescope run model.name=org/model model.revision=abc123 ")
    assert "scan.dedupe=false" in line
    assert "[`org/model`](https://huggingface.co/org/model)" in text
    assert "(https://huggingface.co/datasets/HuggingFaceFW/fineweb-edu)" in text
    assert metadata(text)["source_datasets"] == ["HuggingFaceFW/fineweb-edu"]
    assert "Every position of every example counts" in text
    assert "Examples that repeat each other are all kept" in text


def test_what_is_missing_is_said(manifest: dict[str, Any]) -> None:
    changed = deepcopy(manifest)
    del changed["tables"]["corpus"]
    changed["missing"] = [
        {"table": "corpus", "columns": None, "why": "the texts were left out"},
        {"table": "neurons", "columns": ["cos_in_out"], "why": "imported without --model"},
    ]
    text = card(changed)
    assert "- Missing: `corpus` (the texts were left out)." in text
    assert "- Missing: `cos_in_out` of `neurons` (imported without --model)." in text
    assert "corpus" not in {config["config_name"] for config in metadata(text)["configs"]}


@pytest.mark.parametrize(
    "name",
    ["a|b", "`code` ``", "<script>alert(1)</script>", "x\n# y\n---\nz", "{braces}", "---", " "],
)
def test_names_stay_text(manifest: dict[str, Any], name: str) -> None:
    changed = deepcopy(manifest)
    changed["model"]["name"] = changed["corpus"]["name"] = name
    changed["config"]["corpus"]["path"] = name
    text = card(changed)
    assert metadata(text)["configs"] == metadata(card(manifest))["configs"]
    headings = [line for line in text.splitlines() if re.match(r"#{1,6} ", line)][1:]
    assert (
        headings == [line for line in card(manifest).splitlines() if re.match(r"#{1,6} ", line)][1:]
    )
    # Whatever is a tag or a cell to Markdown stands within code.
    outside = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", _CODE.sub("", text))
    assert "<script>" not in outside.split("\n---\n", 1)[1]


def test_code_for_the_folder(made: Synthetic, manifest: dict[str, Any]) -> None:
    """In the folder of the dataset, each as if pasted into a new session."""
    printed = run_as_pasted(blocks(card(manifest), "python"), made.path, {})
    assert printed.count("┌") >= 3
    (statement,) = blocks(card(manifest), "sql")
    with contextlib.chdir(made.path):
        rows = duckdb.sql(statement).fetchall()
    assert len(rows) == 4 * len(made.shape.layers)


def run_as_pasted(code: list[str], folder: Path, environment: dict[str, str]) -> str:
    """What pieces of Python print, one after the other, each with names of its own."""
    program = "\n".join(f"exec({one!r}, {{'__name__': '__main__'}})" for one in code)
    done = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", program],
        cwd=folder,
        env=environment or None,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
