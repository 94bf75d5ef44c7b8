"""The tokens of a weight: the ends of its dot products with the rows of a token matrix.

Candidates are found in float32, block by block of the vocabulary, and ranked by their dot products
in float64. Where rounding may have hidden a token from the candidates, all tokens are ranked, so
that the lists are those of the whole product in float64.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
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
# A row as long as this is a fault: its products would not be finite as float32.
_LONGEST: Final = 1e30
# Elements of what is gathered or multiplied in float64 at once: 64 MiB.
_ELEMENTS: Final = 1 << 23


@dataclass(frozen=True)
class TokenMatrix:
    """The embedding or the unembedding: a row a token, in the model's dtype.

    `gain` [d_model] is folded into the rows (ones for the embedding, the final norm's for the
    unembedding). Vocabularies hold rows that are the same, such as those of unused tokens: each is
    looked at once. `distinct` [row] is the first token of each, `same` [row copies] the first
    tokens of each, ascending, at most as many as a list has entries, and -1 where there are fewer;
    `row_of` [token] is each token's place in `distinct`. `unit` is a power of two that no row is
    longer than. Tokens whose row is not finite, or longer than 1e30, have no place (-1) and are in
    no list.
    """

    name: str
    rows: Float[Tensor, "token d_model"]
    gain: Float[Tensor, " d_model"]
    distinct: Int[Tensor, " row"]
    same: Int[Tensor, "row copies"]
    row_of: Int[Tensor, " token"]
    unit: float


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
    row_of = torch.full((len(rows),), -1)
    longest = 0.0
    for start in range(0, len(rows), _ROWS):
        block = rows[start : start + _ROWS]
        norms = block.double().norm(dim=1).cpu()
        usable = norms.isfinite() & (norms < _LONGEST)
        longest = max(longest, float(norms[usable].max()) if usable.any() else 0.0)
        raw = block.cpu().contiguous().view(torch.uint8).numpy()
        for place in usable.nonzero()[:, 0].tolist():
            digest = hashlib.blake2b(raw[place].data, digest_size=16).digest()
            row_of[start + place] = place_of.setdefault(digest, len(place_of))
    used = (row_of >= 0).nonzero()[:, 0]
    n_copies = row_of[used].bincount()
    tokens = used[row_of[used].argsort(stable=True)]  # those of each row, ascending, row after row
    starts = n_copies.cumsum(0) - n_copies
    most = min(k, int(n_copies.max())) if len(n_copies) else 1
    places = starts[:, None] + torch.arange(most)
    inside = places < (starts + n_copies)[:, None]
    same = torch.where(inside, tokens[places.clamp(max=max(0, len(tokens) - 1))], -1)
    device = rows.device
    return TokenMatrix(
        name,
        rows,
        gain,
        tokens[starts].to(device),
        same.to(device),
        row_of.to(device),
        float(_power_of_two(torch.tensor(longest, dtype=torch.float64))),
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
    k = min(k, int((matrix.row_of >= 0).sum()))
    if k == 0:
        none = weights.new_empty((len(weights), 0), dtype=torch.float64)
        return (TokenList(none.long(), none), TokenList(none.long(), none))
    highest: list[TokenList] = []
    lowest: list[TokenList] = []
    for unfolded in weights.split(_NEURONS):
        chunk = unfolded.double() * matrix.gain
        # So that no product is too small or too large for float32; a power of two rounds nothing.
        unit = _power_of_two(chunk.norm(dim=1, keepdim=True))
        chunk = chunk / unit
        found = _candidates(chunk.float(), matrix, k + _SPARE)
        up = _ranked(chunk, matrix, *found[0], k)
        down = _ranked(-chunk, matrix, -found[1][0], found[1][1], k)
        highest.append(TokenList(up.token_ids, up.scores * unit * matrix.unit))
        lowest.append(TokenList(down.token_ids, -down.scores * unit * matrix.unit))
        progress()
    return _joined(highest), _joined(lowest)


def _power_of_two(norms: Tensor) -> Tensor:
    """The least power of two above each norm; 1 for 0."""
    return torch.ldexp(torch.ones_like(norms), torch.frexp(norms).exponent)


def _in_units(rows: Tensor, matrix: TokenMatrix, dtype: torch.dtype) -> Tensor:
    return rows.to(dtype) * (1 / matrix.unit)


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
        rows = matrix.rows[matrix.distinct[start : start + _ROWS]]
        products = weights @ _in_units(rows, matrix, torch.float32).T
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

    Scores are in units of the matrix. `products` are the candidates' dot products in float32,
    falling; every other row's is no higher.
    """
    d_model = weights.shape[1]
    # What float32 may be off by, whatever the order of its sums (Higham, Accuracy and Stability of
    # Numerical Algorithms, section 3.1), and the rounding of its operands.
    # No weight and no row is longer than 1.
    error = (d_model + 2) * 2.0**-24
    # Of the candidates, those that may be among the k: mostly hardly more than k.
    worst = products[:, min(k, products.shape[1]) - 1].double()
    n = int((products >= (worst - 2 * error)[:, None]).sum(1).max())
    step = max(1, _ELEMENTS // (n * max(d_model, matrix.same.shape[1])))
    lists = []
    for chunk, of_chunk in zip(weights.split(step), places[:, :n].split(step), strict=True):
        rows = _in_units(matrix.rows[matrix.distinct[of_chunk]], matrix, torch.float64)
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
    distinct = matrix.rows[matrix.distinct]
    lists = []
    for chunk in weights.split(max(1, _ELEMENTS // len(ids))):
        of_rows = torch.cat(
            [chunk @ _in_units(block, matrix, torch.float64).T for block in distinct.split(_ROWS)],
            1,
        )
        scores = of_rows[:, matrix.row_of.clamp(min=0)].masked_fill(matrix.row_of < 0, -torch.inf)
        lists.append(_first(scores, ids.expand(len(chunk), -1), k))
    return _joined(lists)


def _first(scores: Float[Tensor, "neuron n"], ids: Int[Tensor, "neuron n"], k: int) -> TokenList:
    """The k highest by score, then by id."""
    ids, order = ids.sort(dim=1)
    scores, order = scores.gather(1, order).sort(dim=1, descending=True, stable=True)
    return TokenList(ids.gather(1, order)[:, :k].contiguous(), scores[:, :k].contiguous())
