"""The invariants as SQL: for each kind of row where it comes from and what must be true of it."""

from __future__ import annotations

from pipeline.query.rules.examples import examples, lists, ranked
from pipeline.query.rules.files import partitions, stored_order, texts, vocab
from pipeline.query.rules.layers import layers
from pipeline.query.rules.neurons import neurons, sign_stats
from pipeline.query.rules.rule import Facts, Population, Rule
from pipeline.query.rules.weight_tokens import weight_tokens

__all__ = ["Facts", "Population", "Rule", "populations"]


def populations(facts: Facts) -> list[Population]:
    """All rows that have rules, with their rules."""
    of_weights = [
        partitions(facts),
        neurons(facts),
        stored_order(facts),
        layers(facts),
        *weight_tokens(facts),
        vocab(),
    ]
    if facts.scan is None:
        return of_weights
    scan = facts.scan
    of_scan = [sign_stats(scan), examples(scan), ranked(scan), lists(scan), *texts(scan)]
    return [*of_weights, *of_scan]
