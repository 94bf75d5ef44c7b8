-- name: compare_datasets
-- question: Where do two measurements of the same model differ?
-- theme: across models
-- scope: models
-- parameter: ranking ranking = null | only the lists of this ranking; null: all but random
-- column: model | a dataset after the first; of the same model it is told by revision or place
-- column: layer | the layer
-- column: combo | the sign combination
-- column: n_neurons | neurons that both have
-- column: mean_frequency_difference | mean absolute difference of the frequencies
-- column: max_frequency_difference | the largest one
-- column: max_frequency_neuron | the neuron that has it
-- column: max_gate_difference | largest difference of the means of gate, as a share of the larger
-- column: max_in_difference | ... of in
-- column: max_act_difference | ... of act
-- column: max_post_difference | ... of post
-- column: n_lists | lists that either has, of the rankings that both have
-- column: list_overlap | mean share of a list's examples that are in the other's too
-- column: same_lists | share of the lists with the same examples, in whatever order
-- column: same_but_for_ties | ... or with others whose score is within 1e-4 of the list's last
-- column: max_score_difference | largest difference of scores at a rank, as a share of the larger
with others as (
    select o.model, r.model as reference
    from models as o
    inner join models as r on r.place = 0 and o.place > 0
),

stats as (
    select
        o.model,
        o.reference,
        s.layer,
        s.neuron,
        s.combo,
        abs(s.frequency - r.frequency) as frequency,
        abs(s.mean_gate - r.mean_gate)
        / nullif(greatest(abs(s.mean_gate), abs(r.mean_gate)), 0) as mean_gate,
        abs(s.mean_in - r.mean_in)
        / nullif(greatest(abs(s.mean_in), abs(r.mean_in)), 0) as mean_in,
        abs(s.mean_act - r.mean_act)
        / nullif(greatest(abs(s.mean_act), abs(r.mean_act)), 0) as mean_act,
        abs(s.mean_post - r.mean_post)
        / nullif(greatest(abs(s.mean_post), abs(r.mean_post)), 0) as mean_post
    from others as o
    inner join sign_stats as s on o.model = s.model
    inner join sign_stats as r
        on
            o.reference = r.model
            and s.layer = r.layer
            and s.neuron = r.neuron
            and s.combo = r.combo
),

differences as (
    select
        model,
        reference,
        layer,
        combo,
        count(*) as n_neurons,
        avg(frequency) as mean_frequency_difference,
        max(frequency) as max_frequency_difference,
        arg_max(neuron, frequency) as max_frequency_neuron,
        max(mean_gate) as max_gate_difference,
        max(mean_in) as max_in_difference,
        max(mean_act) as max_act_difference,
        max(mean_post) as max_post_difference
    from stats
    group by model, reference, layer, combo
),

-- A dataset may have rankings that the other has not, and the lists of random compare by seed.
rankings as (
    select o.model, s.ranking
    from others as o
    inner join (select distinct model, ranking from examples) as s on o.model = s.model
    inner join (select distinct model, ranking from examples) as r
        on o.reference = r.model and s.ranking = r.ranking
    where s.ranking = $ranking or ($ranking is null and s.ranking != 'random')
),

lists as (
    select
        e.model,
        e.layer,
        e.neuron,
        e.combo,
        e.ranking,
        list(e.example_id order by e."rank") as example_ids,
        list(e.score order by e."rank") as scores
    from examples as e
    group by e.model, e.layer, e.neuron, e.combo, e.ranking
),

-- A list that one dataset lacks is empty there.
pairs as (
    select
        coalesce(s.model, r.model) as model,
        coalesce(s.layer, r.layer) as layer,
        coalesce(s.combo, r.combo) as combo,
        coalesce(s.example_ids, []) as ids,
        coalesce(r.example_ids, []) as reference_ids,
        coalesce(s.scores, []) as scores,
        coalesce(r.scores, []) as reference_scores
    from (
        select l.*
        from lists as l
        inner join rankings as k on l.model = k.model and l.ranking = k.ranking
    ) as s
    full join (
        select l.* replace (k.model as model)
        from lists as l
        inner join others as o on l.model = o.reference
        inner join rankings as k on o.model = k.model and l.ranking = k.ranking
    ) as r
        on
            s.model = r.model
            and s.layer = r.layer
            and s.neuron = r.neuron
            and s.combo = r.combo
            and s.ranking = r.ranking
),

-- Where one keeps more examples than the other, as many of each are compared.
matched as (
    select
        model,
        layer,
        combo,
        least(len(ids), len(reference_ids)) as n,
        len(list_intersect(ids[:n], reference_ids[:n])) as n_shared,
        len(
            list_filter(
                list_zip(ids[:n], scores[:n]),
                lambda e:
                    not list_contains(reference_ids, e[1])
                    and e[2] > 1.0001 * reference_scores[n]
            )
        )
        + len(
            list_filter(
                list_zip(reference_ids[:n], reference_scores[:n]),
                lambda e: not list_contains(ids, e[1]) and e[2] > 1.0001 * scores[n]
            )
        ) as n_not_tied,
        list_max(
            list_transform(
                list_zip(scores[:n], reference_scores[:n]),
                lambda s: abs(s[1] - s[2]) / nullif(greatest(s[1], s[2]), 0)
            )
        ) as score_difference
    from pairs
),

agreement as (
    select
        model,
        layer,
        combo,
        count(*) as n_lists,
        avg(if(n = 0, 0, n_shared / n)) as list_overlap,
        count_if(n > 0 and n_shared = n) / count(*) as same_lists,
        count_if(n > 0 and n_not_tied = 0) / count(*) as same_but_for_ties,
        max(score_difference) as max_score_difference
    from matched
    group by model, layer, combo
)

select
    d.model,
    d.layer,
    d.combo,
    d.n_neurons,
    d.mean_frequency_difference,
    d.max_frequency_difference,
    d.max_frequency_neuron,
    d.max_gate_difference,
    d.max_in_difference,
    d.max_act_difference,
    d.max_post_difference,
    coalesce(o.n_lists, 0) as n_lists,
    o.list_overlap,
    o.same_lists,
    o.same_but_for_ties,
    o.max_score_difference
from differences as d
inner join models as m on d.model = m.model
left join agreement as o on d.model = o.model and d.layer = o.layer and d.combo = o.combo
order by m.place, d.layer, d.combo
