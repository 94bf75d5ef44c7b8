"""Entries of a layer's lists that wait in files until the model has read their examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int32, Int64

from pipeline.store.published.layers import PublishedLayer
from pipeline.store.published.partial_tables import Found


class WaitingLayer:
    """A layer's lists as published; its entries in the order in which their examples are read.

    Of an entry: `neuron`, `list`, the signed `value`, and `turn`, the place of its example in the
    order of reading. `position` is -1 until it is found.
    """

    neuron: Int32[np.ndarray, " entry"]
    list: Int32[np.ndarray, " entry"]
    value: Float32[np.ndarray, " entry"]
    turn: Int32[np.ndarray, " entry"]
    position: Int32[np.ndarray, " entry"]
    gate: Float32[np.ndarray, "entry window"]
    in_: Float32[np.ndarray, "entry window"]
    post: Float32[np.ndarray, " entry"]

    def __init__(
        self, folder: Path, published: PublishedLayer, flipped: Bool[np.ndarray, " neuron"]
    ) -> None:
        self.layer = published.layer
        self.flipped = flipped
        self.n_entries = int(np.count_nonzero(published.values))
        self._folder = folder
        self._keep("values", published.values)
        self._keep("indices", published.indices)

    def published(self) -> tuple[Float32[np.ndarray, "neuron list k"], Int64[np.ndarray, "n l k"]]:
        """Values and examples of the lists."""
        return np.load(self._path("values")), np.load(self._path("indices"))

    def examples(self) -> Int64[np.ndarray, " example"]:
        """The examples that are named."""
        values, indices = self.published()
        return np.unique(indices[values != 0])

    def arrange(
        self, turns: Int64[np.ndarray, " example"], starts: Int64[np.ndarray, " batch"], width: int
    ) -> None:
        """Put the entries in order: `turns` has each example's, `starts` the first of each batch.

        Windows have `width` positions.
        """
        values, indices = self.published()
        neuron, row, rank = np.nonzero(values)
        turn = turns[indices[neuron, row, rank]]
        order = np.argsort(turn, kind="stable")
        self._keep("place", np.argsort(order, kind="stable"))
        self.neuron = self._kept("neuron", neuron[order].astype(np.int32))
        self.list = self._kept("list", row[order].astype(np.int32))
        self.value = self._kept("value", values[neuron, row, rank][order])
        self.turn = self._kept("turn", turn[order].astype(np.int32))
        self.offsets = np.searchsorted(turn[order], starts)
        self.position = self._blank("position", (self.n_entries,), np.int32)
        self.position[:] = -1
        self.gate = self._blank("gate", (self.n_entries, width), np.float32)
        self.in_ = self._blank("in", (self.n_entries, width), np.float32)
        self.post = self._blank("post", (self.n_entries,), np.float32)

    def found(self, before: int) -> Found:
        """What was found, by the rows of the table; windows begin `before` positions before."""
        place = np.load(self._path("place"))
        return Found(before, place, self.position, self.gate, self.in_, self.post)

    def _path(self, name: str) -> Path:
        return self._folder / f"{self.layer}.{name}.npy"

    def _keep(self, name: str, values: np.ndarray) -> None:
        np.save(self._path(name), values)

    def _kept(self, name: str, values: np.ndarray) -> np.ndarray:
        self._keep(name, values)
        # An empty file cannot be mapped.
        return np.load(self._path(name), mmap_mode="r") if values.size else values

    def _blank(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        if 0 in shape:
            return np.zeros(shape, dtype)
        return np.lib.format.open_memmap(self._path(name), "w+", dtype, shape)


def waiting_bytes(n_entries: int, width: int) -> int:
    """What entries take in files while they wait."""
    return n_entries * (8 * width + 40)
