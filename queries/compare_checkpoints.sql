-- name: compare_checkpoints
-- question: How do the neurons of a model change from one checkpoint to the next?
-- theme: across models
-- scope: models
-- column: model | the checkpoint, in the order in which the datasets are given
-- column: layer | the layer
-- column: n_neurons | neurons of the layer
-- column: previous | the checkpoint before; null for the first and where the layer's size differs
-- column: same_class | share of the neurons that have the class that they had before
-- column: pearson_cos_in_out | correlation of cos_in_out with that before, over the neurons
-- column: change_cos_gate_in | mean absolute change of cos_gate_in, flipped signs undone
-- column: change_cos_gate_out | mean absolute change of cos_gate_out, flipped signs undone
-- column: change_cos_in_out | mean absolute change of cos_in_out
-- column: median_cos_gate_in | median of cos_gate_in at this checkpoint
-- column: median_cos_gate_out | median of cos_gate_out
-- column: median_cos_in_out | median of cos_in_out
-- column: enrichment | share of this class at this checkpoint ...
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
with here as (
    select
        m.place,
        m.model,
        n.layer,
        n.neuron,
        n.io_class,
        n.cos_gate_in,
        n.cos_gate_out,
        n.cos_in_out,
        if(n.flipped, -n.cos_gate_in, n.cos_gate_in) as gate_in,
        if(n.flipped, -n.cos_gate_out, n.cos_gate_out) as gate_out,
        count(*) over (partition by m.place, n.layer) as size
    from neurons as n
    inner join models as m on n.model = m.model
),

-- Flips are undone: one comes and goes where cos(w_gate, w_in) is near 0, and changes no weight.
changes as (
    select
        h.*,
        b.model as previous,
        h.io_class = b.io_class as is_same,
        b.cos_in_out as in_out_before,
        abs(h.gate_in - b.gate_in) as change_gate_in,
        abs(h.gate_out - b.gate_out) as change_gate_out,
        abs(h.cos_in_out - b.cos_in_out) as change_in_out
    from here as h
    left join here as b
        on
            h.place = b.place + 1
            and h.layer = b.layer
            and h.neuron = b.neuron
            and h.size = b.size
)

select
    model,
    layer,
    count(*) as n_neurons,
    any_value(previous) as previous,
    avg(is_same::integer) as same_class,
    nullif(
        corr(cos_in_out, in_out_before)
            filter (where isfinite(cos_in_out) and isfinite(in_out_before)),
        'nan'::double
    ) as pearson_cos_in_out,
    avg(change_gate_in) filter (where isfinite(change_gate_in)) as change_cos_gate_in,
    avg(change_gate_out) filter (where isfinite(change_gate_out)) as change_cos_gate_out,
    avg(change_in_out) filter (where isfinite(change_in_out)) as change_cos_in_out,
    median(cos_gate_in) filter (where isfinite(cos_gate_in)) as median_cos_gate_in,
    median(cos_gate_out) filter (where isfinite(cos_gate_out)) as median_cos_gate_out,
    median(cos_in_out) filter (where isfinite(cos_in_out)) as median_cos_in_out,
    count_if(io_class = 'enrichment') / count(*) as enrichment,
    count_if(io_class = 'conditional enrichment') / count(*) as conditional_enrichment,
    count_if(io_class = 'proportional change') / count(*) as proportional_change,
    count_if(io_class = 'orthogonal output') / count(*) as orthogonal_output,
    count_if(io_class = 'conditional depletion') / count(*) as conditional_depletion,
    count_if(io_class = 'depletion') / count(*) as depletion,
    count_if(io_class = 'atypical enrichment') / count(*) as atypical_enrichment,
    count_if(io_class = 'atypical conditional enrichment') / count(*)
        as atypical_conditional_enrichment,
    count_if(io_class = 'atypical proportional change') / count(*)
        as atypical_proportional_change,
    count_if(io_class = 'atypical conditional depletion') / count(*)
        as atypical_conditional_depletion,
    count_if(io_class = 'atypical depletion') / count(*) as atypical_depletion
from changes
group by place, model, layer
order by place, layer
