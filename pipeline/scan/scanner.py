"""The scanner: a model and the states of its layers, fed one unit at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import GatescopeError
from pipeline.model import GatedModel
from pipeline.reduce import Batch, LayerState, StateSettings
from pipeline.scan.batches import length_sorted_batches, padded_batch
from pipeline.scan.compiled import Update
from pipeline.scan.streams import streams
from pipeline.store import UnitExamples


@dataclass(frozen=True)
class ScanSettings:
    """What decides a scan's result, beyond model and corpus."""

    k: int
    spare: int
    rankings: tuple[str, ...]
    before: int
    after: int
    skip_bos: bool
    tokens_per_batch: int
    seed: int

    def state(self, model: GatedModel, layer: int) -> StateSettings:
        """The settings of one layer's state; windows hold values in the model's own dtype."""
        return StateSettings(
            n_neurons=model.n_neurons(layer),
            rankings=self.rankings,
            size=self.k + self.spare,
            before=self.before,
            after=self.after,
            dtype=model.dtype,
        )


@dataclass(frozen=True)
class _Prepared:
    """A batch on its way: rows of the unit, token ids, and what goes with them on each device."""

    rows: np.ndarray
    input_ids: Tensor
    batches: Mapping[torch.device, Batch]


class Scanner:
    """Scans units and holds the states of all scanned layers.

    Each layer's state is on that layer's device, or on the CPU. Covers `units`; a unit that fails
    leaves the states unusable, the scanner is then to be dropped. Where a device runs out of
    memory, the batch is halved and done again, and so are the batches of all units after;
    `n_halved` counts that and `tokens_per_batch` is what is left. On a CPU several batches run at
    once, each on its share of the cores.
    """

    def __init__(
        self,
        model: GatedModel,
        settings: ScanSettings,
        update: Update,
        *,
        states_on_cpu: bool = False,
        states: Mapping[int, LayerState] | None = None,
        units: tuple[int, ...] = (),
    ) -> None:
        self._model = model
        self._settings = settings
        self._devices = {
            layer: torch.device("cpu") if states_on_cpu else model.layer_device(layer)
            for layer in model.layers
        }
        self._update = update
        self.units = units
        self.tokens_per_batch = settings.tokens_per_batch
        self.n_halved = 0
        self._layer_locks = {layer: threading.Lock() for layer in model.layers}
        self.states: dict[int, LayerState] = dict(states or {}) or {
            layer: LayerState.empty(settings.state(model, layer), device)
            for layer, device in self._devices.items()
        }

    def scan(self, unit_id: int, examples: UnitExamples, progress: Callable[[int], None]) -> int:
        """Count one unit; gives its padded tokens, and tells `progress` the tokens of each batch.

        Raises GatescopeError at NaN or infinity, and where one example alone is too large for the
        memory of the device.
        """
        lengths = np.array([len(row) for row in examples.input_ids], dtype=np.int64)
        batches = length_sorted_batches(lengths, self.tokens_per_batch)
        padded = 0

        def scanned(prepared: _Prepared) -> int:
            return self._scan_batch(examples, prepared, frozenset(), frozenset())

        with streams(self._model) as pool:
            # All are prepared while the first are scanned: they are small beside activations.
            done = pool.map(scanned, (self._prepare(examples, rows) for rows in batches))
            for rows, n_padded in zip(batches, done, strict=True):
                padded += n_padded
                progress(int(lengths[rows].sum()))
        for layer, state in self.states.items():
            if not bool(state.healthy):
                raise GatescopeError(
                    f"layer {layer}: NaN or infinite activations in unit {unit_id}, "
                    f"{self._culprit(layer, examples)} of the corpus table; check the model's "
                    "weights, or scan with model.dtype=float32 to a new output"
                )
        self.units = (*self.units, unit_id)
        return padded

    def _culprit(self, layer: int, examples: UnitExamples) -> str:
        """The first example of a unit whose gate or in is not finite where it is counted."""
        skip = 1 if self._settings.skip_bos else 0
        finite: list[bool] = []

        def consume(at: int, gate: Tensor, in_: Tensor) -> None:
            if at == layer:
                finite.append(bool(torch.isfinite(gate[:, skip:] + in_[:, skip:]).all()))

        for i, ids in enumerate(examples.input_ids):
            self._model.run(torch.from_numpy(ids.astype(np.int64))[None], consume)
            if not finite[-1]:
                return f"example {examples.first_example + i}"
        last = examples.first_example + len(examples.input_ids) - 1
        return f"examples {examples.first_example} to {last}"

    def _prepare(self, examples: UnitExamples, rows: np.ndarray) -> _Prepared:
        input_ids, batch = padded_batch(
            [examples.input_ids[row] for row in rows],
            examples.first_example + rows,
            self._settings.seed,
            1 if self._settings.skip_bos else 0,
        )
        if self._model.device.type == "cuda":
            # From pinned memory the copy is not waited for.
            input_ids = input_ids.pin_memory().to(self._model.device, non_blocking=True)
        return _Prepared(
            rows, input_ids, {device: batch.to(device) for device in set(self._devices.values())}
        )

    def _scan_batch(
        self,
        examples: UnitExamples,
        prepared: _Prepared,
        done: frozenset[int],
        begun: frozenset[int],
    ) -> int:
        """One forward pass; gives its padded tokens.

        Layers in `done` have counted these examples already, and those in `begun` may have let some
        into their lists, when the memory ran out.
        """
        started: set[int] = set()
        finished: set[int] = set()

        def consume(layer: int, gate: Tensor, in_: Tensor) -> None:
            if layer in done:
                return
            started.add(layer)
            device = self._devices[layer]
            batch, values = prepared.batches[device], (gate.to(device), in_.to(device))
            act_fn = self._model.act_fns[layer]
            with self._layer_locks[layer]:
                if layer in begun:
                    self.states[layer].update(batch, *values, act_fn, again=True)
                else:
                    self._update(self.states[layer], batch, *values, act_fn)
            finished.add(layer)

        try:
            self._model.run(prepared.input_ids, consume)
            return prepared.input_ids.numel()
        except torch.OutOfMemoryError as error:
            n_tokens = prepared.input_ids.numel()
            if len(prepared.rows) == 1:
                raise GatescopeError(
                    f"{self._model.device} ran out of memory at one example of {n_tokens} tokens; "
                    "lower corpus.max_length, or set scan.state_device=cpu"
                ) from error
        # Outside of the handler, whose traceback holds the tensors of the pass that failed.
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.n_halved += 1
        self.tokens_per_batch = min(self.tokens_per_batch, max(1, n_tokens // 2))
        padded = 0
        for half in np.array_split(prepared.rows, 2):
            padded += self._scan_batch(
                examples, self._prepare(examples, half), done | finished, begun | started
            )
        return padded
