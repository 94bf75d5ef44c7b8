"""`gatescope run`: a run and what is printed about it, or those of a sweep one by one."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.config import RunConfig
from pipeline.console import messages, results, say, say_next, say_why
from pipeline.errors import GatescopeError

if TYPE_CHECKING:
    from pipeline.query import Dataset


_FREQUENCIES: Final = (
    "select layer, combo, avg(frequency) from sign_stats group by all order by all"
)
_OF_LAYERS: Final = (
    "select layer, median_cos_gate_in, median_cos_gate_out, median_cos_in_out, randomness_high,"
    " n_orthogonal_output / n_neurons as orthogonal"
    " from layers order by layer"
)


def run_one(config: RunConfig, console: Console) -> None:
    """Make the dataset, or go on with it, and print what it shows and what to type next."""
    from pipeline.query import fetch, open_dataset
    from pipeline.run import run
    from pipeline.view.summary import render_summary, render_weights_summary

    result = run(config, console)
    out, place = results(), str(config.output)
    with open_dataset(place) as dataset:
        if config.scan.name == "none":
            out.print(render_weights_summary(dataset.manifest, *fetch(dataset.sql(_OF_LAYERS))))
        else:
            _, frequencies = fetch(dataset.sql(_FREQUENCIES))
            out.print(render_summary(dataset.manifest, frequencies))
        if result.already_complete:
            say(out, f"{place} is already complete: nothing was done.")
        layer, neuron = _worth_showing(dataset)
    rerun = [] if config.scan.name == "none" else ["--rerun", "100"]
    say_next(
        out,
        [
            ["query", place],
            ["serve", place],
            ["figures", place],
            ["show", place, f"{layer}.{neuron}"],
            ["verify", place, *rerun],
        ],
    )


def run_sweep(overrides: Sequence[str], console: Console) -> int:
    """Launch the runs of `gatescope run -m`; gives the exit code of the first that failed, or 0.

    Raises GatescopeError for what is known before any begins, and where a launcher fails.
    """
    from pipeline.config import plan_sweep

    sweep = plan_sweep(overrides)
    n = len(sweep.configs)
    how = "one after the other"
    if sweep.folder is not None:
        how = f"by hydra/launcher={sweep.launcher}, with its files and logs in {sweep.folder}"
    say(console, f"{n} {'run' if n == 1 else 'runs'}, {how}")
    try:
        outcomes = sweep.launch(_run_of_sweep)
    except KeyboardInterrupt:
        if sweep.launcher != "basic":
            console.print("The jobs that were begun may go on: end them where they run.")
        raise
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("model", "output", "result"):
        table.add_column(title, overflow="fold")
    for config, outcome in zip(sweep.configs, outcomes, strict=True):
        style = "bold red" if outcome.code else "bold green"
        cells = (config.model.name, str(config.output), Text(outcome.message, style))
        table.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in cells))
    out = results()
    out.print()
    out.print(table)
    return next((outcome.code for outcome in outcomes if outcome.code), 0)


def _run_of_sweep(config: RunConfig) -> None:
    """One run, in this process or wherever a launcher has brought it."""
    _free_memory()
    console = messages()
    console.print()
    say(console, f"{config.model.name}: {config.output}")
    try:
        run_one(config, console)
    except GatescopeError as error:
        say_why(console, error)
        raise


def _free_memory() -> None:
    """Give back what the model before took: the next one asks how much is free."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _worth_showing(dataset: Dataset) -> tuple[int, int]:
    """A neuron to look at first: its weights say one thing, its activations another."""
    from pipeline.query import fetch

    _, rows = fetch(
        dataset.sql(
            "select layer, neuron from neuron_summary"
            " order by cos_gate_in * (1 - agreement_frequency) desc nulls last,"
            " abs(cos_in_out) desc, layer, neuron"
            " limit 1"
        )
    )
    return rows[0][0], rows[0][1]
