"""Rules about the lists of examples."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from pipeline.naming import DUPLICATE_CONTEXT
from pipeline.query.rules.imported import imported_entries
from pipeline.query.rules.rule import POSITIVE, Population, Rule, ScanFacts, strings
from pipeline.query.rules.stats import NEVER_ZERO, SIGNS

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
            e."position" - e.window_start as peak,
            (select count(*) from corpus) as n_examples
        from examples as e
        left join blocks as b
            on e.example_id = b.example_id and e.window_start // {_BLOCK} = b.block
        where e.layer = {{layer}}
    """
    counted = "n_duplicates >= 0" if facts.dedupe else "n_duplicates = 0"
    rules = [
        SIGNS,
        Rule("ranking", "ranking is one of the run", f"ranking in ({strings(facts.rankings)})"),
        Rule("score", "scores are finite and not negative", "isfinite(score) and score >= 0"),
        Rule("n_duplicates", "n_duplicates is not negative; 0 without dedupe", counted),
    ]
    if facts.imported is None:
        rules += [*_values(facts), *_windows(facts)]
    else:
        rules += imported_entries(facts)
        if facts.imported.n_filled is not None:
            # Entries that the model does not have are null; imported_entries sees to these.
            filled = [*_windows(facts), *_values(facts), *_act(facts)]
            rules += [
                replace(rule, holds=f'"position" is null or ({rule.holds})') for rule in filled
            ]
    label = "layer || '.' || neuron || ' ' || combo || ' ' || ranking || ' ' || \"rank\""
    return Population("examples", source, label, tuple(rules))


def _values(facts: ScanFacts) -> list[Rule]:
    """Rules about the values at the peak."""
    post = "true" if facts.act_fn in POSITIVE else "post_value * gate_sign * in_sign >= 0"
    # act is computed twice, for the score and for the row; both round off gate * in.
    value = "case ranking when 'post' then post_value when 'in' then in_value else gate_value end"
    rounding = "1e-5 * score + 1e-6 * abs(gate_value * in_value)"
    return [
        Rule(
            "score_value",
            "the score is the magnitude of its ranking's value at the peak",
            f"ranking in ('random', 'act') or abs(score - abs({value})) <= {rounding}",
        ),
        Rule(
            "signs",
            "the values at the peak have the signs of the combination",
            f"gate_value * gate_sign > 0 and in_value * in_sign > 0 and {post}",
        ),
    ]


def _windows(facts: ScanFacts) -> list[Rule]:
    """Rules about the window, against the corpus where the texts are there."""
    has_texts = not facts.lacks.table("corpus")
    first = int(facts.skip_bos)
    place = f'"position" between {first} and n_tokens - 1'
    length = f'least("position" + {facts.after} + 1, n_tokens) - window_start'
    whole = f"len(token_ids) = {length}"
    if not has_texts:
        place = f'"position" >= {first}'
        whole = f"len(token_ids) between peak + 1 and peak + 1 + {facts.after}"
    texts = Rule("token_ids", "the window's tokens are those of the corpus", "token_ids = text_ids")
    return [
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
        Rule("position", "the peak is a counted position of its example", place),
        Rule(
            "window",
            f"the window runs from {facts.before} before the peak to {facts.after} after it, "
            "cut at the example's ends",
            f'window_start = greatest("position" - {facts.before}, 0) and {whole}',
        ),
        *([texts] if has_texts else []),
        Rule(
            "peak_token",
            "peak_token is the token at the peak",
            "peak_token = token_ids[peak + 1]",
        ),
        Rule(
            "peak_values",
            "gate_value and in_value are those of the window at the peak",
            f"{_at_peak(facts, 'gate')} and {_at_peak(facts, 'in')}",
        ),
    ]


def _act(facts: ScanFacts) -> list[Rule]:
    """The rule about lists by act, whose value is in no column: it is post / in at the peak."""
    if facts.imported is None:
        return []
    largest = "greatest(score, list_max(list_transform(gate, lambda x: abs(x))))"
    near = f"{10 * facts.imported.tolerance} * {largest}"
    return [
        Rule(
            "act",
            "the score of act is the magnitude of post / in at the peak",
            f"ranking != 'act' or abs(score - abs(post_value / in_value)) <= {near}",
        )
    ]


def _at_peak(facts: ScanFacts, name: str) -> str:
    """SQL for a value of the window at the peak: the row's own."""
    same = f'"{name}"[peak + 1] = {name}_value'
    if facts.imported is None:
        return same
    # The value that ranks is the published one, and the window is the model's.
    largest = f'list_max(list_transform("{name}", lambda x: abs(x)))'
    near = 10 * facts.imported.tolerance
    return (
        f"if(ranking = '{name}', abs(\"{name}\"[peak + 1] - {name}_value) <= {near} * {largest}, "
        f"{same})"
    )


def ranked(facts: ScanFacts) -> Population:
    """Entries against the one before them."""
    ties = "(score = score_before and example_id > example_before)"
    in_order = "scores fall; equal scores are in the order of their examples"
    if facts.imported is not None:
        # Equal ones come as the source has them.
        ties, in_order = "score = score_before", "scores fall"
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
                in_order,
                f"rank_before is null or score < score_before or {ties}",
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
    rules = [
        Rule("examples", "an example is in a list once", "n_examples = n"),
        Rule(
            "room",
            f"entries and their duplicates are not more than k + spare = {room}",
            f"n + n_dropped <= {room}",
        ),
    ]
    has_texts = not facts.lacks.table("corpus")
    if has_texts or facts.before >= DUPLICATE_CONTEXT:
        rules.append(
            Rule(
                "duplicates",
                f"with dedupe no two entries agree from {DUPLICATE_CONTEXT} before the peak on",
                distinct,
            )
        )
    if has_texts and not facts.lacks.column("sign_stats", "count"):
        # Of an import those of post and act may end where these are too small for float32.
        kept = "" if facts.imported is None else f"ranking not in ({strings(NEVER_ZERO)}) or "
        rules.append(
            Rule(
                "short",
                "a list is shorter than k only where its examples can hold all of the combination",
                f"{kept}n = {facts.k} or {crowded} or "
                f"n_signed <= n_listed + n_dropped * {facts.max_length}",
            )
        )
    label = "layer || '.' || neuron || ' ' || combo || ' ' || ranking"
    return Population("lists", source, label, tuple(rules))
