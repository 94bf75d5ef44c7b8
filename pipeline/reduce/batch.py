"""What goes with the activations of a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Which example each row of a batch is, and what counts.

    Counted are the positions from `skip` up to an example's length. `random` is the score of the
    `random` ranking.
    """

    example_ids: Int64[Tensor, " batch"]
    lengths: Int64[Tensor, " batch"]
    random: Float[Tensor, "batch pos"]
    skip: int

    @property
    def counted(self) -> Bool[Tensor, "batch pos"]:
        """True where a position is counted."""
        position = torch.arange(self.random.shape[1], device=self.lengths.device)
        return (position < self.lengths[:, None]) & (position >= self.skip)

    def to(self, device: torch.device) -> Batch:
        """The same batch on another device; to CUDA by way of pinned memory, not waited for."""

        def moved(values: Tensor) -> Tensor:
            pinned = values.pin_memory() if device.type == "cuda" else values
            return pinned.to(device, non_blocking=True)

        return Batch(moved(self.example_ids), moved(self.lengths), moved(self.random), self.skip)
