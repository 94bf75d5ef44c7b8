-- name: extreme_cosines
-- question: Which neurons have the highest or the lowest cosine of two of their weights?
-- theme: weights
-- parameter: cosine cosine = "cos_in_out" | cos_gate_in, cos_gate_out or cos_in_out
-- parameter: side side = "highest" | highest or lowest
-- parameter: layer integer = null | only neurons of this layer
-- parameter: n integer = 20 | neurons at most
-- column: layer | layer of the neuron
-- column: neuron | index of the neuron in its layer
-- column: cos_gate_in | cosine of w_gate and w_in
-- column: cos_gate_out | cosine of w_gate and w_out
-- column: cos_in_out | cosine of w_in and w_out
-- column: norm_gate | norm of w_gate
-- column: norm_in | norm of w_in
-- column: norm_out | norm of w_out
-- column: io_class | input-output functionality of the neuron
with chosen as (
    select
        *,
        case $cosine
            when 'cos_gate_in' then cos_gate_in
            when 'cos_gate_out' then cos_gate_out
            else cos_in_out
        end as x
    from neurons
)

select
    layer,
    neuron,
    cos_gate_in,
    cos_gate_out,
    cos_in_out,
    norm_gate,
    norm_in,
    norm_out,
    io_class
from chosen
where isfinite(x) and ($layer::integer is null or layer = $layer::integer)
order by if($side = 'highest', -x, x), layer, neuron
limit $n
