-- name: correlations
-- question: Which cosines go with which frequencies?
-- theme: weights and activations
-- parameter: layer integer = null | only neurons of this layer
-- parameter: z positive = 1.959963984540054 | normal quantile of the intervals: 1.96 for 95%
-- column: cosine | cos_gate_in, cos_gate_out or cos_in_out
-- column: frequency | a frequency of the view neuron_summary: of a sign combination, gate > 0, ...
-- column: n_neurons | neurons with all cosines and frequencies
-- column: pearson | correlation of the two; null if one is constant
-- column: pearson_low | its interval by Fisher's z, the standard error 1 / sqrt(n - 3) ...
-- column: pearson_high | ... null for fewer than four neurons and for a correlation of 1 or -1
-- column: spearman | the same of their ranks, ties sharing their average rank
-- column: spearman_low | its interval by Fisher's z, the standard error after Bonett and Wright ...
-- column: spearman_high | ... sqrt((1 + spearman^2 / 2) / (n - 3)); null as above
with chosen as (
    from neuron_summary
    where
        isfinite(cos_gate_in)
        and isfinite(cos_gate_out)
        and isfinite(cos_in_out)
        and isfinite(gate_positive_frequency)
        and ($layer::integer is null or layer = $layer::integer)
),

-- A rank is the mean of the first and the last rank of its ties.
ranked_cosines as (
    select
        *,
        (rank() over by_gate_in + count(*) over by_gate_in) / 2 as rank_gate_in,
        (rank() over by_gate_out + count(*) over by_gate_out) / 2 as rank_gate_out,
        (rank() over by_in_out + count(*) over by_in_out) / 2 as rank_in_out
    from chosen
    window
        by_gate_in as (order by cos_gate_in),
        by_gate_out as (order by cos_gate_out),
        by_in_out as (order by cos_in_out)
),

frequencies as (
    unpivot ranked_cosines
    on
        freq_gate_pos_in_pos,
        freq_gate_pos_in_neg,
        freq_gate_neg_in_pos,
        freq_gate_neg_in_neg,
        gate_positive_frequency,
        in_positive_frequency,
        agreement_frequency
    into name frequency value y
),

ranked as (
    select
        *,
        (rank() over by_y + count(*) over by_y) / 2 as rank_y
    from frequencies
    window by_y as (partition by frequency order by y)
),

pairs as (
    unpivot ranked
    on
        (cos_gate_in, rank_gate_in) as cos_gate_in,
        (cos_gate_out, rank_gate_out) as cos_gate_out,
        (cos_in_out, rank_in_out) as cos_in_out
    into name cosine value x, rank_x
),

correlated as (
    select
        cosine,
        frequency,
        count(*) as n,
        nullif(corr(x, y), 'nan'::double) as pearson,
        nullif(corr(rank_x, rank_y), 'nan'::double) as spearman
    from pairs
    group by cosine, frequency
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
    cosine,
    frequency,
    n as n_neurons,
    pearson,
    tanh(pearson_z - width) as pearson_low,
    tanh(pearson_z + width) as pearson_high,
    spearman,
    tanh(spearman_z - width * sqrt(1 + spearman ** 2 / 2)) as spearman_low,
    tanh(spearman_z + width * sqrt(1 + spearman ** 2 / 2)) as spearman_high
from transformed
order by cosine, frequency
