-- name: neurons_by_weight_token
-- question: Which neurons read, promote or suppress this token, by their weights?
-- theme: weights
-- parameter: token text required | the token's text, with or without the space around it
-- parameter: weight weight = null | only this weight: gate, in or out
-- parameter: matrix matrix = null | only compared with this matrix: embedding or unembedding
-- parameter: side side = null | only among the highest or only among the lowest
-- parameter: n integer = 20 | rows at most of each weight, matrix and side
-- column: weight | out promotes (highest) or suppresses (lowest) it; gate and in read it
-- column: matrix | what the weight is compared with: embedding or unembedding
-- column: side | highest or lowest: the list of the neuron's tokens that this one is in
-- column: layer | layer of the neuron
-- column: neuron | index of the neuron in its layer
-- column: token | the token as the vocabulary has it
-- column: rank | place in the neuron's list
-- column: score | dot product of the weight and the token's vector, in the order of the side
-- column: io_class | input-output functionality of the neuron
with wanted as (
    select token_id, token
    from vocab
    where token = $token or trim(token) = $token
),

hits as (
    select
        t.layer,
        t.neuron,
        t.weight,
        t.matrix,
        t.side,
        t."rank",
        t.score,
        w.token_id,
        w.token
    from weight_tokens as t
    inner join wanted as w on t.token_id = w.token_id
    where
        ($weight::varchar is null or t.weight = $weight::varchar)
        and ($matrix::varchar is null or t.matrix = $matrix::varchar)
        and ($side::varchar is null or t.side = $side::varchar)
    qualify
        row_number() over (
            partition by t.weight, t.matrix, t.side
            order by if(t.side = 'highest', -t.score, t.score), t.layer, t.neuron, w.token_id
        ) <= $n
)

select
    h.weight,
    h.matrix,
    h.side,
    h.layer,
    h.neuron,
    h.token,
    h."rank",
    h.score,
    n.io_class
from hits as h
left join neurons as n on h.layer = n.layer and h.neuron = n.neuron
order by
    h.weight,
    h.matrix,
    h.side,
    if(h.side = 'highest', -h.score, h.score),
    h.layer,
    h.neuron,
    h.token_id
