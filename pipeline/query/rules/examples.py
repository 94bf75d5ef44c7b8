"""Rules about the lists of examples."""

from __future__ import annotations

from typing import Final

from pipeline.naming import DUPLICATE_CONTEXT
from pipeline.query.rules.neurons import SIGNS
from pipeline.query.rules.rule import POSITIVE, Population, Rule, ScanFacts, strings

# Tokens from the start of a block to that of the next.
_BLOCK: Final = 64


def examples(facts: ScanFacts) -> Population:
    """Entries by themselves, against the corpus."""
    # A join copies a text's whole list of tokens for each of its rows, so the texts are cut into
    # blocks first, each with the tokens of every window that begins in it.
    width = facts.before + facts.after + 1
    source = f"""
        with blocks as (
            select
                example_id,
                n_tokens,
                block,
                input_ids[block * {_BLOCK} + 1:(block + 1) * {_BLOCK} + {width}] as ids
            from corpus, unnest(range((n_tokens + {_BLOCK} - 1) // {_BLOCK})) as b(block)
        )
        select
            e.*,
            b.n_tokens,
            b.ids[e.window_start % {_BLOCK} + 1:e.window_start % {_BLOCK} + len(e.token_ids)]
            as text_ids,
            e."position" - e.window_start as peak
        from examples as e
        left join blocks as b
            on e.example_id = b.example_id and e.window_start // {_BLOCK} = b.block
        where e.layer = {{layer}}
    """
    counted = "n_duplicates >= 0" if facts.dedupe else "n_duplicates = 0"
    post = "true" if facts.act_fn in POSITIVE else "post_value * gate_sign * in_sign >= 0"
    # act is computed twice, for the score and for the row; both round off gate * in.
    value = "case ranking when 'post' then post_value when 'in' then in_value else gate_value end"
    rounding = "1e-5 * score + 1e-6 * abs(gate_value * in_value)"
    return Population(
        "examples",
        source,
        "layer || '.' || neuron || ' ' || combo || ' ' || ranking || ' ' || \"rank\"",
        (
            SIGNS,
            Rule("ranking", "ranking is one of the run", f"ranking in ({strings(facts.rankings)})"),
            Rule("score", "scores are finite and not negative", "isfinite(score) and score >= 0"),
            Rule(
                "score_value",
                "the score is the magnitude of its ranking's value at the peak",
                f"ranking = 'random' or abs(score - abs({value})) <= {rounding}",
            ),
            Rule(
                "signs",
                "the values at the peak have the signs of the combination",
                f"gate_value * gate_sign > 0 and in_value * in_sign > 0 and {post}",
            ),
            Rule(
                "lengths",
                "token_ids, gate and in have the same length",
                'len(token_ids) = len(gate) and len(gate) = len("in")',
            ),
            Rule(
                "finite",
                "gate and in are finite all over the window",
                'isfinite(list_sum(gate)) and isfinite(list_sum("in"))',
            ),
            Rule(
                "position",
                "the peak is a counted position of its example",
                f'"position" between {int(facts.skip_bos)} and n_tokens - 1',
            ),
            Rule(
                "window",
                f"the window runs from {facts.before} before the peak to {facts.after} after it, "
                "cut at the example's ends",
                f'window_start = greatest("position" - {facts.before}, 0) and len(token_ids) = '
                f'least("position" + {facts.after} + 1, n_tokens) - window_start',
            ),
            Rule(
                "token_ids",
                "the window's tokens are those of the corpus",
                "token_ids = text_ids",
            ),
            Rule(
                "peak_token",
                "peak_token is the token at the peak",
                "peak_token = token_ids[peak + 1]",
            ),
            Rule(
                "peak_values",
                "gate_value and in_value are those of the window at the peak",
                'gate[peak + 1] = gate_value and "in"[peak + 1] = in_value',
            ),
            Rule("n_duplicates", "n_duplicates is not negative; 0 without dedupe", counted),
        ),
    )


def ranked(facts: ScanFacts) -> Population:
    """Entries against the one before them."""
    source = """
        select
            layer, neuron, combo, ranking, "rank", score, example_id,
            lag("rank") over list as rank_before,
            lag(score) over list as score_before,
            lag(example_id) over list as example_before
        from examples
        where layer = {layer}
        window list as (partition by neuron, combo, ranking order by "rank")
    """
    return Population(
        "ranks",
        source,
        "layer || '.' || neuron || ' ' || combo || ' ' || ranking || ' ' || \"rank\"",
        (
            Rule(
                "rank",
                f"ranks run from 0 without gaps, below k = {facts.k}",
                f'"rank" = coalesce(rank_before + 1, 0) and "rank" < {facts.k}',
            ),
            Rule(
                "order",
                "scores fall; equal scores are in the order of their examples",
                "rank_before is null or score < score_before "
                "or (score = score_before and example_id > example_before)",
            ),
        ),
    )


def lists(facts: ScanFacts) -> Population:
    """Lists as a whole."""
    if facts.before >= DUPLICATE_CONTEXT:
        tokens, peak = "e.token_ids", 'e."position" - e.window_start + 1'
    else:
        tokens, peak = "c.input_ids", 'e."position" + 1'
    context = f"{tokens}[greatest({peak} - {DUPLICATE_CONTEXT}, 1):{peak}]"
    source = f"""
        select
            {{layer}} as layer, e.neuron, e.combo, e.ranking,
            count(*) as n,
            list_unique(list(e.example_id)) as n_examples,
            list_unique(list(hash({context}))) as n_contexts,
            sum(e.n_duplicates) as n_dropped,
            sum(c.n_tokens) as n_listed,
            any_value(s."count") as n_signed
        from examples as e
        left join corpus as c on e.example_id = c.example_id
        left join (select * from sign_stats where layer = {{layer}}) as s
            on e.neuron = s.neuron and e.combo = s.combo
        where e.layer = {{layer}}
        group by e.neuron, e.combo, e.ranking
    """
    room = facts.k + facts.spare
    distinct = "n_contexts = n" if facts.dedupe else "true"
    crowded = f"(n_dropped > 0 and n + n_dropped >= {room})"
    return Population(
        "lists",
        source,
        "layer || '.' || neuron || ' ' || combo || ' ' || ranking",
        (
            Rule("examples", "an example is in a list once", "n_examples = n"),
            Rule(
                "duplicates",
                f"with dedupe no two entries agree from {DUPLICATE_CONTEXT} before the peak on",
                distinct,
            ),
            Rule(
                "room",
                f"entries and their duplicates are not more than k + spare = {room}",
                f"n + n_dropped <= {room}",
            ),
            Rule(
                "short",
                "a list is shorter than k only where its examples can hold all of the combination",
                f"n = {facts.k} or {crowded} or "
                f"n_signed <= n_listed + n_dropped * {facts.max_length}",
            ),
        ),
    )
