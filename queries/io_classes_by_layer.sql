-- name: io_classes_by_layer
-- question: Which input-output functionality do the neurons of each layer have?
-- theme: weights
-- column: layer | the layer
-- column: io_class | a class that occurs in the layer, the most frequent first
-- column: n_neurons | neurons of the class
-- column: share | the class's share of the layer's neurons
select
    layer,
    io_class,
    count(*) as n_neurons,
    count(*) / sum(count(*)) over (partition by layer) as share
from neurons
group by layer, io_class
order by layer, n_neurons desc, io_class
