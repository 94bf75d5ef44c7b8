"""The model that a dataset was made of, loaded again beside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pipeline.config import ModelConfig, from_dict
from pipeline.corpus.tokens import TextEncoder
from pipeline.errors import GatescopeError
from pipeline.model import (
    GatedModel,
    inspect_model,
    load_model,
    load_tokenizer,
    model_facts,
    tokenizer_hash,
)
from pipeline.view.live import MAX_TOKENS, LiveModel, Reactions

if TYPE_CHECKING:
    import numpy as np

    from pipeline.query import Dataset

# What a model must have in common with the dataset for its neurons to be the same ones.
_IDENTITY: Final = ("architecture", "act_fn", "n_layers", "n_neurons", "d_model", "d_vocab")


def load_again(manifest: Mapping[str, Any], model_name: str | None) -> GatedModel:
    """The model that a manifest names, or another place of it, in the dtype of the run.

    Raises GatescopeError as `load_model` does.
    """
    config = _config(manifest, model_name)
    return load_model(config, inspect_model(config))


def load_live_model(dataset: Dataset, model_name: str | None) -> LiveModel:
    """The model of a dataset, for texts that a person types.

    Raises GatescopeError as `load_model` does, and for a model that is not the dataset's, has no
    gates or no tokenizer.
    """
    said = dataset.manifest["model"]
    if not said["gated"]:
        raise GatescopeError(
            f"serve: {dataset.model} has no gates, and what a text does is shown by gate and in; "
            "leave --model out"
        )
    config = _config(dataset.manifest, model_name)
    info = inspect_model(config)
    tokenizer = load_tokenizer(config, info)
    if tokenizer is None:
        raise GatescopeError(
            f"serve: {config.name} has no tokenizer, and a text cannot be tried without; put its "
            "tokenizer.json beside its config.json, or leave --model out"
        )
    model = load_model(config, info)
    facts = model_facts(model).to_json() | {"tokenizer_sha256": tokenizer_hash(tokenizer)}
    # A dataset of token ids may have been made where there was no tokenizer.
    known = _IDENTITY + (("tokenizer_sha256",) if said.get("tokenizer_sha256") else ())
    other = [f"{key} {facts[key]}, not {said[key]}" for key in known if facts[key] != said[key]]
    if other:
        raise GatescopeError(
            f"serve: {config.name} is not the model of {dataset.source.name} ({'; '.join(other)}); "
            "give the model that the dataset was made of"
        )
    settings = from_dict(dataset.manifest["config"])
    most = min(MAX_TOKENS, info.max_positions or MAX_TOKENS)
    # One more than is shown, to see whether there are more.
    encoder = TextEncoder(tokenizer, most + 1, settings.corpus.add_bos)

    def encode(text: str) -> tuple[list[int], bool]:
        (token_ids,) = encoder.encode([text])
        return token_ids[:most], len(token_ids) > most

    def react(token_ids: list[int], layer: int) -> Reactions:
        return Reactions(*(v.numpy() for v in model.layer_activations(token_ids, layer)))

    return LiveModel(encode, react, _flipped(dataset), settings.scan.skip_bos)


def _config(manifest: Mapping[str, Any], model_name: str | None) -> ModelConfig:
    said = manifest["model"]
    if missing := [key for key in ("revision", "dtype") if key not in said]:
        raise GatescopeError(
            f"manifest.json lacks model.{missing[0]}: no `gatescope run` wrote it, and its model "
            "cannot be loaded again"
        )
    config = from_dict(manifest["config"]).model
    return replace(
        config,
        name=model_name or config.name,
        revision=config.revision if model_name else said["revision"],
        dtype=said["dtype"],
        device="auto",
    )


def _flipped(dataset: Dataset) -> dict[int, np.ndarray]:
    """Of each layer, which neurons the dataset has flipped."""
    columns = dataset.sql("select layer, flipped from neurons order by layer, neuron").fetchnumpy()
    return {
        layer: columns["flipped"][columns["layer"] == layer].astype(bool)
        for layer in dataset.layers
    }
