"""From published rows, in any order, to whole layers, one after the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from jaxtyping import Float, Int64

from pipeline.errors import GatescopeError
from pipeline.naming import COMBO_NAMES, QUANTITIES
from pipeline.store.published.rows import Published, PublishedRows

# Layers that are held in memory before they lie in files.
_IN_MEMORY: Final = 2


@dataclass(frozen=True)
class PublishedLayer:
    """A layer as it is published: its neurons by their index, lists in the order of their rows.

    Where a source has no mean it is NaN. A value of 0 is no entry.
    """

    layer: int
    frequency: Float[np.ndarray, "neuron combo"]
    means: Float[np.ndarray, "neuron quantity combo"]
    values: Float[np.ndarray, "neuron list k"]
    indices: Int64[np.ndarray, "neuron list k"]


@dataclass(frozen=True)
class Columns:
    """Which columns hold what.

    Frequencies by combination, means by (combination, quantity), lists by (combination, ranking) as
    values and indices.
    """

    frequencies: Mapping[str, str]
    means: Mapping[tuple[str, str], str]
    lists: Mapping[tuple[str, str], tuple[str, str]]
    k: int


@dataclass(frozen=True)
class Neurons:
    """Which neurons there are: how many of each layer, and the layers that are open at once."""

    sizes: dict[int, int]
    n_open: int
    # Layers of the source that are left out.
    others: frozenset[int] = frozenset()

    @property
    def all_layers(self) -> frozenset[int]:
        """The layers of the source, those that are left out too."""
        return self.others | frozenset(self.sizes)

    def refuse_uneven(self, name: str) -> None:
        """Raise GatescopeError where not all layers have as many neurons: one may be cut short."""
        first, *others = self.sizes
        for layer in others:
            if self.sizes[layer] != self.sizes[first]:
                raise GatescopeError(
                    f"{name}: layer {layer} has {self.sizes[layer]:,} neurons, and layer {first} "
                    f"has {self.sizes[first]:,}; give all files of the source, or --model, which "
                    "says how many there are"
                )

    def of_layers(self, layers: Sequence[int] | None, name: str) -> Neurons:
        """Those of some layers alone. Raises GatescopeError where one is not in the source."""
        if layers is None:
            return self
        absent = set(layers) - self.sizes.keys()
        if absent:
            raise GatescopeError(
                f"model.layers={list(layers)}: {name} has no layer {min(absent)}, but "
                f"{', '.join(map(str, self.sizes))}; name some of these"
            )
        sizes = {layer: n for layer, n in self.sizes.items() if layer in layers}
        return Neurons(sizes, self.n_open, frozenset(self.sizes) - frozenset(sizes))


def find_neurons(source: Published) -> Neurons:
    """The neurons of a source, each of which has to come once.

    Raises GatescopeError for one that is doubled, missing or negative.
    """
    seen: dict[int, list[np.ndarray]] = defaultdict(list)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    n_rows = 0
    for rows in source.neurons():
        for layer in np.unique(rows.layer).tolist():
            at = np.flatnonzero(rows.layer == layer)
            seen[layer].append(rows.neuron[at])
            first.setdefault(layer, n_rows + int(at[0]))
            last[layer] = n_rows + int(at[-1])
        n_rows += len(rows.layer)
    names = ", ".join(source.digests)
    if not seen:
        raise GatescopeError(f"{names}: holds no row; give a GLUScope dataset, a row a neuron")
    sizes = {layer: _n_neurons(names, layer, np.concatenate(seen[layer])) for layer in sorted(seen)}
    starts = sorted(first.values())
    n_open = max(sum(first[a] <= start <= last[a] for a in first) for start in starts)
    return Neurons(sizes, n_open)


def _n_neurons(names: str, layer: int, neurons: Int64[np.ndarray, " row"]) -> int:
    ordered = np.sort(neurons)
    remedy = "give the files of one dataset, all of them and each once"
    if layer < 0 or ordered[0] < 0:
        raise GatescopeError(f"{names}: neuron {layer}.{ordered[0]} is negative; {remedy}")
    doubled = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(doubled):
        raise GatescopeError(f"{names}: neuron {layer}.{doubled[0]} comes twice; {remedy}")
    gaps = np.flatnonzero(ordered != np.arange(len(ordered)))
    if len(gaps):
        raise GatescopeError(
            f"{names}: neuron {layer}.{gaps[0]} is missing, and {layer}.{ordered[-1]} is there; "
            f"{remedy}"
        )
    return len(ordered)


def whole_layers(
    source: Published,
    neurons: Neurons,
    columns: Columns,
    skipped: frozenset[int],
    scratch: Path,
    check: Callable[[PublishedRows], object],
) -> Iterator[PublishedLayer]:
    """Each layer that is not `skipped`, as soon as the last of its neurons was read.

    `check` sees all rows before. Layers that are mixed lie in files below `scratch` until then.
    """
    numbers = [*columns.frequencies.values(), *columns.means.values()]
    lists = [column for pair in columns.lists.values() for column in pair]
    folder = scratch if neurons.n_open > _IN_MEMORY else None
    begun: dict[int, _Layer] = {}
    for rows in source.rows(numbers, lists, skipped):
        check(rows)
        for layer in dict.fromkeys(rows.layer.tolist()):
            if layer in skipped:
                continue
            if layer not in begun:
                begun[layer] = _Layer(layer, neurons.sizes[layer], columns, folder)
            if begun[layer].take(rows, np.flatnonzero(rows.layer == layer)):
                yield begun.pop(layer).whole()
    if begun:
        raise GatescopeError(
            f"{', '.join(source.digests)}: changed while it was read; run the same command again"
        )


class _Layer:
    """The arrays of a layer, filled row by row."""

    def __init__(self, layer: int, n_neurons: int, columns: Columns, folder: Path | None) -> None:
        n_lists, k, n_combos = len(columns.lists), columns.k, len(COMBO_NAMES)
        self._layer, self._columns, self._folder = layer, columns, folder
        self._left = n_neurons
        self._files: list[Path] = []
        self._frequency = np.zeros((n_neurons, n_combos))
        self._means = np.full((n_neurons, len(QUANTITIES), n_combos), np.nan)
        self._values = self._array("values", (n_neurons, n_lists, k), np.float32)
        self._indices = self._array("indices", (n_neurons, n_lists, k), np.int64)

    def _array(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        if self._folder is None or 0 in shape:
            return np.zeros(shape, dtype)
        path = self._folder / f"{self._layer}.{name}"
        self._files.append(path)
        return np.memmap(path, dtype, "w+", shape=shape)

    def take(self, rows: PublishedRows, at: Int64[np.ndarray, " row"]) -> bool:
        """Put some rows in their places; whether these were the last."""
        neuron = rows.neuron[at]
        for combo, column in self._columns.frequencies.items():
            self._frequency[neuron, COMBO_NAMES.index(combo)] = rows.numbers[column][at]
        for (combo, quantity), column in self._columns.means.items():
            place = QUANTITIES.index(quantity), COMBO_NAMES.index(combo)
            self._means[neuron, place[0], place[1]] = rows.numbers[column][at]
        for number, (values, indices) in enumerate(self._columns.lists.values()):
            found = rows.lists[values][0][at]
            width = found.shape[1]
            self._values[neuron, number, :width] = found
            self._indices[neuron, number, :width] = np.where(
                found != 0, rows.lists[indices][0][at], 0
            )
        self._left -= len(at)
        return self._left <= 0

    def whole(self) -> PublishedLayer:
        values, indices = np.array(self._values), np.array(self._indices)
        for path in self._files:
            path.unlink()
        # A combination that does not occur has no mean, whatever is published.
        means = np.where(self._frequency[:, None] > 0, self._means, np.nan)
        return PublishedLayer(self._layer, self._frequency, means, values, indices)
