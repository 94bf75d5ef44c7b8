-- name: class_against_baseline
-- question: How do the neurons of a class differ from others of the same layers and gate frequency?
-- theme: weights and activations
-- uses: frequency_matched_baseline
-- parameter: io_class io_class required | the class
-- parameter: width size = 0.02 | width of the bins of gate frequency; 0: of equal frequency only
-- parameter: seed integer = 0 | another seed gives another random pairing
-- column: quantity | a cosine, norm or frequency of neuron_summary, or output_norm, mean a token
-- column: n_class | neurons of the class
-- column: n_pairs | those of them with a pair (frequency_matched_baseline) and a value in both
-- column: class_mean | mean of these
-- column: baseline_mean | mean of the neurons that they are paired with
-- column: mean_difference | mean of the pairs' differences, class minus baseline
-- column: standard_error | standard error of this mean; null for fewer than two pairs
with outputs as (
    select
        layer,
        neuron,
        if(max(frequency) > 0 or max(n_tokens) = 0, sum(frequency * abs(mean_post)), 0)
            as mean_abs_post
    from sign_stats
    group by layer, neuron
),

described as (
    select
        o.layer,
        o.neuron,
        unnest(
            [
                {'quantity': 'cos_gate_in', 'x': o.cos_gate_in},
                {'quantity': 'cos_gate_out', 'x': o.cos_gate_out},
                {'quantity': 'cos_in_out', 'x': o.cos_in_out},
                {'quantity': 'norm_gate', 'x': o.norm_gate},
                {'quantity': 'norm_in', 'x': o.norm_in},
                {'quantity': 'norm_out', 'x': o.norm_out},
                {'quantity': 'freq_gate_pos_in_pos', 'x': o.freq_gate_pos_in_pos},
                {'quantity': 'freq_gate_pos_in_neg', 'x': o.freq_gate_pos_in_neg},
                {'quantity': 'freq_gate_neg_in_pos', 'x': o.freq_gate_neg_in_pos},
                {'quantity': 'freq_gate_neg_in_neg', 'x': o.freq_gate_neg_in_neg},
                {'quantity': 'gate_positive_frequency', 'x': o.gate_positive_frequency},
                {'quantity': 'in_positive_frequency', 'x': o.in_positive_frequency},
                {'quantity': 'agreement_frequency', 'x': o.agreement_frequency},
                {'quantity': 'output_norm', 'x': p.mean_abs_post * o.norm_out}
            ],
            recursive := true
        )
    from neuron_summary as o
    left join outputs as p on o.layer = p.layer and o.neuron = p.neuron
),

pairs as (
    select
        a.quantity,
        a.x,
        b.x as y,
        isfinite(a.x) and isfinite(b.x) as is_pair
    from frequency_matched_baseline as m
    inner join described as a on m.layer = a.layer and m.neuron = a.neuron
    left join described as b
        on
            m.layer = b.layer
            and m.baseline_neuron = b.neuron
            and a.quantity = b.quantity
)

select
    quantity,
    count(*) as n_class,
    count(*) filter (where is_pair) as n_pairs,
    avg(x) filter (where is_pair) as class_mean,
    avg(y) filter (where is_pair) as baseline_mean,
    avg(x - y) filter (where is_pair) as mean_difference,
    stddev_samp(x - y) filter (where is_pair) / sqrt(n_pairs) as standard_error
from pairs
group by quantity
order by quantity
