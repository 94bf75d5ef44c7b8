-- name: rare_combinations
-- question: Which sign combinations are rare but strong where they do occur?
-- theme: activations
-- parameter: max_frequency share = 0.01 | the combination's share of the tokens, excluded
-- parameter: n integer = 100 | rows at most
-- column: layer | layer of the neuron
-- column: neuron | index of the neuron in its layer
-- column: combo | the rare sign combination
-- column: count | tokens in the combination, at least one; null where counts are missing
-- column: frequency | the combination's share of the tokens
-- column: strongest_post | post of the largest magnitude, signed; null without the list post
-- column: token | the token where it is reached
-- column: example_id | the example where it is reached
-- column: position | the position in the example
-- column: mean_post | mean post over the combination
-- column: io_class | input-output functionality of the neuron
select
    s.layer,
    s.neuron,
    s.combo,
    s."count",
    s.frequency,
    e.post_value as strongest_post,
    v.token,
    e.example_id,
    e."position",
    s.mean_post,
    n.io_class
from sign_stats as s
left join examples as e
    on
        s.layer = e.layer
        and s.neuron = e.neuron
        and s.combo = e.combo
        and e.ranking = 'post'
        and e."rank" = 0
left join vocab as v on e.peak_token = v.token_id
left join neurons as n on s.layer = n.layer and s.neuron = n.neuron
where coalesce(s."count", s.frequency) > 0 and s.frequency < $max_frequency
order by abs(e.post_value) desc nulls last, s.layer, s.neuron, s.combo
limit $n
