"""Rules about neurons, their sign statistics and their layers."""

from __future__ import annotations

from typing import Final

from pipeline.naming import IO_CLASSES
from pipeline.query.rules.rule import POSITIVE, Facts, Population, Rule, strings
from pipeline.schema import CLASS_COLUMNS

# The threshold of a(x) in the classes, and how near to it a rounded cosine may fall on either side.
_THRESHOLD: Final = 0.5
_ROUNDING: Final = 1e-6

_COMBO_SQL: Final = "'gate' || if(gate_sign > 0, '+', '-') || '_in' || if(in_sign > 0, '+', '-')"
SIGNS: Final = Rule(
    "combo",
    "combo says what the signs say, which are 1 or -1",
    f"abs(gate_sign) = 1 and abs(in_sign) = 1 and combo = {_COMBO_SQL}",
)


def neurons(facts: Facts) -> Population:
    """Neurons, with the totals of their sign statistics."""
    source = """
        select *, row_number() over (order by neuron) - 1 as place
        from neurons as n
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
        where layer = {layer}
    """
    cosines = ("cos_gate_in", "cos_gate_out", "cos_in_out")
    inside = " and ".join(f"abs({c}) <= 1 + {_ROUNDING}" for c in cosines)
    near = " or ".join(f"abs(abs({c}) - {_THRESHOLD}) < {_ROUNDING}" for c in cosines)
    norms = " and ".join(f"isfinite(norm_{v}) and norm_{v} >= 0" for v in ("gate", "in", "out"))
    flipped = f"cos_gate_in >= -{_ROUNDING}" if facts.canonical else "not flipped"
    return Population(
        "neurons",
        source,
        "layer || '.' || neuron",
        (
            Rule("index", "neurons are numbered from 0, one row each", "neuron = place"),
            Rule("cosines", "cosines lie between -1 and 1", inside),
            Rule("norms", "norms are finite and not negative", norms),
            Rule("class_name", "io_class is a known class", f"io_class in ({strings(IO_CLASSES)})"),
            Rule(
                "class",
                "io_class follows from the cosines with t = 0.5",
                f"io_class = {_class_sql()} or {near}",
            ),
            Rule(
                "flipped",
                "cos_gate_in >= 0 with canonical signs; without them nothing is flipped",
                flipped,
            ),
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
        ),
    )


def _class_sql() -> str:
    def a(cosine: str) -> str:
        return f"(({cosine} > {_THRESHOLD})::int - ({cosine} < -{_THRESHOLD})::int)"

    gate_in, gate_out, in_out = a("cos_gate_in"), a("cos_gate_out"), a("cos_in_out")
    typical = f"({gate_in} = {gate_out} * {in_out} or ({in_out} = 0 and {gate_out} = 0))"
    return (
        f"if({typical}, '', 'atypical ') || case "
        f"when {in_out} = 0 and {gate_out} = 0 then 'orthogonal output' "
        f"when {in_out} = 0 then 'proportional change' "
        f"else if({gate_out} = 0, 'conditional ', '') || "
        f"if({in_out} = 1, 'enrichment', 'depletion') end"
    )


def sign_stats(facts: Facts) -> Population:
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


def layers() -> Population:
    """Layers, with what their neurons add up to."""
    classes = ", ".join(
        f"count(*) filter (where io_class = '{io_class}') as found_{column}"
        for io_class, column in CLASS_COLUMNS.items()
    )
    cosines = ("cos_gate_in", "cos_gate_out", "cos_in_out")
    medians = ", ".join(f"median({c}) as found_{c}" for c in cosines)
    source = f"""
        select l.*, n.*
        from layers as l
        full join (
            select
                layer as found_layer, count(*) as found, count(*) filter (where flipped)
                as found_flipped, {classes}, {medians}
            from neurons
            group by layer
        ) as n on l.layer = n.found_layer
    """
    counted = " and ".join(f"{column} = found_{column}" for column in CLASS_COLUMNS.values())
    total = " + ".join(CLASS_COLUMNS.values())
    near = " and ".join(f"abs(median_{c} - found_{c}) < 1e-9" for c in cosines)
    return Population(
        "layers",
        source,
        "'layer ' || coalesce(layer, found_layer)",
        (
            Rule(
                "neurons",
                "n_neurons and n_flipped count the layer's neurons",
                "n_neurons = found and n_flipped = found_flipped",
            ),
            Rule(
                "classes",
                "class counts are those of neurons and add up to n_neurons",
                f"{counted} and {total} = n_neurons",
            ),
            Rule("medians", "medians are those of neurons", near),
            Rule(
                "randomness",
                "the randomness region is an interval between -1 and 1",
                "-1 <= randomness_low and randomness_low <= randomness_high "
                "and randomness_high <= 1",
            ),
        ),
        by_layer=False,
    )
