"""What a run has to know of a model that is loaded somewhere else."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pipeline.model.gated import GatedModel


@dataclass(frozen=True)
class ModelFacts:
    """A loaded model without its weights; the same for all workers of a run.

    `dtype` is a name such as `float32`, `device` a type such as `cuda`; `n_neurons` has an entry
    for each of `layers`, the scanned ones.
    """

    name: str
    revision: str | None
    architecture: str
    act_fn: str
    gated: bool
    dtype: str
    device: str
    attention: str
    n_layers: int
    layers: tuple[int, ...]
    n_neurons: tuple[int, ...]
    d_model: int
    d_vocab: int

    def to_json(self) -> dict[str, Any]:
        """As the manifest holds it."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


def model_facts(model: GatedModel) -> ModelFacts:
    """The facts of a loaded model."""
    return ModelFacts(
        name=model.name,
        revision=model.revision,
        architecture=model.architecture,
        act_fn=model.act_fn_name,
        gated=True,
        dtype=str(model.dtype).removeprefix("torch."),
        device=model.device.type,
        attention=model.attention,
        n_layers=model.n_layers,
        layers=model.layers,
        n_neurons=tuple(model.n_neurons(layer) for layer in model.layers),
        d_model=model.d_model,
        d_vocab=model.d_vocab,
    )
