"""Whether a scan's state fits, told before anything runs."""

from __future__ import annotations

from collections import Counter

import psutil
import torch

from pipeline.errors import GatescopeError
from pipeline.model import GatedModel
from pipeline.scan.batches import MOST_TOKENS
from pipeline.scan.scanner import ScanSettings
from pipeline.scan.streams import n_streams

_GIB = 1 << 30
_FEWEST_TOKENS = 256


def state_bytes(
    model: GatedModel, settings: ScanSettings, *, on_cpu: bool = False
) -> Counter[torch.device]:
    """Bytes of the states of all scanned layers by device (`StateSettings.n_bytes` says how)."""
    n_bytes: Counter[torch.device] = Counter()
    for layer in model.layers:
        device = torch.device("cpu") if on_cpu else model.layer_device(layer)
        n_bytes[device] += settings.state(model, layer).n_bytes
    return n_bytes


def free_bytes(device: torch.device) -> int:
    """Bytes that are free now on a CUDA device, or available on the host."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def check_fits(n_bytes: Counter[torch.device]) -> None:
    """Raise GatescopeError where the states cannot fit on a device, naming what to change."""
    for device, needed in n_bytes.items():
        free = free_bytes(device)
        if needed > free:
            raise GatescopeError(
                f"the scan's state needs {needed / _GIB:.1f} GiB and {device} has "
                f"{free / _GIB:.1f} GiB free; lower scan.k, scan.spare, scan.window.before or "
                "scan.window.after, leave out scan.rankings, choose model.layers, set "
                "scan.state_device=cpu, or raise cluster.gpus_per_worker"
            )


def batch_bytes(model: GatedModel, n_tokens: int) -> int:
    """Bytes that a batch needs beyond weights and state, an estimate for texts of some length.

    Per token: 8 d_model and 4 n_neurons activations of the largest layer, in the model's dtype,
    and 16 bytes a neuron for the reduction.
    """
    n_neurons = max(model.n_neurons(layer) for layer in model.layers)
    values = 8 * model.d_model + 4 * n_neurons
    return n_tokens * (values * model.dtype.itemsize + 16 * n_neurons)


def choose_tokens_per_batch(model: GatedModel, n_bytes: Counter[torch.device]) -> int:
    """The padded tokens of a batch where `scan.tokens_per_batch` is not set.

    A power of two, so that all batches at once take at most half of the memory that is free now on
    each of the model's devices, less the bytes that its states will take there.
    """
    devices = {model.device, *(model.layer_device(layer) for layer in model.layers)}
    left = min((free_bytes(device) - n_bytes[device]) // 2 for device in devices)
    left //= n_streams(model)
    n_tokens = MOST_TOKENS.get(model.device.type, MOST_TOKENS["cpu"])
    while n_tokens > _FEWEST_TOKENS and batch_bytes(model, n_tokens) > left:
        n_tokens //= 2
    return n_tokens
