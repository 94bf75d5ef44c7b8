-- name: peak_tokens
-- question: At which tokens does this neuron have its peaks?
-- theme: examples
-- parameter: layer integer required | the neuron's layer
-- parameter: neuron integer required | the neuron's index in its layer
-- parameter: combo combo = null | only this sign combination, such as gate+_in-
-- parameter: ranking ranking = "post" | the lists to look in: post, in, gate or random
-- column: combo | the sign combination
-- column: token | the token at the peak, the most frequent first
-- column: token_id | the token's id
-- column: n_examples | entries of the list whose peak is this token
-- column: n_duplicates | texts left out of the list because they repeat these
-- column: share | share of the list's entries
-- column: best_rank | the place of the best of these entries in the list
-- column: best_score | its score
select
    e.combo,
    coalesce(v.token, '<id ' || e.peak_token || '>') as token,
    e.peak_token as token_id,
    count(*) as n_examples,
    sum(e.n_duplicates)::bigint as n_duplicates,
    count(*) / sum(count(*)) over (partition by e.combo) as share,
    min(e."rank") as best_rank,
    max(e.score) as best_score
from examples as e
left join vocab as v on e.peak_token = v.token_id
where
    e.layer = $layer
    and e.neuron = $neuron
    and e.ranking = $ranking
    and ($combo::varchar is null or e.combo = $combo::varchar)
group by e.combo, e.peak_token, v.token
-- Of an import some entries may have no position; they are part of the list.
qualify e.peak_token is not null
order by e.combo, n_examples desc, best_rank
