"""Datasets of neuron activations as GLUScope's authors publish them: read, written, taken over.

source (a file, a folder, the Hub) -> rows or tensors -> layers -> partial_tables
"""
