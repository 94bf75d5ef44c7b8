"""Whether a scan's state fits, told before anything runs."""

from __future__ import annotations

import psutil
import torch

from pipeline.errors import GatescopeError
from pipeline.model import GatedModel
from pipeline.scan.worker import ScanSettings

_GIB = 1 << 30


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
