"""The words of the project as constants: sign combinations, quantities, rankings, hook names.

One name for one thing: the same strings stand in columns, SQL, configuration and pages.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple


class Combo(NamedTuple):
    """A sign combination: the strict signs of the gate and of the in activation."""

    gate_sign: int
    in_sign: int

    @property
    def name(self) -> str:
        """`gate+_in-` and the like, as GLUScope writes it."""
        return f"gate{'+' if self.gate_sign > 0 else '-'}_in{'+' if self.in_sign > 0 else '-'}"


# The order of the combo axis in every tensor and of the rows of a neuron in every table.
COMBOS: Final = (Combo(1, 1), Combo(1, -1), Combo(-1, 1), Combo(-1, -1))
COMBO_NAMES: Final = tuple(combo.name for combo in COMBOS)

# What flipping a neuron's in sign does to the combo axis: COMBOS[FLIPPED_COMBO[c]] is COMBOS[c]
# with the other in sign.
FLIPPED_COMBO: Final = tuple(COMBOS.index(Combo(c.gate_sign, -c.in_sign)) for c in COMBOS)

# The quantities whose sums are kept, in the order of the quantity axis.
QUANTITIES: Final = ("gate", "in", "act", "post")

# The rankings a list of examples can be ordered by.
RANKINGS: Final = ("post", "in", "gate", "random")
# And those of the lists of a dataset: act is of GLUScope's own, in imported ones.
LISTED_RANKINGS: Final = (*RANKINGS, "act")

# TransformerLens' names of the activations of a gated MLP.
HOOKS: Final = {"gate": "hook_pre", "in": "hook_pre_linear", "post": "hook_post"}

# Two entries of a list are duplicates when their tokens agree from this many positions before
# the peak up to the peak.
DUPLICATE_CONTEXT: Final = 10

IO_CLASSES: Final = (
    "enrichment",
    "conditional enrichment",
    "proportional change",
    "orthogonal output",
    "conditional depletion",
    "depletion",
    "atypical enrichment",
    "atypical conditional enrichment",
    "atypical proportional change",
    "atypical conditional depletion",
    "atypical depletion",
)

# What a list of weight_tokens is of: a weight, the matrix it is compared with, an end of the list.
WEIGHTS: Final = ("gate", "in", "out")
MATRICES: Final = ("embedding", "unembedding")
SIDES: Final = ("highest", "lowest")

# A dataset or a model on the Hugging Face Hub: `org/name[@revision]`.
HUB_ID: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*(@[\w./-]+)?")
