-- name: io_classes
-- question: Which input-output functionality do the model's neurons have?
-- theme: weights
-- column: io_class | a class that occurs, the most frequent first
-- column: n_neurons | neurons of the class
-- column: share | the class's share of all neurons
-- column: n_layers | layers in which it occurs
-- column: median_layer | half of its neurons lie in this layer or below
select
    io_class,
    count(*) as n_neurons,
    count(*) / sum(count(*)) over () as share,
    count(distinct layer) as n_layers,
    quantile_disc(layer, 0.5) as median_layer
from neurons
group by io_class
order by n_neurons desc, io_class
