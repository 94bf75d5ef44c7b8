"""Rules about what was imported: entries as they were published, filled in or not."""

from __future__ import annotations

from typing import Final

from pipeline.query.rules.rule import Imported, Population, Rule, ScanFacts, all_null, strings

# What a model fills in, all of it or nothing.
_FILLED: Final = ("position", "peak_token", "window_start", "token_ids", "gate", "in")
_VALUES: Final = ("gate_value", "in_value", "post_value")


def imported_entries(facts: ScanFacts) -> list[Rule]:
    """Entries by themselves."""
    imported = facts.imported
    assert imported is not None
    own = "case ranking when 'post' then post_value when 'in' then in_value else gate_value end"
    sign = (
        "case ranking when 'post' then gate_sign * in_sign when 'in' then in_sign "
        "else gate_sign end"
    )
    none = all_null(_FILLED)
    others = " and ".join(
        f"(ranking = '{name.removesuffix('_value')}' or {name} is null)" for name in _VALUES
    )
    null = f"{none} and {others}"
    rules = [
        Rule(
            "list",
            "an entry is of a list of the source",
            f"combo || ' ' || ranking in ({strings(tuple(map(' '.join, imported.lists)))})",
        ),
        Rule(
            "published",
            "the score is the magnitude of the published value, which has its combination's sign",
            f"ranking = 'act' or (score = abs({own}) and {own} * {sign} > 0)",
        ),
    ]
    if imported.n_filled is None:
        rules.append(Rule("missing", "what is missing is null", null))
    else:
        every = " and ".join(f'"{name}" is not null' for name in (*_FILLED, *_VALUES))
        rules.append(
            Rule("filled", "an entry is filled in as a whole, or null", f"({null}) or ({every})")
        )
    known = "example_id >= 0"
    if not facts.lacks.table("corpus"):
        known += " and example_id < n_examples"
    return [*rules, Rule("example_id", "the example is one of the corpus", known)]


def imported_whole(imported: Imported) -> Population:
    """All entries together."""
    filled = 'count("position")'
    wanted = imported.n_filled or 0
    return Population(
        "imported",
        f"select count(*) as n_entries, {filled} as n_filled from examples",
        "n_entries || ' entries, ' || n_filled || ' filled in'",
        (
            Rule(
                "entries",
                "there are as many entries, and filled ones, as the manifest says",
                f"n_entries = {imported.n_entries} and n_filled = {wanted}",
            ),
        ),
        by_layer=False,
    )
