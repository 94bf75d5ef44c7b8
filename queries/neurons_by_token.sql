-- name: neurons_by_token
-- question: Which neurons have their peaks at this token?
-- theme: examples
-- parameter: token text required | the token's text, with or without the space around it
-- parameter: ranking ranking = "post" | the lists to look in: post, in, gate or random
-- parameter: n integer = 100 | rows at most
-- column: layer | layer of the neuron
-- column: neuron | index of the neuron in its layer
-- column: combo | the sign combination of the list
-- column: token | the token as the vocabulary has it
-- column: n_examples | entries of the list whose peak is this token
-- column: n_duplicates | texts left out of the list because they repeat these
-- column: share | share of the list's entries
-- column: best_score | the highest score of these entries
-- column: best_rank | the place of the best of these entries in the list
-- column: io_class | input-output functionality of the neuron
with wanted as (
    select token_id, token
    from vocab
    where token = $token or trim(token) = $token
),

hits as (
    select
        e.layer,
        e.neuron,
        e.combo,
        w.token,
        count(*) as n_examples,
        sum(e.n_duplicates)::bigint as n_duplicates,
        max(e.score) as best_score,
        min(e."rank") as best_rank
    from examples as e
    inner join wanted as w on e.peak_token = w.token_id
    where e.ranking = $ranking
    group by e.layer, e.neuron, e.combo, w.token
    order by n_examples desc, best_score desc, e.layer, e.neuron, e.combo, w.token
    limit $n
),

lists as (
    select
        layer,
        neuron,
        combo,
        count(*) as n_list
    from examples
    where
        ranking = $ranking
        and (layer, neuron, combo) in (select (h.layer, h.neuron, h.combo) from hits as h)
    group by layer, neuron, combo
)

select
    h.layer,
    h.neuron,
    h.combo,
    h.token,
    h.n_examples,
    h.n_duplicates,
    h.n_examples / l.n_list as share,
    h.best_score,
    h.best_rank,
    n.io_class
from hits as h
inner join lists as l
    on h.layer = l.layer and h.neuron = l.neuron and h.combo = l.combo
left join neurons as n on h.layer = n.layer and h.neuron = n.neuron
order by h.n_examples desc, h.best_score desc, h.layer, h.neuron, h.combo, h.token
