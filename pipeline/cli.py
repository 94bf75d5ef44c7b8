"""The command `gatescope`: run, status, query, show, verify."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.console import Console

from pipeline.console import messages, results, say_why
from pipeline.errors import GatescopeError, Interrupted

if TYPE_CHECKING:
    from pipeline.query import Activations, Check, Dataset

_RUN_HELP = """\
overrides of the configuration, such as
  gatescope run                                          the built-in model on the built-in corpus
  gatescope run model=Qwen3-0.6B-Base corpus=fineweb-edu corpus.max_tokens=1000000
  gatescope run model.name=org/name-or-folder corpus=local corpus.path=texts.jsonl output=my-neurons
  gatescope run experiment=gluscope model=OLMo-7B-0424-hf corpus=dolma-small
  gatescope run -m model=Qwen3-0.6B-Base,gemma-3-270m    a dataset of each model
A run that was stopped goes on when the same command is given again.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; gives its exit code.

    0 done, 1 verify found violations, 2 what the user can mend, 130 interrupted, 143 told to leave;
    of a sweep, that of the first run that failed, where 1 is a fault of the program.
    """
    parser = _parser()
    options, words = parser.parse_known_args(arguments)
    if "overrides" in options and not any(word.startswith("-") for word in words):
        options.overrides += words  # those that stand after a -m among them
    elif words:
        parser.error(f"unrecognized arguments: {' '.join(words)}")
    # Read as torch is loaded, which is later. Threads that spin while they wait take the cores from
    # those that work: on a machine with other work to do a scan was 20 times slower.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Large pages for large tensors, where Linux has them: a scan is 7% faster, as the lists of its
    # state lie far apart and a forward asks for fresh memory at every step.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    console = messages()
    try:
        return int(options.command(options, console) or 0)
    except GatescopeError as error:
        say_why(console, error)
        return 2
    except Interrupted:
        console.print(
            "gatescope: told to leave (SIGTERM); what was counted is kept, and the same command "
            "again goes on",
            soft_wrap=True,
        )
        return 143
    except KeyboardInterrupt:
        console.print(
            "gatescope: interrupted; the same command again goes on from the last snapshot"
        )
        return 130
    except BrokenPipeError:
        # The reader (`head`, `less`) has gone; give its closed pipe no more to complain about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gatescope", description="For every neuron of a gated language model, its signs."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="make a dataset: corpus, scan, merge, weights, card",
        epilog=_RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument(
        "-m", "--multirun", action="store_true", help="a run for each of several values, a,b,c"
    )
    run.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    run.set_defaults(command=_run)

    status = commands.add_parser("status", help="how far a run is, from anywhere")
    status.add_argument("output", help="the folder or URL that the run writes to")
    status.set_defaults(command=_status)

    query = commands.add_parser("query", help="ask a dataset; without a name, list the queries")
    query.add_argument("dataset", help="a folder, a URL or a Hub id")
    query.add_argument("name", nargs="?", help="a named query")
    query.add_argument("parameters", nargs="*", metavar="PARAMETER=VALUE")
    query.add_argument("--sql", help="a statement of your own instead of a named query")
    query.add_argument("--format", choices=("table", "csv", "json", "parquet"), default="table")
    query.set_defaults(command=_query)

    show = commands.add_parser("show", help="one neuron in the terminal")
    show.add_argument("dataset", help="a folder, a URL or a Hub id")
    show.add_argument("neuron", metavar="LAYER.NEURON", help="such as 31.9634")
    show.add_argument("--ranking", default="post", help="the ranking of the examples")
    show.add_argument("-n", type=int, default=3, help="examples of each combination")
    show.set_defaults(command=_show)

    verify = commands.add_parser("verify", help="check every invariant of a dataset")
    verify.add_argument("dataset", help="a folder, a URL or a Hub id")
    verify.add_argument(
        "--rerun", type=int, default=0, metavar="N", help="and N stored rows against the model"
    )
    verify.add_argument("--model", help="where the model is now, if not where the run found it")
    verify.set_defaults(command=_verify)
    return parser


def _run(options: argparse.Namespace, console: Console) -> int:
    from pipeline.config import compose_config
    from pipeline.launch import run_one, run_sweep

    if options.multirun:
        return run_sweep(options.overrides, console)
    run_one(compose_config(options.overrides), console)
    return 0


def _status(options: argparse.Namespace, console: Console) -> int:
    from pipeline.store import Place, read_manifest, read_status
    from pipeline.view.run_status import render_from_elsewhere

    place = Place(options.output)
    out = results()
    manifest = read_manifest(place)
    if manifest is not None:
        out.print(f"{place}: complete, {manifest['finished']}", soft_wrap=True)
        out.print(f"\nNext:\n  gatescope query {place}", soft_wrap=True)
        return 0
    status = read_status(place)
    if status is None:
        raise GatescopeError(
            f"{place}: no run has begun to scan there; give the output of a `gatescope run`"
        )
    out.print(render_from_elsewhere(status, str(place)))
    return 0


def _opened(source: str) -> Dataset:
    from pipeline.query import open_dataset

    return open_dataset(source)


def _query(options: argparse.Namespace, console: Console) -> int:
    from pipeline.query import fetch, write_result
    from pipeline.view.summary import render_queries
    from pipeline.view.terminal import render_table

    out = results()
    with _opened(options.dataset) as dataset:
        if options.sql is not None:
            if options.name is not None:
                raise GatescopeError(
                    f"query: both --sql and the query {options.name} are given; give one of them"
                )
            relation = dataset.sql(options.sql)
        elif options.name is None:
            out.print(render_queries(dataset.queries(), options.dataset))
            return 0
        else:
            relation = dataset.query(options.name, **_parameters(options.parameters))
        if options.format == "table":
            out.print(render_table(*fetch(relation)))
        else:
            write_result(relation, options.format, sys.stdout.buffer)
    return 0


def _parameters(words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise GatescopeError(f"query parameter {word!r} is not PARAMETER=VALUE: write n=5")
        pairs[name] = value
    return pairs


def _show(options: argparse.Namespace, console: Console) -> int:
    from pipeline.naming import RANKINGS
    from pipeline.view.terminal import render_neuron

    layer, dot, neuron = options.neuron.partition(".")
    if not (dot and layer.isdecimal() and neuron.isdecimal()):
        raise GatescopeError(
            f"show: {options.neuron!r} is no neuron: write layer.neuron, as 31.9634"
        )
    if options.ranking not in RANKINGS:
        raise GatescopeError(
            f"show: --ranking {options.ranking} is unknown: take one of {', '.join(RANKINGS)}"
        )
    if options.n < 0:
        raise GatescopeError(f"show: -n {options.n} is negative: give 0 or more")
    with _opened(options.dataset) as dataset:
        found = dataset.neuron(int(layer), int(neuron))
    results().print(render_neuron(found, ranking=options.ranking, n=options.n))
    return 0


def _verify(options: argparse.Namespace, console: Console) -> int:
    from pipeline.query import check_invariants, check_rerun
    from pipeline.view.summary import render_check

    if options.rerun < 0:
        raise GatescopeError(f"verify: --rerun {options.rerun} is negative: give 0 or more")
    out = results()
    n_failed = 0
    with _opened(options.dataset) as dataset:
        for check in (*check_invariants(dataset), _pages(dataset)):
            out.print(render_check(check))
            n_failed += not check.ok
        if options.rerun:
            forward = _forward(dataset.manifest, options.model)
            check = check_rerun(dataset, options.rerun, forward)
            out.print(render_check(check))
            n_failed += not check.ok
    verdict = "the dataset is sound" if not n_failed else f"{n_failed} checks failed"
    out.print(f"{options.dataset}: {verdict}", style="bold red" if n_failed else "bold green")
    return 1 if n_failed else 0


def _pages(dataset: Dataset) -> Check:
    from pipeline.query import Check
    from pipeline.store import Place, damaged_files

    source = dataset.source
    files = [path for paths in source.files.values() for path in paths]
    names = [path.removeprefix(f"{source.root}/") for path in files]
    found = tuple(damaged_files(Place(source.root), names))
    sentence = "every page of every file is as it was written"
    return Check("pages", sentence, len(names), len(found), found[:5])


def _forward(manifest: dict[str, Any], model_name: str | None) -> Any:
    from pipeline.config import from_dict
    from pipeline.model import inspect_model, load_model
    from pipeline.query import Activations

    config = from_dict(manifest["config"]).model
    config = replace(
        config,
        name=model_name or config.name,
        revision=config.revision if model_name else manifest["model"]["revision"],
        dtype=manifest["model"]["dtype"],
        device="auto",
    )
    model = load_model(config, inspect_model(config))

    def forward(input_ids: list[int], neurons: list[tuple[int, int]]) -> list[Activations]:
        columns = model.columns(input_ids, neurons)
        return [Activations(*(tensor.numpy() for tensor in column)) for column in columns]

    return forward
