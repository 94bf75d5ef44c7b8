"""One neuron with all that a dataset knows of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Neuron:
    """A neuron's rows, each a mapping from column to value.

    `row` is that of `neurons`. `stats` are the four of `sign_stats` in the order of naming.COMBOS.
    `examples` are those of `examples`, sorted by combo, ranking and rank; each also has `tokens`,
    the strings of its `token_ids`. `weight_tokens` are those of that table, sorted by weight,
    matrix, side and rank; each also has `token`. `model` is the model's name. What was not imported
    is None, and then `texts` has the beginning of an example's text by its example_id.
    """

    model: str
    row: Mapping[str, Any]
    stats: tuple[Mapping[str, Any], ...]
    examples: tuple[Mapping[str, Any], ...]
    weight_tokens: tuple[Mapping[str, Any], ...] = ()
    texts: Mapping[int, str] = field(default_factory=dict)

    @property
    def layer(self) -> int:
        """Layer, 0-based."""
        return int(self.row["layer"])

    @property
    def neuron(self) -> int:
        """Index in the layer, 0-based."""
        return int(self.row["neuron"])

    @property
    def name(self) -> str:
        """`31.9634`."""
        return f"{self.layer}.{self.neuron}"

    def list_of(self, combo: str, ranking: str) -> tuple[Mapping[str, Any], ...]:
        """The examples of one list, best first; empty where the combination does not occur."""
        return tuple(
            entry
            for entry in self.examples
            if entry["combo"] == combo and entry["ranking"] == ranking
        )
