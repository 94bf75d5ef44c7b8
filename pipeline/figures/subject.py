"""What a figure is of."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.figures.lettering import labels
from pipeline.query import Dataset


@dataclass(frozen=True)
class Subject:
    """A model as figures show it; `threshold` is that of its classes."""

    label: str
    threshold: float
    gated: bool
    scanned: bool


def subject_of(dataset: Dataset) -> Subject:
    """The subject of an open dataset."""
    manifest = dataset.manifest
    config = manifest.get("config", {})
    (label,) = labels([dataset.model])
    return Subject(
        label=label,
        threshold=float(config.get("weights", {}).get("threshold", 0.5)),
        gated=bool(manifest.get("model", {}).get("gated", True)),
        scanned=config.get("scan", {}).get("name") != "none",
    )


def neurons(n: int) -> str:
    """`n = 1,234 neurons`."""
    return f"n = {n:,} neuron" + ("" if n == 1 else "s")


def signed(value: float) -> str:
    """A number with two decimals and a true minus sign, none before 0."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")


def in_layers(n: int) -> str:
    """`in 32 layers`."""
    return f"in {n} layer" + ("" if n == 1 else "s")
