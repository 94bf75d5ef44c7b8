"""Whether what is published can be what it says, neuron by neuron; pure NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np

from pipeline.errors import GatescopeError
from pipeline.hub.gluscope.schema import Layout
from pipeline.naming import COMBO_NAMES, COMBOS

# Frequencies are float32, each rounded by itself.
_ROUNDING: Final = 1e-6
# example_id shares 64 bits with a score elsewhere.
_MOST_EXAMPLES: Final = 2**32 - 1
_AGAIN: Final = "fetch or write the file again"


@runtime_checkable
class Rows(Protocol):
    """Neurons as a source gives them: numbers [row], lists [row k] with their lengths."""

    @property
    def file(self) -> str:
        """The file's name."""

    @property
    def layer(self) -> Any:
        """[row]."""

    @property
    def neuron(self) -> Any:
        """[row]."""

    @property
    def numbers(self) -> Any:
        """By column."""

    @property
    def lists(self) -> Any:
        """By column."""


@dataclass(frozen=True)
class Bounds:
    """What entries may be: `k` of a list, and the examples of the corpus where it is there."""

    k: int
    n_examples: int | None


def check_rows(rows: Rows, layout: Layout, bounds: Bounds) -> None:
    """Raise GatescopeError for the first neuron whose values cannot be, naming file and remedy."""
    frequency = np.stack([rows.numbers[layout.frequencies[c]] for c in COMBO_NAMES], axis=1)
    for combo, column in layout.frequencies.items():
        values = frequency[:, COMBO_NAMES.index(combo)]
        _refuse(rows, column, values, ~((values >= 0) & (values <= 1 + _ROUNDING)), "is no share")
    total = frequency.astype(np.float64).sum(1)
    _refuse(rows, "the four frequencies", total, total > 1 + _ROUNDING, "is more than 1")
    for (combo, quantity), column in layout.means.items():
        values = np.asarray(rows.numbers[column])
        occurs = frequency[:, COMBO_NAMES.index(combo)] > 0
        _refuse(rows, column, values, occurs & ~np.isfinite(values), "is no mean")
        sign = _sign(combo, quantity)
        if quantity in ("gate", "in"):
            odd = occurs & ~(values * sign > 0)
            _refuse(rows, column, values, odd, "has not the sign of its combination")
    for (combo, ranking), (values_column, indices_column) in layout.lists.items():
        occurs = frequency[:, COMBO_NAMES.index(combo)] > 0
        _check_list(rows, values_column, indices_column, _sign(combo, ranking), bounds)
        filled = rows.lists[values_column][0] != 0
        n_filled = filled.sum(1)
        _refuse(
            rows,
            values_column,
            n_filled,
            ~occurs & (n_filled > 0),
            "entries are listed of a combination whose frequency is 0",
        )
        # post and act may be too small for float32, or 0 by their function.
        if ranking in ("gate", "in"):
            _refuse(
                rows,
                values_column,
                n_filled,
                occurs & (n_filled == 0),
                "entries are listed of a combination that occurs",
            )


def _sign(combo: str, quantity: str) -> int:
    """GLUScope's sign of a quantity in a combination."""
    signs = COMBOS[COMBO_NAMES.index(combo)]
    return {
        "gate": signs.gate_sign,
        "act": signs.gate_sign,
        "in": signs.in_sign,
        "post": signs.gate_sign * signs.in_sign,
    }[quantity]


def _check_list(
    rows: Rows, values_column: str, indices_column: str, sign: int, bounds: Bounds
) -> None:
    values, lengths = rows.lists[values_column]
    indices, n_indices = rows.lists[indices_column]
    _refuse(
        rows,
        indices_column,
        n_indices,
        n_indices != lengths,
        lambda row: f"indices stand beside {lengths[row]} values",
    )
    _refuse(
        rows,
        values_column,
        lengths,
        lengths > bounds.k,
        f"values are more than scan.k={bounds.k}",
        f"set scan.k={int(lengths.max(initial=0))}",
    )
    filled = values != 0  # NaN is
    _refuse_in(rows, values_column, values, ~np.isfinite(values), "is not finite")
    _refuse_in(
        rows,
        values_column,
        values,
        filled & (values * sign < 0),
        "has not the sign of its combination",
    )
    size = np.abs(values)
    _refuse_in(
        rows,
        values_column,
        values,
        _after(size[:, 1:] > size[:, :-1]),
        "comes after a smaller one, and the best is to come first",
    )
    # A float may be no whole number, or beyond all integers.
    whole = np.isfinite(indices) & (np.trunc(indices) == indices)
    odd = filled & ~(whole & (indices >= 0) & (indices < _MOST_EXAMPLES))
    _refuse_in(rows, indices_column, indices, odd, "is no number of an example")
    if bounds.n_examples is not None:
        _refuse_in(
            rows,
            indices_column,
            indices,
            filled & (indices >= bounds.n_examples),
            f"is beyond the {bounds.n_examples:,} examples of the corpus",
            "give --corpus the texts that were measured, all of them and in their order",
        )
    ordered = np.sort(np.where(filled, indices, -1), axis=1)
    again = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    _refuse(
        rows,
        indices_column,
        np.where(again, ordered[:, 1:], 0).max(1, initial=0),
        again.any(1),
        "is listed twice",
    )


def _after(found: np.ndarray) -> np.ndarray:
    """Of each entry but the first of a row, as of all."""
    return np.concatenate([np.zeros((len(found), 1), bool), found], axis=1)[:, : found.shape[1] + 1]


def _refuse_in(
    rows: Rows,
    column: str,
    values: np.ndarray,
    odd: np.ndarray,
    what: str,
    remedy: str = _AGAIN,
) -> None:
    if odd.any():
        row = int(np.flatnonzero(odd.any(1))[0])
        place = int(np.flatnonzero(odd[row])[0])
        raise _error(
            rows, row, f"{column} has {values[row, place]} at rank {place}: it {what}", remedy
        )


def _refuse(
    rows: Rows,
    column: str,
    values: np.ndarray,
    odd: np.ndarray,
    what: str | Callable[[int], str],
    remedy: str = _AGAIN,
) -> None:
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        said = what if isinstance(what, str) else what(row)
        raise _error(rows, row, f"{column}: {values[row]} {said}", remedy)


def _error(rows: Rows, row: int, said: str, remedy: str) -> GatescopeError:
    return GatescopeError(
        f"{rows.file}: neuron {rows.layer[row]}.{rows.neuron[row]}: {said}; {remedy}"
    )


def counts_of(
    layer: int, frequency: np.ndarray, n_tokens: int, corpus: str
) -> tuple[np.ndarray, np.ndarray]:
    """Counts [neuron combo] and n_zero [neuron], of frequencies [neuron combo] of a corpus.

    A count is the whole number nearest to its share of the tokens. Above some 8 million tokens
    float32 tells it to a token or two: then a rest within that is taken for 0. Raises
    GatescopeError where the frequencies cannot be of so many tokens.
    """
    tokens = frequency * n_tokens
    count = np.rint(tokens)
    # float32 rounds the count itself, and then its share.
    error = tokens * 2.0**-23 + 1e-9
    odd = np.abs(tokens - count) > error
    if odd.any():
        neuron, combo = (int(index[0]) for index in np.nonzero(odd))
        raise GatescopeError(
            f"corpus {corpus}: neuron {layer}.{neuron} has {COMBO_NAMES[combo]} at a share of "
            f"{frequency[neuron, combo]:.9g}, which is {tokens[neuron, combo]:.4f} of its "
            f"{n_tokens:,} tokens and no whole number; give --corpus the texts that were measured, "
            "cut as they were (corpus.max_length, corpus.add_bos)"
        )
    rest = n_tokens - count.sum(1)
    near = np.abs(rest) <= np.maximum(error.sum(1), 0.5)
    largest = count.argmax(1)
    count[np.arange(len(count)), largest] += np.where(near, rest, 0)
    rest = np.where(near, 0, rest)
    if (rest < 0).any():
        neuron = int(np.flatnonzero(rest < 0)[0])
        raise GatescopeError(
            f"corpus {corpus}: the counts of neuron {layer}.{neuron} add up to "
            f"{n_tokens - int(rest[neuron]):,}, more than its {n_tokens:,} tokens; give --corpus "
            "the texts that were measured"
        )
    return count.astype(np.int64), rest.astype(np.int64)
