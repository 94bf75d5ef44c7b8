"""Rules about neurons, their sign statistics and their layers."""

from __future__ import annotations

from typing import Final

from pipeline.naming import IO_CLASSES
from pipeline.query.rules.rule import POSITIVE, Facts, Population, Rule, ScanFacts, strings

# How near to the threshold of the classes a rounded cosine may fall on either side.
_ROUNDING: Final = 1e-6
_VANILLA_CLASSES: Final = ("enrichment", "orthogonal output", "depletion")

_COMBO_SQL: Final = "'gate' || if(gate_sign > 0, '+', '-') || '_in' || if(in_sign > 0, '+', '-')"
SIGNS: Final = Rule(
    "combo",
    "combo says what the signs say, which are 1 or -1",
    f"abs(gate_sign) = 1 and abs(in_sign) = 1 and combo = {_COMBO_SQL}",
)


def neurons(facts: Facts) -> Population:
    """Neurons, with the totals of their sign statistics where there are some."""
    stats = _STATS_JOIN if facts.scan else ""
    source = (
        "select *, row_number() over (order by neuron) - 1 as place from neurons as n "
        f"{stats} where layer = {{layer}}"
    )
    inside = " and ".join(f"abs({c}) <= 1 + {_ROUNDING}" for c in facts.cosines)
    weights = ("gate", "in", "out") if facts.gated else ("in", "out")
    norms = " and ".join(f"isfinite(norm_{v}) and norm_{v} >= 0" for v in weights)
    of_gates = ("cos_gate_in", "cos_gate_out", "norm_gate")
    gates = " and ".join(f"{c} is {'not ' if facts.gated else ''}null" for c in of_gates)
    has_flips = facts.gated and facts.canonical
    flipped = f"cos_gate_in >= -{_ROUNDING}" if has_flips else "not flipped"
    rules = (
        Rule("index", "neurons are numbered from 0, one row each", "neuron = place"),
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
    label = "layer || '.' || neuron"
    return Population("neurons", source, label, rules + (_STATS_RULES if facts.scan else ()))


_STATS_JOIN: Final = """
    left join (
        select
            neuron as stats_neuron,
            count(*) as n_stats,
            count(distinct combo) as n_combos,
            sum("count") as n_signed,
            min(n_tokens) as least_tokens,
            max(n_tokens) as most_tokens,
            min(n_zero) as least_zero,
            max(n_zero) as most_zero
        from sign_stats
        where layer = {layer}
        group by neuron
    ) as s on n.neuron = s.stats_neuron
"""
_STATS_RULES: Final = (
    Rule("four", "sign_stats has its four combinations", "n_stats = 4 and n_combos = 4"),
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


def sign_stats(facts: ScanFacts) -> Population:
    """Sign statistics, with the lengths of their lists."""
    source = f"""
        select s.*, l.n_lists, l.shortest, l.longest, n.neuron is not null as known, c.n_counted
        from sign_stats as s
        left join (
            select neuron, combo, count(*) as n_lists, min(n) as shortest, max(n) as longest
            from (
                select neuron, combo, ranking, count(*) as n
                from examples
                where layer = {{layer}}
                group by neuron, combo, ranking
            )
            group by neuron, combo
        ) as l on s.neuron = l.neuron and s.combo = l.combo
        left join (select neuron from neurons where layer = {{layer}}) as n on s.neuron = n.neuron
        cross join (
            select sum(greatest(n_tokens - {int(facts.skip_bos)}, 0)) as n_counted from corpus
        ) as c
        where s.layer = {{layer}}
    """
    means = ("gate", "in", "act", "post")
    null = " and ".join(f'(mean_{q} is null) = ("count" = 0)' for q in means)
    signs = "mean_gate * gate_sign > 0 and mean_in * in_sign > 0"
    if facts.act_fn not in POSITIVE:
        signs += " and mean_act * gate_sign >= 0 and mean_post * gate_sign * in_sign >= 0"
    lengths = "" if facts.dedupe else " and shortest is not distinct from longest"
    return Population(
        "sign_stats",
        source,
        "layer || '.' || s.neuron || ' ' || s.combo".replace("s.", "r."),
        (
            SIGNS,
            Rule("neuron", "the neuron has a row in neurons", "known"),
            Rule(
                "n_tokens",
                "n_tokens is the corpus's tokens, without the first of each text if skip_bos",
                "n_tokens = n_counted",
            ),
            Rule("count", "counts are not negative", '"count" >= 0 and n_zero >= 0'),
            Rule(
                "frequency",
                "frequency is count / n_tokens",
                'abs(frequency - "count" / greatest(n_tokens, 1)) < 1e-12',
            ),
            Rule("mean_null", "a mean is null exactly where the count is 0", null),
            Rule(
                "mean_sign",
                "means have the signs of their combination",
                f'"count" = 0 or ({signs} and isfinite(mean_act) and isfinite(mean_post))',
            ),
            Rule(
                "lists",
                "a combination that occurs has a list for every ranking, any other has none",
                f'coalesce(n_lists, 0) = if("count" > 0, {len(facts.rankings)}, 0){lengths}',
            ),
        ),
    )
