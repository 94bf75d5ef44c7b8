-- name: norms_by_layer
-- question: How long are the weight vectors of the neurons in each layer?
-- theme: weights
-- column: layer | the layer
-- column: weight | gate, in or out, with the gains of the neighbouring norms
-- column: n_neurons | neurons with a norm of this weight
-- column: mean_norm | mean of the Euclidean norm
-- column: min_norm | the shortest
-- column: q1_norm | a quarter of the neurons have at most this norm
-- column: median_norm | half of the neurons have at most this norm
-- column: q3_norm | three quarters of the neurons have at most this norm
-- column: max_norm | the longest
with norms as (
    unpivot (select layer, norm_gate as gate, norm_in as "in", norm_out as "out" from neurons)
    on gate, "in", "out"
    into name weight value norm
)

select
    layer,
    weight,
    count(*) as n_neurons,
    avg(norm) as mean_norm,
    min(norm) as min_norm,
    quantile_cont(norm, 0.25) as q1_norm,
    quantile_cont(norm, 0.5) as median_norm,
    quantile_cont(norm, 0.75) as q3_norm,
    max(norm) as max_norm
from norms
where isfinite(norm)
group by layer, weight
order by layer, weight
