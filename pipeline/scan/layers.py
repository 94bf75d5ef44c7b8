"""Which layers' tables are written, and which are not yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from pipeline.errors import GatescopeError
from pipeline.schema import LAYER_TABLES
from pipeline.store import RunRecord

# Tries of a layer that end with an error, or with the loss of the worker, which may be chance.
_TRIES: Final = 3
_MOST_LOST: Final = 10


class Layers:
    """Layers to write, given out one by one; those that are written are kept in the record."""

    def __init__(self, record: RunRecord, layers: Iterable[int]) -> None:
        self._record = record
        self.written: dict[int, dict[str, int]] = record.layers(LAYER_TABLES)
        self._waiting = [layer for layer in layers if layer not in self.written]
        self.n_layers = len(self.written) + len(self._waiting)
        self._errors: Counter[int] = Counter()
        self._losses: Counter[int] = Counter()

    @property
    def n_waiting(self) -> int:
        """Layers that nobody writes yet."""
        return len(self._waiting)

    @property
    def is_complete(self) -> bool:
        """Whether all are written."""
        return len(self.written) == self.n_layers

    def take(self) -> int:
        """The next layer to write."""
        return self._waiting.pop(0)

    def give_back(self, layer: int) -> None:
        """It was not written, and nobody is to blame."""
        self._waiting.append(layer)

    def keep(self, layer: int, n_rows: dict[str, int]) -> None:
        """Its tables are written."""
        self._record.keep_layer(layer, n_rows)
        self.written[layer] = n_rows

    def failed(self, layer: int, error: Exception, *, lost: bool) -> None:
        """Writing it ended with an error, or the loss of the worker.

        Raises GatescopeError where that has happened too often.
        """
        self._waiting.append(layer)
        (self._losses if lost else self._errors)[layer] += 1
        tries = self._losses[layer] + self._errors[layer]
        if self._errors[layer] >= _TRIES or self._losses[layer] >= _MOST_LOST:
            raise GatescopeError(
                f"layer {layer} could not be written in {tries} tries, the last ended with: "
                f"{str(error) or type(error).__name__}; what was counted is kept, the same command "
                "again tries to write it"
            ) from error
