-- name: weight_tokens
-- question: Which tokens does this neuron read and write, by its weights?
-- theme: weights
-- parameter: layer integer required | the neuron's layer
-- parameter: neuron integer required | the neuron's index in its layer
-- parameter: weight weight = null | only this weight: gate, in or out
-- parameter: matrix matrix = null | only compared with this matrix: embedding or unembedding
-- parameter: side side = null | only the highest or only the lowest
-- parameter: n integer = 10 | tokens a list
-- column: weight | the weight: gate and in are what the neuron reads, out is what it writes
-- column: matrix | what it is compared with: embedding or unembedding
-- column: side | highest: read or promoted the most; lowest: the opposite
-- column: rank | place in the list, 0 is the highest or the lowest
-- column: token | the token as the vocabulary has it
-- column: token_id | the token's id
-- column: score | dot product of the weight and the token's vector
select
    w.weight,
    w.matrix,
    w.side,
    w."rank",
    coalesce(v.token, '<id ' || w.token_id || '>') as token,
    w.token_id,
    w.score
from weight_tokens as w
left join vocab as v on w.token_id = v.token_id
where
    w.layer = $layer
    and w.neuron = $neuron
    and ($weight::varchar is null or w.weight = $weight::varchar)
    and ($matrix::varchar is null or w.matrix = $matrix::varchar)
    and ($side::varchar is null or w.side = $side::varchar)
    and w."rank" < $n
order by w.weight, w.matrix, w.side, w."rank"
