-- name: cosine_and_gate_frequency
-- question: How does each neuron write against what it reads, and how often is its gate positive?
-- theme: weights and activations
-- column: layer | layer of the neuron
-- column: neuron | index of the neuron in its layer
-- column: cos_in_out | cosine of w_in and w_out
-- column: gate_positive_frequency | share of the tokens where gate > 0 (and in is not 0)
-- column: io_class | input-output functionality
select
    layer,
    neuron,
    cos_in_out,
    gate_positive_frequency,
    io_class
from neuron_summary
where isfinite(cos_in_out) and isfinite(gate_positive_frequency)
order by layer, neuron
