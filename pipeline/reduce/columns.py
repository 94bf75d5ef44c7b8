"""Stretches of single neurons' activations, for the few entries that come into a list.

A batch lies with the neurons side by side, so that 64 positions of one neuron are 64 far reads. The
columns that are needed are laid out once; every stretch is then one copy of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor


@dataclass(frozen=True)
class Columns:
    """The columns (example, neuron) of some entries, each once, zeros beyond the example's ends.

    `margin` zeros stand before position 0; `of_entry` says which column is whose.
    """

    values: Float[Tensor, "column width"]
    of_entry: Int64[Tensor, " entry"]
    margin: int

    def stretch(self, start: Int64[Tensor, " entry"], length: int) -> Float[Tensor, "entry length"]:
        """`length` positions of each entry's column from `start` on, which may be negative."""
        width = self.values.shape[1]
        n_starts = self.values.numel() - length + 1
        stretches = self.values.view(-1).as_strided((n_starts, length), (1, 1))
        return stretches.index_select(0, self.of_entry * width + self.margin + start)


def columns_of(
    values: tuple[Shaped[Tensor, "batch pos neuron"], ...],
    example: Int64[Tensor, " entry"],
    neuron: Int64[Tensor, " entry"],
    lengths: Int64[Tensor, " batch"],
    margins: tuple[int, int],
) -> tuple[Columns, ...]:
    """The columns of entries in each tensor; `margins` zeros are put before and behind."""
    n_positions, n_neurons = values[0].shape[1:]
    column, of_entry = torch.unique(example * n_neurons + neuron, return_inverse=True)
    example, neuron = column // n_neurons, column % n_neurons
    beyond = torch.arange(n_positions, device=lengths.device) >= lengths[example][:, None]
    return tuple(
        Columns(
            torch.nn.functional.pad(v[example, :, neuron].masked_fill(beyond, 0), margins),
            of_entry,
            margins[0],
        )
        for v in values
    )
