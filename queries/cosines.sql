-- name: cosines
-- question: What are the cosines of each neuron's weights, and which class do they give it?
-- theme: weights
-- column: layer | layer of the neuron
-- column: neuron | index of the neuron in its layer
-- column: cos_gate_in | cosine of w_gate and w_in; null where the model has no gate
-- column: cos_gate_out | cosine of w_gate and w_out; null where the model has no gate
-- column: cos_in_out | cosine of w_in and w_out
-- column: io_class | input-output functionality
select
    layer,
    neuron,
    cos_gate_in,
    cos_gate_out,
    cos_in_out,
    io_class
from neurons
order by layer, neuron
