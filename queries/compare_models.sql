-- name: compare_models
-- question: How do models differ in the input-output functionality of their layers?
-- theme: across models
-- scope: models
-- column: model | the model
-- column: layer | the layer
-- column: relative_depth | layer / (n_layers - 1): 0 is the first layer of the model, 1 the last
-- column: n_neurons | neurons of the layer
-- column: enrichment | share of this class ...
-- column: conditional_enrichment | ... and of the others
-- column: proportional_change | ...
-- column: orthogonal_output | ...
-- column: conditional_depletion | ...
-- column: depletion | ...
-- column: atypical_enrichment | ...
-- column: atypical_conditional_enrichment | ...
-- column: atypical_proportional_change | ...
-- column: atypical_conditional_depletion | ...
-- column: atypical_depletion | ...
-- column: median_cos_gate_in | median of cos(w_gate, w_in); null without a gate
-- column: median_cos_gate_out | median of cos(w_gate, w_out); null without a gate
-- column: median_cos_in_out | median of cos(w_in, w_out)
-- column: mean_gate_positive_frequency | mean frequency of gate > 0; null without a scan
-- column: mean_agreement_frequency | mean frequency of equal signs of gate and in; null likewise
select
    m.model,
    n.layer,
    if(m.n_layers = 1, 0, n.layer / (m.n_layers - 1)) as relative_depth,
    count(*) as n_neurons,
    count_if(n.io_class = 'enrichment') / count(*) as enrichment,
    count_if(n.io_class = 'conditional enrichment') / count(*) as conditional_enrichment,
    count_if(n.io_class = 'proportional change') / count(*) as proportional_change,
    count_if(n.io_class = 'orthogonal output') / count(*) as orthogonal_output,
    count_if(n.io_class = 'conditional depletion') / count(*) as conditional_depletion,
    count_if(n.io_class = 'depletion') / count(*) as depletion,
    count_if(n.io_class = 'atypical enrichment') / count(*) as atypical_enrichment,
    count_if(n.io_class = 'atypical conditional enrichment') / count(*)
        as atypical_conditional_enrichment,
    count_if(n.io_class = 'atypical proportional change') / count(*)
        as atypical_proportional_change,
    count_if(n.io_class = 'atypical conditional depletion') / count(*)
        as atypical_conditional_depletion,
    count_if(n.io_class = 'atypical depletion') / count(*) as atypical_depletion,
    median(n.cos_gate_in) filter (where isfinite(n.cos_gate_in)) as median_cos_gate_in,
    median(n.cos_gate_out) filter (where isfinite(n.cos_gate_out)) as median_cos_gate_out,
    median(n.cos_in_out) filter (where isfinite(n.cos_in_out)) as median_cos_in_out,
    avg(n.gate_positive_frequency) as mean_gate_positive_frequency,
    avg(n.agreement_frequency) as mean_agreement_frequency
from neuron_summary as n
inner join models as m on n.model = m.model
group by m.place, m.model, m.n_layers, n.layer
order by m.place, n.layer
