"""The engine's counts, sums and lists are those of the slow reference."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import ACTIVATIONS, Definition, Entry, Example, Neuron, padded, random_examples
from reference import reference as by_definition
from torch import Tensor
from torch.nn import functional

from pipeline.naming import COMBOS, DUPLICATE_CONTEXT, QUANTITIES, RANKINGS
from pipeline.reduce import (
    LayerState,
    RankedLists,
    StateSettings,
    drop_duplicates,
    flip_lists,
    flip_totals,
    rank_lists,
    reduce_batch,
)
from pipeline.reduce import state as state_module
from pipeline.reduce.signs import BLOCK
from pipeline.scan.batches import padded_batch, random_scores
from pipeline.scan.compiled import choose_update


def has_compiler() -> bool:
    return any(map(shutil.which, ("c++", "g++", "clang++")))


CPU = torch.device("cpu")
TORCH_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": functional.silu,
    "gelu_tanh": partial(functional.gelu, approximate="tanh"),
    "relu": functional.relu,
}
SUBSETS = [
    subset for size in range(1, len(RANKINGS) + 1) for subset in combinations(RANKINGS, size)
]


@dataclass(frozen=True)
class Case:
    """A small scan: its examples' shape, how they are batched, and the settings."""

    n_examples: int = 12
    max_length: int = 20
    n_neurons: int = 3
    n_words: int = 3
    on_grid: bool = True
    batch_size: int = 5
    act: str = "silu"
    rankings: tuple[str, ...] = RANKINGS
    k: int = 4
    spare: int = 3
    before: int = 4
    after: int = 2
    skip_bos: bool = True
    dedupe: bool = True
    dtype: torch.dtype = torch.float32
    activations: torch.dtype = torch.float32
    seed: int = 0

    @property
    def state(self) -> StateSettings:
        return StateSettings(
            n_neurons=self.n_neurons,
            rankings=self.rankings,
            size=self.k + self.spare,
            before=self.before,
            after=self.after,
            dtype=self.dtype,
        )

    def examples(self) -> list[Example]:
        rng = np.random.default_rng(self.seed)
        examples = random_examples(
            rng,
            n_examples=self.n_examples,
            max_length=self.max_length,
            n_neurons=self.n_neurons,
            n_words=self.n_words,
            on_grid=self.on_grid,
        )
        if self.skip_bos:  # What is not counted may be anything.
            for example in examples[::2]:
                example.gate[0] = rng.choice([math.nan, math.inf, -math.inf], self.n_neurons)
                example.in_[0] = rng.choice([math.nan, math.inf, 1.0], self.n_neurons)
        return examples

    def definition(self, flipped: Sequence[int]) -> Definition:
        return Definition(
            act=ACTIVATIONS[self.act],
            rankings=self.rankings,
            random_score=partial(random_score, self.seed),
            k=self.k,
            spare=self.spare,
            dedupe=self.dedupe,
            skip_bos=self.skip_bos,
            before=self.before,
            after=self.after,
            flipped=flipped,
        )


def random_score(seed: int, example_id: int, position: int) -> float:
    return float(random_scores(seed, np.array([example_id]), position + 1)[0, position])


def update(
    state: LayerState,
    examples: Sequence[Example],
    case: Case,
    by: Callable[..., None] = LayerState.update,
) -> None:
    """Feed the examples as one batch, with garbage where it is padded."""
    rng = np.random.default_rng(len(examples))
    _, batch = padded_batch(
        [np.array(example.token_ids) for example in examples],
        np.array([example.example_id for example in examples]),
        case.seed,
        int(case.skip_bos),
    )
    gate, in_ = (
        torch.from_numpy(padded(values, rng))
        for values in ([e.gate for e in examples], [e.in_ for e in examples])
    )
    by(
        state,
        batch,
        gate.to(case.activations),
        in_.to(case.activations),
        TORCH_ACTIVATIONS[case.act],
    )


def scanned(case: Case, examples: Sequence[Example]) -> LayerState:
    """The state after all examples, by tensors and, where there is a compiler, by C++ as well."""
    state = scanned_by(case, examples, LayerState.update)
    if has_compiler():
        native, compiled = choose_update("true", 0, CPU, case.state, pytest.fail)
        assert compiled
        assert_same(state, scanned_by(case, examples, native))
    return state


def assert_same(state: LayerState, other: LayerState) -> None:
    """Counts and lists bit for bit, sums but for the order of their terms."""
    assert bool(state.healthy) == bool(other.healthy)
    for name in ("n_tokens", "counts", "n_zero"):
        assert torch.equal(getattr(state, name), getattr(other, name)), name
    if not state.healthy:
        return
    torch.testing.assert_close(state.sums, other.sums, rtol=1e-6, atol=2e-5)
    assert torch.equal(state.worst, other.worst)
    ranked, others = rank_lists(state), rank_lists(other)
    for name, values in vars(ranked).items():
        torch.testing.assert_close(
            values, getattr(others, name), rtol=0, atol=0, equal_nan=True, msg=name
        )


def scanned_by(case: Case, examples: Sequence[Example], by: Callable[..., None]) -> LayerState:
    """The state after all examples, in batches of a random order."""
    state = LayerState.empty(case.state, CPU)
    order = np.random.default_rng(case.seed + 1).permutation(len(examples))
    for start in range(0, len(order), case.batch_size):
        batch = [examples[index] for index in order[start : start + case.batch_size]]
        update(state, batch, case, by)
    return state


def contexts_of(lists: RankedLists, examples: Sequence[Example]) -> Tensor:
    """The tokens from DUPLICATE_CONTEXT before each peak up to the peak, -1 before the start."""
    tokens = {example.example_id: example.token_ids for example in examples}
    contexts = np.full((*lists.filled.shape, DUPLICATE_CONTEXT + 1), -1, np.int32)
    for at in lists.filled.nonzero().tolist():
        index = tuple(at)
        peak = int(lists.position[index])
        context = tokens[int(lists.example_id[index])][max(0, peak - DUPLICATE_CONTEXT) : peak + 1]
        contexts[(*index, slice(-len(context), None))] = context
    return torch.from_numpy(contexts)


def finished(
    case: Case, state: LayerState, examples: Sequence[Example], flipped: Tensor
) -> tuple[Tensor, Tensor, RankedLists]:
    """What the end of a scan makes of a state: counts, sums and lists."""
    lists = rank_lists(state)
    if case.dedupe:
        lists = drop_duplicates(lists, contexts_of(lists, examples))
    counts, sums = flip_totals(state.counts, state.sums, flipped)
    return counts, sums, flip_lists(lists.first(case.k), flipped)


def assert_list(
    case: Case, lists: RankedLists, index: tuple[int, int], expected: list[Entry]
) -> None:
    n = len(expected)
    assert lists.filled[index].tolist() == [True] * n + [False] * (lists.filled.shape[2] - n)
    got = {
        name: getattr(lists, name)[index][:n].tolist()
        for name in ("example_id", "position", "n_duplicates")
    }
    assert got == {name: [getattr(entry, name) for entry in expected] for name in got}
    ranking = case.rankings[index[0] % len(case.rankings)]
    exact = ranking != "post" or (case.on_grid and case.act == "relu")
    np.testing.assert_allclose(
        lists.score[index][:n],
        [entry.score for entry in expected],
        rtol=0 if exact else 1e-6,
        atol=0 if exact else 1e-9,
    )
    for rank, entry in enumerate(expected):
        first = entry.window_start - (entry.position - case.before)
        for name in ("gate", "in_"):
            window = torch.zeros(case.state.window, dtype=case.dtype)
            window[first : first + len(entry.token_ids)] = torch.tensor(getattr(entry, name))
            torch.testing.assert_close(
                getattr(lists, name)[index][rank], window, rtol=0, atol=0, equal_nan=True
            )


def assert_as_defined(case: Case, state: LayerState, examples: Sequence[Example]) -> list[Neuron]:
    """Compare everything that a state says with the reference; gives the reference."""
    flipped = torch.arange(case.n_neurons) % 3 == 1
    expected = by_definition(examples, case.definition(flipped.nonzero().flatten().tolist()))
    counts, sums, lists = finished(case, state, examples, flipped)
    assert state.healthy
    for n, neuron in enumerate(expected):
        assert int(state.n_tokens) == neuron.n_tokens
        assert int(state.n_zero[n]) == neuron.n_zero
        for c, combo in enumerate(COMBOS):
            combination = neuron.combos[combo]
            assert int(counts[c, n]) == combination.count
            for q, quantity in enumerate(QUANTITIES):
                exact = case.on_grid and (quantity in ("gate", "in") or case.act == "relu")
                tolerance = 1e-12 if exact else 2e-6 * combination.count
                assert float(sums[q, c, n]) == pytest.approx(
                    combination.sums[quantity], rel=0, abs=tolerance
                )
            for r, ranking in enumerate(case.rankings):
                index = (c * len(case.rankings) + r, n)
                assert_list(case, lists, index, combination.lists[ranking])
        assert sum(c.count for c in neuron.combos.values()) + neuron.n_zero == neuron.n_tokens
    return expected


def check(case: Case) -> list[Neuron]:
    examples = case.examples()
    return assert_as_defined(case, scanned(case, examples), examples)


def entries(neurons: Sequence[Neuron]) -> list[Entry]:
    return [
        entry
        for neuron in neurons
        for combination in neuron.combos.values()
        for ranked in combination.lists.values()
        for entry in ranked
    ]


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        Case,
        n_examples=st.integers(1, 14),
        max_length=st.sampled_from([1, 2, 9, 20, 2 * BLOCK + 3]),
        n_neurons=st.sampled_from([1, 2, 3, 4, 16, 17]),
        n_words=st.integers(1, 3),
        on_grid=st.booleans(),
        batch_size=st.integers(1, 7),
        act=st.sampled_from(list(ACTIVATIONS)),
        rankings=st.sampled_from(SUBSETS),
        k=st.integers(1, 5),
        spare=st.integers(0, 5),
        before=st.integers(0, 12),
        after=st.integers(0, 5),
        skip_bos=st.booleans(),
        dedupe=st.booleans(),
        dtype=st.sampled_from([torch.float32, torch.bfloat16]),
        seed=st.integers(0, 2**20),
    )
)
def test_as_defined(case: Case) -> None:
    check(case)


@pytest.mark.parametrize("rankings", SUBSETS, ids="+".join)
def test_each_subset_of_rankings(rankings: tuple[str, ...]) -> None:
    check(Case(rankings=rankings))


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("on_grid", [True, False])
def test_activation_functions(act: str, on_grid: bool) -> None:
    assert entries(check(Case(act=act, on_grid=on_grid, max_length=70, n_examples=20)))


def test_one_position() -> None:
    """Nothing is counted where the only position is left out."""
    case = Case(max_length=1, n_neurons=4)
    assert not entries(check(case))
    assert entries(check(replace(case, skip_bos=False)))


def test_lists_of_one_entry_and_lists_longer_than_the_corpus() -> None:
    longest = max(
        len(ranked)
        for neuron in check(Case(k=20, spare=0, dedupe=False, n_examples=6))
        for combination in neuron.combos.values()
        for ranked in combination.lists.values()
    )
    assert 1 < longest <= 6
    check(Case(k=1, spare=0))
    check(Case(k=1, spare=5))


def test_duplicates_are_counted_and_their_places_filled() -> None:
    found = entries(check(Case(n_words=1, n_examples=30, k=3, spare=20, max_length=14)))
    assert max(entry.n_duplicates for entry in found) > 2
    assert not any(e.n_duplicates for e in entries(check(Case(n_words=1, dedupe=False))))


def test_context_of_duplicates_reaches_ten_tokens_before_the_peak() -> None:
    """Two texts that differ 11 tokens before the peak are duplicates; 10 before, they are not."""
    case = Case(n_neurons=1, k=4, rankings=("gate",), skip_bos=False)
    activations = np.full((13, 1), 0.25, np.float32)
    activations[12] = 2.0
    examples = [Example(n, list(range(13)), activations, activations) for n in range(3)]
    examples[1].token_ids[1] = 99
    examples[2].token_ids[2] = 99
    neuron = assert_as_defined(case, scanned(case, examples), examples)[0]
    ranked = neuron.combos[1, 1].lists["gate"]
    assert [(e.example_id, e.n_duplicates) for e in ranked] == [(0, 1), (2, 0)]


def test_windows_are_cut_at_both_ends() -> None:
    case = Case(before=48, after=15, max_length=100, n_examples=15, skip_bos=False)
    found = entries(check(case))
    lengths = {example.example_id: len(example.token_ids) for example in case.examples()}
    at_start = [e.position < case.before for e in found]
    at_end = [e.position + case.after >= lengths[e.example_id] for e in found]
    kinds = set(zip(at_start, at_end, strict=True))
    assert kinds == {(True, True), (True, False), (False, True), (False, False)}


@pytest.mark.parametrize("on_grid", [True, False])
def test_windows_in_bfloat16(on_grid: bool) -> None:
    """Windows are rounded; scores, counts and sums come from the values before that."""
    check(Case(dtype=torch.bfloat16, on_grid=on_grid))


def test_activations_in_bfloat16() -> None:
    case = Case(dtype=torch.bfloat16, act="relu")
    example = max(case.examples(), key=lambda example: len(example.token_ids))
    states = []
    for dtype in (torch.float32, torch.bfloat16):
        state = LayerState.empty(case.state, CPU)
        ids = np.array([example.example_id])
        _, batch = padded_batch([np.array(example.token_ids)], ids, case.seed, 1)
        gate, in_ = (torch.tensor(v)[None].to(dtype) for v in (example.gate, example.in_))
        state.update(batch, gate, in_, torch.relu)
        states.append(state)
    assert len(example.token_ids) > 5
    for name, values in states[0].tensors().items():
        assert torch.equal(values, states[1].tensors()[name]), name


def tied(case: Case, gate: Sequence[float], ids: Sequence[int]) -> list[Neuron]:
    """Examples with the same activations, `gate` at each position and 1.5 for in."""
    values = np.array(gate, np.float32)[:, None]
    in_ = np.full_like(values, 1.5)
    examples = [Example(n, list(range(n, n + len(gate))), values, in_) for n in ids]
    return assert_as_defined(case, scanned(case, examples), examples)


@pytest.mark.parametrize("act", ACTIVATIONS)
@pytest.mark.parametrize("second", [5, BLOCK - 1, BLOCK, 2 * BLOCK + 1])
def test_ties_within_an_example_go_to_the_earliest_position(act: str, second: int) -> None:
    case = Case(n_neurons=1, act=act, rankings=("post", "in", "gate"))
    gate = [0.5] * (3 * BLOCK)
    gate[4] = gate[second] = 2.0
    lists = tied(case, gate, [7])[0].combos[1, 1].lists
    assert {ranking: [e.position for e in ranked] for ranking, ranked in lists.items()} == {
        "post": [4],
        "gate": [4],
        "in": [1],
    }


@pytest.mark.parametrize("batch_size", [1, 2, 9])
def test_ties_across_examples_go_to_the_lowest_id(batch_size: int) -> None:
    case = Case(n_neurons=1, batch_size=batch_size, k=3, spare=0, rankings=("post", "in", "gate"))
    ids = [8, 3, 2**32 - 1, 0, 5, 2**31]
    for ranked in tied(case, [1.0, 1.0, 0.5], ids)[0].combos[1, 1].lists.values():
        assert [entry.example_id for entry in ranked] == [0, 3, 5]


def test_entries_of_score_zero_are_entries() -> None:
    """With ReLU post is 0 wherever gate < 0: all tie, and they are in the lists all the same."""
    for neuron in check(Case(act="relu", n_examples=10, dedupe=False)):
        for combo in ((-1, 1), (-1, -1)):
            ranked = neuron.combos[combo].lists["post"]
            assert len(ranked) == 4
            assert {entry.score for entry in ranked} == {0.0}


def test_zeros_are_in_no_combination() -> None:
    case = Case(n_neurons=1, skip_bos=False, act="relu")
    gate = np.array([[0.0], [-0.0], [1.0], [0.0], [-1.0], [1e-45], [-1e-45]], np.float32)
    in_ = np.array([[1.0], [-1.0], [0.0], [0.0], [-0.0], [1.0], [-1.0]], np.float32)
    examples = [Example(0, list(range(7)), gate, in_)]
    neuron = assert_as_defined(case, scanned(case, examples), examples)[0]
    assert neuron.n_zero == 5
    assert [neuron.combos[combo].count for combo in COMBOS] == [1, 0, 0, 1]


@pytest.mark.parametrize("n_neurons", [17, 37])
def test_slabs_of_neurons_and_chunks_of_rows(
    monkeypatch: pytest.MonkeyPatch, n_neurons: int
) -> None:
    """What bounds the memory of an update does not change its result."""
    # ReLU: sums on the grid are exact, whatever the order of their terms.
    case = Case(n_neurons=n_neurons, n_examples=6, max_length=9, act="relu")
    examples = case.examples()
    whole = scanned(case, examples)
    reduced: list[int] = []

    def counting(gate: Tensor, *rest: object) -> object:
        reduced.append(gate.shape[2])
        return reduce_batch(gate, *rest)

    monkeypatch.setitem(state_module._SLAB, "cpu", 1)
    monkeypatch.setattr(state_module, "_ROWS_AT_ONCE", 7)
    monkeypatch.setattr(state_module, "reduce_batch", counting)
    cut = scanned_by(case, examples, partial(LayerState.update, reduce=counting))
    assert set(reduced) == {16, n_neurons % 16}
    assert_as_defined(case, cut, examples)
    for name, values in whole.tensors().items():
        if name not in ("gate", "in_"):
            assert torch.equal(values, cut.tensors()[name]), name


@pytest.mark.parametrize("where", ["gate", "in_"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("other", [0.0, 1.0, -1.0])
def test_what_is_not_finite_at_a_counted_position_is_noticed(
    where: str, value: float, other: float
) -> None:
    case = Case(n_neurons=5, n_examples=4, act="relu")
    examples = case.examples()
    assert scanned(case, examples).healthy
    broken = max(examples, key=lambda example: len(example.token_ids))
    broken.gate[-1, 3] = broken.in_[-1, 3] = other
    getattr(broken, where)[-1, 3] = value
    state = scanned(case, examples)
    assert not state.healthy
    assert torch.isfinite(state.sums[:, :, [0, 1, 2, 4]]).all()


def test_the_compiled_reduction_equals_the_eager_one(unchecked_signatures: None) -> None:
    """As it runs on CUDA; on a CPU torch.compile writes C++."""
    if not has_compiler():
        pytest.skip("no C++ compiler here, and torch.compile needs one")
    # Two batches, of other sizes, and both longer than a block: one compilation serves them.
    case = Case(n_neurons=21, n_examples=7, max_length=150, act="gelu_tanh", batch_size=4)
    examples = case.examples()
    by = partial(LayerState.update, reduce=torch.compile(reduce_batch, dynamic=True))
    assert_as_defined(case, scanned_by(case, examples, by), examples)
