"""A gated language model: loaded, hooked, probed; the owner of transformers and transformer_lens.

`load_model` gives a `GatedModel` whose `run` hands (layer, gate, in) to a function as each MLP runs
and whose `mlp_weights` gives a layer's weights with the neighbouring norms folded in.
"""

from pipeline.model.facts import ModelFacts, model_facts
from pipeline.model.gated import GatedModel, MLPWeights
from pipeline.model.info import ModelInfo, inspect_model
from pipeline.model.load import load_model
from pipeline.model.probe import probe
from pipeline.model.tokenizer import Vocabulary, load_tokenizer, tokenizer_hash, vocabulary

__all__ = [
    "GatedModel",
    "MLPWeights",
    "ModelFacts",
    "ModelInfo",
    "Vocabulary",
    "inspect_model",
    "load_model",
    "load_tokenizer",
    "model_facts",
    "probe",
    "tokenizer_hash",
    "vocabulary",
]
