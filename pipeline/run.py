"""One run, top to bottom: corpus -> scan -> weights -> merge -> card -> manifest.

Each stage (stages.py) leaves whole files in the output place; the same command again goes on from
there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from pipeline.config import RunConfig, scan_settings
from pipeline.console import say
from pipeline.errors import GatescopeError
from pipeline.frame import files_of, finish, refuse_differences, sole_writer, total_rows
from pipeline.model import inspect_model, load_tokenizer, weights_dtype
from pipeline.scan import Totals
from pipeline.stages import (
    hire,
    make_corpus,
    make_vocab,
    note,
    open_texts,
    plan_scan,
    scan_and_merge,
    told_to_leave,
    warn_of_context,
    workers_config,
)
from pipeline.store import WORK, EventLog, Place, RunRecord, only_writer, read_manifest
from pipeline.weights_only import run_weights


@dataclass(frozen=True)
class RunResult:
    """What `run` gives: the manifest, and whether this call had anything left to do."""

    manifest: dict[str, Any]
    already_complete: bool


def run(config: RunConfig, console: Console) -> RunResult:
    """Make the dataset that `config` describes, or go on where an earlier run stopped.

    Raises GatescopeError for what the user can mend; what is done by then is kept.
    """
    started = time.monotonic()
    assert config.output is not None  # compose_config fills it in
    place = Place(config.output)
    record = RunRecord(place)
    settings = scan_settings(config) | files_of(config)
    manifest = read_manifest(place)
    if manifest is not None:
        refuse_differences(place, manifest["settings"], settings, "a finished dataset")
        if place.exists(WORK):
            with only_writer(place):
                _clear(record, console)
        return RunResult(manifest, already_complete=True)
    record.refuse_foreign()

    # Whatever can be refused is refused before anything is written.
    begun = record.settings()
    if begun is not None:
        refuse_differences(place, begun, settings, "an unfinished run")
    info = inspect_model(config.model, needs_gate=config.scan.name != "none")
    tokenizer = load_tokenizer(config.model, info)
    settings["model.resolved_revision"] = info.revision
    if config.scan.name == "none":
        settings["model.resolved_dtype"] = weights_dtype(config.model)
        if begun is not None:
            refuse_differences(place, begun, settings, "an unfinished run")
        manifest = run_weights(config, place, record, begun, settings, info, tokenizer, console)
        _clear(record, console)
        return RunResult(manifest, already_complete=False)
    with told_to_leave() as leave, hire(workers_config(config, info, place), console) as team:
        resolved = (begun or {}).get("scan.resolved_tokens_per_batch")
        facts, plan = plan_scan(team, info, resolved, leave, console)
        settings["model.resolved_dtype"] = facts.dtype
        settings["scan.resolved_tokens_per_batch"] = plan.settings.tokens_per_batch
        if begun is not None:
            refuse_differences(place, begun, settings, "an unfinished run")
        texts = None
        if begun is None:
            texts = open_texts(config, tokenizer, facts.d_vocab, facts.device)

        with sole_writer(place, record, begun, console) as guard:
            if texts is not None:
                record.begin(settings)
                corpus = make_corpus(place, record, config, texts, leave, console)
            else:
                corpus = record.corpus()
                say(console, f"Resuming {place}: the corpus is written")
            warn_of_context(corpus, info, console)
            events = EventLog(place)
            events.write("started" if texts is not None else "resumed", cluster=config.cluster.name)
            n_vocab = make_vocab(place, tokenizer, info)
            try:
                driver = scan_and_merge(
                    place, corpus, facts, config, plan, team, events, guard, leave, console
                )
            finally:
                events.flush()
            # Nobody has files open there when the work folder goes.
            team.close()
            n_rows = {
                "corpus": corpus.n_examples,
                "vocab": n_vocab,
                **total_rows(driver.layers.written),
            }
            said = {
                "corpus": {
                    "name": config.corpus.name,
                    "n_examples": corpus.n_examples,
                    "n_tokens": corpus.n_tokens,
                    "fingerprint": corpus.fingerprint,
                    **corpus.facts,
                },
                "scan": {
                    "tokens_per_batch": plan.settings.tokens_per_batch,
                    "n_units": len(corpus.units),
                    **_scan_facts(driver.totals),
                    "wall_s": time.monotonic() - started,
                },
                "tables": n_rows,
            }
            manifest = finish(
                place, record, events, guard, config, settings, facts, tokenizer, said
            )
            _clear(record, console)
    return RunResult(manifest, already_complete=False)


def _clear(record: RunRecord, console: Console) -> None:
    """Remove the work folder of a dataset that is complete whatever comes of this."""
    try:
        record.clear()
    except GatescopeError as error:
        note(console, str(error))


def _scan_facts(totals: Totals) -> dict[str, Any]:
    """Of the process that finished the run; rates are null where it had nothing left to scan.

    `waiting` is the part of the workers' time that passed between two units.
    """
    scanned = totals.n_padded > 0
    at_work = totals.busy_s + totals.waited_s
    return {
        "n_resumed_units": totals.n_resumed_units,
        "n_units_again": totals.n_units_again,
        "n_snapshots": totals.n_snapshots,
        "n_damaged_snapshots": totals.n_damaged,
        "compiled": totals.compiled,
        "n_halved": totals.n_halved,
        "padding": 1 - totals.n_tokens / totals.n_padded if scanned else None,
        "scan_s": totals.scan_s,
        "tokens_per_s": totals.n_tokens / totals.scan_s if scanned else None,
        "waiting": totals.waited_s / at_work if scanned else None,
        "workers": [
            {"name": name, "node": node, "device": device, "n_units": totals.n_units_of[name]}
            for name, (node, device) in totals.nodes.items()
        ],
    }
