-- name: combination_by_class
-- question: Which sign combinations do the neurons of each class have?
-- theme: weights and activations
-- column: io_class | a class that occurs, the most frequent first
-- column: n_neurons | neurons of the class
-- column: freq_gate_pos_in_pos | their mean frequency of gate+_in+
-- column: freq_gate_pos_in_neg | their mean frequency of gate+_in-
-- column: freq_gate_neg_in_pos | their mean frequency of gate-_in+
-- column: freq_gate_neg_in_neg | their mean frequency of gate-_in-
-- column: gate_positive_frequency | mean share of the tokens where gate > 0 (and in is not 0)
-- column: in_positive_frequency | mean share of the tokens where in > 0 (and gate is not 0)
-- column: agreement_frequency | mean share of the tokens where gate and in have the same sign
select
    io_class,
    count(*) as n_neurons,
    avg(freq_gate_pos_in_pos) as freq_gate_pos_in_pos,
    avg(freq_gate_pos_in_neg) as freq_gate_pos_in_neg,
    avg(freq_gate_neg_in_pos) as freq_gate_neg_in_pos,
    avg(freq_gate_neg_in_neg) as freq_gate_neg_in_neg,
    avg(gate_positive_frequency) as gate_positive_frequency,
    avg(in_positive_frequency) as in_positive_frequency,
    avg(agreement_frequency) as agreement_frequency
from neuron_summary
group by io_class
order by n_neurons desc, io_class
