"""What each command does; cli.py says what may be typed and turns errors into exit codes."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from pipeline.console import results, say, say_next
from pipeline.errors import GatescopeError

if TYPE_CHECKING:
    from pipeline.query import Activations


# Rows of a result that a person reads in a terminal; a table takes a second for a thousand.
_MOST_ROWS: Final = 1000


def run(options: argparse.Namespace, console: Console) -> int:
    """`gatescope run`: a dataset, or with -m one for each of several values."""
    from pipeline.config import compose_config
    from pipeline.launch import run_one, run_sweep

    if options.multirun:
        return run_sweep(options.overrides, console)
    run_one(compose_config(options.overrides), console)
    return 0


def status(options: argparse.Namespace, console: Console) -> int:
    """`gatescope status`: how far a run is."""
    from pipeline.store import Place, read_manifest, read_status
    from pipeline.view.run_status import render_from_elsewhere

    place = Place(options.output)
    out = results()
    manifest = read_manifest(place)
    if manifest is not None:
        say(out, f"{place}: complete, {manifest['finished']}")
        say_next(out, [["query", options.output]])
        return 0
    status = read_status(place)
    if status is None:
        raise GatescopeError(
            f"{place}: no run has begun to scan there; give the output of a `gatescope run`"
        )
    out.print(render_from_elsewhere(status, str(place)))
    return 0


def query(options: argparse.Namespace, console: Console) -> int:
    """`gatescope query`: the named queries, or the result of one, or of SQL."""
    from pipeline.query import fetch, load_queries, open_dataset, sorted_words, write_result
    from pipeline.view.summary import render_queries
    from pipeline.view.terminal import render_table

    out = results()
    queries = load_queries()
    sources, name, parameters = (
        sorted_words(options.words, queries) if options.sql is None else (options.words, None, {})
    )
    with open_dataset(sources if len(sources) > 1 else sources[0]) as opened:
        if options.sql is not None:
            statement, relation = options.sql, opened.sql(options.sql)
        elif name is not None:
            statement, relation = queries[name].sql, opened.query(name, **parameters)
        else:
            out.print(render_queries(opened.queries(), sources))
            return 0
        for note in opened.notes(statement):
            say(console, f"Note: {note}")
        try:
            if options.format == "table":
                columns, rows = fetch(relation, _MOST_ROWS + 1)
                out.print(render_table(columns, rows[:_MOST_ROWS]))
                if not rows and name is not None and queries[name].scope == "models":
                    say(console, f"Note: {name} compares datasets; give two of the same kind")
                if len(rows) > _MOST_ROWS:
                    say(out, f"... the first {_MOST_ROWS:,} rows; --format csv gives all")
            else:
                write_result(relation, options.format, sys.stdout.buffer)
            sys.stdout.flush()
        except BrokenPipeError:  # a reader that has seen enough
            raise
        except OSError as error:
            raise GatescopeError(
                f"query: the result cannot be written ({error.strerror or error}); give it room"
            ) from error
    return 0


def show(options: argparse.Namespace, console: Console) -> int:
    """`gatescope show`: one neuron."""
    from pipeline.naming import LISTED_RANKINGS
    from pipeline.query import open_dataset
    from pipeline.view.terminal import render_neuron

    layer, neuron = _neuron("show", options.neuron)
    if options.ranking not in LISTED_RANKINGS:
        raise GatescopeError(
            f"show: --ranking {options.ranking} is unknown: take one of "
            f"{', '.join(LISTED_RANKINGS)}"
        )
    if options.n < 0:
        raise GatescopeError(f"show: -n {options.n} is negative: give 0 or more")
    with open_dataset(options.dataset) as dataset:
        found = dataset.neuron(layer, neuron)
    results().print(render_neuron(found, ranking=options.ranking, n=options.n))
    return 0


def _neuron(command: str, text: str) -> tuple[int, int]:
    """The layer and neuron that a person has written."""
    layer, dot, neuron = text.partition(".")
    if not (dot and layer.isdecimal() and neuron.isdecimal()):
        raise GatescopeError(f"{command}: {text!r} is no neuron: write layer.neuron, as 31.9634")
    return int(layer), int(neuron)


def figures(options: argparse.Namespace, console: Console) -> int:
    """`gatescope figures`: every figure of the datasets as PNG, PDF and CSV."""
    from pipeline.figures import count_figures, write_figures
    from pipeline.view.figure_list import render_figures
    from pipeline.view.progress import progress

    if not options.out.strip():
        raise GatescopeError("figures: --out is empty: give a folder, or leave it out")
    if "://" in options.out:
        raise GatescopeError(f"figures: --out {options.out} is a URL: give a folder, and copy that")
    made = []
    n = count_figures(options.datasets)
    with progress(console, "Drawing", "figures", n) as advance:
        for figure in write_figures(options.datasets, Path(options.out)):
            made.append(figure)
            advance(1)
    # Its lines are to be copied, however narrow the terminal.
    results().print(render_figures(made), crop=False)
    return 0


def serve(options: argparse.Namespace, console: Console) -> int:
    """`gatescope serve`: the viewer until it is told to end, or with --export as a folder."""
    from pipeline.serving import export, serve_datasets

    if options.export is None:
        serve_datasets(options.datasets, options.host, options.port, options.model, console)
        return 0
    given = {"--host": options.host, "--port": options.port, "--model": options.model}
    idle = [name for name, value in given.items() if value is not None]
    if idle:
        raise GatescopeError(
            f"serve: --export writes a folder and starts no server; leave {', '.join(idle)} out"
        )
    export(options.datasets, options.export)
    return 0


def verify(options: argparse.Namespace, console: Console) -> int:
    """`gatescope verify`: a line for each invariant; gives 1 where any is violated."""
    from pipeline.query import check_rerun, open_dataset, refuse_rerun
    from pipeline.verifying import checks_of
    from pipeline.view.summary import render_check

    if options.rerun < 0:
        raise GatescopeError(f"verify: --rerun {options.rerun} is negative: give 0 or more")
    out = results()
    n_failed = 0
    with open_dataset(options.dataset) as dataset:
        if options.rerun:
            refuse_rerun(dataset)
        for check in checks_of(dataset):
            out.print(render_check(check))
            n_failed += not check.ok
        if options.rerun:
            forward = _forward(dataset.manifest, options.model)
            check = check_rerun(dataset, options.rerun, forward)
            out.print(render_check(check))
            n_failed += not check.ok
    verdict = "the dataset is sound" if not n_failed else f"{n_failed} checks failed"
    say(out, f"{options.dataset}: {verdict}", "bold red" if n_failed else "bold green")
    return 1 if n_failed else 0


def _forward(manifest: dict[str, Any], model_name: str | None) -> Any:
    from pipeline.dataset_model import load_again
    from pipeline.query import Activations

    model = load_again(manifest, model_name)

    def forward(input_ids: list[int], neurons: list[tuple[int, int]]) -> list[Activations]:
        columns = model.columns(input_ids, neurons)
        return [Activations(*(tensor.numpy() for tensor in column)) for column in columns]

    return forward


def publish(options: argparse.Namespace, console: Console) -> None:
    """`gatescope publish`: a dataset on the Hub."""
    from pipeline.publishing import publish as to_hub

    to_hub(
        options.dataset,
        options.repo,
        public=options.public,
        space=options.space,
        no_corpus=options.no_corpus,
        dry_run=options.dry_run,
        console=console,
    )


def take_in(options: argparse.Namespace, console: Console) -> None:
    """`gatescope import`: a dataset of what GLUScope has measured."""
    from pipeline.imported import import_dataset

    import_dataset(
        options.source,
        options.dataset,
        corpus=options.corpus,
        model=options.model,
        overrides=options.overrides,
        console=console,
    )


def export(options: argparse.Namespace, console: Console) -> None:
    """`gatescope export`: a dataset, or neurons of it, as other tools read them."""
    from pipeline.exporting import export_dataset

    neurons = [_neuron("export", text) for text in options.neurons]
    export_dataset(
        options.dataset, options.out, format=options.format, neurons=neurons, console=console
    )
