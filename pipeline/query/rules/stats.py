"""Rules about sign statistics, by themselves and with the lists of examples."""

from __future__ import annotations

from typing import Final

from pipeline.naming import COMBO_NAMES, QUANTITIES
from pipeline.query.rules.rule import POSITIVE, Imported, Population, Rule, ScanFacts, strings

_COMBO_SQL: Final = "'gate' || if(gate_sign > 0, '+', '-') || '_in' || if(in_sign > 0, '+', '-')"
SIGNS: Final = Rule(
    "combo",
    "combo says what the signs say, which are 1 or -1",
    f"abs(gate_sign) = 1 and abs(in_sign) = 1 and combo = {_COMBO_SQL}",
)
# Published frequencies are float32, and counts are made of them.
_FLOAT32: Final = 3e-7
# What is never 0 in a combination, however small; post and act may be.
NEVER_ZERO: Final = ("gate", "in")


def sign_stats(facts: ScanFacts) -> Population:
    """Sign statistics, with the lengths of their lists."""
    kept = "true" if facts.imported is None else f"ranking in ({strings(NEVER_ZERO)})"
    source = f"""
        select
            s.*, l.n_lists, l.n_kept, l.shortest, l.longest, n.neuron is not null as known,
            c.n_counted
        from sign_stats as s
        left join (
            select
                neuron, combo, count(*) as n_lists, count(*) filter (where {kept}) as n_kept,
                min(n) filter (where {kept}) as shortest, max(n) filter (where {kept}) as longest
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
    rules = (
        SIGNS,
        Rule("neuron", "the neuron has a row in neurons", "known"),
        *_counts(facts),
        *_means(facts),
        *_lists(facts),
    )
    return Population("sign_stats", source, "r.layer || '.' || r.neuron || ' ' || r.combo", rules)


def _counts(facts: ScanFacts) -> tuple[Rule, ...]:
    if facts.lacks.column("sign_stats", "count"):
        return (
            Rule("missing", "what is missing is null", '"count" is null and n_tokens is null'),
            Rule("frequency", "frequency is a share", f"frequency between 0 and 1 + {_FLOAT32}"),
        )
    n_tokens = Rule(
        "n_tokens",
        "n_tokens is the corpus's tokens, without the first of each text if skip_bos",
        "n_tokens = n_counted",
    )
    rounding = 1e-12 if facts.imported is None else _FLOAT32
    return (
        *(() if facts.lacks.table("corpus") else (n_tokens,)),
        Rule("count", "counts are not negative", '"count" >= 0 and n_zero >= 0'),
        Rule(
            "frequency",
            "frequency is count / n_tokens",
            f'abs(frequency - "count" / greatest(n_tokens, 1)) < {rounding}',
        ),
    )


def _means(facts: ScanFacts) -> tuple[Rule, ...]:
    signs = {"gate": "mean_gate * gate_sign > 0", "in": "mean_in * in_sign > 0"}
    # Whether act has the gate's sign is known once the activation function is.
    known = facts.act_fn != "" and facts.act_fn not in POSITIVE
    signs["act"] = "mean_act * gate_sign >= 0" if known else "isfinite(mean_act)"
    signs["post"] = "mean_post * gate_sign * in_sign >= 0" if known else "isfinite(mean_post)"
    for quantity in QUANTITIES:
        # A source may lack the mean of a combination.
        if facts.lacks.column("sign_stats", f"mean_{quantity}"):
            signs[quantity] = f"(mean_{quantity} is null or {signs[quantity]})"
    there = [q for q in QUANTITIES if not facts.lacks.column("sign_stats", f"mean_{q}")]
    null = [f"(mean_{q} is null) = (frequency = 0)" for q in there]
    null += [f"(frequency > 0 or mean_{q} is null)" for q in QUANTITIES if q not in there]
    finite = "isfinite(coalesce(mean_act, 0)) and isfinite(coalesce(mean_post, 0))"
    return (
        Rule("mean_null", "a mean is null exactly where the count is 0", " and ".join(null)),
        Rule(
            "mean_sign",
            "means have the signs of their combination",
            f"frequency = 0 or ({' and '.join(signs.values())} and {finite})",
        ),
    )


def _lists(facts: ScanFacts) -> tuple[Rule, ...]:
    if facts.lacks.table("examples"):
        return ()
    lengths = "" if facts.dedupe else " and shortest is not distinct from longest"
    if facts.imported is not None:
        n_most, n_kept = (_n_lists(facts.imported, names) for names in (None, NEVER_ZERO))
        return (
            Rule(
                "lists",
                "a combination that occurs has the lists of the source, any other has none",
                f"if(frequency > 0, coalesce(n_lists, 0) <= {n_most} "
                f"and coalesce(n_kept, 0) = {n_kept}, n_lists is null){lengths}",
            ),
        )
    return (
        Rule(
            "lists",
            "a combination that occurs has a list for every ranking, any other has none",
            f'coalesce(n_lists, 0) = if("count" > 0, {len(facts.rankings)}, 0){lengths}',
        ),
    )


def _n_lists(imported: Imported, rankings: tuple[str, ...] | None) -> str:
    """SQL for the lists that the source has of a row's combination, by some rankings or all."""
    found = [c for c, ranking in imported.lists if rankings is None or ranking in rankings]
    cases = " ".join(f"when '{combo}' then {found.count(combo)}" for combo in COMBO_NAMES)
    return f"case combo {cases} end"
