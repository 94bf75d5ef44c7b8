-- name: sign_frequencies
-- question: How often does each sign combination occur in the neurons of a layer?
-- theme: activations
-- column: layer | the layer
-- column: combo | the sign combination
-- column: n_neurons | neurons of the layer
-- column: mean_frequency | mean over the neurons of the combination's share of the tokens
-- column: q1_frequency | a quarter of the neurons have at most this share
-- column: median_frequency | half of the neurons have at most this share
-- column: q3_frequency | three quarters of the neurons have at most this share
select
    layer,
    combo,
    count(*) as n_neurons,
    avg(frequency) as mean_frequency,
    quantile_cont(frequency, 0.25) as q1_frequency,
    quantile_cont(frequency, 0.5) as median_frequency,
    quantile_cont(frequency, 0.75) as q3_frequency
from sign_stats
where coalesce(n_tokens, 1) > 0
group by layer, combo
order by layer, combo
