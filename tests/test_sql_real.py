"""Every named query on datasets of real runs: in time, with the columns that it documents."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_models import ARCHITECTURES, UNGATED, Tiny, build, byte_level_tokenizer, save

from pipeline.config import compose_config
from pipeline.console import messages
from pipeline.query import Dataset, Datasets, fetch, load_queries, open_dataset
from pipeline.run import run

# Seconds in which an answer is there.
LIMIT_S = 1.0
ARGUMENTS: dict[str, Any] = {
    "layer": 0,
    "neuron": 3,
    "token": "the",
    "io_class": "orthogonal output",
}


@pytest.fixture(scope="module")
def places(
    undisturbed: Path, texts: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """The built-in model, another one that was scanned, and the weights of one without a gate."""
    folder = tmp_path_factory.mktemp("real")
    tokenizer = byte_level_tokenizer()
    other = build(Tiny("gemma2", ARCHITECTURES["gemma2"].settings | {"vocab_size": len(tokenizer)}))
    save(other, folder / "gemma2", tokenizer)
    build(UNGATED["gpt2"]).save_pretrained(folder / "gpt2")
    runs = {
        "other": [
            f"model.name={folder / 'gemma2'}", "corpus=local", f"corpus.path={texts}",
            "corpus.max_tokens=2000", "corpus.max_length=64", "scan.k=3",
            "scan.window.before=8", "scan.window.after=4",
        ],
        "vanilla": ["scan=none", f"model.name={folder / 'gpt2'}"],
    }  # fmt: skip
    for name, words in runs.items():
        run(compose_config([*words, f"output={folder / name}-dataset"]), messages())
    return {"demo": undisturbed} | {name: folder / f"{name}-dataset" for name in runs}


@pytest.fixture(scope="module", params=["demo", "other", "vanilla", "all"])
def opened(request: pytest.FixtureRequest, places: dict[str, Path]) -> Iterator[Dataset | Datasets]:
    paths = list(places.values()) if request.param == "all" else places[request.param]
    with open_dataset(paths) as dataset:
        yield dataset


@pytest.mark.parametrize("name", sorted(load_queries()))
def test_every_query(name: str, opened: Dataset | Datasets) -> None:
    query = load_queries()[name]
    given = {p.name: ARGUMENTS[p.name] for p in query.parameters if p.required}
    seconds = []
    for _ in range(3):  # of a machine that has something else to do now and then
        start = time.perf_counter()
        columns, rows = fetch(opened.query(name, **given))
        seconds.append(time.perf_counter() - start)
    documented = [column.name for column in query.columns]
    several = isinstance(opened, Datasets) and "model" not in documented
    assert columns == (["model", *documented] if several else documented)
    assert min(seconds) < LIMIT_S
    if query.theme in ("weights", "across models") and "token" not in given:
        # Those that were not scanned alike have nothing to compare.
        assert rows or name == "compare_datasets", "there are weights in all of them"
