"""How a state is updated: compiled only when the job is long enough to pay for it."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Final

import torch

from pipeline.reduce import (
    BLOCK,
    BatchReduction,
    LayerState,
    NativeUpdate,
    StateSettings,
    definitions,
    reduce_batch,
)

# Counts a batch of (state, batch, gate, in, act_fn); `LayerState.update` says what it does.
Update = Callable[..., None]

# (token, neuron) pairs from which a compilation pays for itself. Measured on two CPU cores: 2 s,
# and 60 to 150 ns a pair less. On CUDA by arithmetic only: half a minute, and about 0.1 ns a pair.
_PAIRS_WORTH_COMPILING: Final = {"cpu": 30_000_000, "cuda": 300_000_000_000}
_LONGEST_COMPILATION_S: Final = 120
_COMPILERS: Final = ("c++", "g++", "clang++")
# No contraction, so that products round as torch's do. Some compilers do not know -march=native.
_FLAGS: Final = ("-O3", "-std=c++17", "-ffp-contract=off", "-fPIC", "-shared", "-pthread")
_FLAG_SETS: Final = ((*_FLAGS, "-march=native"), _FLAGS)


def choose_update(
    setting: str,
    n_pairs: int,
    device: torch.device,
    states: StateSettings,
    note: Callable[[str], object],
) -> tuple[Update, bool]:
    """The update for states of these settings on `device`, and whether it is compiled.

    `setting` is `scan.compile`: auto, true or false. Where it cannot be compiled it runs eager and
    `note` is told so.
    """
    worth = n_pairs >= _PAIRS_WORTH_COMPILING.get(device.type, 0)
    possible = device.type in _PAIRS_WORTH_COMPILING
    if setting == "false" or not possible or (setting == "auto" and not worth):
        return LayerState.update, False
    try:
        if device.type == "cuda":
            return functools.partial(LayerState.update, reduce=_compiled_reduce(states)), True
        return NativeUpdate(_library(tuple(definitions(states).items()))), True
    except (OSError, RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
        said = next(iter(str(error).strip().splitlines()), type(error).__name__)
        needed = "Triton and a C compiler" if device.type == "cuda" else "g++ or clang++"
        note(
            f"scan.compile={setting}: the reduction runs eager, many times slower ({said}); "
            f"it takes {needed} that work, and a temporary folder that programs may run from"
        )
        return LayerState.update, False


def _compiled_reduce(states: StateSettings) -> Callable[..., BatchReduction]:
    """reduce_batch for CUDA, called once, as torch.compile fails where it cannot only then."""
    reduce = torch.compile(reduce_batch, dynamic=True)
    values = torch.zeros((2, 2 * BLOCK, 32), dtype=states.dtype, device="cuda")
    counted = torch.ones(values.shape[:2], dtype=torch.bool, device="cuda")
    random = torch.ones(values.shape[:2], device="cuda")
    reduce(values, values, counted, random, torch.nn.functional.silu, states.rankings)
    return reduce


@functools.cache
def _library(macros: tuple[tuple[str, str], ...]) -> ctypes.CDLL:
    """update.cpp, compiled for this machine: not kept, as a home may be shared by unlike ones."""
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise FileNotFoundError(f"none of {', '.join(_COMPILERS)} is here")
    source = resources.files("pipeline.reduce") / "update.cpp"
    with (
        tempfile.TemporaryDirectory(prefix="gatescope-", ignore_cleanup_errors=True) as folder,
        resources.as_file(source) as path,
    ):
        library = Path(folder) / "update.so"
        for flags in _FLAG_SETS:
            defined = [f"-D{name}={value}" for name, value in macros]
            command = [compiler, *flags, *defined, "-o", str(library), str(path)]
            done = subprocess.run(
                command,
                check=False,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=_LONGEST_COMPILATION_S,
            )
            if done.returncode == 0:
                return ctypes.CDLL(str(library))
    lines = done.stderr.strip().splitlines() or ["no reason given"]
    said = next((line for line in lines if "error" in line), lines[0])
    raise OSError(f"{compiler} failed: {said}")
