"""The command that a configuration is written as gives that configuration again."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.config import compose_config, run_command, shell_line

_HOSTILE = [
    "plain",
    "a${b",
    "\\${seed}",
    "a b=c,{x}$y",
    "it's",
    "back\\slash",
    "ends with \\",
    "\\'both\\'",
    "${seed}",
    "[1,2]",
    "null",
    "true",
    "1e5",
    "007",
    "日本 \u202e",
]


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["model=Qwen3-0.6B-Base", "corpus=fineweb-edu", "corpus.max_tokens=1000000"],
        ["experiment=gluscope", "model=OLMo-7B-0424-hf", "corpus=dolma-small", "seed=3"],
        ["scan=none", "model.name=org/name", "weights.k=0", "model.layers=[0,2]"],
        ["scan.window.before=3", "scan.dedupe=false", "scan.compile=true", "weights.threshold=0.4"],
        ["corpus.max_tokens=null", "scan.rankings=[post]"],
    ],
)
def test_it_gives_the_configuration_again(overrides: list[str]) -> None:
    config = compose_config(overrides)
    words = run_command(config)
    assert words[:2] == ["gatescope", "run"]
    assert compose_config(words[2:]) == config


@pytest.mark.parametrize("name", _HOSTILE)
def test_names_of_all_kinds(name: str, tmp_path: Path) -> None:
    texts = tmp_path / (name.replace("/", "-") + ".txt")
    texts.write_text("A text.\n", encoding="utf-8")
    config = compose_config([])
    corpus = replace(config.corpus, source="local", path=str(texts), text_column=name)
    config = replace(config, corpus=corpus, model=replace(config.model, revision=name))
    line = shell_line(run_command(config))
    assert compose_config(shlex.split(line)[2:]) == config


def test_where_and_how_fast_is_not_told() -> None:
    config = compose_config(["cluster=ray", "model.device=cpu", "scan.state_device=cpu"])
    assert run_command(config) == ["gatescope", "run", "output=outputs/demo"]
