"""Questions to a finished dataset: DuckDB views over its tables, named queries, its invariants.

The only owner of duckdb. Nothing here needs a model, and nothing here writes into a dataset.
"""

from __future__ import annotations

from pipeline.query.dataset import Dataset
from pipeline.query.invariants import Check, check_invariants
from pipeline.query.named import Query, load_queries
from pipeline.query.neuron import Neuron
from pipeline.query.opening import open_dataset
from pipeline.query.output import RESULT_FORMATS, fetch, write_result
from pipeline.query.rerun import Activations, Forward, check_rerun, refuse_rerun
from pipeline.query.several import Datasets
from pipeline.query.words import sorted_words

__all__ = [
    "RESULT_FORMATS",
    "Activations",
    "Check",
    "Dataset",
    "Datasets",
    "Forward",
    "Neuron",
    "Query",
    "check_invariants",
    "check_rerun",
    "fetch",
    "load_queries",
    "open_dataset",
    "refuse_rerun",
    "sorted_words",
    "write_result",
]
