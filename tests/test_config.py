"""The configuration: what composes, what is refused and how, what decides a result."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config import (
    ClusterConfig,
    CorpusConfig,
    ModelConfig,
    RunConfig,
    ScanConfig,
    WindowConfig,
    compose_config,
    default_output,
    differences,
    from_dict,
    scan_settings,
    to_dict,
)
from pipeline.config.compose import choices
from pipeline.config.settings import file_name, setting_types
from pipeline.shipped import CONF

GROUPS = ("model", "corpus", "scan", "cluster", "experiment")
PAPER_MODELS = {
    "OLMo-7B-0424-hf": "allenai/OLMo-7B-0424-hf",
    "OLMo-1B-hf": "allenai/OLMo-1B-hf",
    "gemma-2-2b": "google/gemma-2-2b",
    "gemma-2-9b": "google/gemma-2-9b",
    "Llama-2-7b": "meta-llama/Llama-2-7b-hf",
    "Llama-3.1-8B": "meta-llama/Llama-3.1-8B",
    "Llama-3.2-1B": "meta-llama/Llama-3.2-1B",
    "Llama-3.2-3B": "meta-llama/Llama-3.2-3B",
    "Mistral-7B-v0.1": "mistralai/Mistral-7B-v0.1",
    "Qwen2.5-0.5B": "Qwen/Qwen2.5-0.5B",
    "Qwen2.5-7B": "Qwen/Qwen2.5-7B",
    "Yi-6B": "01-ai/Yi-6B",
}


def test_no_override_is_the_demo() -> None:
    config = compose_config([])
    assert (config.model.name, config.corpus.source) == ("demo", "demo")
    assert config.output == "outputs/demo"
    assert config.scan == ScanConfig()
    assert config.cluster == ClusterConfig()


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("output=s3://bucket/x=1,2 (a)/é", "s3://bucket/x=1,2 (a)/é"),
        ("seed=7", 7),
        ("model.revision=1e5", "1e5"),
        ("model.dtype=bfloat16", "bfloat16"),
        ("model.device=cuda:1", "cuda:1"),
        ("model.layers=[3,0]", (0, 3)),
        ("corpus.text_column=2024_01", "2024_01"),
        ('corpus.text_column="a, b"', "a, b"),
        ("corpus.text_column=C:\\x\\", "C:\\x\\"),
        ('corpus.text_column=a\\"b', 'a\\"b'),
        ("corpus.max_length=64", 64),
        ("corpus.max_tokens=null", None),
        ("corpus.add_bos=false", False),
        ("scan.k=1", 1),
        ("scan.rankings=[random,post]", ("post", "random")),
        ("scan.window.before=0", 0),
        ("scan.window.after=20", 20),
        ("scan.skip_bos=false", False),
        ("scan.canonical_signs=false", False),
        ("scan.dedupe=false", False),
        ("scan.tokens_per_batch=1", 1),
        ("scan.state_device=cpu", "cpu"),
        ("scan.compile=auto", "auto"),
        ("scan.compile=True", "true"),
        ("scan.compile=false", "false"),
        ("cluster.snapshot_every_s=0.5", 0.5),
        ("cluster.snapshot_every_s=auto", None),
        ("cluster.gpus_per_worker=2", 2),
        ("scan.k=${scan.window.after}", 15),
    ],
)
def test_an_override_arrives(override: str, value: object) -> None:
    found: Any = compose_config([override])
    for name in override.partition("=")[0].split("."):
        found = getattr(found, name)
    assert found == value


def test_environment_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    assert compose_config(["output=${oc.env:SCRATCH}/out"]).output == "/scratch/me/out"


def test_a_later_override_wins() -> None:
    config = compose_config(["scan.k=8", "model=Yi-6B", "scan.k=9", "model=phi-4"])
    assert (config.scan.k, config.model.name) == (9, "microsoft/phi-4")


@pytest.mark.parametrize("group", GROUPS)
def test_every_file_of_conf_composes(group: str, tmp_path: Path) -> None:
    assert choices(group)
    for choice in choices(group):
        needs = [f"corpus.path={tmp_path}"] if choice in ("local", "tokenized") else []
        config = compose_config([f"{group}={choice}", *needs])
        if group == "model":
            assert config.model.name.rpartition("/")[2].startswith(choice)
        if group == "corpus":
            assert config.corpus.name == choice
        if group == "cluster":
            assert (config.cluster.name == "inprocess") == (choice == "inprocess")


def test_every_folder_of_conf_is_a_group() -> None:
    assert {path.name for path in CONF.iterdir() if path.is_dir()} == set(GROUPS)


def test_every_setting_of_a_scan_is_written_down() -> None:
    written = (CONF / "scan" / "default.yaml").read_text()
    for key in setting_types():
        if key.startswith("scan."):
            assert f"{key.rpartition('.')[2]}: " in written, key


@pytest.mark.parametrize("choice", PAPER_MODELS)
def test_the_models_of_the_second_paper_are_there(choice: str) -> None:
    assert compose_config([f"model={choice}"]).model.name == PAPER_MODELS[choice]


def test_gluscope_yields_to_the_command_line(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.parquet"
    tokens.touch()
    papers = compose_config(["experiment=gluscope"])
    assert papers.scan == ScanConfig(
        rankings=("post", "in", "gate"), skip_bos=False, dedupe=False, canonical_signs=True, k=16
    )
    assert papers.corpus.max_length == 1024
    own = ["corpus=tokenized", f"corpus.path={tokens}", "corpus.max_length=256"]
    for overrides in (["experiment=gluscope", *own], [*own, "experiment=gluscope"]):
        config = compose_config([*overrides, "scan.canonical_signs=false"])
        assert (config.corpus.max_length, config.corpus.tokenized) == (256, True)
        assert config.scan == replace(papers.scan, canonical_signs=False)


@pytest.mark.parametrize(
    ("overrides", "output"),
    [
        (["model=Llama-3.2-1B"], "outputs/Llama-3.2-1B_demo"),
        (["model.name=org/a b"], "outputs/a-b_demo"),
        (["model=phi-4", "corpus=fineweb-edu"], "outputs/phi-4_fineweb-edu"),
        (["corpus=local", "corpus.path={}/my texts.jsonl"], "outputs/demo_my-texts"),
        (["corpus=tokenized", "corpus.path={}/ids.parquet"], "outputs/demo_ids"),
        (["corpus=local", "corpus.path={}/books/"], "outputs/demo_books"),
        (["corpus=local", "corpus.path={}/books/.."], "outputs/demo_texts"),
        (["corpus=local", "corpus.path={}/.hidden"], "outputs/demo_hidden"),
        (["corpus=local", "corpus.path=s3://bucket/a?b.csv"], "outputs/demo_a-b"),
        (["output=/data/x"], "/data/x"),
    ],
)
def test_the_default_output(overrides: list[str], output: str, tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    (texts / "books").mkdir(parents=True)
    for name in ("my texts.jsonl", "ids.parquet", ".hidden"):
        (texts / name).touch()
    assert compose_config([o.format(texts) for o in overrides]).output == output


@given(st.text())
def test_a_file_name_is_safe(text: str) -> None:
    name = file_name(text)
    assert name not in ("", ".", "..")
    assert Path(name).name == name
    assert not set(name) & set('/\\:*?"<>| \n\0')
    assert file_name(name) == name


def test_a_configuration_survives_json() -> None:
    config = compose_config(["model.layers=[0,2]", "scan.rankings=[post]", "output=x"])
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
    assert from_dict({}) == RunConfig()


def test_what_decides_a_result() -> None:
    config = RunConfig()
    same = replace(
        config,
        output="elsewhere",
        model=ModelConfig(device="cuda"),
        scan=ScanConfig(state_device="cpu"),
        cluster=replace(config.cluster, snapshot_every_s=1.0),
    )
    assert scan_settings(config) == scan_settings(same)
    deciding = [
        ("seed", replace(config, seed=1)),
        ("model.layers", replace(config, model=ModelConfig(layers=(0,)))),
        ("model.dtype", replace(config, model=ModelConfig(dtype="float16"))),
        ("corpus.max_tokens", replace(config, corpus=CorpusConfig(max_tokens=5))),
        ("scan.window.after", replace(config, scan=ScanConfig(window=WindowConfig(after=1)))),
        ("scan.tokens_per_batch", replace(config, scan=ScanConfig(tokens_per_batch=9))),
        ("scan.compile", replace(config, scan=ScanConfig(compile="true"))),
        ("scan.unit_tokens", replace(config, scan=ScanConfig(unit_tokens=9))),
    ]
    for key, other in deciding:
        (line,) = differences(scan_settings(config), scan_settings(other))
        assert line.startswith(f"{key}: ")


def test_differences_read_as_sentences() -> None:
    there = {"scan": {"k": 16, "rankings": ("post", "in")}, "model": {"revision": None}}
    here = {"scan": {"k": 8, "rankings": ["post", "in"]}, "model": {"revision": "main"}, "seed": 0}
    assert differences(there, here) == [
        'model.revision: null there, "main" now',
        "scan.k: 16 there, 8 now",
        "seed: absent there, 0 now",
    ]


SETTINGS = st.dictionaries(
    st.text(max_size=3), st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())
)


@given(SETTINGS, SETTINGS)
def test_differences_name_every_key_that_differs(there: Any, here: Any) -> None:
    def shown(settings: dict[str, Any], key: str) -> str:
        return json.dumps(settings[key]) if key in settings else "absent"

    keys = sorted(k for k in there.keys() | here.keys() if shown(there, k) != shown(here, k))
    lines = differences(there, here)
    assert len(lines) == len(keys)
    assert all(line.startswith(f"{key}: ") for key, line in zip(keys, lines, strict=True))
    assert differences(there, there) == []


def test_the_dataclasses_need_no_hydra() -> None:
    code = (
        "import sys; sys.modules['hydra'] = sys.modules['omegaconf'] = None\n"
        "from pipeline.config import RunConfig, check, default_output\n"
        "check(RunConfig()); print(default_output(RunConfig()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "outputs/demo"
    assert default_output(RunConfig()) == "outputs/demo"
