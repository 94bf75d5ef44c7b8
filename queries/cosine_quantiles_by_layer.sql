-- name: cosine_quantiles_by_layer
-- question: How are the cosines of a layer's neurons distributed, tails included?
-- theme: weights
-- column: layer | the layer
-- column: cosine | cos_gate_in, cos_gate_out or cos_in_out
-- column: n_neurons | neurons with this cosine
-- column: probability | 1/1024, 1/512, ... 1/2 ... 1023/1024, the letter values of a boxen plot
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
        [
            1/1024, 1/512, 1/256, 1/128, 1/64, 1/32, 1/16, 1/8, 1/4, 1/2,
            3/4, 7/8, 15/16, 31/32, 63/64, 127/128, 255/256, 511/512, 1023/1024
        ] as probabilities,
        quantile_cont(
            x,
            [
                1/1024, 1/512, 1/256, 1/128, 1/64, 1/32, 1/16, 1/8, 1/4, 1/2,
                3/4, 7/8, 15/16, 31/32, 63/64, 127/128, 255/256, 511/512, 1023/1024
            ]
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
