-- name: frequency_and_output_norm
-- question: How often does each sign combination of a neuron occur, and how much does it write?
-- theme: weights and activations
-- column: layer | layer of the neuron
-- column: neuron | index of the neuron in its layer
-- column: combo | a sign combination that occurs
-- column: frequency | the combination's share of the tokens
-- column: mean_output_norm | mean over the combination of |post| * norm_out, what is written
-- column: io_class | input-output functionality
select
    s.layer,
    s.neuron,
    s.combo,
    s.frequency,
    -- post has one sign in a combination (act has that of gate), so this is the mean of |post|.
    abs(s.mean_post) * n.norm_out as mean_output_norm,
    n.io_class
from sign_stats as s
inner join neurons as n on s.layer = n.layer and s.neuron = n.neuron
where coalesce(s."count", s.frequency) > 0
order by s.layer, s.neuron, s.combo
