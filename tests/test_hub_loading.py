"""A dataset on the Hub, loaded, streamed and queried over HTTP by the real clients."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hub_clients import gatescope, python
from loopback_hub import LoopbackHub, loopback_hub
from synthetic import Synthetic, write_synthetic

from pipeline.hub import card
from pipeline.schema import TABLES

_CODE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LOAD = """
import json, sys
from datasets import load_dataset

place = {place!r}
found = {{}}
for name in {tables!r}:
    whole = load_dataset(place, name, split="train")
    streamed = load_dataset(place, name, split="train", streaming=True)
    first = next(iter(streamed))
    found[name] = dict(
        n=len(whole),
        types={{k: str(v) for k, v in whole.features.arrow_schema.items()}}
        if hasattr(whole.features.arrow_schema, "items")
        else {{f.name: str(f.type) for f in whole.features.arrow_schema}},
        same=repr(first) == repr(whole[0]),
        streamed_types=streamed.features == whole.features,
    )
default = load_dataset(place, split="train")
found["default"] = default.column_names
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    made = write_synthetic(tmp_path_factory.mktemp("loading") / "ds", n_neurons=30, seed=2)
    manifest = json.loads((made.path / "manifest.json").read_text("utf-8"))
    (made.path / "README.md").write_text(card(manifest), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def hub(made: Synthetic) -> Iterator[LoopbackHub]:
    with loopback_hub() as hub:
        done = gatescope(hub, "publish", str(made.path), "org/name")
        assert done.returncode == 0, done.stderr
        yield hub


@pytest.mark.parametrize("where", ["hub", "folder"])
def test_every_configuration_loads_and_streams(
    made: Synthetic, hub: LoopbackHub, where: str
) -> None:
    place = "org/name" if where == "hub" else str(made.path)
    found = json.loads(python(hub, _LOAD.format(place=place, tables=TABLES)).splitlines()[-1])
    for table in TABLES:
        parts = sorted((made.path / table).rglob("*.parquet"))
        schema = pq.read_schema(parts[0])
        assert found[table]["n"] == len(made.tables[table])
        wanted = {f.name: str(f.type).replace("item:", "element:") for f in schema}
        types = {k: v.replace("item:", "element:") for k, v in found[table]["types"].items()}
        assert types == wanted
        assert found[table]["same"]
        assert found[table]["streamed_types"]
    assert found["default"] == list(made.tables["neurons"][0])


def test_the_code_of_the_card_runs_as_it_is_pasted(hub: LoopbackHub, tmp_path: Path) -> None:
    text = hub.read(hub.repo("org/name"), "README.md").decode()
    code = [piece for kind, piece in _CODE.findall(text) if kind == "python"]
    (statement,) = [piece for kind, piece in _CODE.findall(text) if kind == "sql"]
    # DuckDB's own shell reads hf:// by httpfs, which cannot be had here.
    shell = (
        "import duckdb\nfrom huggingface_hub import HfFileSystem\n"
        "db = duckdb.connect()\ndb.register_filesystem(HfFileSystem())\n"
        f"db.sql({statement!r}).show()\n"
    )
    assert len(code) == 5
    printed = python(hub, *code, shell, folder=tmp_path)
    assert printed.count("┌") >= 5


_OPEN = """
import json
import pipeline

found = []
for place in {places!r}:
    with pipeline.open(place) as dataset:
        stats = dataset.neuron(1, 7).stats
        ((n,),) = dataset.sql("select count(*) from sign_stats where layer = 1").fetchall()
    found.append([n, [row["frequency"] for row in stats], dataset.source.root])
print(json.dumps(found))
"""


def test_opened_by_name_branch_tag_and_commit(made: Synthetic, hub: LoopbackHub) -> None:
    repo = hub.repo("org/name")
    (tag,) = repo.tags
    sha = repo.branches["main"]
    url = "hf://datasets/org/name"
    places = ["org/name", url, f"{url}@main", f"org/name@{tag}", f"{url}@{sha}"]
    hub.asked.clear()
    found = json.loads(python(hub, _OPEN.format(places=places)))
    frequencies = [
        row["frequency"]
        for row in made.tables["sign_stats"]
        if (row["layer"], row["neuron"]) == (1, 7)
    ]
    n = 4 * made.shape.n_neurons
    assert found == [[n, frequencies, f"hf://datasets/org/name@{sha}"]] * len(places)
    # Of the other layer, what the views are made by, and nothing of its rows.
    asked = [one.path for one in hub.asked if "/resolve/" in one.path]
    assert all(f"/resolve/{sha}/" in path for path in asked if path.endswith(".parquet"))
    assert any("examples/layer=1" in path for path in asked)
    assert sum("examples/layer=0" in path for path in asked) <= len(places)


_WHILE_OPEN = """
import json, sys, urllib.request
import pipeline

with pipeline.open("org/name") as dataset:
    before = dataset.sql("select sum(hash(frequency)) from sign_stats where layer = 0").fetchall()
    urllib.request.urlopen({url!r})
    after = dataset.sql("select sum(hash(frequency)) from sign_stats").fetchall()
    again = dataset.sql("select sum(hash(frequency)) from sign_stats where layer = 0").fetchall()
print(before == again, after[0][0] is not None)
"""


def test_a_new_version_while_it_is_open(made: Synthetic, tmp_path: Path) -> None:
    other = write_synthetic(tmp_path / "ds", n_neurons=14, seed=5)
    with loopback_hub() as hub:
        assert gatescope(hub, "publish", str(made.path), "org/name").returncode == 0
        repo = hub.repo("org/name")
        first = repo.branches["main"]
        assert gatescope(hub, "publish", str(other.path), "org/name").returncode == 0
        second, repo.branches["main"] = repo.branches["main"], first

        def publish(path: str) -> None:
            if path == "/publish":
                repo.branches["main"] = second

        hub.on_request = publish
        printed = python(hub, _WHILE_OPEN.format(url=f"{hub.url}/publish?ok"))
        assert printed.split() == ["True", "True"]
        assert repo.branches["main"] == second


@pytest.mark.parametrize(
    ("place", "environment", "said"),
    [
        ("org/gone", {}, r"there is no such repository, or the token may not see it"),
        ("org/name", {"HF_TOKEN": ""}, r"there is no such repository, or the token may not see it"),
        ("org/name", {"HF_TOKEN": "hf_wrong"}, r"the Hub does not know the token"),
        ("org/name@gone", {}, r"there is no such revision; give a branch, a tag or a commit"),
        ("org/name", {"HF_ENDPOINT": "http://127.0.0.1:9"}, r"127.0.0.1:9 cannot be reached"),
    ],
)
def test_what_cannot_be_opened(
    hub: LoopbackHub, place: str, environment: dict[str, Any], said: str
) -> None:
    done = gatescope(hub, "query", place, "io_classes", **environment)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert re.search(rf"^gatescope: open: hf://datasets/{place}: .*{said}", line), line


def test_a_repository_without_a_dataset(hub: LoopbackHub) -> None:
    hub.put("org/texts", {"train.csv": b"a\n"})
    done = gatescope(hub, "query", "org/texts", "io_classes")
    assert done.returncode == 2
    assert "org/texts is not a complete Gatescope dataset: no manifest.json" in done.stderr
