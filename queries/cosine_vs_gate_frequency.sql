-- name: cosine_vs_gate_frequency
-- question: Do neurons that write against what they read have a positive gate more often?
-- theme: weights and activations
-- parameter: z positive = 1.959963984540054 | normal quantile of the intervals: 1.96 for 95%
-- column: layer | the layer; null for the neurons of all layers together
-- column: n_neurons | neurons with a cosine and a frequency
-- column: pearson | correlation of cos_in_out and frequency of gate > 0; null if one is constant
-- column: pearson_low | its interval by Fisher's z, the standard error 1 / sqrt(n - 3) ...
-- column: pearson_high | ... null for fewer than four neurons and for a correlation of 1 or -1
-- column: spearman | the same of their ranks, ties sharing their average rank
-- column: spearman_low | its interval by Fisher's z, the standard error after Bonett and Wright ...
-- column: spearman_high | ... sqrt((1 + spearman^2 / 2) / (n - 3)); null as above
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
),

correlated as (
    select
        layer,
        count(*) as n,
        nullif(corr(x, y), 'nan'::double) as pearson,
        nullif(corr(rank_x, rank_y), 'nan'::double) as spearman
    from ranked
    group by layer
),

-- Within rounding of 1 a correlation is 1, where Fisher's z is infinite.
transformed as (
    select
        *,
        if(abs(pearson) < 1 - 1e-12, atanh(pearson), null) as pearson_z,
        if(abs(spearman) < 1 - 1e-12, atanh(spearman), null) as spearman_z,
        if(n > 3, $z / sqrt(n - 3), null) as width
    from correlated
)

select
    layer,
    n as n_neurons,
    pearson,
    tanh(pearson_z - width) as pearson_low,
    tanh(pearson_z + width) as pearson_high,
    spearman,
    tanh(spearman_z - width * sqrt(1 + spearman ** 2 / 2)) as spearman_low,
    tanh(spearman_z + width * sqrt(1 + spearman ** 2 / 2)) as spearman_high
from transformed
order by layer nulls first
