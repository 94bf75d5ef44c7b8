"""A gated language model: loaded, hooked, probed; the owner of transformers and transformer_lens.

`load_model` gives a `GatedModel` whose `run` hands (layer, gate, in) to a function as each MLP runs
and whose `weights` give a layer's weights with the neighbouring norms folded in. `open_weights`
gives the weights alone, of MLPs without a gate too, and reads them layer by layer.
"""

from pipeline.model.facts import ModelFacts, model_facts
from pipeline.model.gated import GatedModel
from pipeline.model.info import ModelInfo, inspect_model
from pipeline.model.load import load_model, open_weights, weights_dtype
from pipeline.model.memory import give_back_memory
from pipeline.model.probe import probe
from pipeline.model.tokenizer import Vocabulary, load_tokenizer, tokenizer_hash, vocabulary
from pipeline.model.weights import MLPWeights, ModelWeights, TokenRows

__all__ = [
    "GatedModel",
    "MLPWeights",
    "ModelFacts",
    "ModelInfo",
    "ModelWeights",
    "TokenRows",
    "Vocabulary",
    "give_back_memory",
    "inspect_model",
    "load_model",
    "load_tokenizer",
    "model_facts",
    "open_weights",
    "probe",
    "tokenizer_hash",
    "vocabulary",
    "weights_dtype",
]
