"""What the words of `gatescope query` are: datasets, the name of a query, its parameters."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import GatescopeError
from pipeline.naming import HUB_ID
from pipeline.query.readonly import unknown


class Words(NamedTuple):
    """Datasets, at least one; a query or None; the values of its parameters as text."""

    datasets: tuple[str, ...]
    name: str | None
    parameters: dict[str, str]


def sorted_words(words: Sequence[str], queries: Collection[str]) -> Words:
    """Tell the words apart, of which the first is always a dataset.

    The first after it that names one of `queries` ends the datasets. Without one all are datasets
    if they look so, whatever `=` is in them; raises GatescopeError where one does not, which is
    then a name that was misspelt, and for a parameter that is not NAME=VALUE.
    """
    name = next((i for i, word in enumerate(words) if i and word in queries), None)
    if name is not None:
        return Words(tuple(words[:name]), words[name], _parameters(words[name + 1 :]))
    odd = [word for word in words[1:] if not _is_place(word)]
    if not odd:
        return Words(tuple(words), None, {})
    n_before_values = next((i for i, word in enumerate(odd) if "=" in word), len(odd))
    if n_before_values == 0:
        raise GatescopeError(
            f"query: {odd[0]} follows no query's name, and there is no such dataset; write "
            f"{words[0]} NAME {odd[0]}"
        )
    misspelt = odd[n_before_values - 1]
    raise GatescopeError(unknown("query or dataset", misspelt, queries))


def _is_place(word: str) -> bool:
    return "://" in word or HUB_ID.fullmatch(word) is not None or Path(word).expanduser().exists()


def _parameters(words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise GatescopeError(f"query parameter {word!r} is not PARAMETER=VALUE: write n=5")
        if name in pairs:
            raise GatescopeError(f"query parameter {name} is given twice: give it once")
        pairs[name] = value
    return pairs
