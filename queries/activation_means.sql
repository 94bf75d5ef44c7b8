-- name: activation_means
-- question: How large are gate, in, act and post in each sign combination?
-- theme: activations
-- column: layer | the layer
-- column: combo | the sign combination
-- column: n_activations | pairs of a neuron and a token in the combination; null without counts
-- column: mean_gate | mean gate of these
-- column: mean_in | mean in of these
-- column: mean_act | mean act of these
-- column: mean_post | mean post of these
with weighted as (
-- An import without its corpus has no counts, and frequencies weigh the means.
    select
        *,
        coalesce("count", frequency) as w
    from sign_stats
    where coalesce("count", frequency) > 0
)

select
    layer,
    combo,
    sum("count")::bigint as n_activations,
    sum(w * mean_gate) / sum(w) filter (where mean_gate is not null) as mean_gate,
    sum(w * mean_in) / sum(w) filter (where mean_in is not null) as mean_in,
    sum(w * mean_act) / sum(w) filter (where mean_act is not null) as mean_act,
    sum(w * mean_post) / sum(w) filter (where mean_post is not null) as mean_post
from weighted
group by layer, combo
order by layer, combo
