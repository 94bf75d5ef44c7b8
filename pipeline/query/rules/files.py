"""Rules about how rows lie in their files, and about the flat tables."""

from __future__ import annotations

from pipeline.naming import COMBO_NAMES
from pipeline.query.rules.rule import Facts, Population, Rule, strings


def partitions() -> Population:
    """Rows of all partitions against their folder."""
    tables = ("neurons", "sign_stats", "examples", "layers")
    source = " union all ".join(
        f"select '{table}' as table_name, {{layer}} as folder, layer "
        f"from read_parquet([{{{table}_files}}], hive_partitioning = false)"
        for table in tables
    )
    rule = Rule("layer", "the layer in a file is that of its folder", "layer = folder")
    return Population("partitions", source, "table_name || '/layer=' || folder", (rule,))


def stored_order(facts: Facts) -> Population:
    """Rows against the one before them in their file."""
    combo = f"list_position([{strings(COMBO_NAMES)}], combo)"
    ranking = f"list_position([{strings(tuple(sorted(facts.rankings)))}], ranking)"
    keys = {
        "neurons": "neuron::bigint",
        "sign_stats": f"neuron::bigint * {len(COMBO_NAMES)} + {combo}",
        "examples": f"((neuron::bigint * {len(COMBO_NAMES)} + {combo}) * {len(facts.rankings)} "
        f'+ {ranking}) * {facts.k} + "rank"',
    }
    source = " union all ".join(
        f"select '{table}' as table_name, {{layer}} as layer, neuron, {key} as place, lag(place) "
        "over (partition by filename order by file_row_number) as place_before "
        f"from read_parquet([{{{table}_files}}], hive_partitioning = false, filename = true, "
        "file_row_number = true)"
        for table, key in keys.items()
    )
    rule = Rule(
        "order",
        "rows are sorted by neuron, combo, ranking and rank, and none comes twice",
        "place_before is null or place > place_before",
    )
    return Population("stored", source, "table_name || ' ' || layer || '.' || neuron", (rule,))


def texts(facts: Facts) -> list[Population]:
    """The corpus and the vocabulary."""
    contiguous = "row_number() over (order by {0}) - 1 as place"
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
            Rule(
                "input_ids",
                "input_ids are in vocab",
                "list_min(input_ids) >= 0 and list_max(input_ids) <= last_id",
            ),
        ),
        by_layer=False,
    )
    ids = Population(
        "corpus_ids",
        f"select example_id, {contiguous.format('example_id')} from corpus",
        "'example ' || example_id",
        (Rule("example_id", "examples are numbered from 0 without gaps", "example_id = place"),),
        by_layer=False,
    )
    vocab = Population(
        "vocab",
        f"select token_id, token, {contiguous.format('token_id')} from vocab",
        "'token ' || token_id",
        (
            Rule("token_id", "tokens are numbered from 0 without gaps", "token_id = place"),
            Rule("token", "every token has a text", "token is not null"),
        ),
        by_layer=False,
    )
    return [corpus, ids, vocab]
