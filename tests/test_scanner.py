"""What the scanner does with activations that are no numbers, and where memory runs out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_models import ARCHITECTURES, build, info_of
from torch import Tensor

from pipeline.errors import GatescopeError
from pipeline.model import GatedModel
from pipeline.model.hook import hook_model
from pipeline.naming import RANKINGS
from pipeline.reduce import Batch, LayerState, rank_lists
from pipeline.scan import Scanner, ScanSettings, check_fits, memory, state_bytes
from pipeline.scan.compiled import Update
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


def _scanner() -> tuple[Scanner, int]:
    """A scanner whose model makes NaN of one token, which is the second of the pair."""
    hf_model = build(ARCHITECTURES["llama"])
    model = hook_model(hf_model, info_of(hf_model))
    token = model.d_vocab - 1
    with torch.no_grad():
        model.body.get_input_embeddings().weight[token] = float("nan")
    return Scanner(model, _SETTINGS, LayerState.update), token


def _unit(*rows: list[int]) -> UnitExamples:
    return UnitExamples(100, [np.array(row, dtype=np.int32) for row in rows])


def test_the_example_is_named() -> None:
    scanner, token = _scanner()
    unit = _unit([1, 2, 3], [1, 4, 5, 6], [1, 7, token, 8], [1, token])
    with pytest.raises(GatescopeError, match=r"layer 0: NaN .* unit 5, example 102 of the corpus"):
        scanner.scan(5, unit, lambda n_tokens: None)
    assert scanner.units == ()


def test_the_padding_of_another_token_does_no_harm() -> None:
    """A row is padded with a token of its own: none that the corpus lacks comes in."""
    scanner, token = _scanner()
    with torch.no_grad():
        weights = scanner._model.body.get_input_embeddings().weight
        weights[token] = 0.0
        weights[0] = float("nan")
    scanner.scan(0, _unit([1, 2, 3, 4, 5, 6], [4, 5], [7]), lambda n_tokens: None)
    assert scanner.units == (0,)


def test_other_examples_are_fine() -> None:
    scanner, _ = _scanner()
    scanner.scan(5, _unit([1, 2, 3], [1, 4, 5, 6]), lambda n_tokens: None)
    assert scanner.units == (5,)


@dataclass
class _ShortOfMemory:
    """An update that runs out of memory at the calls in `fails`.

    With `midway` that comes when the lists have been entered, and before anything is counted.
    """

    fails: set[int]
    midway: bool
    n_calls: int = 0

    def __call__(
        self, state: LayerState, batch: Batch, gate: Tensor, in_: Tensor, act_fn: Any
    ) -> None:
        self.n_calls += 1
        if self.n_calls not in self.fails:
            state.update(batch, gate, in_, act_fn)
            return
        if self.midway:
            kept = {name: getattr(state, name).clone() for name in _TOTALS}
            state.update(batch, gate, in_, act_fn)
            for name, values in kept.items():
                getattr(state, name).copy_(values)
        raise torch.OutOfMemoryError("no memory left")


_TOTALS = ("n_tokens", "counts", "n_zero", "sums")


def _scanned(update: Update) -> Scanner:
    hf_model = build(ARCHITECTURES["llama"])
    model = hook_model(hf_model, info_of(hf_model))
    assert len(model.layers) == 3
    rng = np.random.default_rng(0)
    rows = [rng.integers(1, model.d_vocab, size=n).tolist() for n in (9, 3, 7, 7, 1, 5, 8)]
    # All examples in one batch.
    settings = replace(_SETTINGS, k=3, rankings=RANKINGS, tokens_per_batch=4096)
    scanner = Scanner(model, settings, update)
    told: list[int] = []
    scanner.scan(0, _unit(*rows), told.append)
    assert sum(told) == sum(map(len, rows))
    return scanner


@pytest.mark.parametrize("midway", [False, True])
@pytest.mark.parametrize("fails", [{1}, {2}, {3}, {1, 2}, {1, 3}, {2, 3, 4}, {1, 4}])
def test_a_batch_too_large_is_halved_and_counted_once(fails: set[int], midway: bool) -> None:
    undisturbed = _scanned(LayerState.update)
    short = _scanned(_ShortOfMemory(fails, midway))
    assert (undisturbed.n_halved, short.n_halved) == (0, len(fails))
    assert short.tokens_per_batch <= undisturbed.tokens_per_batch // 2
    for layer, state in undisturbed.states.items():
        other = short.states[layer]
        for name in ("n_tokens", "counts", "n_zero"):
            assert torch.equal(getattr(state, name), getattr(other, name)), name
        torch.testing.assert_close(state.sums, other.sums)
        lists, others = rank_lists(state), rank_lists(other)
        for name in ("filled", "example_id", "position"):
            assert torch.equal(getattr(lists, name), getattr(others, name)), name
        torch.testing.assert_close(lists.score, others.score)


def test_an_example_that_never_fits_is_said() -> None:
    def update(*_: object) -> None:
        raise torch.OutOfMemoryError("no memory left")

    with pytest.raises(GatescopeError, match=r"ran out of memory at one example of \d+ tokens"):
        _scanned(update)


def test_each_layer_has_its_state_on_its_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """`cpu:0` is another device than `cpu` by name, and the same one at work."""
    undisturbed = _scanned(LayerState.update)
    devices = [torch.device("cpu"), torch.device("cpu:0"), torch.device("cpu:0")]
    monkeypatch.setattr(GatedModel, "layer_device", lambda self, layer: devices[layer])
    met: list[tuple[torch.device, ...]] = []

    def update(state: LayerState, batch: Batch, gate: Tensor, in_: Tensor, act_fn: Any) -> None:
        met.append((state.counts.device, batch.lengths.device, gate.device, in_.device))
        state.update(batch, gate, in_, act_fn)

    spread = _scanned(update)
    assert met
    n_bytes = state_bytes(spread._model, spread._settings)
    assert set(n_bytes) == set(devices)
    assert n_bytes[devices[1]] == 2 * n_bytes[devices[0]]
    for layer, state in undisturbed.states.items():
        assert torch.equal(state.counts, spread.states[layer].counts)
        assert torch.equal(state.keys, spread.states[layer].keys)


def test_the_device_that_is_too_small_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    needs = Counter({torch.device("cpu"): 1 << 20, torch.device("cpu:0"): 3 << 30})
    monkeypatch.setattr(memory, "free_bytes", lambda device: 2 << 30)
    with pytest.raises(GatescopeError, match=r"needs 3\.0 GiB and cpu:0 has 2\.0 GiB free"):
        check_fits(needs)
