"""The tokens of a weight against the whole product in float64, ties by token id."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.weights import TokenList, extreme_tokens, token_matrix, tokens


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_brute_force(
    weights: Tensor, rows: Tensor, gain: Tensor, k: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Token ids and scores, [neuron k], of the highest and of the lowest."""
    scores = weights.double().numpy() @ (rows.double() * gain.double()).numpy().T
    # So that rounding of the product itself breaks no ties.
    rounded = np.round(scores, 12)
    ids = np.broadcast_to(np.arange(len(rows)), scores.shape)
    found = []
    for sign in (-1, 1):
        order = np.lexsort((ids, sign * rounded), axis=1)[:, :k]
        found.append((order, np.take_along_axis(scores, order, 1)))
    return found


def compared(weights: Tensor, rows: Tensor, gain: Tensor, k: int) -> tuple[TokenList, TokenList]:
    found = extreme_tokens(weights.double(), token_matrix("embedding", rows, gain, k), k)
    wanted = by_brute_force(weights, rows, gain, k)
    for got, (ids, scores) in zip(found, wanted, strict=True):
        assert got.token_ids.tolist() == ids.tolist()
        np.testing.assert_allclose(got.scores.numpy(), scores, rtol=1e-12, atol=1e-12)
    return found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("k", [1, 10])
def test_lists_are_those_of_the_whole_product(dtype: torch.dtype, k: int) -> None:
    compared(drawn(200, 24), drawn(3000, 24, seed=1).to(dtype), drawn(24, seed=2).abs(), k)


def test_more_tokens_than_a_block_and_more_neurons_than_a_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tokens, "_ROWS", 70)
    monkeypatch.setattr(tokens, "_NEURONS", 9)
    monkeypatch.setattr(tokens, "_ELEMENTS", 1000)
    rows = drawn(1003, 8, seed=1)
    rows[500:900] = rows[3]
    compared(drawn(40, 8), rows, torch.ones(8), 5)


@pytest.mark.parametrize("n_tokens", [1, 3, 10, 31, 33])
def test_small_vocabularies(n_tokens: int) -> None:
    highest, lowest = compared(drawn(20, 8), drawn(n_tokens, 8, seed=1), torch.ones(8), 10)
    assert highest.token_ids.shape == lowest.token_ids.shape == (20, min(10, n_tokens))


def test_rows_that_are_the_same_come_by_token_id() -> None:
    rows = drawn(2000, 16, seed=1)
    rows[[1999, 7, 1200]] = 5 * rows[0]
    rows[300:900] = -5 * rows[0]
    weights = torch.cat([rows[:1], drawn(50, 16)])
    highest, lowest = compared(weights, rows, torch.ones(16), 10)
    assert highest.token_ids[0, :3].tolist() == [7, 1200, 1999]
    assert lowest.token_ids[0].tolist() == list(range(300, 310))


@pytest.mark.parametrize("size", [0.0, 1e-40, 1e20])
def test_weights_of_any_size(size: float) -> None:
    """A dead neuron's scores all tie: its tokens are the first ones."""
    weights = drawn(4, 16).double()
    weights[2] *= size
    matrix = token_matrix("embedding", drawn(500, 16, seed=1), torch.ones(16), 10)
    highest, lowest = extreme_tokens(weights, matrix, 10)
    if size == 0:
        assert highest.token_ids[2].tolist() == lowest.token_ids[2].tolist() == list(range(10))
    else:
        exact = (weights[2] @ matrix.rows.double().T).sort(descending=True).indices
        assert highest.token_ids[2].tolist() == exact[:10].tolist()
        assert lowest.token_ids[2].tolist() == exact[-10:].flip(0).tolist()


@pytest.mark.parametrize(("of_weights", "of_rows"), [(1e-30, 1e-15), (1e-42, 1e-3), (1e25, 1e25)])
def test_products_that_float32_cannot_hold(of_weights: float, of_rows: float) -> None:
    weights = drawn(30, 16).double() * of_weights
    rows = drawn(3000, 16, seed=1).double() * of_rows
    found = extreme_tokens(weights, token_matrix("embedding", rows, torch.ones(16), 10), 10)
    scores = weights @ rows.T
    for got, descending in zip(found, (True, False), strict=True):
        order = scores.sort(dim=1, descending=descending).indices[:, :10]
        assert got.token_ids.tolist() == order.tolist()
        torch.testing.assert_close(got.scores, scores.gather(1, order), rtol=1e-12, atol=0)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e35])
def test_rows_that_are_no_numbers_are_in_no_list(value: float) -> None:
    rows = drawn(500, 16, seed=1)
    weights, gain = drawn(20, 16).double(), torch.ones(16)
    sound = rows.clone()
    rows[[3, 77, 499], [0, 5, 15]] = value
    found = extreme_tokens(weights, token_matrix("embedding", rows, gain, 10), 10)
    scores = weights @ sound.double().T
    for got, worst in zip(found, (-torch.inf, torch.inf), strict=True):
        scores[:, [3, 77, 499]] = worst
        order = scores.sort(dim=1, descending=worst < 0).indices[:, :10]
        assert got.token_ids.tolist() == order.tolist()
        assert got.scores.isfinite().all()


def test_a_matrix_without_a_sound_row() -> None:
    rows = torch.full((5, 4), float("nan"))
    for found in extreme_tokens(drawn(3, 4).double(), token_matrix("e", rows, torch.ones(4), 2), 2):
        assert found.token_ids.shape == found.scores.shape == (3, 0)


def test_many_copies_take_no_more_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_ELEMENTS", 4000)
    rows = drawn(900, 8, seed=1)
    rows[100:600] = rows[2]
    compared(drawn(20, 8), rows, torch.ones(8), 300)


def test_rows_that_float32_cannot_tell_apart_are_ranked_by_all() -> None:
    """Candidates of float32 alone would miss what differs in the ninth digit."""
    rng = np.random.default_rng(0)
    rows = torch.from_numpy(1 + 1e-9 * rng.standard_normal((400, 6)))
    weights = torch.from_numpy(rng.standard_normal((5, 6)))
    matrix = token_matrix("embedding", rows, torch.ones(6), 10)
    highest, lowest = extreme_tokens(weights, matrix, 10)
    order = (weights @ rows.T).sort(dim=1, descending=True).indices
    assert highest.token_ids.tolist() == order[:, :10].tolist()
    assert lowest.token_ids.tolist() == order[:, -10:].flip(1).tolist()


def test_few_neurons_need_all_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    by_all = tokens._by_all

    def counted(weights: Tensor, *rest: Any) -> TokenList:
        asked.append(len(weights))
        return by_all(weights, *rest)

    monkeypatch.setattr(tokens, "_by_all", counted)
    matrix = token_matrix("embedding", drawn(20_000, 64, seed=1), torch.ones(64), 10)
    extreme_tokens(drawn(1000, 64).double(), matrix, 10)
    assert sum(asked) < 20


def test_progress_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_NEURONS", 4)
    steps: list[None] = []
    matrix = token_matrix("embedding", drawn(50, 8), torch.ones(8), 3)
    extreme_tokens(drawn(10, 8).double(), matrix, 3, lambda: steps.append(None))
    assert len(steps) == 3
