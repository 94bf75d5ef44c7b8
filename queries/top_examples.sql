-- name: top_examples
-- question: Which texts show this neuron best?
-- theme: examples
-- parameter: layer integer required | the neuron's layer
-- parameter: neuron integer required | the neuron's index in its layer
-- parameter: combo combo = null | only this sign combination, such as gate+_in-
-- parameter: ranking ranking = "post" | the list: post, in, gate or random
-- parameter: n integer = 5 | examples a list
-- parameter: context integer = 10 | tokens shown on each side of the peak
-- column: combo | the sign combination
-- column: rank | place in the list, 0 is the best
-- column: score | the magnitude that ranks
-- column: text | the tokens around the peak, the peak between » and «; null without a window
-- column: gate_value | gate at the peak
-- column: in_value | in at the peak
-- column: post_value | post at the peak
-- column: example_id | the example, a row of the corpus table
-- column: position | position of the peak in the example
-- column: n_duplicates | entries dropped because they repeat this one
with entries as (
    select
        *,
        "position" - window_start as peak
    from examples
    where
        layer = $layer
        and neuron = $neuron
        and ranking = $ranking
        and ($combo::varchar is null or combo = $combo::varchar)
        and "rank" < $n
),

places as (
    select
        combo,
        "rank",
        peak,
        token_ids,
        unnest(generate_series(
            greatest(peak - $context, 0), least(peak + $context, len(token_ids) - 1)
        )) as place
    from entries
),

tokens as (
    select
        p.combo,
        p."rank",
        p.place,
        p.place = p.peak as is_peak,
        coalesce(v.token, '<id ' || p.token_ids[p.place + 1] || '>') as token
    from places as p
    left join vocab as v on p.token_ids[p.place + 1] = v.token_id
),

texts as (
    select
        combo,
        "rank",
        string_agg(if(is_peak, '»' || token || '«', token), '' order by place) as "text"
    from tokens
    group by combo, "rank"
)

select
    e.combo,
    e."rank",
    e.score,
    t."text",
    e.gate_value,
    e.in_value,
    e.post_value,
    e.example_id,
    e."position",
    e.n_duplicates
from entries as e
left join texts as t on e.combo = t.combo and e."rank" = t."rank"
order by e.combo, e."rank"
