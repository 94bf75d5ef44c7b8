"""The running state of one layer: totals and top-k lists with windows, `update` and `merge`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Final

import torch
from jaxtyping import Bool, Float, Int32, Int64
from torch import Tensor

from pipeline.naming import COMBOS, QUANTITIES
from pipeline.reduce.batch import Batch
from pipeline.reduce.keys import EMPTY, best_of, pack, unpack_example_id
from pipeline.reduce.signs import (
    BLOCK,
    BatchReduction,
    best_in_block,
    reduce_batch,
)

# Rows of (list, neuron) that are merged at a time: bounds the memory of the warm-up, when
# almost every row of a batch changes.
_ROWS_AT_ONCE = 1 << 14
# Elements of one slab of neurons of an eager reduction: its temporaries stay in the caches of a
# CPU, and small beside the state on an accelerator.
_SLAB = {"cpu": 1 << 17, "cuda": 1 << 22}

Reduce = Callable[..., BatchReduction]


@dataclass(frozen=True)
class StateSettings:
    """What fixes the meaning and the shape of a state; states of other settings do not merge."""

    n_neurons: int
    rankings: tuple[str, ...]
    size: int
    before: int
    after: int
    dtype: torch.dtype

    @property
    def n_lists(self) -> int:
        """Lists of a neuron: one for each combination and ranking."""
        return len(COMBOS) * len(self.rankings)

    @property
    def window(self) -> int:
        """Positions of a window, the peak included."""
        return self.before + 1 + self.after

    def part(self, start: int, stop: int) -> StateSettings:
        """The settings of neurons start to stop - 1 alone."""
        return replace(self, n_neurons=min(stop, self.n_neurons) - start)

    @property
    def n_bytes(self) -> int:
        """Bytes of a layer's state.

        n_neurons * (n_lists * (size * (12 + 2 * window * itemsize) + 8) + 168) + 8, the 168 being
        counts, n_zero and sums, the last 8 n_tokens.
        """
        entry = 12 + 2 * self.window * self.dtype.itemsize
        totals = 8 * (len(COMBOS) + 1 + len(QUANTITIES) * len(COMBOS))
        return self.n_neurons * (self.n_lists * (self.size * entry + 8) + totals) + 8


# Which axis of a state's tensors the neurons are; n_tokens has none.
NEURON_AXIS: Final = {
    "counts": 1,
    "n_zero": 0,
    "sums": 2,
    **dict.fromkeys(("keys", "worst", "positions", "gate", "in_"), 1),
}


def neurons_of(name: str, cut: slice) -> tuple[slice, ...]:
    """The index of some neurons in the tensor of that name."""
    return (slice(None),) * NEURON_AXIS[name] + (cut,)


@dataclass
class LayerState:
    """Totals and lists of one layer.

    A list's entries stand in no order; `keys` (keys.py) say which is the best and which slots are
    empty, and `worst` is the smallest key of each list. Windows hold the positions from
    peak - before to peak + after, 0 where the example ends.
    """

    settings: StateSettings
    n_tokens: Int64[Tensor, ""]
    counts: Int64[Tensor, "combo neuron"]
    n_zero: Int64[Tensor, " neuron"]
    sums: Float[Tensor, "quantity combo neuron"]
    keys: Int64[Tensor, "list neuron k"]
    worst: Int64[Tensor, "list neuron"]
    positions: Int32[Tensor, "list neuron k"]
    gate: Float[Tensor, "list neuron k window"]
    in_: Float[Tensor, "list neuron k window"]

    @classmethod
    def empty(cls, settings: StateSettings, device: torch.device) -> LayerState:
        """A state that has seen nothing."""
        n, n_lists, k = settings.n_neurons, settings.n_lists, settings.size
        shapes: dict[str, tuple[tuple[int, ...], torch.dtype]] = {
            "n_tokens": ((), torch.int64),
            "counts": ((len(COMBOS), n), torch.int64),
            "n_zero": ((n,), torch.int64),
            "sums": ((len(QUANTITIES), len(COMBOS), n), torch.float64),
            "keys": ((n_lists, n, k), torch.int64),
            "worst": ((n_lists, n), torch.int64),
            "positions": ((n_lists, n, k), torch.int32),
            "gate": ((n_lists, n, k, settings.window), settings.dtype),
            "in_": ((n_lists, n, k, settings.window), settings.dtype),
        }
        tensors = {
            name: torch.zeros(shape, dtype=dtype, device=device)
            for name, (shape, dtype) in shapes.items()
        }
        tensors["keys"].fill_(EMPTY)
        tensors["worst"].fill_(EMPTY)
        return cls(settings=settings, **tensors)

    @classmethod
    def from_tensors(cls, settings: StateSettings, tensors: dict[str, Tensor]) -> LayerState:
        """The state that `tensors()` came from."""
        state = cls(settings=settings, **tensors)
        shape = (settings.n_lists, settings.n_neurons, settings.size, settings.window)
        if tuple(state.gate.shape) != shape or state.gate.dtype != settings.dtype:
            raise ValueError(
                f"a state with windows {tuple(state.gate.shape)} {state.gate.dtype} is not one of "
                f"the settings {settings}"
            )
        return state

    def tensors(self) -> dict[str, Tensor]:
        """All tensors of the state by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "settings"}

    @property
    def healthy(self) -> Bool[Tensor, ""]:
        """False where a NaN or an infinity has come in: the sums keep either."""
        return torch.isfinite(self.sums).all()

    def update(
        self,
        batch: Batch,
        gate: Float[Tensor, "batch pos neuron"],
        in_: Float[Tensor, "batch pos neuron"],
        act_fn: Callable[[Tensor], Tensor],
        reduce: Reduce = reduce_batch,
        *,
        again: bool = False,
    ) -> None:
        """Count a batch and let its best positions into the lists.

        One that raises OutOfMemoryError may have let some of them in, and counted nothing; with
        `again` the same examples can be given once more, in any batches.
        """
        n_positions, n_neurons = gate.shape[1:]
        padding = (0, -n_positions % BLOCK)
        is_counted = batch.counted
        counted = torch.nn.functional.pad(is_counted, padding)
        random = torch.nn.functional.pad(batch.random, padding)
        width = n_neurons
        if reduce is reduce_batch:
            width = max(16, _SLAB.get(gate.device.type, _SLAB["cpu"]) // counted.numel())
        counts, sums = torch.zeros_like(self.counts), torch.zeros_like(self.sums)
        for start in range(0, n_neurons, width):
            slab = slice(start, start + width)
            values = gate[:, :, slab], in_[:, :, slab]
            part = reduce(*values, counted, random, act_fn, self.settings.rankings)
            counts[:, slab] = part.counts
            sums[:, :, slab] = part.sums
            self._enter(batch, part, start, gate, in_, act_fn, again)
        # Last, so that an update that ran out of memory has added nothing to the totals.
        n_counted = is_counted.sum()
        n_zero = n_counted - counts.sum(0)
        self.n_tokens += n_counted
        self.n_zero += n_zero
        self.counts += counts
        self.sums += sums

    def _enter(
        self,
        batch: Batch,
        part: BatchReduction,
        start: int,
        gate: Float[Tensor, "batch pos neuron"],
        in_: Float[Tensor, "batch pos neuron"],
        act_fn: Callable[[Tensor], Tensor],
        again: bool,
    ) -> None:
        """Let the entries of `part`, whose first neuron is `start`, into the lists they beat."""
        # Below EMPTY: an absent entry loses even against an empty slot.
        keys = torch.where(
            part.best >= 0, pack(part.best, batch.example_ids[:, None, None]), EMPTY - 1
        )
        rows = (keys > self.worst[:, start : start + keys.shape[2]]).any(0).nonzero()
        if len(rows) == 0:
            return
        random, counted = (
            torch.nn.functional.pad(values, (0, BLOCK)) for values in (batch.random, batch.counted)
        )
        window = torch.arange(-self.settings.before, self.settings.after + 1, device=keys.device)
        in_block = torch.arange(BLOCK, device=keys.device)
        for chunk in rows.split(_ROWS_AT_ONCE):
            list_row, neuron_row = chunk[:, 0], chunk[:, 1] + start
            old, new = self.keys[list_row, neuron_row], keys[:, chunk[:, 0], chunk[:, 1]].T
            if again:
                there = unpack_example_id(old)[:, :, None] == batch.example_ids
                new = new.masked_fill((there & (old >= 0)[:, :, None]).any(1), EMPTY - 1)
            row, slot, example, worst = best_of(old, new)
            list_, neuron = list_row[row], neuron_row[row]

            def stretches(
                at: Int64[Tensor, "entry stretch"],
                example: Tensor = example[:, None],
                neuron: Tensor = neuron[:, None],
            ) -> tuple[Tensor, Tensor]:
                outside = (at < 0) | (at >= batch.lengths[example])
                there = example, at.clamp(0, gate.shape[1] - 1), neuron
                return gate[there].masked_fill(outside, 0), in_[there].masked_fill(outside, 0)

            of_block = part.best_of_block[example, :, list_, neuron - start]
            at = of_block.argmax(1)[:, None] * BLOCK + in_block
            gate_block, in_of_block = (values.float() for values in stretches(at))
            best = best_in_block(
                gate_block,
                in_of_block,
                random[example[:, None], at],
                counted[example[:, None], at],
                list_,
                act_fn,
                self.settings.rankings,
            )
            position = at.gather(1, best[:, None])
            windows = [v.to(self.settings.dtype) for v in stretches(position + window)]
            entered, peaks = new[row, example], position[:, 0].to(torch.int32)
            # From here on nothing is made, so that nothing half done is left where memory runs out.
            self.keys[list_, neuron, slot] = entered
            self.positions[list_, neuron, slot] = peaks
            for kept, values in zip((self.gate, self.in_), windows, strict=True):
                kept[list_, neuron, slot] = values
            self.worst[list_row, neuron_row] = worst

    def merge(self, other: LayerState) -> LayerState:
        """The state that has seen what both have; neither may have seen the other's examples.

        Raises ValueError for states of different settings.
        """
        if self.settings != other.settings:
            raise ValueError(f"cannot merge states of {self.settings} and {other.settings}")
        keys, kept = torch.cat([self.keys, other.keys], dim=2).topk(self.settings.size, dim=2)

        def both(name: str) -> Tensor:
            values = torch.cat([getattr(self, name), getattr(other, name)], dim=2)
            index = (
                kept
                if values.ndim == 3
                else kept[..., None].expand(*kept.shape, self.settings.window)
            )
            return values.gather(2, index)

        return LayerState(
            settings=self.settings,
            n_tokens=self.n_tokens + other.n_tokens,
            counts=self.counts + other.counts,
            n_zero=self.n_zero + other.n_zero,
            sums=self.sums + other.sums,
            keys=keys,
            worst=keys.amin(-1),
            positions=both("positions"),
            gate=both("gate"),
            in_=both("in_"),
        )

    def neurons(self, start: int, stop: int) -> LayerState:
        """The part of the state that belongs to neurons start to stop - 1."""
        cut = slice(start, stop)
        tensors = {
            name: tensor[neurons_of(name, cut)] if name in NEURON_AXIS else tensor
            for name, tensor in self.tensors().items()
        }
        return LayerState.from_tensors(self.settings.part(start, stop), tensors)
