"""Counts, sums and running top-k lists of one layer: pure tensor functions, no files.

signs.py reduces one batch of (gate, in); state.py accumulates batches and merges workers, and
native.py does both in one pass where update.cpp is compiled for the CPU; lists.py turns a finished
state into ranked lists without duplicates, in canonical signs.
"""

from pipeline.reduce.batch import Batch
from pipeline.reduce.lists import (
    RankedLists,
    drop_duplicates,
    flip_lists,
    flip_totals,
    rank_lists,
)
from pipeline.reduce.native import NativeUpdate, definitions
from pipeline.reduce.signs import BLOCK, BatchReduction, reduce_batch
from pipeline.reduce.state import NEURON_AXIS, LayerState, StateSettings, neurons_of

__all__ = [
    "BLOCK",
    "NEURON_AXIS",
    "Batch",
    "BatchReduction",
    "LayerState",
    "NativeUpdate",
    "RankedLists",
    "StateSettings",
    "definitions",
    "drop_duplicates",
    "flip_lists",
    "flip_totals",
    "neurons_of",
    "rank_lists",
    "reduce_batch",
]
