"""The compiled update beyond what test_reduce.py compares: many threads, and how values lie."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from test_reduce import CPU, Case, assert_same, has_compiler
from torch import Tensor
from torch.nn import functional

from pipeline.reduce import Batch, LayerState
from pipeline.reduce.native import _activated
from pipeline.scan.batches import random_scores
from pipeline.scan.compiled import choose_update

_LENGTHS = [130, 97, 64, 1]


def transposed(values: Tensor) -> Tensor:
    return values.transpose(1, 2).contiguous().transpose(1, 2)


def half_of_a_fused_one(values: Tensor) -> Tensor:
    return torch.cat([values, values + 1], dim=2)[:, :, : values.shape[2]]


@pytest.mark.parametrize("lies", [torch.clone, transposed, half_of_a_fused_one])
@pytest.mark.parametrize("n_threads", [1, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_threads_and_strides_change_nothing(
    dtype: torch.dtype, n_threads: int, lies: Callable[[Tensor], Tensor]
) -> None:
    if not has_compiler():
        pytest.skip("no C++ compiler here")
    case = Case(n_neurons=211, dtype=dtype)
    native, _ = choose_update("true", 0, CPU, case.state, pytest.fail)
    draw = torch.Generator().manual_seed(0)
    states = [LayerState.empty(case.state, CPU) for _ in range(2)]
    before = torch.get_num_threads()
    for first in range(0, 40, len(_LENGTHS)):
        ids = np.arange(first, first + len(_LENGTHS))
        random = torch.from_numpy(random_scores(0, ids, max(_LENGTHS)))
        batch = Batch(torch.from_numpy(ids), torch.tensor(_LENGTHS), random, skip=1)
        shape = (len(_LENGTHS), max(_LENGTHS), case.n_neurons)
        # Coarse values, so that scores tie.
        gate, in_ = (torch.randint(-3, 4, shape, generator=draw).to(dtype) / 2 for _ in "gi")
        states[0].update(batch, gate, in_, functional.relu)
        try:
            torch.set_num_threads(n_threads)
            native(states[1], batch, lies(gate), lies(in_), functional.relu)
        finally:
            torch.set_num_threads(before)
    assert_same(*states)


@pytest.mark.parametrize("n_threads", range(1, 9))
@pytest.mark.parametrize("n_positions", [1, 97, 700, 3001])
def test_equal_gates_have_equal_acts_wherever_they_lie(n_threads: int, n_positions: int) -> None:
    """So that scores tie, and the earliest position is the one that is kept."""
    gate = torch.tensor([0.7311, -1.234567]).repeat(67)[:133].expand(1, n_positions, 133)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n_threads)
        act = _activated(functional.silu, gate)
    finally:
        torch.set_num_threads(before)
    assert act.shape == gate.shape
    assert torch.equal(act, act[:, :1].expand_as(act))
    assert act.unique().numel() == 2
    torch.testing.assert_close(act, functional.silu(gate))
