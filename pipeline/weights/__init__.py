"""What the weights of a neuron say: cosines, norms, functionality, randomness, tokens."""

from pipeline.weights.classes import io_classes
from pipeline.weights.cosines import NeuronWeights, neuron_weights
from pipeline.weights.mismatched import Mismatched, mismatched_cosines
from pipeline.weights.randomness import random_cosine_interval
from pipeline.weights.tokens import TokenList, TokenMatrix, extreme_tokens, token_matrix

__all__ = [
    "Mismatched",
    "NeuronWeights",
    "TokenList",
    "TokenMatrix",
    "extreme_tokens",
    "io_classes",
    "mismatched_cosines",
    "neuron_weights",
    "random_cosine_interval",
    "token_matrix",
]
