"""Rules about neurons, their sign statistics and their layers."""

from __future__ import annotations

from typing import Final

from pipeline.naming import IO_CLASSES
from pipeline.query.rules.rule import Facts, Population, Rule, all_null, strings

# How near to the threshold of the classes a rounded cosine may fall on either side.
_ROUNDING: Final = 1e-6
_VANILLA_CLASSES: Final = ("enrichment", "orthogonal output", "depletion")


def neurons(facts: Facts) -> Population:
    """Neurons, with the totals of their sign statistics where there are some."""
    stats = _STATS_JOIN if facts.scan else ""
    label = "layer || '.' || neuron"
    index = Rule("index", "neurons are numbered from 0, one row each", "neuron = place")
    of_stats = _stats_rules(facts)
    source = (
        "select *, row_number() over (order by neuron) - 1 as place from neurons as n "
        f"{stats} where layer = {{layer}}"
    )
    if lacking := facts.lacks.columns("neurons"):
        # Without a model.
        null = Rule("missing", "what is missing is null", all_null(lacking))
        return Population("neurons", source, label, (index, null, *of_stats))
    inside = " and ".join(f"abs({c}) <= 1 + {_ROUNDING}" for c in facts.cosines)
    weights = ("gate", "in", "out") if facts.gated else ("in", "out")
    norms = " and ".join(f"isfinite(norm_{v}) and norm_{v} >= 0" for v in weights)
    of_gates = ("cos_gate_in", "cos_gate_out", "norm_gate")
    gates = " and ".join(f"{c} is {'not ' if facts.gated else ''}null" for c in of_gates)
    has_flips = facts.gated and facts.canonical
    flipped = f"cos_gate_in >= -{_ROUNDING}" if has_flips else "not flipped"
    rules = (
        index,
        Rule("gates", "cosines and norm of the gate are null where a model has none, alone", gates),
        Rule("cosines", "cosines lie between -1 and 1", inside),
        Rule("norms", "norms are finite and not negative", norms),
        *_class_rules(facts),
        Rule(
            "flipped",
            "cos_gate_in >= 0 with canonical signs; without them, or a gate, nothing is flipped",
            flipped,
        ),
    )
    return Population("neurons", source, label, rules + of_stats)


_STATS_JOIN: Final = """
    left join (
        select
            neuron as stats_neuron,
            count(*) as n_stats,
            count(distinct combo) as n_combos,
            sum("count") as n_signed,
            sum(frequency) as share_signed,
            min(n_tokens) as least_tokens,
            max(n_tokens) as most_tokens,
            min(n_zero) as least_zero,
            max(n_zero) as most_zero
        from sign_stats
        where layer = {layer}
        group by neuron
    ) as s on n.neuron = s.stats_neuron
"""
_FOUR: Final = Rule("four", "sign_stats has its four combinations", "n_stats = 4 and n_combos = 4")
_COUNT_RULES: Final = (
    Rule(
        "counts",
        "the four counts and n_zero add up to n_tokens",
        "n_signed + most_zero = most_tokens",
    ),
    Rule(
        "totals",
        "n_tokens and n_zero are the same in all four",
        "least_tokens = most_tokens and least_zero = most_zero",
    ),
)


def _stats_rules(facts: Facts) -> tuple[Rule, ...]:
    """Rules about what the four combinations of a neuron add up to."""
    if facts.scan is None:
        return ()
    if facts.lacks.column("sign_stats", "count"):
        whole = Rule(
            "shares", "the four frequencies add up to 1 at most", "share_signed <= 1.000001"
        )
        return (_FOUR, whole)
    return (_FOUR, *_COUNT_RULES)


def _class_rules(facts: Facts) -> tuple[Rule, ...]:
    classes = IO_CLASSES if facts.gated else _VANILLA_CLASSES
    t = facts.threshold
    wanted = _class_sql(t) if facts.gated else _vanilla_class_sql(t)
    near = " or ".join(f"abs(abs({c}) - {t}) < {_ROUNDING}" for c in facts.cosines)
    return (
        Rule(
            "class_name", "io_class is a class of such models", f"io_class in ({strings(classes)})"
        ),
        Rule(
            "class",
            f"io_class follows from the cosines with t = {t:g}",
            f"io_class = {wanted} or {near}",
        ),
    )


def _vanilla_class_sql(threshold: float) -> str:
    return (
        f"case when cos_in_out > {threshold} then 'enrichment' "
        f"when cos_in_out < -{threshold} then 'depletion' else 'orthogonal output' end"
    )


def _class_sql(threshold: float) -> str:
    def a(cosine: str) -> str:
        return f"(({cosine} > {threshold})::int - ({cosine} < -{threshold})::int)"

    gate_in, gate_out, in_out = a("cos_gate_in"), a("cos_gate_out"), a("cos_in_out")
    typical = f"({gate_in} = {gate_out} * {in_out} or ({in_out} = 0 and {gate_out} = 0))"
    return (
        f"if({typical}, '', 'atypical ') || case "
        f"when {in_out} = 0 and {gate_out} = 0 then 'orthogonal output' "
        f"when {in_out} = 0 then 'proportional change' "
        f"else if({gate_out} = 0, 'conditional ', '') || "
        f"if({in_out} = 1, 'enrichment', 'depletion') end"
    )
