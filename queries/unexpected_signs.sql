-- name: unexpected_signs
-- question: Where do gate and in disagree most of the time, although their weights are alike?
-- theme: weights and activations
-- parameter: min_cosine number = 0.5 | the least cos_gate_in, excluded
-- parameter: min_disagreement share = 0.5 | the least share of tokens that disagree, excluded
-- column: layer | layer of the neuron
-- column: neuron | index of the neuron in its layer
-- column: cos_gate_in | cosine of w_gate and w_in, which predicts equal signs
-- column: disagreement_frequency | share of the tokens where gate and in have different signs
-- column: freq_gate_pos_in_neg | frequency of gate+_in-
-- column: freq_gate_neg_in_pos | frequency of gate-_in+
-- column: io_class | input-output functionality of the neuron
select
    layer,
    neuron,
    cos_gate_in,
    freq_gate_pos_in_neg + freq_gate_neg_in_pos as disagreement_frequency,
    freq_gate_pos_in_neg,
    freq_gate_neg_in_pos,
    io_class
from neuron_summary
where
    isfinite(cos_gate_in)
    and cos_gate_in > $min_cosine
    and freq_gate_pos_in_neg + freq_gate_neg_in_pos > $min_disagreement
order by disagreement_frequency desc, layer, neuron
