"""What a configuration may hold: ranges, choices, and settings that contradict each other."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from pipeline.config.settings import (
    ClusterConfig,
    CorpusConfig,
    ModelConfig,
    RunConfig,
    ScanConfig,
    default_output,
    differences,
    flat,
    to_dict,
)
from pipeline.errors import GatescopeError
from pipeline.naming import RANKINGS

_CHOICES: Final = {
    "model.dtype": ("auto", "float32", "bfloat16", "float16"),
    "corpus.source": ("demo", "local", "hub"),
    "scan.name": ("default", "none"),
    "scan.state_device": ("auto", "cpu"),
    "scan.compile": ("auto", "true", "false"),
    "cluster.name": ("inprocess", "ray"),
}
_LEAST: Final = {
    "corpus.max_length": 1,
    "corpus.max_tokens": 1,
    "scan.k": 1,
    "scan.spare": 0,
    "scan.window.before": 0,
    "scan.window.after": 0,
    "scan.unit_tokens": 1,
    "scan.tokens_per_batch": 1,
    "weights.k": 0,
    "cluster.workers": 1,
    "cluster.cpus_per_worker": 1,
    "cluster.gpus_per_worker": 0,
}
_URL: Final = re.compile(r"[A-Za-z][\w+.-]*:(//|:)")


def check(config: RunConfig) -> None:
    """Raise GatescopeError for the first value that cannot be, alone or beside another."""
    for problem in _problems(config):
        raise GatescopeError(problem)


def check_outputs(configs: Sequence[RunConfig]) -> None:
    """Raise GatescopeError where two runs of a sweep would write to one place."""
    writers: dict[str, RunConfig] = {}
    for config in configs:
        output = config.output or default_output(config)
        place = output if _URL.match(output) else os.path.abspath(os.path.expanduser(output))
        other = writers.setdefault(place.rstrip("/"), config)
        if other is not config:
            raise GatescopeError(_shared(output, other, config, configs))


def suggestion(word: str, known: Collection[str]) -> str:
    """`did you mean scan.k?` for the closest of `known`, or the list of them all."""
    folded = {name.casefold(): name for name in known}
    tails = {name.rpartition(".")[2]: name for name in folded}
    close = difflib.get_close_matches(word.casefold(), folded, n=1)
    if not close:
        tail = difflib.get_close_matches(word.casefold().rpartition(".")[2], tails, n=1)
        close = [tails[match] for match in tail]
    return f"did you mean {folded[close[0]]}?" if close else f"known: {', '.join(sorted(known))}"


def _shared(output: str, one: RunConfig, other: RunConfig, configs: Sequence[RunConfig]) -> str:
    written = f"output={output} would be written by two runs of the sweep"
    sweeps = [differences(to_dict(configs[0]), to_dict(config)) for config in configs[1:]]
    keys = {line.partition(":")[0] for lines in sweeps for line in lines} - {"output"}
    for name in ("model.name", "corpus.name"):
        if name in keys:  # which stands for the whole group
            group = name.partition(".")[0]
            keys = {key for key in keys if key == name or not key.startswith(f"{group}.")}
    if one == other or not keys:
        return f"{written}, which are the same: name each value once"
    instead = "leave output out, or " if default_output(one) != default_output(other) else ""
    each = "-".join(f"${{{key}}}" for key in sorted(keys))
    return f"{written}: {instead}give each its own, such as 'output={output}-runs/{each}'"


def _problems(config: RunConfig) -> Iterator[str]:
    values = flat(asdict(config))
    for key, least in _LEAST.items():
        if values[key] is not None and values[key] < least:
            yield f"{key}={values[key]} is too small: give at least {least}"
    for key, choices in _CHOICES.items():
        if values[key] not in choices:
            yield f"{key}={values[key]} is not known: give {' or '.join(choices)}"
    if not 0 < config.weights.threshold < 1:
        yield f"weights.threshold={config.weights.threshold} is out of range: give 0.5 or the like"
    if config.scan.name == "none" and config.cluster.name != "inprocess":
        yield f"cluster={config.cluster.name} does not go with scan=none: leave it out"
    yield from _model_problems(config.model)
    yield from _corpus_problems(config.corpus)
    yield from _scan_problems(config.scan, config.corpus.max_length)
    yield from _cluster_problems(config.cluster, values)
    if config.output is not None and not config.output.strip():
        yield "output is empty: give a folder or a URL, or leave it out"
    if not 0 <= config.seed < 2**63:
        yield f"seed={config.seed} is out of range: give a whole number from 0 to 2**63 - 1"


def _model_problems(model: ModelConfig) -> Iterator[str]:
    if not model.name.strip():
        yield "model.name is empty: give a Hub id such as Qwen/Qwen2.5-0.5B, or a folder"
    # Neither a Hub id nor `demo` starts like this.
    if re.match(r"[./~\\]", model.name) and not Path(model.name).expanduser().is_dir():
        yield f"model.name={model.name}: no such folder; give one that holds a model, or a Hub id"
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?|mps", model.device):
        yield f"model.device={model.device} is not known: give auto, cpu, cuda, cuda:N or mps"
    if model.layers is not None:
        if not model.layers:
            yield "model.layers is empty: name layers such as [0,1], or null for all"
        if len(set(model.layers)) < len(model.layers):
            yield f"model.layers={list(model.layers)} names a layer twice: name each once"
        if any(layer < 0 for layer in model.layers):
            yield f"model.layers={list(model.layers)}: layers are counted from 0; give 0 or more"


def _corpus_problems(corpus: CorpusConfig) -> Iterator[str]:
    path = corpus.path
    if corpus.source == "demo":
        if path is not None:
            yield f"corpus.path={path} is not read by corpus={corpus.name}: add corpus=local"
        if corpus.tokenized:
            yield "corpus.tokenized=true does not go with the built-in texts: add corpus=tokenized"
    elif path is None or not path.strip():
        wanted = "a file or a folder" if corpus.source == "local" else "the data set's Hub id"
        yield f"corpus.path is not set for corpus={corpus.name}: give {wanted}, corpus.path=..."
    elif corpus.source == "local" and not _URL.match(path) and not Path(path).expanduser().exists():
        yield f"corpus.path={path}: no such file or folder; correct the path"


def _cluster_problems(cluster: ClusterConfig, values: dict[str, object]) -> Iterator[str]:
    for key in ("snapshot_every_s", "hang_after_s"):
        seconds = getattr(cluster, key)
        if seconds is not None and not 0 < seconds < math.inf:
            yield f"cluster.{key}={seconds} is not a time: give a number of seconds above 0"
    if cluster.name == "inprocess":
        for key in ("workers", "cpus_per_worker", "address"):
            if values[f"cluster.{key}"] is not None:
                yield (
                    f"cluster.{key}={values[f'cluster.{key}']} does not go with one process: "
                    "add cluster=ray"
                )
    if cluster.address is not None and not cluster.address.strip():
        yield "cluster.address is empty: give auto, ray://HOST:10001, or null for this machine"


def _scan_problems(scan: ScanConfig, max_length: int) -> Iterator[str]:
    if not scan.rankings:
        yield f"scan.rankings is empty: give some of [{','.join(RANKINGS)}]"
    for ranking in scan.rankings:
        if ranking not in RANKINGS:
            yield f"scan.rankings: {ranking} is not a ranking; {suggestion(ranking, RANKINGS)}"
    if len(set(scan.rankings)) < len(scan.rankings):
        yield f"scan.rankings=[{','.join(scan.rankings)}] names a ranking twice: name each once"
    if scan.skip_bos and max_length < 2:
        yield (
            f"corpus.max_length={max_length} leaves nothing to count beside scan.skip_bos=true: "
            "give at least 2, or scan.skip_bos=false"
        )
    width = scan.window.before + scan.window.after + 1
    if width > max_length:
        yield (
            f"scan.window.before={scan.window.before} and scan.window.after={scan.window.after} "
            f"make a window of {width}, longer than corpus.max_length={max_length}: "
            "shorten the window or raise corpus.max_length"
        )
