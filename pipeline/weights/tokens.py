"""The tokens of a weight: the ends of its dot products with the rows of a token matrix.

Candidates are found in float32, block by block of the vocabulary, and ranked by their dot products
in float64. Where rounding may have hidden a token from the candidates, all tokens are ranked, so
that the lists are those of the whole product in float64.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

# Rows of the vocabulary and neurons of one product: 128 MiB of dot products.
_ROWS: Final = 8192
_NEURONS: Final = 4096
# More candidates than a list has entries, in which rounding may reorder.
_SPARE: Final = 22
# Elements of what is gathered or multiplied in float64 at once: 256 MiB.
_ELEMENTS: Final = 1 << 25


@dataclass(frozen=True)
class TokenMatrix:
    """The embedding or the unembedding: a row a token, in the model's dtype.

    `gain` [d_model] is folded into the rows (ones for the embedding, the final norm's for the
    unembedding). Vocabularies hold rows that are the same, such as those of unused tokens: each is
    looked at once. `distinct` [row] is the first token of each, `same` [row copies] the first
    tokens of each, ascending, at most as many as a list has entries, and -1 where there are fewer;
    `row_of` [token] is each token's place in `distinct`. `longest` is the largest norm of a row.
    """

    name: str
    rows: Float[Tensor, "token d_model"]
    gain: Float[Tensor, " d_model"]
    distinct: Int[Tensor, " row"]
    same: Int[Tensor, "row copies"]
    row_of: Int[Tensor, " token"]
    longest: float


@dataclass(frozen=True)
class TokenList:
    """The k tokens at one end of a neuron's dot products, the outermost first, ties by token id."""

    token_ids: Int[Tensor, "neuron k"]
    scores: Float[Tensor, "neuron k"]


def token_matrix(
    name: str, rows: Float[Tensor, "token d_model"], gain: Float[Tensor, " d_model"], k: int
) -> TokenMatrix:
    """A matrix made ready for lists of k tokens."""
    place_of: dict[bytes, int] = {}
    row_of = torch.empty(len(rows), dtype=torch.int64)
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS].cpu().contiguous().view(torch.uint8).numpy()
        for token, row in enumerate(block, start):
            digest = hashlib.blake2b(row.data, digest_size=16).digest()
            row_of[token] = place_of.setdefault(digest, len(place_of))
    n_copies = row_of.bincount()
    tokens = row_of.argsort(stable=True)  # the tokens of each row, ascending, row after row
    starts = n_copies.cumsum(0) - n_copies
    places = starts[:, None] + torch.arange(min(k, int(n_copies.max())))
    inside = places < (starts + n_copies)[:, None]
    same = torch.where(inside, tokens[places.clamp(max=len(rows) - 1)], -1)
    longest = max(float(block.norm(dim=1).max()) for block in _blocks(rows, torch.float64))
    device = rows.device
    return TokenMatrix(
        name, rows, gain, tokens[starts].to(device), same.to(device), row_of.to(device), longest
    )


def extreme_tokens(
    weights: Float[Tensor, "neuron d_model"],
    matrix: TokenMatrix,
    k: int,
    progress: Callable[[], object] = lambda: None,
) -> tuple[TokenList, TokenList]:
    """The k highest and the k lowest tokens of each neuron's weight (all, where there are fewer).

    A score is weight . (row * gain), in float64. `progress` is called now and then.
    """
    folded = (weights * matrix.gain).double()
    highest: list[TokenList] = []
    lowest: list[TokenList] = []
    for chunk in folded.split(_NEURONS):
        found = _candidates(chunk.float(), matrix, k + _SPARE)
        highest.append(_ranked(chunk, matrix, *found[0], k))
        down = _ranked(-chunk, matrix, -found[1][0], found[1][1], k)
        lowest.append(TokenList(down.token_ids, -down.scores))
        progress()
    return _joined(highest), _joined(lowest)


def _blocks(rows: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
    for block in rows.split(_ROWS):
        yield block.to(dtype)


def _joined(lists: list[TokenList]) -> TokenList:
    return TokenList(
        torch.cat([part.token_ids for part in lists]), torch.cat([part.scores for part in lists])
    )


def _candidates(
    weights: Float[Tensor, "neuron d_model"], matrix: TokenMatrix, n: int
) -> list[tuple[Float[Tensor, "neuron n"], Int[Tensor, "neuron n"]]]:
    """Dot products in float32 and places in `distinct` of the n highest rows, and the n lowest."""
    ends: list[tuple[Tensor, Tensor] | None] = [None, None]
    for start in range(0, len(matrix.distinct), _ROWS):
        rows = matrix.rows[matrix.distinct[start : start + _ROWS]].float()
        products = weights @ rows.T
        for side, kept in enumerate(ends):
            values, places = products.topk(min(n, len(rows)), largest=side == 0)
            places = places + start
            if kept is not None:
                values, places = torch.cat([kept[0], values], 1), torch.cat([kept[1], places], 1)
                values, order = values.topk(min(n, values.shape[1]), largest=side == 0)
                places = places.gather(1, order)
            ends[side] = values, places
    return [end for end in ends if end is not None]


def _ranked(
    weights: Float[Tensor, "neuron d_model"],
    matrix: TokenMatrix,
    products: Float[Tensor, "neuron n"],
    places: Int[Tensor, "neuron n"],
    k: int,
) -> TokenList:
    """The k highest tokens among the candidates `places`, or among all where that is not sure.

    `products` are the candidates' dot products in float32, falling; every other row's is no higher.
    """
    k = min(k, len(matrix.rows))
    d_model = weights.shape[1]
    # What float32 may be off by, whatever the order of its sums (Higham, Accuracy and Stability of
    # Numerical Algorithms, section 3.1), and the rounding of its operands.
    error = (d_model + 2) * 2.0**-24 * weights.norm(dim=1) * matrix.longest
    # Of the candidates, those that may be among the k: mostly hardly more than k.
    worst = products[:, min(k, products.shape[1]) - 1].double()
    n = int((products >= (worst - 2 * error)[:, None]).sum(1).max())
    step = max(1, _ELEMENTS // (n * d_model))
    lists = []
    for chunk, of_chunk in zip(weights.split(step), places[:, :n].split(step), strict=True):
        rows = matrix.rows[matrix.distinct[of_chunk]].double()
        scores = torch.einsum("nd,ncd->nc", chunk, rows)
        ids = matrix.same[of_chunk]
        scores = scores[:, :, None].expand_as(ids).masked_fill(ids < 0, -torch.inf)
        lists.append(_first(scores.flatten(1), ids.flatten(1), k))
    found = _joined(lists)
    if places.shape[1] < len(matrix.distinct):
        hidden = products[:, -1].double() + error
        unsure = (found.scores[:, -1] <= hidden).nonzero()[:, 0]
        if len(unsure):
            whole = _by_all(weights[unsure], matrix, k)
            found.token_ids[unsure], found.scores[unsure] = whole.token_ids, whole.scores
    return found


def _by_all(weights: Float[Tensor, "neuron d_model"], matrix: TokenMatrix, k: int) -> TokenList:
    """The k highest of all tokens, by the whole product in float64."""
    ids = torch.arange(len(matrix.rows), device=weights.device)
    lists = []
    for chunk in weights.split(max(1, _ELEMENTS // len(ids))):
        of_rows = torch.cat(
            [chunk @ block.T for block in _blocks(matrix.rows[matrix.distinct], torch.float64)], 1
        )
        lists.append(_first(of_rows[:, matrix.row_of], ids.expand(len(chunk), -1), k))
    return _joined(lists)


def _first(scores: Float[Tensor, "neuron n"], ids: Int[Tensor, "neuron n"], k: int) -> TokenList:
    """The k highest by score, then by id."""
    ids, order = ids.sort(dim=1)
    scores, order = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    return TokenList(ids.gather(1, order)[:, :k].contiguous(), scores[:, :k].contiguous())
