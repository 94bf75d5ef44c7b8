"""`LayerState.update` on a CPU by compiled C++ (update.cpp), many times faster than by tensors.

Counts, windows and positions are those of `LayerState.update`, scores to the rounding of act_fn;
sums add up in another order. scan/compiled.py compiles the library.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.reduce.batch import Batch
from pipeline.reduce.signs import BLOCK
from pipeline.reduce.state import LayerState, StateSettings

# As update.cpp numbers them.
_RANKINGS: Final = {"post": 0, "in": 1, "gate": 2, "random": 3}
_VALUES: Final = {
    torch.float32: "float",
    torch.bfloat16: "BFloat16",
    torch.float16: "_Float16",
}
_TWO = ctypes.c_int64 * 2
# Elements of some vectors of any CPU, and at::internal::GRAIN_SIZE.
_VECTORS: Final = 64
_GRAIN: Final = 32768


class _Call(ctypes.Structure):
    """`Call` of update.cpp."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "n_neurons", "k")),
        *((name, ctypes.c_int64) for name in ("before", "after", "skip", "n_threads")),
        *((f"{name}_strides", _TWO) for name in ("gate", "in", "act")),
        ("random_stride", ctypes.c_int64),
        ("rankings", ctypes.c_int64 * len(_RANKINGS)),
        *((name, ctypes.c_void_p) for name in ("gate", "in_", "act", "random")),
        *((name, ctypes.c_void_p) for name in ("lengths", "example_ids")),
        *((name, ctypes.c_void_p) for name in ("counts", "sums", "keys", "worst", "positions")),
        *((name, ctypes.c_void_p) for name in ("gate_windows", "in_windows")),
    )


def definitions(settings: StateSettings) -> dict[str, str]:
    """The macros that update.cpp is compiled with for states of these settings."""
    return {
        "VALUE": _VALUES[settings.dtype],
        "RANKINGS": str(len(settings.rankings)),
        "BLOCK": str(BLOCK),
    }


class NativeUpdate:
    """What a worker calls in the place of `LayerState.update` where the states are on the CPU.

    `library` is update.cpp with the `definitions` of those states.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        # Raises ValueError where it is not in the library.
        size = ctypes.c_int64.in_dll(library, "call_size").value
        if size != ctypes.sizeof(_Call):
            raise ValueError(f"update.cpp has a Call of {size} bytes, and native.py another")
        self._update = library.update

    def __call__(
        self,
        state: LayerState,
        batch: Batch,
        gate: Float[Tensor, "batch pos neuron"],
        in_: Float[Tensor, "batch pos neuron"],
        act_fn: Callable[[Tensor], Tensor],
    ) -> None:
        """Count a batch and let its best positions into the lists."""
        settings = state.settings
        # Windows are copied as they are.
        if gate.dtype != settings.dtype:
            state.update(batch, gate, in_, act_fn)
            return
        gate, in_ = _rows(gate), _rows(in_)
        act = _activated(act_fn, gate)
        random, lengths, ids = (
            values.contiguous() for values in (batch.random, batch.lengths, batch.example_ids)
        )
        call = _Call(
            batch=gate.shape[0],
            n_neurons=settings.n_neurons,
            k=settings.size,
            before=settings.before,
            after=settings.after,
            skip=batch.skip,
            n_threads=torch.get_num_threads(),
            gate_strides=_TWO(*gate.stride()[:2]),
            in_strides=_TWO(*in_.stride()[:2]),
            act_strides=_TWO(*act.stride()[:2]),
            random_stride=random.stride(0),
            rankings=(ctypes.c_int64 * 4)(*(_RANKINGS[name] for name in settings.rankings)),
            gate=gate.data_ptr(),
            in_=in_.data_ptr(),
            act=act.data_ptr(),
            random=random.data_ptr(),
            lengths=lengths.data_ptr(),
            example_ids=ids.data_ptr(),
            counts=state.counts.data_ptr(),
            sums=state.sums.data_ptr(),
            keys=state.keys.data_ptr(),
            worst=state.worst.data_ptr(),
            positions=state.positions.data_ptr(),
            gate_windows=state.gate.data_ptr(),
            in_windows=state.in_.data_ptr(),
        )
        self._update(ctypes.byref(call))
        state.n_tokens += batch.counted.sum()
        state.n_zero.copy_(state.n_tokens - state.counts.sum(0))


def _rows(values: Float[Tensor, "batch pos neuron"]) -> Float[Tensor, "batch pos neuron"]:
    """The same values with the neurons of a position side by side."""
    return values if values.stride(2) == 1 else values.contiguous()


def _activated(
    act_fn: Callable[[Tensor], Tensor], gate: Float[Tensor, "batch pos neuron"]
) -> Float[Tensor, "batch pos neuron"]:
    """act_fn of each element in float32, the same for equal ones wherever they lie.

    torch runs what is left over from its vectors, at the end of each thread's share, through other
    code, which rounds otherwise; equal activations have to tie. So all shares are whole vectors.
    """
    values = gate.float().reshape(-1)
    n_whole = _whole_shares(values.numel(), torch.get_num_threads())
    act = act_fn(values[:n_whole])
    n_left = values.numel() - n_whole
    if n_left:
        left = torch.nn.functional.pad(values[n_whole:], (0, -n_left % _VECTORS))
        act = torch.cat([act, act_fn(left)[:n_left]])
    return act.view(gate.shape)


def _whole_shares(n: int, n_threads: int) -> int:
    """The most elements, up to n, that torch shares out in whole vectors; few are left.

    It takes one thread for each _GRAIN elements or part of that, and gives each as many.
    """
    for used in range(n_threads, 0, -1):
        whole = n - n % (used * _VECTORS)
        if used == min(n_threads, max(1, -(-whole // _GRAIN))):
            return whole
    return 0
