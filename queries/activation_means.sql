-- name: activation_means
-- question: How large are gate, in, act and post in each sign combination?
-- theme: activations
-- column: layer | the layer
-- column: combo | the sign combination
-- column: n_activations | pairs of a neuron and a token in the combination
-- column: mean_gate | mean gate of these
-- column: mean_in | mean in of these
-- column: mean_act | mean act of these
-- column: mean_post | mean post of these
select
    layer,
    combo,
    sum("count")::bigint as n_activations,
    sum("count" * mean_gate) / sum("count") as mean_gate,
    sum("count" * mean_in) / sum("count") as mean_in,
    sum("count" * mean_act) / sum("count") as mean_act,
    sum("count" * mean_post) / sum("count") as mean_post
from sign_stats
where "count" > 0
group by layer, combo
order by layer, combo
