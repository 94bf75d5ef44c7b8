-- name: frequency_distribution
-- question: How many neurons have each sign combination how often?
-- theme: activations
-- parameter: bins natural = 50 | equal intervals between 0 and 1
-- column: combo | the sign combination
-- column: low | the interval's lower end, included
-- column: high | its upper end, excluded but for the last interval's, which is 1
-- column: n_neurons | neurons whose frequency of the combination lies in the interval
-- column: share | their share of all neurons
with sizes as (
    select
        combo,
        frequency,
        greatest($bins, 1) as n,
        least(floor(frequency * greatest($bins, 1)), greatest($bins, 1) - 1) as near
    from sign_stats
    where isfinite(frequency)
),

-- A product that is rounded may land beside its interval.
placed as (
    select
        combo,
        (near - (frequency < near / n)::int + (frequency >= (near + 1) / n and near < n - 1)::int)
        ::bigint as bin
    from sizes
),

intervals as (
    select
        c.combo,
        b.bin
    from (select distinct combo from placed) as c
    cross join (select unnest(range(greatest($bins, 1))) as bin) as b
)

select
    i.combo,
    i.bin / greatest($bins, 1) as low,
    (i.bin + 1) / greatest($bins, 1) as high,
    count(p.bin) as n_neurons,
    count(p.bin) / sum(count(p.bin)) over (partition by i.combo) as share
from intervals as i
left join placed as p on i.combo = p.combo and i.bin = p.bin
group by i.combo, i.bin
order by i.combo, i.bin
