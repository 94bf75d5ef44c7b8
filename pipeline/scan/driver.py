"""The driver of one process: units one after the other, snapshots, resume."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from pipeline.model import GatedModel
from pipeline.prefetch import prefetched
from pipeline.reduce import LayerState
from pipeline.scan.compiled import choose_update
from pipeline.scan.worker import ScanSettings, Worker
from pipeline.store import (
    CorpusIndex,
    CorpusReader,
    Place,
    Snapshot,
    open_layer,
    save_snapshot,
)

# The name of the only worker of a process.
_WORKER = "worker-0"


@dataclass(frozen=True)
class ScanReport:
    """What a scan did, for the manifest: tokens and seconds of this process alone.

    `n_halved` counts the batches that ran out of memory and were done again in halves.
    """

    snapshots: list[Snapshot]
    n_tokens: int
    n_padded: int
    scan_s: float
    compiled: bool
    n_halved: int
    n_resumed_units: int


def scan(
    place: Place,
    corpus: CorpusIndex,
    model: GatedModel,
    settings: ScanSettings,
    snapshots: list[Snapshot],
    *,
    state_device: torch.device,
    compile_setting: str,
    snapshot_every_s: float,
    progress: Callable[[int], None],
    note: Callable[[str], object],
) -> ScanReport:
    """Scan the units that none of `snapshots` covers; `progress` is told the tokens of each batch.

    `snapshots` are those in `place`; new ones go there. `note` is told what a person should know of
    how it is scanned.
    """
    done = {unit for snapshot in snapshots for unit in snapshot.units}
    todo = [unit for unit in corpus.units if unit.unit_id not in done]
    own = next((snapshot for snapshot in snapshots if snapshot.worker == _WORKER), None)
    states: dict[int, LayerState] = {}
    if own is not None:
        for layer in model.layers:
            whole = settings.state(model, layer)
            with open_layer(place, own, layer, whole) as stored:
                state = stored.neurons(0, whole.n_neurons)
            states[layer] = _to_device(state, state_device)
    todo_tokens = sum(unit.n_tokens for unit in todo)
    n_neurons = sum(model.n_neurons(layer) for layer in model.layers)
    # By the whole corpus, not by what is left: a resumed run must reduce as an undisturbed one.
    update, compiled = choose_update(
        compile_setting,
        corpus.n_tokens * n_neurons,
        state_device,
        settings.state(model, model.layers[0]),
        note,
    )
    worker = Worker(model, settings, state_device, update, states, own.units if own else ())
    others = [snapshot for snapshot in snapshots if snapshot is not own]
    started = last_snapshot = time.monotonic()
    n_padded = 0
    with CorpusReader(place) as reader:
        for i, examples in enumerate(prefetched(map(reader.read, todo))):
            n_padded += worker.scan(todo[i].unit_id, examples, progress)
            is_last = i == len(todo) - 1
            if is_last or time.monotonic() - last_snapshot >= snapshot_every_s:
                number = own.number + 1 if own else 1
                own = save_snapshot(place, _WORKER, number, worker.units, worker.states)
                last_snapshot = time.monotonic()
    return ScanReport(
        snapshots=others + ([own] if own else []),
        n_tokens=todo_tokens,
        n_padded=n_padded,
        scan_s=time.monotonic() - started,
        compiled=compiled,
        n_halved=worker.n_halved,
        n_resumed_units=len(done),
    )


def _to_device(state: LayerState, device: torch.device) -> LayerState:
    # Copied on a CPU too: a snapshot's tensors are the pages of its file, which is soon removed.
    moved = {name: tensor.to(device, copy=True) for name, tensor in state.tensors().items()}
    return LayerState.from_tensors(state.settings, moved)
