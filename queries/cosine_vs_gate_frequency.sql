-- name: cosine_vs_gate_frequency
-- question: Do neurons that write against what they read have a positive gate more often?
-- theme: weights and activations
-- column: layer | the layer; null for the neurons of all layers together
-- column: n_neurons | neurons with a cosine and a frequency
-- column: pearson | correlation of cos_in_out and frequency of gate > 0; null if one is constant
-- column: spearman | the same of their ranks, ties sharing their average rank
with points as (
    select
        layer,
        cos_in_out as x,
        gate_positive_frequency as y
    from neuron_summary
    where isfinite(cos_in_out) and isfinite(gate_positive_frequency)
),

scoped as (
    select layer, x, y from points
    union all
    select null as layer, x, y from points
),

-- The mean of the first and the last rank of its ties.
ranked as (
    select
        layer,
        x,
        y,
        (rank() over by_x + count(*) over by_x) / 2 as rank_x,
        (rank() over by_y + count(*) over by_y) / 2 as rank_y
    from scoped
    window by_x as (partition by layer order by x), by_y as (partition by layer order by y)
)

select
    layer,
    count(*) as n_neurons,
    nullif(corr(x, y), 'nan'::double) as pearson,
    nullif(corr(rank_x, rank_y), 'nan'::double) as spearman
from ranked
group by layer
order by layer nulls first
