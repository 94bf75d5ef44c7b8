"""What the worker says of activations that are no numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_models import ARCHITECTURES, build, info_of

from pipeline.errors import GatescopeError
from pipeline.model.load import hook_model
from pipeline.reduce import reduce_batch
from pipeline.scan import ScanSettings, Worker
from pipeline.store import UnitExamples

_SETTINGS = ScanSettings(
    k=2,
    spare=0,
    rankings=("post",),
    before=2,
    after=2,
    skip_bos=True,
    tokens_per_batch=64,
    seed=0,
)


def _worker() -> tuple[Worker, int]:
    """A worker whose model makes NaN of one token, which is the second of the pair."""
    hf_model = build(ARCHITECTURES["llama"])
    model = hook_model(hf_model, info_of(hf_model))
    token = model.d_vocab - 1
    with torch.no_grad():
        model.body.get_input_embeddings().weight[token] = float("nan")
    return Worker(model, _SETTINGS, torch.device("cpu"), reduce_batch), token


def _unit(*rows: list[int]) -> UnitExamples:
    return UnitExamples(100, [np.array(row, dtype=np.int32) for row in rows])


def test_the_example_is_named() -> None:
    worker, token = _worker()
    unit = _unit([1, 2, 3], [1, 4, 5, 6], [1, 7, token, 8], [1, token])
    with pytest.raises(GatescopeError, match=r"layer 0: NaN .* unit 5, example 102 of the corpus"):
        worker.scan(5, unit, lambda n_tokens: None)
    assert worker.units == ()


def test_other_examples_are_fine() -> None:
    worker, _ = _worker()
    worker.scan(5, _unit([1, 2, 3], [1, 4, 5, 6]), lambda n_tokens: None)
    assert worker.units == (5,)
