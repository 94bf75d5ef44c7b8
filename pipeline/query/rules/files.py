"""Rules about how rows lie in their files, and about the flat tables."""

from __future__ import annotations

from typing import Final

from pipeline.naming import COMBO_NAMES, MATRICES, SIDES, WEIGHTS
from pipeline.query.rules.rule import Facts, Population, Rule, ScanFacts, strings
from pipeline.schema import LAYER_TABLES

_CONTIGUOUS: Final = "row_number() over (order by {0}) - 1 as place"


def partitions(facts: Facts) -> Population:
    """Rows of all partitions against their folder."""
    tables = [table for table in facts.tables if table in LAYER_TABLES]
    source = " union all ".join(
        f"select '{table}' as table_name, {{layer}} as folder, layer "
        f"from read_parquet([{{{table}_files}}], hive_partitioning = false)"
        for table in tables
    )
    rule = Rule("layer", "the layer in a file is that of its folder", "layer = folder")
    return Population("partitions", source, "table_name || '/layer=' || folder", (rule,))


def stored_order(facts: Facts) -> Population:
    """Rows against the one before them in their file."""
    combo = _place("combo", COMBO_NAMES)
    keys = {
        "neurons": "neuron::bigint",
        "weight_tokens": f"(((neuron::bigint * {len(WEIGHTS)} + {_place('weight', WEIGHTS)}) "
        f"* {len(MATRICES)} + {_place('matrix', MATRICES)}) * {len(SIDES)} "
        f'+ {_place("side", SIDES)}) * {max(facts.weight_k, 1)} + "rank"',
    }
    if facts.scan:
        rankings = tuple(sorted(facts.scan.rankings))
        keys |= {
            "sign_stats": f"neuron::bigint * {len(COMBO_NAMES)} + {combo}",
            "examples": f"((neuron::bigint * {len(COMBO_NAMES)} + {combo}) * {len(rankings)} "
            f'+ {_place("ranking", rankings)}) * {facts.scan.k} + "rank"',
        }
    keys = {table: key for table, key in keys.items() if table in facts.tables}
    source = " union all ".join(
        f"select '{table}' as table_name, {{layer}} as layer, neuron, {key} as place, lag(place) "
        "over (partition by filename order by file_row_number) as place_before "
        f"from read_parquet([{{{table}_files}}], hive_partitioning = false, filename = true, "
        "file_row_number = true)"
        for table, key in keys.items()
    )
    rule = Rule(
        "order",
        "rows are sorted by neuron, list and rank, and none comes twice",
        "place_before is null or place > place_before",
    )
    return Population("stored", source, "table_name || ' ' || layer || '.' || neuron", (rule,))


def _place(column: str, names: tuple[str, ...]) -> str:
    return f"list_position([{strings(names)}], {column})"


def texts(facts: ScanFacts) -> list[Population]:
    """The corpus."""
    known = "list_min(input_ids) >= 0"
    if not facts.lacks.table("vocab"):
        known += " and list_max(input_ids) <= last_id"
    corpus = Population(
        "corpus",
        "select example_id, n_tokens, input_ids, (select max(token_id) from vocab) as last_id "
        "from corpus",
        "'example ' || example_id",
        (
            Rule("n_tokens", "n_tokens is the length of input_ids", "n_tokens = len(input_ids)"),
            Rule(
                "max_length",
                f"an example has 1 to corpus.max_length = {facts.max_length} tokens",
                f"n_tokens between 1 and {facts.max_length}",
            ),
            Rule("input_ids", "input_ids are in vocab", known),
        ),
        by_layer=False,
    )
    ids = Population(
        "corpus_ids",
        f"select example_id, {_CONTIGUOUS.format('example_id')} from corpus",
        "'example ' || example_id",
        (Rule("example_id", "examples are numbered from 0 without gaps", "example_id = place"),),
        by_layer=False,
    )
    return [corpus, ids]


def vocab() -> Population:
    """The vocabulary."""
    return Population(
        "vocab",
        f"select token_id, token, {_CONTIGUOUS.format('token_id')} from vocab",
        "'token ' || token_id",
        (
            Rule("token_id", "tokens are numbered from 0 without gaps", "token_id = place"),
            Rule("token", "every token has a text", "token is not null"),
        ),
        by_layer=False,
    )
