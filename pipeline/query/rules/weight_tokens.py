"""Rules about the tokens of weights."""

from __future__ import annotations

from pipeline.naming import MATRICES, SIDES, WEIGHTS
from pipeline.query.rules.rule import Facts, Population, Rule, strings


def weight_tokens(facts: Facts) -> list[Population]:
    """Entries against the one before them in their list; neurons with their lists."""
    return [_entries(facts), _lists(facts)]


def _entries(facts: Facts) -> Population:
    source = """
        select
            *,
            lag("rank") over list as rank_before,
            lag(score) over list as score_before,
            (select max(token_id) from vocab) as last_id
        from weight_tokens
        where layer = {layer}
        window list as (partition by neuron, weight, matrix, side order by "rank")
    """
    return Population(
        "weight_tokens",
        source,
        "layer || '.' || concat_ws(' ', neuron, weight, matrix, side, \"rank\")",
        (
            Rule("list", "an entry is of a list of such a model", _is_a_list(facts)),
            Rule(
                "rank",
                f"ranks run from 0 without gaps, below k = {facts.weight_k}",
                f'"rank" = coalesce(rank_before + 1, 0) and "rank" < {facts.weight_k}',
            ),
            Rule("score", "scores are finite", "isfinite(score)"),
            Rule(
                "order",
                "scores fall from the highest and rise from the lowest",
                # Ties are broken by the token before scores are rounded to float32, so that of
                # equal ones here either may come first.
                "rank_before is null "
                "or if(side = 'highest', score <= score_before, score >= score_before)",
            ),
            Rule("token_id", "tokens are in vocab", "token_id between 0 and last_id"),
        ),
    )


def _is_a_list(facts: Facts) -> str:
    weights = WEIGHTS if facts.gated else tuple(w for w in WEIGHTS if w != "gate")
    return (
        f"weight in ({strings(weights)}) and matrix in ({strings(MATRICES)}) "
        f"and side in ({strings(SIDES)}) and not (weight = 'out' and matrix = 'embedding')"
    )


def _lists(facts: Facts) -> Population:
    """Neurons with what their lists add up to.

    Whether the model's files hold an embedding and an unembedding the first neuron of all says.
    """
    source = """
        select
            {layer} as layer,
            coalesce(n.neuron, l.neuron) as neuron,
            n.neuron is not null as known,
            coalesce(n_lists, 0) as n_lists,
            coalesce(n_unembedded, 0) as n_unembedded,
            f.*,
            shortest, longest, repeated, crossed,
            (select count(*) from vocab) as n_vocab
        from (select neuron from neurons where layer = {layer}) as n
        full join (
            select
                neuron,
                count(*) as n_lists,
                count(*) filter (where matrix = 'unembedding') as n_unembedded,
                min(n) as shortest,
                max(n) as longest,
                bool_or(n_tokens < n) as repeated,
                bool_or(side = 'highest' and (least < other_least or most < other_most)) as crossed
            from (
                select
                    neuron, weight, matrix, side,
                    count(*) as n,
                    list_unique(list(token_id)) as n_tokens,
                    min(score) as least,
                    max(score) as most,
                    lead(min(score)) over ends as other_least,
                    lead(max(score)) over ends as other_most
                from weight_tokens
                where layer = {layer}
                group by neuron, weight, matrix, side
                window ends as (partition by neuron, weight, matrix order by side)
            )
            group by neuron
        ) as l on n.neuron = l.neuron
        cross join (
            select
                count(*) filter (where matrix = 'embedding') > 0 as has_embedding,
                count(*) filter (where matrix = 'unembedding') > 0 as has_unembedding
            from weight_tokens
            where layer = {first_layer} and neuron = 0
        ) as f
    """
    n_weights = 3 if facts.gated else 2
    n_sides = len(SIDES)
    # Every weight with the unembedding; all but w_out with the embedding.
    unembedded = f"if(has_unembedding, {n_weights * n_sides}, 0)"
    embedded = f"if(has_embedding, {(n_weights - 1) * n_sides}, 0)"
    complete = (
        f"known and n_unembedded = {unembedded} and n_lists = {embedded} + n_unembedded"
        if facts.weight_k
        else "known and n_lists = 0"
    )
    length = f"least({facts.weight_k}, n_vocab)"
    return Population(
        "weight_lists",
        source,
        "layer || '.' || neuron",
        (
            Rule(
                "lists",
                "every neuron has the lists of such a model, and of each matrix all or none",
                complete,
            ),
            Rule(
                "length",
                f"every list holds k = {facts.weight_k} tokens, or the whole vocabulary",
                f"n_lists = 0 or (shortest = {length} and longest = {length})",
            ),
            Rule("tokens", "a token is in a list once", "n_lists = 0 or not repeated"),
            Rule(
                "ends",
                "of the highest none is below the lowest of all, and the other way round",
                "n_lists = 0 or not coalesce(crossed, false)",
            ),
        ),
    )
