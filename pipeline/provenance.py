"""With what a dataset was made: code version, packages, hardware, time."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

_PACKAGES = ("torch", "transformers", "transformer-lens", "datasets", "pyarrow", "duckdb")


def _version(package: str) -> str:
    # The engine runs where DuckDB and datasets are not installed.
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def provenance() -> dict[str, Any]:
    """The manifest's `code_version`, `packages`, `hardware` and `finished` (UTC, ISO 8601)."""
    cuda = torch.cuda.is_available()
    return {
        "code_version": _version("gatescope"),
        "packages": {"python": platform.python_version(), **{p: _version(p) for p in _PACKAGES}},
        "hardware": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
            "accelerators": [
                torch.cuda.get_device_name(i)
                for i in range(torch.cuda.device_count() if cuda else 0)
            ],
        },
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
