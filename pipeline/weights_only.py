"""A run without a scan: model -> weights -> card -> manifest, one layer in memory at a time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

from rich.console import Console

from pipeline.config import RunConfig, to_dict
from pipeline.errors import GatescopeError, Interrupted
from pipeline.hub import write_card
from pipeline.layer import table_settings, token_matrices, write_weights
from pipeline.model import (
    ModelFacts,
    ModelInfo,
    ModelWeights,
    give_back_memory,
    open_weights,
    tokenizer_hash,
)
from pipeline.provenance import provenance
from pipeline.schema import WEIGHT_TABLES
from pipeline.stages import make_vocab, told_to_leave
from pipeline.store import EventLog, Place, RunRecord, only_writer, read_manifest
from pipeline.view.progress import progress


def run_weights(
    config: RunConfig,
    place: Place,
    record: RunRecord,
    settings: dict[str, Any],
    info: ModelInfo,
    tokenizer: Any,
    console: Console,
) -> dict[str, Any]:
    """Make a dataset of weights alone, or go on after its last whole layer; gives the manifest.

    `settings` are those of the run, resolved. Raises Interrupted after a SIGTERM.
    """
    started = time.monotonic()
    begun = record.settings()
    with ExitStack() as stack:
        leave = stack.enter_context(told_to_leave())
        with console.status("Reading the model"):
            facts, weights = stack.enter_context(open_weights(config.model, info))
        console.print(
            f"Model {facts.name}: {facts.architecture}, {len(facts.layers)} layers x "
            f"{facts.n_neurons[0]:,} neurons{'' if facts.gated else ' without gates'}, "
            f"{facts.act_fn}, {facts.dtype} on {facts.device}; its weights alone",
            highlight=False,
            soft_wrap=True,
        )
        guard = stack.enter_context(
            only_writer(place, lambda text: console.print(text, highlight=False))
        )
        if read_manifest(place) is not None or record.settings() != begun:
            raise GatescopeError(
                f"output={place}: another run has just written there; run the same command again"
            )
        record.sweep()
        events = EventLog(place)
        if begun is None:
            record.begin(settings)
        events.write("started" if begun is None else "resumed")
        n_vocab = make_vocab(place, tokenizer, info)
        try:
            n_rows = _write_layers(config, place, record, facts, weights, events, leave, console)
        finally:
            events.flush()
        manifest = {
            "model": facts.to_json() | {"tokenizer_sha256": tokenizer_hash(tokenizer)},
            "config": to_dict(config),
            "settings": settings,
            "scan": {"wall_s": time.monotonic() - started},
            "tables": {"vocab": n_vocab, **n_rows},
            **provenance(),
        }
        write_card(place, manifest)
        events.write("finished")
        events.flush()
        guard()
        record.finish(manifest)
    return manifest


def _write_layers(
    config: RunConfig,
    place: Place,
    record: RunRecord,
    facts: ModelFacts,
    weights: ModelWeights,
    events: EventLog,
    leave: threading.Event,
    console: Console,
) -> dict[str, int]:
    """Write the tables of every layer that is not there yet; rows a table, of all layers."""
    tables = table_settings(config)
    written = record.layers(WEIGHT_TABLES)
    n_neurons = dict(zip(facts.layers, facts.n_neurons, strict=True))
    done = sum(n for layer, n in n_neurons.items() if layer in written)
    with console.status("Reading the vocabulary's vectors"):
        matrices = token_matrices(weights, tables)
    absent = {"embedding", "unembedding"} - {matrix.name for matrix in matrices}
    if absent and tables.token_k:
        console.print(
            f"Note: weight_tokens has no lists of the {' and the '.join(sorted(absent))}: not in "
            "the model's files, or of another width than its residual stream",
            highlight=False,
            style="yellow",
            soft_wrap=True,
        )
    with progress(console, "Weights", "neurons", sum(n_neurons.values()), done) as advance:
        for layer in facts.layers:
            if layer in written:
                continue
            if leave.is_set():
                raise Interrupted
            written[layer] = write_weights(place, weights, layer, tables, matrices, lambda: None)
            record.keep_layer(layer, written[layer])
            events.write("layer_written", layer=layer)
            give_back_memory()
            advance(n_neurons[layer])
    n_rows: Counter[str] = Counter()
    for of_layer in written.values():
        n_rows.update(of_layer)
    return dict.fromkeys(WEIGHT_TABLES, 0) | dict(n_rows)
