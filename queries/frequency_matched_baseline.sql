-- name: frequency_matched_baseline
-- question: Which neurons of other classes have the gate frequencies of the neurons of this class?
-- theme: weights and activations
-- parameter: io_class io_class required | the class whose neurons are paired
-- parameter: width size = 0.02 | width of the bins of gate frequency; 0: of equal frequency only
-- parameter: seed integer = 0 | another seed gives another random pairing
-- column: layer | layer of both neurons
-- column: neuron | a neuron of the class
-- column: gate_positive_frequency | share of the tokens where its gate > 0 (and in is not 0)
-- column: baseline_neuron | a random one of another class, same bin; each once; null: none is left
-- column: baseline_gate_positive_frequency | its share of the tokens where gate > 0
-- column: baseline_io_class | its class
with binned as (
    select
        layer,
        neuron,
        io_class,
        gate_positive_frequency,
        io_class = $io_class as is_wanted,
        if(
            $width > 0, floor(gate_positive_frequency / $width), gate_positive_frequency
        ) as bin
    from neuron_summary
    where isfinite(gate_positive_frequency)
),

-- In a random order, by a hash that every version of DuckDB has: the first of the class gets the
-- first of the others, and so on.
ordered as (
    select
        *,
        row_number() over (
            partition by layer, bin, is_wanted
            order by md5($seed || '/' || layer || '/' || neuron), neuron
        ) as place
    from binned
)

select
    a.layer,
    a.neuron,
    a.gate_positive_frequency,
    b.neuron as baseline_neuron,
    b.gate_positive_frequency as baseline_gate_positive_frequency,
    b.io_class as baseline_io_class
from ordered as a
left join ordered as b
    on a.layer = b.layer and a.bin = b.bin and a.place = b.place and not b.is_wanted
where a.is_wanted
order by a.layer, a.neuron
