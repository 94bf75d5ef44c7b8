"""Rules about layers."""

from __future__ import annotations

from typing import Final

from pipeline.query.rules.rule import Facts, Population, Rule, all_null
from pipeline.schema import CLASS_COLUMNS, COSINES

# The columns of a layer's quartiles, and the share of the neurons below each.
_QUARTILES: Final = {"q1": 0.25, "median": 0.5, "q3": 0.75}


def layers(facts: Facts) -> Population:
    """Layers, with what their neurons add up to."""
    classes = ", ".join(
        f"count(*) filter (where io_class = '{io_class}') as found_{column}"
        for io_class, column in CLASS_COLUMNS.items()
    )
    quartiles = ", ".join(
        f"quantile_cont({cosine}, {share}) as found_{place}_{cosine}"
        for cosine in COSINES
        for place, share in _QUARTILES.items()
    )
    source = f"""
        select l.*, n.*
        from layers as l
        full join (
            select
                layer as found_layer, count(*) as found, count(*) filter (where flipped)
                as found_flipped, {classes}, {quartiles}
            from neurons
            group by layer
        ) as n on l.layer = n.found_layer
    """
    label = "'layer ' || coalesce(layer, found_layer)"
    if lacking := facts.lacks.columns("layers"):
        # Without a model.
        return Population(
            "layers",
            source,
            label,
            (
                Rule("neurons", "n_neurons counts the layer's neurons", "n_neurons = found"),
                Rule("missing", "what is missing is null", all_null(lacking)),
            ),
            by_layer=False,
        )
    counted = " and ".join(f"{column} = found_{column}" for column in CLASS_COLUMNS.values())
    total = " + ".join(CLASS_COLUMNS.values())
    return Population(
        "layers",
        source,
        label,
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
            Rule("medians", "medians are those of neurons", _same(facts, "median")),
            Rule(
                "quartiles",
                "quartiles are those of neurons",
                f"{_same(facts, 'q1')} and {_same(facts, 'q3')}",
            ),
            Rule(
                "randomness",
                "the randomness region is an interval between -1 and 1",
                _interval("randomness_low", "randomness_high"),
            ),
            *_mismatched(facts),
        ),
        by_layer=False,
    )


def _same(facts: Facts, place: str) -> str:
    """A quartile is that of neurons, and null without a gate."""
    return " and ".join(
        f"abs({place}_{c} - found_{place}_{c}) < 1e-9"
        if c in facts.cosines
        else f"{place}_{c} is null"
        for c in COSINES
    )


def _mismatched(facts: Facts) -> tuple[Rule, ...]:
    intervals = [(f"mismatched_low_{c}", f"mismatched_high_{c}") for c in COSINES]
    null = " and ".join(f"{low} is null and {high} is null" for low, high in intervals)
    held = " and ".join(
        _interval(low, high)
        if low.removeprefix("mismatched_low_") in facts.cosines
        else f"{low} is null and {high} is null"
        for low, high in intervals
    )
    return (
        Rule(
            "mismatched",
            "the mismatched cosines of more than one neuron lie in intervals between -1 and 1",
            f"if(n_neurons = 1, {null}, {held})",
        ),
        Rule(
            "mismatched_n_pairs",
            "they are of pairs of different neurons",
            "if(n_neurons = 1, mismatched_n_pairs = 0, mismatched_n_pairs > 0)",
        ),
        Rule(
            "mismatched_error",
            "their standard error is finite and not negative",
            "isfinite(mismatched_error) and mismatched_error >= 0",
        ),
    )


def _interval(low: str, high: str) -> str:
    # A cosine of 1 may be rounded upwards.
    return f"-1.000001 <= {low} and {low} <= {high} and {high} <= 1.000001"
