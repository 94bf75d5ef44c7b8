-- name: output_norm_by_combination
-- question: In which sign combinations do the neurons of a layer write the most?
-- theme: activations
-- column: layer | the layer
-- column: combo | the sign combination
-- column: n_neurons | neurons that are ever in the combination
-- column: mean_output_norm | mean over these of |mean_post| * norm_out, what one writes on average
-- column: median_output_norm | half of these neurons write at most this much on average
-- column: mean_share | mean over the neurons of the combination's share of all that they write
with norms as (
    select
        s.layer,
        s.neuron,
        s.combo,
        s.frequency,
        abs(s.mean_post) * n.norm_out as output_norm
    from sign_stats as s
    inner join neurons as n on s.layer = n.layer and s.neuron = n.neuron
    where coalesce(s.n_tokens, 1) > 0
),

-- A token's output has the norm |post| * norm_out, and post has one sign in a combination: the mean
-- norm over its tokens is |mean_post| * norm_out. Summed up it is what a neuron writes.
totals as (
    select
        layer,
        neuron,
        sum(frequency * output_norm) as total
    from norms
    group by layer, neuron
)

select
    n.layer,
    n.combo,
    count(*) filter (where n.frequency > 0) as n_neurons,
    avg(n.output_norm) as mean_output_norm,
    median(n.output_norm) as median_output_norm,
    avg(coalesce(n.frequency * n.output_norm, 0) / t.total) filter (where t.total > 0) as mean_share
from norms as n
inner join totals as t on n.layer = t.layer and n.neuron = t.neuron
group by n.layer, n.combo
order by n.layer, n.combo
