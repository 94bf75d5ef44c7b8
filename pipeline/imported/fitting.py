"""Whether a model is the one that was measured: how many published scores it gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Bool, Int64

from pipeline.config import RunConfig
from pipeline.errors import GatescopeError

# The least share of entries that fit where the model is the one that was measured.
_ENOUGH: Final = 0.75


@dataclass
class Fit:
    """How many entries were looked at and how many fit, of neurons as they are and of flipped."""

    looked_at: Int64[np.ndarray, " flipped"]
    fitting: Int64[np.ndarray, " flipped"]

    def add(self, flipped: Bool[np.ndarray, " entry"], fits: Bool[np.ndarray, " entry"]) -> None:
        """Count entries that were looked at."""
        self.looked_at += np.bincount(flipped, minlength=2)
        self.fitting += np.bincount(flipped[fits], minlength=2)

    def refuse_others(self, config: RunConfig) -> None:
        """Raise GatescopeError where the model is not the one that was measured."""
        looked_at, fitting = int(self.looked_at.sum()), int(self.fitting.sum())
        as_is, flipped = (self.fitting / np.maximum(self.looked_at, 1)).tolist()
        # Of few flipped neurons the rest would hide that none of them fits.
        mirrored = self.looked_at[1] > 0 and flipped < _ENOUGH <= as_is
        if looked_at == 0 or not (mirrored or fitting < _ENOUGH * looked_at):
            return
        signs = "leave scan.canonical_signs=false out"
        if config.scan.canonical_signs:
            signs = "set scan.canonical_signs=false"
        told = (
            f"of the neurons that are flipped {flipped:.0%} fit and of the others {as_is:.0%}: it "
            f"was measured without flips; {signs}"
            if mirrored
            else f"give the model and the texts that were measured, or {signs}"
        )
        raise GatescopeError(
            f"import: --model {config.model.name} gives the published score of {fitting:,} of "
            f"{looked_at:,} entries; {told}"
        )
