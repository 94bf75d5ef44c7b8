"""A sweep: the datasets of single runs, whichever launcher brings the runs where they are made."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from datasets_compared import differences_between

from pipeline.cli import main
from pipeline.config import Outcome, RunConfig, Sweep, compose_config, plan_sweep
from pipeline.errors import GatescopeError, Interrupted
from pipeline.shipped import DEMO_MODEL

needs_submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None,
    reason="submitit is not installed: pip install 'gatescope[slurm]'",
)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with nothing in it."""
    folder = tmp_path / "empty"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def small(texts: Path) -> list[str]:
    return [
        "model.layers=[0]",
        "corpus=local",
        f"corpus.path={texts}",
        "corpus.max_length=128",
        "corpus.max_tokens=600",
        "scan.k=2",
        "scan.spare=2",
    ]


@pytest.fixture(scope="module")
def single(small: list[str], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The datasets of the seeds 0 and 1, each made by a command of its own."""
    folders = [tmp_path_factory.mktemp("single") / str(seed) for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        assert main(["run", *small, f"seed={seed}", f"output={folder}"]) == 0
    assert differences_between(*folders)
    return folders


def _refusal(*overrides: str) -> str:
    with pytest.raises(GatescopeError) as error:
        plan_sweep(overrides)
    message = str(error.value)
    assert "\n" not in message
    return message


def _table(printed: str) -> list[list[str]]:
    """The last table that was printed, without its header: model, output, result."""
    rows = printed[printed.rindex("model  ") :].splitlines()[1:]
    return [row.rstrip().split(maxsplit=2) for row in rows]


def _process(output: Path) -> int:
    """The process that scanned, as the dataset says."""
    events = [json.loads(line) for line in (output / "events.jsonl").read_text().splitlines()]
    return next(event["pid"] for event in events if event["event"] == "worker_ready")


def test_a_sweep_makes_what_single_runs_make_and_leaves_nothing_else(
    single: list[Path], small: list[str], empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "-m", *small, "seed=0,1", "output=made/${seed}"]) == 0
    for seed, alone in enumerate(single):
        assert differences_between(empty / "made" / str(seed), alone) == []
    assert [path.name for path in empty.iterdir()] == ["made"]
    assert sorted(path.name for path in (empty / "made").iterdir()) == ["0", "1"]
    for path in (empty / "made/0").iterdir():
        assert not path.name.startswith(".hydra")
        assert path.suffix not in (".log", ".yaml")
    captured = capsys.readouterr()
    assert captured.err.splitlines()[0] == "2 runs, one after the other"
    assert "gatescope show made/1 0." in captured.out
    assert _table(captured.out) == [["demo", "made/0", "ok"], ["demo", "made/1", "ok"]]
    assert main(["run", "seed=0,1", "--multirun", *small, "output=made/${seed}"]) == 0
    assert "made/1 is already complete" in capsys.readouterr().out


def test_each_model_has_its_default_output_and_one_that_fails_stops_no_other(
    single: list[Path], small: list[str], empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "broken", "an other"):
        shutil.copytree(DEMO_MODEL, empty / name)
    (empty / "broken/model.safetensors").write_bytes(b"no weights")
    assert main(["run", *small, "-m", "model.name=./one,./broken,./an other"]) == 2
    outputs = empty / "outputs"
    assert sorted(path.name for path in outputs.iterdir()) == ["an-other_texts", "one_texts"]
    for path in outputs.iterdir():
        assert differences_between(path, single[0]) == []
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err + captured.out
    (message,) = [line for line in captured.err.splitlines() if line.startswith("gatescope: ")]
    assert "/broken: the weights" in message
    table = captured.out[captured.out.rindex("model  ") :]
    assert "./one       outputs/one_texts       ok" in table
    assert "./an other  outputs/an-other_texts  ok" in table
    assert "./broken    outputs/broken_texts    " in table
    assert message.removeprefix("gatescope: ")[:60] in table


def test_how_runs_end(capsys: pytest.CaptureFixture[str], empty: Path) -> None:
    def task(config: RunConfig) -> None:
        begun.append(config.seed)
        if config.seed in errors:
            raise errors[config.seed]

    begun: list[int] = []
    errors: dict[int, Exception] = {1: GatescopeError("give more"), 2: RuntimeError("a\nb")}
    sweep = plan_sweep(["seed=range(4)", "output=o/${seed}"])
    assert [config.output for config in sweep.configs] == ["o/0", "o/1", "o/2", "o/3"]
    assert sweep.launch(task) == [
        Outcome(),
        Outcome(2, "give more"),
        Outcome(1, "RuntimeError: a"),
        Outcome(),
    ]
    # A fault of the program is shown in full, what the user can mend is not.
    assert capsys.readouterr().err.count("Traceback") == 1

    begun.clear()
    errors = {1: Interrupted()}
    assert [outcome.code for outcome in sweep.launch(task)] == [0, 143, 143, 143]
    assert begun == [0, 1]
    assert list(empty.iterdir()) == []


@pytest.mark.slow
@needs_submitit
def test_submitit_local_makes_them_in_processes_of_their_own(
    single: list[Path], small: list[str], empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overrides = ["hydra/launcher=submitit_local", "seed=0,1", "output=made/${seed}"]
    assert main(["run", "-m", *small, *overrides, "hydra.launcher.timeout_min=5"]) == 0
    outputs = [empty / "made" / str(seed) for seed in (0, 1)]
    for output, alone in zip(outputs, single, strict=True):
        assert differences_between(output, alone) == []
    assert len({os.getpid(), *map(_process, outputs)}) == 3
    captured = capsys.readouterr()
    assert _table(captured.out) == [["demo", "made/0", "ok"], ["demo", "made/1", "ok"]]
    assert "by hydra/launcher=submitit_local" in captured.err
    (folder,) = (empty / "outputs/multirun").iterdir()
    assert str(folder.relative_to(empty)) in captured.err
    logs = "".join(path.read_text() for path in sorted(folder.rglob("*.out")))
    assert "gatescope query made/0" in logs
    assert "gatescope query made/1" in logs


@needs_submitit
def test_what_fails_in_another_process_comes_back_in_one_line(
    small: list[str], empty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty / "broken").mkdir()
    (empty / "broken/config.json").write_text("{}")
    overrides = ["hydra/launcher=submitit_local", "model.name=./broken"]
    assert main(["run", "-m", *small, *overrides]) == 2
    captured = capsys.readouterr()
    assert "model.name=./broken: the folder's config.json cannot be read" in captured.out
    assert "Traceback" not in captured.out + captured.err


# What SLURM does with an array of jobs, on this machine.
_SBATCH = """#!{python}
import os, pathlib, re, subprocess, sys
script = sys.argv[-1]
text = pathlib.Path(script).read_text()
pathlib.Path("submitted.sh").write_text(text)
first, last = re.search(r"--array=(\\d+)-(\\d+)", text).groups()
for task in range(int(first), int(last) + 1):
    ids = dict(SLURM_ARRAY_JOB_ID="42", SLURM_ARRAY_TASK_ID=str(task), SLURM_JOB_ID=str(42 + task))
    ids |= dict(SLURM_PROCID="0", SLURM_LOCALID="0", SLURM_NODEID="0")
    with open("slurm.log", "a") as log:
        subprocess.Popen(["bash", script], env=os.environ | ids, stdout=log, stderr=log)
print("Submitted batch job 42")
"""
_SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do [[ $1 == --unbuffered ]] || shift; shift; done
exec "$@"
"""
_SACCT = """#!/bin/sh
echo 'JobID|State|NodeList'
"""


@needs_submitit
def test_submitit_slurm_submits_an_array_of_jobs(
    empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in {"sbatch": _SBATCH, "srun": _SRUN, "sacct": _SACCT}.items():
        (commands / name).write_text(text.replace("{python}", sys.executable))
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    sweep = plan_sweep(
        [
            "model=demo,phi-4",
            "hydra/launcher=submitit_slurm",
            "hydra.launcher.partition=gpus",
            "hydra.launcher.gpus_per_node=1",
            "hydra.launcher.timeout_min=90",
            "hydra.launcher.additional_parameters={mail-user: me}",
            "hydra.sweep.dir=jobs",
        ]
    )
    assert (sweep.launcher, sweep.folder) == ("submitit_slurm", "jobs")
    assert sweep.launch(print) == [Outcome(), Outcome()]
    submitted = (empty / "submitted.sh").read_text()
    for line in ("job-name=gatescope", "partition=gpus", "gpus-per-node=1", "time=90", "array=0-1"):
        assert f"#SBATCH --{line}" in submitted
    assert "#SBATCH --mail-user=me" in submitted
    printed = (empty / "slurm.log").read_text()
    for config in sweep.configs:
        assert str(config) in printed


@needs_submitit
def test_a_launcher_that_fails_is_named(
    empty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    assert main(["run", "-m", "hydra/launcher=submitit_slurm"]) == 2
    *_, message = capsys.readouterr().err.splitlines()
    assert 'hydra/launcher=submitit_slurm failed: Could not detect "srun"' in message
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(RuntimeError, match="srun"):
        main(["run", "-m", "hydra/launcher=submitit_slurm"])


@needs_submitit
def test_jobs_that_outlive_the_command_are_spoken_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> list[Outcome]:
        raise KeyboardInterrupt

    monkeypatch.setattr(Sweep, "launch", interrupted)
    assert main(["run", "-m", "hydra/launcher=submitit_slurm"]) == 130
    assert "jobs that were begun may go on" in capsys.readouterr().err
    assert main(["run", "-m"]) == 130
    assert "may go on" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model=phi-4,Yi-6B", "output=x"], "output=x would be written by two runs of the sweep:"),
        (["model=phi-4,Yi-6B", "output=x"], "leave output out, or give each its own"),
        (["model=phi-4,Yi-6B", "output=x"], "such as 'output=x-runs/${model.name}'"),
        (["model=phi-4,Yi-6B", "output=./x/,x"], "would be written by two runs"),
        (["seed=0,1"], "output=outputs/demo would be written by two runs of the sweep: give each"),
        (["seed=0,1", "scan.k=2,3", "output=s3://b/x"], "'output=s3://b/x-runs/${scan.k}-${seed}'"),
        (["seed=1,1"], "which are the same: name each value once"),
        (["model=phi-4,demo", "output=${hydra:sweep.dir}/${model.name}"], "give another folder"),
        (["model=phi-4,yi-6b"], "model=yi-6b is not a choice of model: did you mean Yi-6B?"),
        (["model=glob(nothing*)"], "model=glob(nothing*) gives no value"),
        (["modle=demo,phi-4"], "modle is not a setting: did you mean model?"),
        (["scan.kk=1,2"], "scan.kk is not a setting: did you mean scan.k?"),
        (["scan.k=1,a"], "scan.k=a has the wrong type: give a whole number"),
        (["scan.k=[1"], "cannot read 'scan.k=[1'"),
        (["scan.k"], "write key=value"),
        (["scan.k=interval(1,2)"], "scan.k=interval(1,2) gives no single values"),
        (["seed=0,-1", "output=o-${seed}"], "seed=-1 is out of range"),
        (["model.name=./nowhere,demo"], "model.name=./nowhere: no such folder"),
        (["corpus.path=a\nb"], "write key=value"),
        (["output=a-${nope},b"], "output cannot be resolved"),
        (["hydra/launcher=none"], "hydra/launcher=none is not a choice of hydra/launcher: "),
        (["hydra/launcher=none"], "pip install 'gatescope[slurm]'"),
        (["hydra/sweeper=basic"], "'hydra/sweeper=basic' is not a setting of a sweep"),
        (["hydra.sweep.dr=x"], "hydra.sweep.dr is not a setting with hydra/launcher=basic: did"),
        (["hydra.launcher.timeout_min=1"], "hydra.launcher has none"),
        (["hydra.sweep.dir=a,b"], "hydra.sweep.dir=a,b gives several values"),
        (["hydra.sweep.dir=a(b"], "cannot read 'hydra.sweep.dir=a(b'"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(
    overrides: list[str], expected: str, empty: Path
) -> None:
    assert expected in _refusal(*overrides)
    assert list(empty.iterdir()) == []


@needs_submitit
def test_mistakes_about_a_launcher() -> None:
    slurm = "hydra/launcher=submitit_slurm"
    assert "did you mean submitit_slurm?" in _refusal("hydra/launcher=submitit_slum")
    assert "did you mean partition?" in _refusal(slurm, "hydra.launcher.partitoin=gpus")
    assert "hydra.launcher.timeout_min=x" in _refusal(slurm, "hydra.launcher.timeout_min=x")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model=demo,phi-4", "model=demo,phi-4 gives several values: give one, or add -m"),
        ("scan.k=1,2", "scan.k=1,2 gives several values: give one, a list in [ ], or add -m"),
        ("hydra/launcher=submitit_slurm", "is a setting of a sweep: add -m"),
        ("hydra.launcher.timeout_min=1", "is a setting of a sweep: add -m"),
    ],
)
def test_without_m_nothing_is_swept(override: str, expected: str) -> None:
    with pytest.raises(GatescopeError) as error:
        compose_config([override])
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("a,b", ["a", "b"]),
        ("a, b c", ["a", "b c"]),
        ("1e5,007,2024_01", ["1e5", "007", "2024_01"]),
        ("C:\\x,D:\\y\\", ["C:\\x", "D:\\y\\"]),
        ("é (1).txt,日本", ["é (1).txt", "日本"]),
        ("f(a,b),c", ["f(a,b)", "c"]),
        ("it's,one", ["it's", "one"]),
        ('"a, b","c"', ["a, b", "c"]),
        ("choice(a,b)", ["a", "b"]),
        ("${oc.env:NOT_SET,x},y", ["x", "y"]),
        (" a ", [" a "]),
    ],
)
def test_texts_of_a_sweep_arrive_as_they_stand(value: str, texts: Sequence[str]) -> None:
    overrides = [f"corpus.text_column={value}", "output=o-${hydra:job.num}"]
    configs = plan_sweep(overrides).configs
    assert [config.corpus.text_column for config in configs] == texts


def test_whatever_hydra_sweeps_over_is_swept() -> None:
    overrides = ["model.layers=[0],[2,1]", "scan.k=range(1,3)", "output=o-${hydra:job.num}"]
    configs = plan_sweep([*overrides, "scan.k=3,4"]).configs
    found = [(config.model.layers, config.scan.k) for config in configs]
    assert found == [((0,), 3), ((0,), 4), ((1, 2), 3), ((1, 2), 4)]
    names = [config.model.name for config in plan_sweep(["model=glob(Qwen2*)"]).configs]
    assert names == ["Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-7B"]


def test_a_run_of_a_sweep_is_what_it_is_alone() -> None:
    overrides = ["experiment=gluscope", "scan.rankings=[gate,post]", "corpus.max_length=256"]
    swept = plan_sweep([*overrides, "model=phi-4,Yi-6B"]).configs
    alone = [compose_config([*overrides, f"model={model}"]) for model in ("phi-4", "Yi-6B")]
    assert list(swept) == alone
