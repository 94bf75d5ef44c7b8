"""Whether a scan's state fits, told before anything runs."""

from __future__ import annotations

import psutil
import torch

from pipeline.errors import GatescopeError
from pipeline.model import GatedModel
from pipeline.scan.batches import MOST_TOKENS
from pipeline.scan.streams import n_streams
from pipeline.scan.worker import ScanSettings

_GIB = 1 << 30
_FEWEST_TOKENS = 256


def state_bytes(model: GatedModel, settings: ScanSettings) -> int:
    """Bytes of the states of all scanned layers (`StateSettings.n_bytes` is the formula)."""
    return sum(settings.state(model, layer).n_bytes for layer in model.layers)


def free_bytes(device: torch.device) -> int:
    """Bytes that are free now on a CUDA device, or available on the host."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def check_fits(n_bytes: int, device: torch.device) -> None:
    """Raise GatescopeError where the state cannot fit, naming what to change."""
    free = free_bytes(device)
    if n_bytes > free:
        raise GatescopeError(
            f"the scan's state needs {n_bytes / _GIB:.1f} GiB and {device} has {free / _GIB:.1f} "
            "GiB free; lower scan.k, scan.spare, scan.window.before or scan.window.after, leave "
            "out scan.rankings, choose model.layers, or set scan.state_device=cpu"
        )


def batch_bytes(model: GatedModel, n_tokens: int) -> int:
    """Bytes that a batch needs beyond weights and state, an estimate for texts of some length.

    Per token: 8 d_model and 4 n_neurons activations of the largest layer, in the model's dtype,
    and 16 bytes a neuron for the reduction.
    """
    n_neurons = max(model.n_neurons(layer) for layer in model.layers)
    values = 8 * model.d_model + 4 * n_neurons
    return n_tokens * (values * model.dtype.itemsize + 16 * n_neurons)


def choose_tokens_per_batch(model: GatedModel, n_state_bytes: int) -> int:
    """The padded tokens of a batch where `scan.tokens_per_batch` is not set.

    A power of two, so that all batches at once take at most half of the memory that is free now,
    less the `n_state_bytes` that will be taken on the model's device.
    """
    left = (free_bytes(model.device) - n_state_bytes) // 2
    left //= n_streams(model)
    n_tokens = MOST_TOKENS.get(model.device.type, MOST_TOKENS["cpu"])
    while n_tokens > _FEWEST_TOKENS and batch_bytes(model, n_tokens) > left:
        n_tokens //= 2
    return n_tokens
