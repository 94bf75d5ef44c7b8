"""What a figure is of."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.figures.lettering import labels
from pipeline.query import Dataset


@dataclass(frozen=True)
class Subject:
    """A model as figures show it; `threshold` is that of its classes.

    `n_neurons` are all of its dataset, None where the manifest does not tell.
    """

    label: str
    threshold: float
    gated: bool
    scanned: bool
    n_neurons: int | None

    def shown(self, n: int, n_layers: int) -> str:
        """`n = 1,234 neurons in 32 layers`, and of how many where others are left out."""
        left_out = self.n_neurons is not None and n < self.n_neurons
        of = f" of {self.n_neurons:,}" if left_out else ""
        neurons = f"n = {n:,}{of} neuron" + ("" if n == 1 and not of else "s")
        return f"{neurons} in {n_layers} layer" + ("" if n_layers == 1 else "s")


def subject_of(dataset: Dataset) -> Subject:
    """The subject of an open dataset."""
    manifest = dataset.manifest
    config = manifest.get("config", {})
    model = manifest.get("model", {})
    n_neurons = model.get("n_neurons")
    (label,) = labels([dataset.model])
    return Subject(
        label=label,
        threshold=float(config.get("weights", {}).get("threshold", 0.5)),
        gated=bool(model.get("gated", True)),
        scanned=config.get("scan", {}).get("name") != "none",
        n_neurons=None if n_neurons is None else sum(n_neurons),
    )


def signed(value: float) -> str:
    """A number with two decimals and a true minus sign, none before 0."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "\N{MINUS SIGN}")
