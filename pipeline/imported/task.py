"""An import that may begin: what is read, how, and where to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import RunConfig
from pipeline.hub.gluscope.checks import Bounds, check_rows, counts_of
from pipeline.hub.gluscope.schema import Layout
from pipeline.store import CorpusIndex, Place, RunRecord
from pipeline.store.published.layers import Columns, Neurons, PublishedLayer, whole_layers
from pipeline.store.published.partial_tables import Counts, write_published_stats
from pipeline.store.published.rows import Published


@dataclass(frozen=True)
class Import:
    """`name` is the source as it was given; `settings` decide the result."""

    name: str
    source: Published
    layout: Layout
    neurons: Neurons
    config: RunConfig
    place: Place
    record: RunRecord
    settings: dict[str, Any]
    has_corpus: bool
    has_model: bool

    @property
    def lists(self) -> tuple[tuple[str, str], ...]:
        """(combination, ranking) of each list, in the order of their rows."""
        return tuple(self.layout.lists)

    def layers(
        self, texts: CorpusIndex | None, skipped: frozenset[int], scratch: Path
    ) -> Iterator[PublishedLayer]:
        """Each layer that is not `skipped`, its values checked."""
        layout, k = self.layout, self.config.scan.k
        allowed = Bounds(k, None if texts is None else texts.n_examples)
        return whole_layers(
            self.source,
            self.neurons,
            Columns(layout.frequencies, layout.means, layout.lists, k),
            skipped | self.neurons.others,
            scratch,
            lambda rows: check_rows(rows, layout, allowed),
        )

    def write_stats(self, published: PublishedLayer, texts: CorpusIndex | None) -> int:
        """Write a layer's `sign_stats`, with counts where the corpus is known; gives its rows."""
        counts = None
        if texts is not None:
            # Position 0 of each example is not counted where it is skipped.
            n_tokens = texts.n_tokens - texts.n_examples * self.config.scan.skip_bos
            name = self.config.corpus.name
            count, n_zero = counts_of(published.layer, published.frequency, n_tokens, name)
            counts = Counts(n_tokens, n_zero, count)
        return write_published_stats(self.place, published, counts)
