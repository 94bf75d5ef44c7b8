-- name: neuron_summary
-- question: What do weights and signs say of each neuron, in one row?
-- theme: views
-- column: layer | layer of the neuron, 0-based
-- column: neuron | index of the neuron in its layer, 0-based
-- column: io_class | input-output functionality
-- column: flipped | w_in and w_out are negated so that cos(w_gate, w_in) >= 0
-- column: cos_gate_in | cosine of w_gate and w_in
-- column: cos_gate_out | cosine of w_gate and w_out
-- column: cos_in_out | cosine of w_in and w_out
-- column: norm_gate | norm of w_gate
-- column: norm_in | norm of w_in
-- column: norm_out | norm of w_out
-- column: n_tokens | counted positions of the corpus
-- column: n_zero | counted positions where gate or in is exactly 0
-- column: freq_gate_pos_in_pos | frequency of gate+_in+
-- column: freq_gate_pos_in_neg | frequency of gate+_in-
-- column: freq_gate_neg_in_pos | frequency of gate-_in+
-- column: freq_gate_neg_in_neg | frequency of gate-_in-
-- column: gate_positive_frequency | share of the tokens where gate > 0 (and in is not 0)
-- column: in_positive_frequency | share of the tokens where in > 0 (and gate is not 0)
-- column: agreement_frequency | share of the tokens where gate and in have the same sign
with counts as (
    select
        layer,
        neuron,
        max(n_tokens) as n_tokens,
        max(n_zero) as n_zero,
-- An import may have frequencies and no counts.
        if(max(n_tokens) is null, 1, nullif(max(n_tokens), 0)) as whole,
        sum(coalesce("count", frequency)) filter (where gate_sign > 0 and in_sign > 0) as pos_pos,
        sum(coalesce("count", frequency)) filter (where gate_sign > 0 and in_sign < 0) as pos_neg,
        sum(coalesce("count", frequency)) filter (where gate_sign < 0 and in_sign > 0) as neg_pos,
        sum(coalesce("count", frequency)) filter (where gate_sign < 0 and in_sign < 0) as neg_neg
    from sign_stats
    group by layer, neuron
)

select
    n.layer,
    n.neuron,
    n.io_class,
    n.flipped,
    n.cos_gate_in,
    n.cos_gate_out,
    n.cos_in_out,
    n.norm_gate,
    n.norm_in,
    n.norm_out,
    c.n_tokens,
    c.n_zero,
    c.pos_pos / c.whole as freq_gate_pos_in_pos,
    c.pos_neg / c.whole as freq_gate_pos_in_neg,
    c.neg_pos / c.whole as freq_gate_neg_in_pos,
    c.neg_neg / c.whole as freq_gate_neg_in_neg,
    (c.pos_pos + c.pos_neg) / c.whole as gate_positive_frequency,
    (c.pos_pos + c.neg_pos) / c.whole as in_positive_frequency,
    (c.pos_pos + c.neg_neg) / c.whole as agreement_frequency
from neurons as n
left join counts as c on n.layer = c.layer and n.neuron = c.neuron
