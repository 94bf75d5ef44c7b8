"""The example, the fingerprint of many, and the units that workers take."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Example:
    """One tokenised document: `input_ids` is int32 [pos], `source` the source's own columns."""

    input_ids: npt.NDArray[np.int32]
    text: str
    source: dict[str, Scalar]


class Fingerprint:
    """SHA-256 over the length and the ids of every example, in order.

    The lengths make the same tokens cut into other examples another corpus.
    """

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def update(self, input_ids: npt.NDArray[Any] | Sequence[int]) -> None:
        """Add one example's ids, integers [pos] that fit int32. Errors: TypeError for others."""
        ids = np.asarray(input_ids)
        if ids.ndim != 1 or not (np.issubdtype(ids.dtype, np.integer) or ids.size == 0):
            raise TypeError(f"ids must be integers [pos], not {ids.dtype} {list(ids.shape)}")
        self._hash.update(np.array([len(ids)], dtype="<i4").tobytes())
        self._hash.update(ids.astype("<i4", copy=False).tobytes())

    def hexdigest(self) -> str:
        """The fingerprint of all that was added so far, 64 hexadecimal digits."""
        return self._hash.hexdigest()


def split_units(examples: Iterable[Example], unit_tokens: int) -> Iterator[list[Example]]:
    """Runs of consecutive examples; one closes as soon as it holds `unit_tokens` tokens or more."""
    unit: list[Example] = []
    n_tokens = 0
    for example in examples:
        unit.append(example)
        n_tokens += len(example.input_ids)
        if n_tokens >= unit_tokens:
            yield unit
            unit, n_tokens = [], 0
    if unit:
        yield unit
