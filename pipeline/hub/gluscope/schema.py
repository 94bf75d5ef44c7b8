"""The schema of the activation datasets that GLUScope's authors publish, and what it is here.

A row a neuron: `layer`, `neuron`, and for each sign combination its frequency, the means of four
hooks, and of each hook the best examples: signed values, best first, and the examples' numbers. A
value of 0 fills up a list that has no more. Pure: names and checks, no files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pipeline.errors import GatescopeError
from pipeline.naming import COMBO_NAMES, COMBOS, HOOKS

# GLUScope's name of each quantity, in the order of its own columns.
HOOK_NAMES: Final = {
    "post": HOOKS["post"],
    "in": HOOKS["in"],
    "gate": HOOKS["gate"],
    "act": "swish",
}
# The quantities whose lists are published, by combination: act ranks where the gate is negative.
LISTED: Final = {
    combo.name: tuple(HOOK_NAMES) if combo.gate_sign < 0 else ("post", "in", "gate")
    for combo in COMBOS
}
KEYS: Final = ("layer", "neuron")
_QUANTITY_OF: Final = {hook: quantity for quantity, hook in HOOK_NAMES.items()}
_COLUMN: Final = re.compile(
    rf"({'|'.join(map(re.escape, COMBO_NAMES))})_"
    rf"(?:(freq)|(?:mlp\.)?({'|'.join(_QUANTITY_OF)})_(mean|max_values|max_indices))"
)


def frequency_column(combo: str) -> str:
    """The column of a combination's frequency: `gate+_in-_freq`."""
    return f"{combo}_freq"


def mean_column(combo: str, quantity: str) -> str:
    """The column of a quantity's mean: `gate+_in-_hook_post_mean`."""
    return f"{combo}_{HOOK_NAMES[quantity]}_mean"


def list_columns(combo: str, ranking: str) -> tuple[str, str]:
    """The columns of a list's values and indices: `gate+_in-_hook_post_max_values` and so on."""
    stem = f"{combo}_{HOOK_NAMES[ranking]}_max"
    return f"{stem}_values", f"{stem}_indices"


def published_columns() -> tuple[str, ...]:
    """All columns of such a dataset, in GLUScope's order."""
    names = list(KEYS)
    for combo in COMBO_NAMES:
        names.append(frequency_column(combo))
        for quantity in HOOK_NAMES:
            if quantity in LISTED[combo]:
                names += list_columns(combo, quantity)
            names.append(mean_column(combo, quantity))
    return tuple(names)


@dataclass(frozen=True)
class Layout:
    """Which columns a source has, by what they hold.

    `frequencies` by combination, `means` by (combination, quantity), `lists` by (combination,
    ranking) as values and indices. `unknown` are of no use here, `odd` are lists of which one
    column of the two is not there.
    """

    frequencies: dict[str, str]
    means: dict[tuple[str, str], str]
    lists: dict[tuple[str, str], tuple[str, str]]
    unknown: tuple[str, ...]
    odd: tuple[str, ...]

    @classmethod
    def of(cls, names: Iterable[str]) -> Layout:
        """The layout of columns of these names; hooks may have the prefix `mlp.`."""
        frequencies: dict[str, str] = {}
        means: dict[tuple[str, str], str] = {}
        halves: dict[tuple[str, str], dict[str, str]] = {}
        unknown = []
        for name in names:
            match = _COLUMN.fullmatch(name)
            if name in KEYS:
                continue
            if match is None:
                unknown.append(name)
            elif match[2]:
                frequencies[match[1]] = name
            elif match[4] == "mean":
                means[match[1], _QUANTITY_OF[match[3]]] = name
            elif _QUANTITY_OF[match[3]] in LISTED[match[1]]:
                halves.setdefault((match[1], _QUANTITY_OF[match[3]]), {})[match[4]] = name
            else:
                unknown.append(name)
        # In the order of the rows of `examples`.
        order = sorted(halves, key=lambda key: (COMBO_NAMES.index(key[0]), key[1]))
        whole = [key for key in order if len(halves[key]) == 2]
        return cls(
            frequencies,
            means,
            {key: (halves[key]["max_values"], halves[key]["max_indices"]) for key in whole},
            tuple(unknown),
            tuple(name for key in order if key not in whole for name in halves[key].values()),
        )

    def refuse_others(self, name: str, columns: Iterable[str]) -> None:
        """Raise GatescopeError where these are not the columns of such a dataset."""
        wanted = [*KEYS, *map(frequency_column, COMBO_NAMES)]
        lacking = [column for column in wanted if column not in set(columns)]
        if lacking:
            there = ", ".join(self.unknown[:3])
            raise GatescopeError(
                f"{name}: has no column {lacking[0]}"
                f"{f' (but {there} and others)' if there else ''}; give a GLUScope dataset of "
                "neuron activations, a row a neuron"
            )

    @property
    def rankings(self) -> tuple[str, ...]:
        """The rankings of which there is a list of any combination, in GLUScope's order."""
        found = {ranking for _, ranking in self.lists}
        return tuple(quantity for quantity in HOOK_NAMES if quantity in found)
