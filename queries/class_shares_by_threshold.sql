-- name: class_shares_by_threshold
-- question: How do the shares of the classes change with the threshold of the cosines?
-- theme: weights
-- parameter: low share = 0.3 | the first threshold; a cosine on a threshold counts as 0
-- parameter: high share = 0.7 | the last threshold
-- parameter: step size = 0.1 | from one to the next, 0.001 at least; 0: the first one alone
-- column: layer | the layer; null for the neurons of all layers together
-- column: threshold | the threshold
-- column: io_class | a class that occurs, the most frequent first
-- column: n_neurons | neurons of the class at this threshold
-- column: share | the class's share of the neurons
with steps as (
    select
        greatest($step, 0.001) as step,
        if($step > 0, floor(($high - $low) / greatest($step, 0.001) + 1e-9)::bigint, 0) as n_steps
),

-- Rounded, for 0.3 + 2 * 0.1 is not 0.5 in binary, and a cosine of 0.5 is not above 0.5.
thresholds as (
    select round($low + i * step, 12) as t
    from (select step, unnest(generate_series(0, n_steps)) as i from steps)
),

-- To DuckDB NaN is larger than every number; here it is neither large nor small.
cosines as (
    select
        layer,
        if(isnan(cos_gate_in), 0, cos_gate_in) as gate_in,
        if(isnan(cos_gate_out), 0, cos_gate_out) as gate_out,
        if(isnan(cos_in_out), 0, cos_in_out) as in_out
    from neurons
    where cos_in_out is not null
),

counted as (
    select
        c.layer,
        t.t,
        (c.gate_in > t.t)::integer - (c.gate_in < -t.t)::integer as gate_in,
        (c.gate_out > t.t)::integer - (c.gate_out < -t.t)::integer as gate_out,
        (c.in_out > t.t)::integer - (c.in_out < -t.t)::integer as in_out,
        count(*) as n
    from cosines as c
    cross join thresholds as t
    group by all
),

-- Without a gate there are enrichment, orthogonal output and depletion alone.
keys as (
    select
        layer,
        t,
        in_out,
        coalesce(abs(gate_out), abs(in_out)) as gate_out,
        coalesce(gate_in = gate_out * in_out, true) or (in_out = 0 and gate_out = 0) as is_typical,
        n
    from counted
),

named as (
    select
        layer,
        t,
        if(is_typical, '', 'atypical ')
        || case
            when in_out = 0 then if(gate_out = 1, 'proportional change', 'orthogonal output')
            else if(gate_out = 1, '', 'conditional ') || if(in_out = 1, 'enrichment', 'depletion')
        end as io_class,
        n
    from keys
)

select
    layer,
    t as threshold,
    io_class,
    sum(n)::bigint as n_neurons,
    sum(n) / sum(sum(n)) over (partition by grouping(layer), layer, t) as share
from named
group by grouping sets ((layer, t, io_class), (t, io_class))
order by layer nulls first, threshold, n_neurons desc, io_class
