-- name: models
-- question: Which models are open, and how large are they?
-- theme: across models
-- scope: models
-- column: model | the model, as the other queries name it
-- column: place | its place among the datasets as they were given, from 0
-- column: name | the model's name
-- column: revision | the model's revision
-- column: gated | whether its MLPs have a gate
-- column: n_layers | layers of the whole model
-- column: d_model | width of the residual stream
-- column: n_layers_here | layers that the dataset holds
-- column: n_neurons | neurons of these
-- column: n_tokens | tokens of the corpus; null without a scan
with sizes as (
    select
        model,
        count(distinct layer) as n_layers_here,
        count(*) as n_neurons
    from neurons
    group by model
)

select
    m.model,
    m.place,
    m.name,
    m.revision,
    m.gated,
    m.n_layers,
    m.d_model,
    s.n_layers_here,
    s.n_neurons,
    m.n_tokens
from models as m
left join sizes as s on m.model = s.model
order by m.place
