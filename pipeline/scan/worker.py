"""The worker: a model and its states, fed one unit at a time. One process and a hundred use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.errors import GatescopeError
from pipeline.model import GatedModel
from pipeline.reduce import LayerState, StateSettings
from pipeline.scan.batches import length_sorted_batches, padded_batch
from pipeline.scan.compiled import Reduce
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


class Worker:
    """Scans units and holds the states of all scanned layers.

    Covers `units`; a unit that fails leaves the states unusable, the worker is then to be dropped.
    """

    def __init__(
        self,
        model: GatedModel,
        settings: ScanSettings,
        state_device: torch.device,
        reduce: Reduce,
        states: Mapping[int, LayerState] | None = None,
        units: tuple[int, ...] = (),
    ) -> None:
        self._model = model
        self._settings = settings
        self._device = state_device
        self._reduce = reduce
        self.units = units
        self.states: dict[int, LayerState] = dict(states or {}) or {
            layer: LayerState.empty(settings.state(model, layer), state_device)
            for layer in model.layers
        }

    def scan(self, unit_id: int, examples: UnitExamples, progress: Callable[[int], None]) -> int:
        """Count one unit; gives its padded tokens, and tells `progress` the tokens of each batch.

        Raises GatescopeError at NaN or infinity.
        """
        ids = examples.input_ids
        lengths = np.array([len(row) for row in ids], dtype=np.int64)
        padded = 0
        for rows in length_sorted_batches(lengths, self._settings.tokens_per_batch):
            padded += self._scan_batch([ids[row] for row in rows], examples.first_example + rows)
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

    def _scan_batch(self, rows: list[np.ndarray], example_ids: np.ndarray) -> int:
        skip = 1 if self._settings.skip_bos else 0
        input_ids, on_cpu = padded_batch(rows, example_ids, self._settings.seed, skip)
        batch = on_cpu.to(self._device)

        def consume(layer: int, gate: Tensor, in_: Tensor) -> None:
            self.states[layer].update(
                batch,
                gate.to(self._device),
                in_.to(self._device),
                self._model.act_fns[layer],
                self._reduce,
            )

        self._model.run(input_ids, consume)
        return input_ids.numel()
