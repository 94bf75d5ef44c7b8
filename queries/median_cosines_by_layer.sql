-- name: median_cosines_by_layer
-- question: How do the three weight vectors of a neuron lie to each other in each layer?
-- theme: weights
-- column: layer | the layer
-- column: n_neurons | neurons of the layer
-- column: median_cos_gate_in | median of cos(w_gate, w_in)
-- column: median_cos_gate_out | median of cos(w_gate, w_out)
-- column: median_cos_in_out | median of cos(w_in, w_out)
-- column: randomness_low | 95% of the cosines of random vectors lie between this ...
-- column: randomness_high | ... and this
with medians as (
    select
        layer,
        count(*) as n_neurons,
        median(cos_gate_in) filter (where isfinite(cos_gate_in)) as median_cos_gate_in,
        median(cos_gate_out) filter (where isfinite(cos_gate_out)) as median_cos_gate_out,
        median(cos_in_out) filter (where isfinite(cos_in_out)) as median_cos_in_out
    from neurons
    group by layer
)

select
    m.layer,
    m.n_neurons,
    m.median_cos_gate_in,
    m.median_cos_gate_out,
    m.median_cos_in_out,
    l.randomness_low,
    l.randomness_high
from medians as m
left join layers as l on m.layer = l.layer
order by m.layer
