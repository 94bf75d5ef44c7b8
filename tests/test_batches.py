"""How a unit becomes batches, and the scores of the random ranking: fixed, whoever scans it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from pipeline.scan.batches import (
    MOST_TOKENS,
    UNIT_TOKENS,
    length_sorted_batches,
    padded_batch,
    random_scores,
)

Lengths = st.lists(st.integers(1, 1024), max_size=60)


def batches_of(lengths: list[int], budget: int) -> list[list[int]]:
    found = length_sorted_batches(np.array(lengths, dtype=np.int64), budget)
    return [batch.tolist() for batch in found]


@given(Lengths, st.integers(1, 5000))
def test_every_example_is_in_one_batch(lengths: list[int], budget: int) -> None:
    batches = batches_of(lengths, budget)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(batches)
    assert batches == batches_of(lengths, budget)


@given(Lengths, st.integers(1, 5000))
def test_batches_keep_to_the_budget(lengths: list[int], budget: int) -> None:
    for batch in batches_of(lengths, budget):
        padded = len(batch) * max(lengths[row] for row in batch)
        assert padded <= budget or len(batch) == 1


@given(st.lists(st.integers(1, 20), max_size=9), st.integers(1, 100))
def test_no_other_cut_costs_less(lengths: list[int], budget: int) -> None:
    ordered = sorted(lengths, reverse=True)

    def cost(sizes: Iterable[int]) -> float:
        total, start = 0.0, 0
        for size in sizes:
            if size > 1 and size * ordered[start] > budget:
                return math.inf
            total += budget / 64 + size * ordered[start]
            start += size
        return total

    n = len(lengths)
    every = (
        [b - a for a, b in pairwise([0, *cuts, n])]
        for n_cuts in range(n)
        for cuts in combinations(range(1, n), n_cuts)
    )
    found = cost(map(len, batches_of(lengths, budget)))
    assert found == pytest.approx(min(map(cost, every), default=0.0))


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("texts", ["web", "paragraphs", "stories"])
def test_less_than_a_twentieth_is_padding(texts: str, device: str) -> None:
    """At the default sizes of units and batches, on lengths as of web pages and of prose."""
    rng = np.random.default_rng(0)
    median, spread = {"web": (480, 1.0), "paragraphs": (64, 1.2), "stories": (414, 0.4)}[texts]
    lengths = np.clip(rng.lognormal(np.log(median), spread, 200_000), 5, 1024).astype(np.int64)
    unit = lengths[: int(np.searchsorted(lengths.cumsum(), UNIT_TOKENS[device]))]
    batches = length_sorted_batches(unit, MOST_TOKENS[device])
    padded = sum(len(batch) * int(unit[batch].max()) for batch in batches)
    assert 1 - unit.sum() / padded < 0.05
    # Large enough to keep a device busy.
    assert padded / len(batches) > MOST_TOKENS[device] / 5


@given(Lengths, st.integers(1, 5000))
def test_longest_first_and_equals_in_their_order(lengths: list[int], budget: int) -> None:
    """So the first batch shows whether the memory suffices."""
    rows = [row for batch in batches_of(lengths, budget) for row in batch]
    assert rows == sorted(rows, key=lambda row: (-lengths[row], row))


def test_random_scores_are_fixed_for_good() -> None:
    """Numbers from one run stay comparable with those of the next, on any machine and version."""
    scores = random_scores(0, np.array([0, 1, 2**32 - 1]), 3)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(
        scores,
        [
            [2.18390850, 0.79087403, 2.60250606],
            [0.90957525, 0.47468335, 2.53995379],
            [1.77560293, 1.51690272, 0.58803462],
        ],
        rtol=1e-6,
    )
    np.testing.assert_allclose(random_scores(-1, np.array([7]), 1), [[0.08839623]], rtol=1e-6)


@given(
    st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=8),
    st.integers(1, 40),
    st.integers(-5, 2**70),
)
def test_random_scores_do_not_depend_on_the_batch(
    example_ids: list[int], n_positions: int, seed: int
) -> None:
    together = random_scores(seed, np.array(example_ids), n_positions)
    assert together.shape == (len(example_ids), n_positions)
    for row, example_id in enumerate(example_ids):
        alone = random_scores(seed, np.array([example_id]), n_positions + 3)[0, :n_positions]
        assert np.array_equal(alone, together[row])


def test_random_scores_are_uniform_after_the_exponential() -> None:
    """Over positions, over examples and over seeds: what each of these lines varies alone."""
    samples = {
        "positions": random_scores(3, np.array([17]), 20_000)[0],
        "examples": random_scores(3, np.arange(20_000), 1)[:, 0],
        "seeds": np.concatenate([random_scores(s, np.array([17]), 1)[0] for s in range(3_000)]),
    }
    for name, scores in samples.items():
        assert (scores >= 0).all(), name
        assert np.isfinite(scores).all(), name
        uniform = np.exp(-scores.astype(np.float64))
        assert kstest(uniform, "uniform").pvalue > 1e-3, name


def test_random_scores_are_distinct_and_unrelated() -> None:
    scores = np.stack([random_scores(seed, np.arange(60), 60) for seed in (0, 1, 2)])
    assert len(np.unique(scores)) > 0.999 * scores.size
    uniform = np.exp(-scores.astype(np.float64))
    # Neighbours along seeds, examples and positions; the limit is 4.5 standard deviations.
    for axis in range(3):
        n = uniform.shape[axis]
        left, right = (uniform.take(range(s, n - 1 + s), axis).ravel() for s in (0, 1))
        assert abs(np.corrcoef(left, right)[0, 1]) < 4.5 / np.sqrt(left.size), axis
    # Nor is (example, position) the same as (position, example).
    upper = np.triu_indices(60, 1)
    assert not (scores[0] == scores[0].T)[upper].any()


def test_the_largest_random_scores_stay_distinct() -> None:
    """The top of a list is decided where float32 is fine enough to tell entries apart."""
    scores = random_scores(0, np.arange(1000), 1000).ravel()
    best = np.sort(scores)[-200:]
    assert len(np.unique(best)) == 200


def test_padded_batch() -> None:
    rows = [np.array([5, 6, 7], np.int32), np.array([8], np.int32), np.array([0, 9], np.int32)]
    example_ids = np.array([40, 2**32 - 1, 3])
    input_ids, batch = padded_batch(rows, example_ids, seed=11, skip=1)
    assert input_ids.tolist() == [[5, 6, 7], [8, 8, 8], [0, 9, 9]]
    assert input_ids.dtype == torch.int64
    assert batch.lengths.tolist() == [3, 1, 2]
    assert batch.example_ids.tolist() == [40, 2**32 - 1, 3]
    assert batch.counted.tolist() == [
        [False, True, True],
        [False, False, False],
        [False, True, False],
    ]
    assert np.array_equal(batch.random.numpy(), random_scores(11, example_ids, 3))


@pytest.mark.parametrize("skip", [0, 1])
def test_padding_is_never_counted(skip: int) -> None:
    """Token 0 is also what pads, so the lengths alone decide."""
    rows = [np.zeros(length, np.int32) for length in (4, 1, 7)]
    _, batch = padded_batch(rows, np.arange(3), seed=0, skip=skip)
    assert batch.counted.sum(1).tolist() == [4 - skip, 1 - skip, 7 - skip]
    assert batch.counted[2].tolist() == [skip == 0] + [True] * 6
