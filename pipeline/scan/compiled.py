"""Whether the reduction is compiled: only when the job is long enough to pay for it."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable

import torch

from pipeline.reduce import BatchReduction, reduce_batch

Reduce = Callable[..., BatchReduction]

# (token, neuron) pairs from which a cold compilation, about half a minute, pays for itself.
_PAIRS_WORTH_COMPILING = 300_000_000


def choose_reduce(setting: str, n_pairs: int) -> tuple[Reduce, bool]:
    """The reduction to use and whether it is compiled, for `scan.compile` = auto, true or false."""
    wanted = setting == "true" or (setting == "auto" and n_pairs >= _PAIRS_WORTH_COMPILING)
    if not wanted:
        return reduce_batch, False
    if not torch.cuda.is_available() and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        warnings.warn(
            "scan.compile: there is no C++ compiler on this machine, so the reduction runs eager",
            stacklevel=2,
        )
        return reduce_batch, False
    return torch.compile(reduce_batch, dynamic=True), True
