-- name: rarely_or_always_positive_gates
-- question: Which neurons have their gate open almost never or almost always?
-- theme: activations
-- parameter: rare share = 0.01 | rarely: gate > 0 at less than this share of the tokens
-- parameter: always share = 0.99 | always: gate > 0 at more than this share of the tokens
-- parameter: n integer = 100 | rows at most, the most extreme ones
-- column: layer | layer of the neuron
-- column: neuron | index of the neuron in its layer
-- column: gate_is | rarely or always positive
-- column: gate_positive_frequency | share of the tokens where gate > 0 (and in is not 0)
-- column: in_positive_frequency | share of the tokens where in > 0 (and gate is not 0)
-- column: cos_in_out | cosine of w_in and w_out
-- column: io_class | input-output functionality of the neuron
select
    layer,
    neuron,
    if(gate_positive_frequency < $rare, 'rarely positive', 'always positive') as gate_is,
    gate_positive_frequency,
    in_positive_frequency,
    cos_in_out,
    io_class
from neuron_summary
where gate_positive_frequency < $rare or gate_positive_frequency > $always
order by least(gate_positive_frequency, 1 - gate_positive_frequency), layer, neuron
limit $n
