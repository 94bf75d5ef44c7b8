"""What the weights of a neuron say: cosines, norms, input-output functionality, randomness."""

from pipeline.weights.classes import io_classes
from pipeline.weights.cosines import NeuronWeights, neuron_weights
from pipeline.weights.randomness import random_cosine_interval

__all__ = ["NeuronWeights", "io_classes", "neuron_weights", "random_cosine_interval"]
