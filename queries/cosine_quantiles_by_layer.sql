-- name: cosine_quantiles_by_layer
-- question: How are the cosines of a layer's neurons distributed, tails included?
-- theme: weights
-- column: layer | the layer
-- column: cosine | cos_gate_in, cos_gate_out or cos_in_out
-- column: n_neurons | neurons with this cosine
-- column: probability | 1/64, 1/32, ... 1/2 ... 31/32, 63/64, the letter values of a boxen plot
-- column: quantile | this share of the neurons has at most this cosine
with cosines as (
    unpivot (select layer, cos_gate_in, cos_gate_out, cos_in_out from neurons)
    on cos_gate_in, cos_gate_out, cos_in_out
    into name cosine value x
),

quantiles as (
    select
        layer,
        cosine,
        count(*) as n_neurons,
        [1/64, 1/32, 1/16, 1/8, 1/4, 1/2, 3/4, 7/8, 15/16, 31/32, 63/64] as probabilities,
        quantile_cont(
            x, [1/64, 1/32, 1/16, 1/8, 1/4, 1/2, 3/4, 7/8, 15/16, 31/32, 63/64]
        ) as quantiles
    from cosines
    where isfinite(x)
    group by layer, cosine
)

select
    layer,
    cosine,
    n_neurons,
    unnest(probabilities) as probability,
    unnest(quantiles) as quantile
from quantiles
order by layer, cosine, probability
