"""The columns of Neuronpedia's tables that an import fills, and what stands where nothing is said.

Those of the dataclasses in hijohnnylin/neuronpedia, utils/neuronpedia-utils/neuronpedia_utils/
db_models/{source_release,model,source_set,source,feature,activation}.py, as they are filled there
by convert-llamascope-arrow-to-neuronpedia-export.py; and their copies in jbloomAus/SAEDashboard,
sae_dashboard/neuronpedia/neuronpedia_export.py (commit 3ea1249a), with `sourceSetName`.
"""

from __future__ import annotations

from typing import Any, Final

_NO_LISTS: Final = (
    "topkCosSimIndices",
    "topkCosSimValues",
    "neuron_alignment_indices",
    "neuron_alignment_values",
    "neuron_alignment_l1",
    "correlated_neurons_indices",
    "correlated_neurons_pearson",
    "correlated_neurons_l1",
    "correlated_features_indices",
    "correlated_features_pearson",
    "correlated_features_l1",
    "freq_hist_data_bar_heights",
    "freq_hist_data_bar_values",
    "logits_hist_data_bar_heights",
    "logits_hist_data_bar_values",
    "decoder_weights_dist",
)
DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "release": {
        "visibility": "PUBLIC",
        "isNewUi": False,
        "featured": False,
        "creatorEmail": None,
        "defaultSourceSetName": None,
        "defaultSourceId": None,
        "defaultUmapSourceIds": [],
    },
    "model": {
        "tlensId": None,
        "dimension": None,
        "visibility": "PUBLIC",
        "defaultSourceSetName": None,
        "defaultSourceId": None,
        "inferenceEnabled": False,
        "owner": "",
        "website": None,
    },
    "sourceset": {
        "hasDashboards": True,
        "visibility": "PUBLIC",
        "urls": [],
        "creatorEmail": None,
        "defaultOfModelId": None,
        "defaultRange": 1,
        "defaultShowBreaks": True,
        "showDfa": False,
        "showCorrelated": False,
        "showHeadAttribution": False,
        "showUmap": False,
    },
    "source": {
        "hasDashboards": True,
        "inferenceEnabled": False,
        "inferenceHosts": [],
        "saelensConfig": None,
        "saelensRelease": None,
        "saelensSaeId": None,
        "hfRepoId": None,
        "hfFolderId": None,
        "visibility": "PUBLIC",
        "defaultOfModelId": None,
        "hasUmap": False,
        "hasUmapLogSparsity": False,
        "hasUmapClusters": False,
    },
    "feature": {
        "hasVector": False,
        "vector": [],
        "vectorLabel": None,
        "vectorDefaultSteerStrength": 10,
        **{name: [] for name in _NO_LISTS},
    },
    "activation": {
        "dfaValues": [],
        "dfaTargetIndex": None,
        "dfaMaxValue": None,
        "lossValues": [],
        "logitContributions": None,
        "binMin": None,
        "binMax": None,
        "binContains": None,
        "qualifyingTokenIndex": None,
        "zIndices": None,
        "zValues": None,
    },
}
