-- name: examples_by_neurons
-- question: In which texts do the most neurons have a peak?
-- theme: examples
-- parameter: ranking ranking = "post" | the lists to look in: post, in, gate or random
-- parameter: combo combo = null | only the lists of this sign combination, such as gate+_in-
-- parameter: n integer = 20 | texts at most
-- column: example_id | the example, a row of the corpus table
-- column: n_lists | lists that it is in, at most one for each neuron and sign combination
-- column: share | share of all these lists
-- column: n_layers | layers of these neurons
-- column: position | the position where most of them have the peak, the first of equals
-- column: n_lists_position | lists with the peak at this position
-- column: token | the token at this position
-- column: text | the start of the text
with entries as not materialized (
    select
        example_id,
        "position",
        layer,
        peak_token,
        "rank"
    from examples
    where ranking = $ranking and ($combo::varchar is null or combo = $combo::varchar)
),

by_layer as (
    select
        example_id,
        layer,
        count(*) as n_lists,
        count(*) filter (where "rank" = 0) as n_first
    from entries
    group by example_id, layer
),

-- Every list has one entry of rank 0.
found as (
    select
        example_id,
        sum(n_lists)::bigint as n_lists,
        count(*) as n_layers,
        sum(sum(n_first)) over () as n_all
    from by_layer
    group by example_id
    order by n_lists desc, example_id
    limit $n
),

best as (
    select
        example_id,
        "position",
        any_value(peak_token) as token_id,
        if("position" is null, null, count(*)) as n_lists
    from entries
    where example_id in (select f.example_id from found as f)
    group by example_id, "position"
    qualify
        row_number() over (
            partition by example_id order by n_lists desc nulls last, "position"
        ) = 1
)

select
    f.example_id,
    f.n_lists,
    f.n_lists / f.n_all as share,
    f.n_layers,
    b."position",
    b.n_lists as n_lists_position,
    coalesce(v.token, '<id ' || b.token_id || '>') as token,
    left(c."text", 80) as "text"
from found as f
inner join best as b on f.example_id = b.example_id
left join vocab as v on b.token_id = v.token_id
left join corpus as c on f.example_id = c.example_id
order by f.n_lists desc, f.example_id
