"""A run without a scan: model -> weights -> card -> manifest, one layer in memory at a time."""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import ExitStack
from typing import Any

from rich.console import Console

from pipeline.config import RunConfig
from pipeline.console import say
from pipeline.errors import Interrupted
from pipeline.frame import finish, sole_writer, total_rows
from pipeline.layer import table_settings, token_matrices, write_weights
from pipeline.model import (
    ModelFacts,
    ModelInfo,
    ModelWeights,
    give_back_memory,
    open_weights,
)
from pipeline.schema import WEIGHT_TABLES
from pipeline.stages import make_vocab, note, told_to_leave
from pipeline.status import RunStatus
from pipeline.store import EventLog, Place, RunRecord, now
from pipeline.view.progress import progress


def run_weights(
    config: RunConfig,
    place: Place,
    record: RunRecord,
    begun: dict[str, Any] | None,
    settings: dict[str, Any],
    info: ModelInfo,
    tokenizer: Any,
    console: Console,
) -> dict[str, Any]:
    """Make a dataset of weights alone, or go on after its last whole layer; gives the manifest.

    `settings` are those of the run, resolved; `begun` those that an unfinished one began with.
    Raises Interrupted after a SIGTERM.
    """
    started = time.monotonic()
    with ExitStack() as stack:
        leave = stack.enter_context(told_to_leave())
        with console.status("Reading the model"):
            facts, weights = stack.enter_context(open_weights(config.model, info))
        say(
            console,
            f"Model {facts.name}: {facts.architecture}, {len(facts.layers)} layers x "
            f"{facts.n_neurons[0]:,} neurons{'' if facts.gated else ' without gates'}, "
            f"{facts.act_fn}, {facts.dtype} on {facts.device}; its weights alone",
        )
        guard = stack.enter_context(sole_writer(place, record, begun, console))
        events = EventLog(place)
        if begun is None:
            record.begin(settings)
        events.write("started" if begun is None else "resumed")
        n_vocab = make_vocab(place, tokenizer, info)
        try:
            n_rows = _write_layers(config, place, record, facts, weights, events, leave, console)
        finally:
            events.flush()
        said = {
            "scan": {"wall_s": time.monotonic() - started},
            "tables": {"vocab": n_vocab, **n_rows},
        }
        return finish(place, record, events, guard, config, settings, facts, tokenizer, said)


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
        note(
            console,
            f"weight_tokens has no lists of the {' and the '.join(sorted(absent))}: not in the "
            "model's files, or of another width than its residual stream",
        )
    with progress(console, "Weights", "neurons", sum(n_neurons.values()), done) as advance:
        record.keep_status(_status(facts, len(written)))
        for layer in facts.layers:
            if layer in written:
                continue
            if leave.is_set():
                raise Interrupted
            n_rows, _ = write_weights(place, weights, layer, tables, matrices, lambda: None)
            written[layer] = n_rows
            record.keep_layer(layer, written[layer])
            record.keep_status(_status(facts, len(written)))
            events.write("layer_written", layer=layer)
            give_back_memory()
            advance(n_neurons[layer])
    return total_rows(written)


def _status(facts: ModelFacts, n_layers_done: int) -> RunStatus:
    return RunStatus(
        time=now(),
        phase="weights",
        host=socket.gethostname(),
        pid=os.getpid(),
        n_layers=len(facts.layers),
        n_layers_done=n_layers_done,
    )
