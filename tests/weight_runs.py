"""Runs of weights alone on tiny models, and what they leave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tiny_models import (
    ARCHITECTURES,
    UNGATED,
    build,
)

from pipeline.config import compose_config
from pipeline.console import messages
from pipeline.run import run

K = 4


def saved(name: str, folder: Path) -> tuple[Any, Path]:
    model = build((ARCHITECTURES | UNGATED)[name])
    model.save_pretrained(folder)
    return model, folder


def words(model: Path, output: Path, *more: str) -> list[str]:
    return ["scan=none", f"model.name={model}", f"weights.k={K}", *more, f"output={output}"]


def made(model: Path, output: Path, *more: str) -> dict[str, Any]:
    return run(compose_config(words(model, output, *more)), messages()).manifest


def table(output: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(output / name, partitioning=None)


def unit(vectors: torch.Tensor) -> np.ndarray:
    values = vectors.detach().double().numpy()
    return values / np.linalg.norm(values, axis=1, keepdims=True)
