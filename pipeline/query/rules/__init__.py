"""The invariants as SQL: for each kind of row where it comes from and what must be true of it."""

from __future__ import annotations

from pipeline.query.rules.examples import examples, lists, ranked
from pipeline.query.rules.files import partitions, stored_order, texts, vocab
from pipeline.query.rules.imported import imported_whole
from pipeline.query.rules.layers import layers
from pipeline.query.rules.neurons import neurons
from pipeline.query.rules.rule import Facts, Population, Rule
from pipeline.query.rules.stats import sign_stats
from pipeline.query.rules.weight_tokens import weight_tokens

__all__ = ["Facts", "Population", "Rule", "populations"]


def populations(facts: Facts) -> list[Population]:
    """All rows that have rules, with their rules."""
    lacks = facts.lacks
    of_weights = [partitions(facts), neurons(facts), stored_order(facts), layers(facts)]
    if not lacks.table("weight_tokens"):
        of_weights += weight_tokens(facts)
    if not lacks.table("vocab"):
        of_weights.append(vocab())
    if facts.scan is None:
        return of_weights
    scan = facts.scan
    of_scan = [sign_stats(scan)]
    if not lacks.table("examples"):
        of_scan += [examples(scan), ranked(scan), lists(scan)]
        if scan.imported is not None:
            of_scan.append(imported_whole(scan.imported))
    if not lacks.table("corpus"):
        of_scan += texts(scan)
    return [*of_weights, *of_scan]
