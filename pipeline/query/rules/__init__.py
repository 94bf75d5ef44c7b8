"""The invariants as SQL: for each kind of row where it comes from and what must be true of it."""

from __future__ import annotations

from pipeline.query.rules.examples import examples, lists, ranked
from pipeline.query.rules.files import partitions, stored_order, texts
from pipeline.query.rules.neurons import layers, neurons, sign_stats
from pipeline.query.rules.rule import Facts, Population, Rule

__all__ = ["Facts", "Population", "Rule", "populations"]


def populations(facts: Facts) -> list[Population]:
    """All rows that have rules, with their rules."""
    return [
        partitions(),
        neurons(facts),
        sign_stats(facts),
        examples(facts),
        ranked(facts),
        lists(facts),
        stored_order(facts),
        layers(),
        *texts(facts),
    ]
