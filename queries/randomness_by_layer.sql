-- name: randomness_by_layer
-- question: How many cosines are larger than chance makes them?
-- theme: weights
-- column: layer | the layer
-- column: cosine | cos_gate_in, cos_gate_out or cos_in_out
-- column: n_neurons | neurons with this cosine
-- column: randomness_low | 2.5% of the cosines of random vectors are below this ...
-- column: randomness_high | ... and 2.5% above this
-- column: share_outside_randomness | share of the neurons with a cosine below or above these
-- column: mismatched_low | 2.5% of the cosines of two different neurons' weights are below this ...
-- column: mismatched_high | ... and 2.5% above this
-- column: share_outside_mismatched | share of the neurons with a cosine below or above these
-- column: mismatched_error | standard error of the mismatched quantiles; 0: they are of all pairs
with cosines as (
    unpivot (select layer, cos_gate_in, cos_gate_out, cos_in_out from neurons)
    on cos_gate_in, cos_gate_out, cos_in_out
    into name cosine value x
),

bounds as (
    select
        layer,
        randomness_low,
        randomness_high,
        mismatched_error,
        unnest(
            [
                {
                    'cosine': 'cos_gate_in',
                    'mismatched_low': mismatched_low_cos_gate_in,
                    'mismatched_high': mismatched_high_cos_gate_in
                },
                {
                    'cosine': 'cos_gate_out',
                    'mismatched_low': mismatched_low_cos_gate_out,
                    'mismatched_high': mismatched_high_cos_gate_out
                },
                {
                    'cosine': 'cos_in_out',
                    'mismatched_low': mismatched_low_cos_in_out,
                    'mismatched_high': mismatched_high_cos_in_out
                }
            ],
            recursive := true
        )
    from layers
)

select
    c.layer,
    c.cosine,
    count(*) as n_neurons,
    any_value(b.randomness_low) as randomness_low,
    any_value(b.randomness_high) as randomness_high,
    avg((c.x < b.randomness_low or c.x > b.randomness_high)::integer) as share_outside_randomness,
    any_value(b.mismatched_low) as mismatched_low,
    any_value(b.mismatched_high) as mismatched_high,
    avg((c.x < b.mismatched_low or c.x > b.mismatched_high)::integer)
        filter (where isfinite(b.mismatched_low) and isfinite(b.mismatched_high))
        as share_outside_mismatched,
    any_value(b.mismatched_error) as mismatched_error
from cosines as c
left join bounds as b on c.layer = b.layer and c.cosine = b.cosine
where isfinite(c.x)
group by c.layer, c.cosine
order by c.layer, c.cosine
