"""Every supported architecture: its hooks, counts and weights against its own plain modules."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from by_hand import folded_by_hand
from tiny_models import (
    ARCHITECTURES,
    D_VOCAB,
    N_LAYERS,
    VARIANTS,
    Tiny,
    act,
    build,
    info_of,
    plain_activations,
)
from torch import Tensor

from pipeline.model import GatedModel
from pipeline.model.hook import hook_model
from pipeline.naming import COMBOS
from pipeline.reduce import LayerState, rank_lists
from pipeline.scan import ScanSettings
from pipeline.scan.scanner import Scanner
from pipeline.store import UnitExamples

CASES = ARCHITECTURES | VARIANTS
LENGTHS = (3, 21, 9, 14, 2, 17)
RANKINGS = ("post", "in", "gate")
# Rounding of float32 between one batch shape and another, relative to the largest value.
ROUNDING = 2e-5
# And between two runs of one shape: nothing on most machines, but a buffer's place in memory may
# choose another kernel.
SAME = 1e-6


@dataclass(frozen=True)
class Case:
    tiny: Tiny
    untouched: Any
    gated: GatedModel


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    tiny = CASES[request.param]
    model = build(tiny)
    return Case(tiny, copy.deepcopy(model), hook_model(model, info_of(model)))


@pytest.fixture(scope="module")
def rows() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, D_VOCAB, length).astype(np.int32) for length in LENGTHS]


def padded(rows: list[np.ndarray]) -> Tensor:
    # The padding id is a real token too: nothing may depend on it.
    ids = torch.full((len(rows), max(map(len, rows))), 7)
    for row, values in enumerate(rows):
        ids[row, : len(values)] = torch.from_numpy(values)
    return ids


def relative_error(got: Tensor, want: Tensor) -> float:
    return float((got - want).abs().max() / want.abs().max())


def hooked_activations(model: GatedModel, ids: Tensor) -> dict[int, tuple[Tensor, Tensor]]:
    seen: dict[int, tuple[Tensor, Tensor]] = {}
    model.run(ids, lambda layer, gate, in_: seen.update({layer: (gate.clone(), in_.clone())}))
    return seen


def test_the_supported_architectures_are_those_promised() -> None:
    promised = (
        "llama mistral qwen2 qwen3 gemma gemma2 gemma3_text gemma4_text olmo olmo2 olmo3 phi3 "
        "smollm3 glm4 granite cohere stablelm ministral3 seed_oss exaone4 falcon_h1 lfm2"
    )
    assert list(ARCHITECTURES) == promised.split()


def test_hooks_give_what_plain_hooks_give(case: Case, rows: list[np.ndarray]) -> None:
    ids = padded(rows)
    hooked = hooked_activations(case.gated, ids)
    assert list(hooked) == list(range(N_LAYERS))
    plain = plain_activations(case.tiny, case.untouched, ids)
    for layer, (gate, in_, post) in enumerate(plain):
        # A fused projection is split for the hooks, so that its two halves round on their own.
        tolerance = ROUNDING if case.tiny.model_type in ("phi3", "glm4") else SAME
        assert hooked[layer][0].shape == (*ids.shape, case.gated.n_neurons(layer))
        assert relative_error(hooked[layer][0], gate) <= tolerance
        assert relative_error(hooked[layer][1], in_) <= tolerance
        assert relative_error(act(case.tiny, gate.double()) * in_, post) < ROUNDING
        assert relative_error(case.gated.act_fns[layer](gate) * in_, post) < ROUNDING


def test_a_padded_batch_gives_what_each_example_gives_alone(
    case: Case, rows: list[np.ndarray]
) -> None:
    hooked = hooked_activations(case.gated, padded(rows))
    for row, alone in enumerate(plain_activations_alone(case, rows)):
        for layer, (gate, in_, _) in enumerate(alone):
            for got, want in zip(hooked[layer], (gate, in_), strict=True):
                assert relative_error(got[row, : len(rows[row])], want[0]) < ROUNDING


def test_the_hidden_states_are_those_of_the_untouched_model(
    case: Case, rows: list[np.ndarray]
) -> None:
    ids = padded(rows)
    with torch.inference_mode():
        hooked, untouched = (
            body(input_ids=ids, use_cache=False).last_hidden_state
            for body in (case.gated.body, case.untouched.base_model)
        )
    assert relative_error(hooked, untouched) < 2e-6


def test_batches_side_by_side_give_what_one_after_the_other_gives(case: Case) -> None:
    generator = np.random.default_rng(1)
    lengths = generator.integers(2, 13, 24)
    examples = [generator.integers(0, D_VOCAB, length).astype(np.int32) for length in lengths]
    settings = ScanSettings(2, 0, RANKINGS, 2, 1, skip_bos=True, tokens_per_batch=26, seed=0)
    n_threads = torch.get_num_threads()
    workers = []
    for side_by_side in (1, 4):
        worker = Scanner(case.gated, settings, LayerState.update)
        try:
            torch.set_num_threads(side_by_side)
            worker.scan(0, UnitExamples(0, examples), lambda n_tokens: None)
        finally:
            torch.set_num_threads(n_threads)
        workers.append(worker)
    for layer, state in workers[0].states.items():
        other = workers[1].states[layer]
        for name in ("n_tokens", "counts", "n_zero", "worst"):
            assert torch.equal(getattr(state, name), getattr(other, name)), name
        torch.testing.assert_close(state.sums, other.sums, rtol=1e-12, atol=1e-12)
        for got, want in zip(
            vars(rank_lists(state)).values(), vars(rank_lists(other)).values(), strict=True
        ):
            assert torch.equal(got, want)


def test_counts_sums_and_best_scores_are_those_of_plain_hooks(
    case: Case, rows: list[np.ndarray]
) -> None:
    first = 5
    settings = ScanSettings(
        k=len(rows),
        spare=0,
        rankings=RANKINGS,
        before=2,
        after=1,
        skip_bos=True,
        tokens_per_batch=40,
        seed=0,
    )
    worker = Scanner(case.gated, settings, LayerState.update)
    worker.scan(0, UnitExamples(first, rows), lambda n_tokens: None)
    alone = plain_activations_alone(case, rows)
    n_tokens = sum(len(row) - 1 for row in rows)
    for layer in range(N_LAYERS):
        # [example pos neuron] in float64, without the first position; 0, of no sign, as padding.
        gate, in_ = (
            torch.nn.utils.rnn.pad_sequence(
                [of_layer[layer][part][0, 1:].double() for of_layer in alone], batch_first=True
            )
            for part in (0, 1)
        )
        real = torch.nn.utils.rnn.pad_sequence(
            [torch.ones(len(row) - 1, dtype=torch.bool) for row in rows], batch_first=True
        )[:, :, None]
        acts = act(case.tiny, gate)
        quantities = {"gate": gate, "in": in_, "act": acts, "post": acts * in_}
        # Rounding may decide the sign of what is next to 0: rare, and allowed for.
        near = real & (
            (gate.abs() < ROUNDING * gate.abs().max()) | (in_.abs() < ROUNDING * in_.abs().max())
        )
        assert near.float().mean() < 1e-3
        state = worker.states[layer]
        assert int(state.n_tokens) == n_tokens
        assert bool((state.counts.sum(0) + state.n_zero == n_tokens).all())
        for c, combo in enumerate(COMBOS):
            inside = (gate.sign() == combo.gate_sign) & (in_.sign() == combo.in_sign)
            least = (inside & ~near).sum((0, 1))
            assert bool((state.counts[c] >= least).all())
            assert bool((state.counts[c] <= least + near.sum((0, 1))).all())
            for q, values in enumerate(quantities.values()):
                error = state.sums[q, c] - (values * inside).sum((0, 1))
                assert float(error.abs().max()) < ROUNDING * float(values.abs().sum((0, 1)).max())
            for r, ranking in enumerate(RANKINGS):
                values = quantities[ranking].abs()
                best = torch.where(inside, values, -1.0).amax(1)
                got = listed_scores(state, c * len(RANKINGS) + r, first, len(rows))
                error = (got - best).abs()[~near.any(1)]
                assert float(error.max()) < ROUNDING * float(values.max())


def plain_activations_alone(
    case: Case, rows: list[np.ndarray]
) -> list[list[tuple[Tensor, Tensor, Tensor]]]:
    ids = [torch.from_numpy(row)[None].long() for row in rows]
    return [plain_activations(case.tiny, case.untouched, row) for row in ids]


def listed_scores(state: LayerState, list_: int, first: int, n_examples: int) -> Tensor:
    """The score of each example on one list of every neuron, [example neuron]; -1 where absent."""
    lists = rank_lists(state)
    filled = lists.filled[list_]
    neuron, _ = filled.nonzero(as_tuple=True)
    example = lists.example_id[list_][filled] - first
    assert len(set(zip(example.tolist(), neuron.tolist(), strict=True))) == len(example)
    scores = torch.full((n_examples, len(filled)), -1.0, dtype=torch.float64)
    scores[example, neuron] = lists.score[list_][filled].double()
    return scores


def test_the_weights_are_folded_as_by_hand(case: Case) -> None:
    for layer in range(N_LAYERS):
        got = case.gated.mlp_weights(layer)
        want = folded_by_hand(case.tiny, case.untouched, layer)
        for name, matrix in zip(("gate", "in_", "out"), want, strict=True):
            folded = getattr(got, name)
            assert folded.dtype == torch.float64
            torch.testing.assert_close(folded, matrix, rtol=1e-6, atol=1e-7)


def test_a_scan_of_some_layers_stops_after_the_last(case: Case, rows: list[np.ndarray]) -> None:
    ids = padded(rows)
    every = hooked_activations(case.gated, ids)
    ran: list[int] = []
    handles = [
        block.register_forward_pre_hook(lambda module, args, layer=layer: ran.append(layer))
        for layer, block in enumerate(case.gated.body.layers)  # type: ignore[arg-type]
    ]
    some = hooked_activations(replace(case.gated, layers=(1,)), ids)
    for handle in handles:
        handle.remove()
    assert ran == [0, 1]
    assert list(some) == [1]
    assert relative_error(some[1][0], every[1][0]) <= SAME
    assert relative_error(some[1][1], every[1][1]) <= SAME


def test_the_chosen_layers_are_handed_on_in_their_order(rows: list[np.ndarray]) -> None:
    model = build(ARCHITECTURES["llama"])
    gated = hook_model(model, info_of(model), (2, 0))
    assert gated.layers == (0, 2)
    assert gated.n_layers == N_LAYERS
    assert list(hooked_activations(gated, padded(rows))) == [0, 2]


def test_layers_may_differ_in_their_neurons() -> None:
    model = build(VARIANTS["gemma4-double-wide"])
    gated = hook_model(model, info_of(model))
    assert [gated.n_neurons(layer) for layer in range(N_LAYERS)] == [40, 40, 80]
    assert [len(gated.mlp_weights(layer).out) for layer in range(N_LAYERS)] == [40, 40, 80]


def test_columns_are_those_of_the_hooks(rows: list[np.ndarray]) -> None:
    model = build(ARCHITECTURES["llama"])
    gated = hook_model(model, info_of(model))
    ids = rows[1].tolist()
    wanted = [(2, 3), (0, 39), (2, 1), (2, 3)]
    hooked = hooked_activations(gated, torch.tensor([ids]))
    columns = gated.columns(ids, wanted)
    for (layer, neuron), (gate, in_, post) in zip(wanted, columns, strict=True):
        assert relative_error(gate, hooked[layer][0][0, :, neuron]) <= SAME
        assert relative_error(in_, hooked[layer][1][0, :, neuron]) <= SAME
        torch.testing.assert_close(post, torch.nn.functional.silu(gate) * in_)


def test_an_error_in_the_consumer_is_not_swallowed_and_leaves_the_model_usable() -> None:
    model = build(ARCHITECTURES["llama"])
    gated = hook_model(model, info_of(model))

    def fail(layer: int, gate: Tensor, in_: Tensor) -> None:
        raise RuntimeError(f"layer {layer}")

    with pytest.raises(RuntimeError, match="layer 0"):
        gated.run(torch.tensor([[1, 2]]), fail)
    assert list(hooked_activations(gated, torch.tensor([[1, 2]]))) == [0, 1, 2]
    # A forward that is not a scan's hands nothing on.
    gated.body(input_ids=torch.tensor([[1, 2]]), use_cache=False)
