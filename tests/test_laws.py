"""Laws of states and lists that hold whatever the data: splitting, merging, flipping, cutting."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import Example
from test_reduce import CPU, Case, contexts_of, scanned, update
from torch import Tensor

from pipeline.naming import COMBOS
from pipeline.reduce import (
    LayerState,
    RankedLists,
    drop_duplicates,
    flip_lists,
    flip_totals,
    rank_lists,
)

CASE = Case(n_examples=14, max_length=40, n_neurons=5, on_grid=False, spare=2)
LIST_FIELDS = ("example_id", "position", "n_duplicates", "score", "gate", "in_")


def bits(values: Tensor) -> Tensor:
    """Equal where the values are equal bit for bit: NaN too, and 0 is not -0."""
    return values.flatten().view(torch.uint8)


def assert_same_lists(lists: RankedLists, others: RankedLists) -> None:
    assert torch.equal(lists.filled, others.filled)
    for name in LIST_FIELDS:
        values, other = (getattr(x, name)[x.filled] for x in (lists, others))
        assert values.numel() > 0
        assert torch.equal(bits(values), bits(other)), name


def assert_same_state(state: LayerState, other: LayerState) -> None:
    """Counts, lists and windows bit for bit, sums to 1e-12."""
    assert state.settings == other.settings
    for name in ("n_tokens", "counts", "n_zero"):
        assert torch.equal(getattr(state, name), getattr(other, name)), name
    torch.testing.assert_close(state.sums, other.sums, rtol=1e-12, atol=1e-12)
    assert torch.equal(state.worst.sort().values, other.worst.sort().values)
    assert_same_lists(rank_lists(state), rank_lists(other))


def batches_of(case: Case, examples: Sequence[Example]) -> list[Sequence[Example]]:
    return [
        examples[start : start + case.batch_size]
        for start in range(0, len(examples), case.batch_size)
    ]


def scan_split(
    case: Case, batches: list[Sequence[Example]], n_states: int, seed: int
) -> LayerState:
    """The batches in any order over `n_states` states, merged two by two in any order."""
    shuffled = random.Random(seed)
    states = [LayerState.empty(case.state, CPU) for _ in range(n_states)]
    for batch in shuffled.sample(batches, len(batches)):
        update(shuffled.choice(states), batch, case)
    while len(states) > 1:
        shuffled.shuffle(states)
        states.append(states.pop().merge(states.pop()))
    return states[0]


@pytest.mark.parametrize("act", ["silu", "gelu_tanh", "relu"])
@settings(max_examples=10)
@given(
    n_states=st.integers(1, 6),
    batch_size=st.integers(1, 6),
    k=st.integers(1, 6),
    on_grid=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_any_split_of_batches_and_any_order_of_merges(
    act: str, n_states: int, batch_size: int, k: int, on_grid: bool, seed: int
) -> None:
    case = replace(CASE, act=act, batch_size=batch_size, k=k, on_grid=on_grid, seed=seed)
    batches = batches_of(case, case.examples())
    together = LayerState.empty(case.state, CPU)
    for batch in batches:
        update(together, batch, case)
    assert_same_state(scan_split(case, batches, n_states, seed), together)


@settings(max_examples=15)
@given(
    n_states=st.integers(1, 5),
    sizes=st.tuples(*[st.integers(1, 14)] * 2),
    on_grid=st.booleans(),
    seed=st.integers(0, 99),
)
def test_any_split_of_examples_into_batches(
    n_states: int, sizes: tuple[int, int], on_grid: bool, seed: int
) -> None:
    """A padded batch equals each example alone; ReLU, which no vectorised kernel rounds."""
    case = replace(CASE, act="relu", on_grid=on_grid, seed=seed)
    examples = case.examples()
    batches = [batches_of(replace(case, batch_size=size), examples) for size in sizes]
    random.Random(seed).shuffle(examples)
    batches.append([[example] for example in examples])
    states = [scan_split(case, split, n_states, seed) for split in batches]
    assert_same_state(states[0], states[1])
    assert_same_state(states[0], states[2])


def test_merge_leaves_its_operands_alone() -> None:
    a, b = (scanned(CASE, examples) for examples in halves(CASE))
    before = [{name: t.clone() for name, t in state.tensors().items()} for state in (a, b)]
    a.merge(b)
    for state, tensors in zip((a, b), before, strict=True):
        for name, tensor in state.tensors().items():
            assert torch.equal(bits(tensor), bits(tensors[name])), name


def halves(case: Case) -> tuple[list[Example], list[Example]]:
    examples = case.examples()
    return examples[::2], examples[1::2]


def test_an_empty_state_adds_nothing() -> None:
    state = scanned(CASE, CASE.examples())
    empty = LayerState.empty(CASE.state, CPU)
    assert_same_state(state.merge(empty), state)
    assert_same_state(empty.merge(state), state)
    assert not rank_lists(empty).filled.any()


@pytest.mark.parametrize(
    "change",
    [
        {"n_neurons": 6},
        {"rankings": ("in", "post", "gate", "random")},
        {"size": 5},
        {"before": 5, "after": 1},
        {"after": 3},
        {"dtype": torch.bfloat16},
    ],
    ids=str,
)
def test_states_of_other_settings_do_not_merge(change: dict[str, object]) -> None:
    state = LayerState.empty(CASE.state, CPU)
    other = LayerState.empty(replace(CASE.state, **change), CPU)
    with pytest.raises(ValueError, match="cannot merge"):
        state.merge(other)


def test_tensors_hold_the_whole_state() -> None:
    """A state that was put away and taken up again goes on as the other does."""
    first, second = halves(CASE)
    state = scanned(CASE, first)
    stored = {name: tensor.clone() for name, tensor in state.tensors().items()}
    resumed = LayerState.from_tensors(CASE.state, stored)
    for name, tensor in state.tensors().items():
        assert torch.equal(bits(tensor), bits(resumed.tensors()[name])), name
    update(state, second, CASE)
    update(resumed, second, CASE)
    assert_same_state(resumed, state)
    assert not torch.equal(state.counts, scanned(CASE, first).counts)


@pytest.mark.parametrize(
    "change",
    [{"n_neurons": 6}, {"size": 5}, {"rankings": ("post",)}, {"before": 9}, {"dtype": torch.half}],
    ids=str,
)
def test_tensors_of_other_settings_are_refused(change: dict[str, object]) -> None:
    tensors = LayerState.empty(CASE.state, CPU).tensors()
    with pytest.raises(ValueError, match="not one of"):
        LayerState.from_tensors(replace(CASE.state, **change), tensors)


@pytest.mark.parametrize(
    ("start", "stop", "kept"), [(0, 5, 5), (1, 3, 2), (3, 64, 2), (4, 5, 1), (2, 2, 0)]
)
def test_neurons_are_a_cut(start: int, stop: int, kept: int) -> None:
    """What is known of a neuron does not depend on its neighbours."""
    case = replace(CASE, on_grid=True, act="relu")
    examples = case.examples()
    cut = scanned(case, examples).neurons(start, stop)
    assert cut.settings == replace(case.state, n_neurons=kept)
    assert [len(tensor) for tensor in (cut.counts.T, cut.n_zero, cut.keys[0])] == [kept] * 3
    if kept == 0:
        return
    few = [
        replace(example, gate=example.gate[:, start:stop], in_=example.in_[:, start:stop])
        for example in examples
    ]
    assert_same_state(cut, scanned(replace(case, n_neurons=kept), few))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rankings", [("post",), CASE.rankings])
def test_n_bytes_is_the_size_of_the_tensors(dtype: torch.dtype, rankings: tuple[str, ...]) -> None:
    state = LayerState.empty(replace(CASE.state, dtype=dtype, rankings=rankings), CPU)
    assert state.settings.n_bytes == sum(t.nbytes for t in state.tensors().values())


FLIPPED = torch.tensor([True, False, True, True, False])


def test_flipping_twice_is_the_identity() -> None:
    state = scanned(CASE, CASE.examples())
    totals, lists = (state.counts, state.sums), rank_lists(state)
    once, lists_once = flip_totals(*totals, FLIPPED), flip_lists(lists, FLIPPED)
    for before, after in zip(totals, flip_totals(*once, FLIPPED), strict=True):
        assert torch.equal(before, after)
    assert_same_lists(flip_lists(lists_once, FLIPPED), lists)
    # And once is not: each flipped neuron changes, no other does.
    for before, after in zip(totals, once, strict=True):
        changed = (before != after).flatten(0, -2).any(0)
        assert torch.equal(changed, FLIPPED)
    assert torch.equal((lists.score != lists_once.score).any(2).any(0), FLIPPED)


def test_flipping_is_scanning_with_in_negated() -> None:
    examples = CASE.examples()
    state = scanned(CASE, examples)
    sign = np.where(FLIPPED.numpy(), -1, 1).astype(np.float32)
    other = scanned(CASE, [replace(example, in_=example.in_ * sign) for example in examples])
    counts, sums = flip_totals(state.counts, state.sums, FLIPPED)
    assert torch.equal(counts, other.counts)
    torch.testing.assert_close(sums, other.sums, rtol=1e-12, atol=1e-12)
    lists, expected = flip_lists(rank_lists(state), FLIPPED), rank_lists(other)
    assert torch.equal(lists.filled, expected.filled)
    for name in LIST_FIELDS:
        values, wanted = (getattr(x, name)[x.filled] for x in (lists, expected))
        torch.testing.assert_close(values, wanted, rtol=0, atol=0, equal_nan=True)


@settings(max_examples=15)
@given(n_words=st.integers(1, 4), k=st.integers(1, 8), seed=st.integers(0, 2**20))
def test_duplicates_are_dropped_and_counted(n_words: int, k: int, seed: int) -> None:
    """Of each context the best entry stays, in its order, and stands for all of them."""
    case = replace(CASE, n_words=n_words, k=k, seed=seed, n_examples=10, n_neurons=2)
    examples = case.examples()
    lists = rank_lists(scanned(case, examples))
    contexts = contexts_of(lists, examples)
    kept = drop_duplicates(lists, contexts)
    for index in np.ndindex(lists.filled.shape[:2]):
        n = int(lists.filled[index].sum())
        all_contexts = [tuple(context) for context in contexts[index][:n].tolist()]
        repeats = Counter(all_contexts)
        n_kept = int(kept.filled[index].sum())
        assert kept.filled[index][:n_kept].all()
        assert n_kept == len(repeats)
        best = [all_contexts.index(context) for context in repeats]
        for name in ("score", "example_id", "position", "gate", "in_"):
            values = getattr(lists, name)[index][best]
            assert torch.equal(bits(getattr(kept, name)[index][:n_kept]), bits(values)), name
        n_duplicates = kept.n_duplicates[index][:n_kept]
        assert n_duplicates.tolist() == [count - 1 for count in repeats.values()]
        assert int(n_duplicates.sum()) + n_kept == n
    again = drop_duplicates(kept, contexts_of(kept, examples))
    assert not again.n_duplicates[again.filled].any()
    assert torch.equal(again.filled, kept.filled)


def test_ranked_lists_follow_the_total_order() -> None:
    """Also among the many ties of a grid: score descending, then example_id ascending."""
    case = replace(CASE, on_grid=True, act="relu", n_examples=20)
    lists = rank_lists(scanned(case, case.examples()))
    assert lists.filled.shape[0] == len(COMBOS) * len(case.rankings)
    n_ties = 0
    for index in lists.filled[:, :, 0].nonzero().tolist():
        at = tuple(index)
        filled = lists.filled[at]
        order = [
            (-score, example_id)
            for score, example_id in zip(
                lists.score[at][filled].tolist(), lists.example_id[at][filled].tolist(), strict=True
            )
        ]
        assert order == sorted(set(order))
        n_ties += len(order) - len({score for score, _ in order})
    assert n_ties > 100
