"""The dataset card: `README.md` with one `configs:` entry a table, made from the manifest."""

from __future__ import annotations

from typing import Any

from huggingface_hub import DatasetCardData

from pipeline.schema import LAYER_TABLES, TABLES
from pipeline.store import Place

_HEAD = """\
# Neurons of {model}

Made by [Gatescope](https://pypi.org/project/gatescope/) {version}: """

_SCANNED = """\
for every MLP neuron of
`{model}`{revision}, how often each of the four sign combinations of its gate and in activations
occurs over {n_tokens:,} tokens of `{corpus}` ({n_examples:,} examples), what its activations are
there, which texts show it best, and what its weights say. Layers {layers}; {counted}; {signs}.
"""

_WEIGHTS = """\
for every MLP neuron of
`{model}`{revision}, what its weights say: cosines, norms, input-output functionality, and the
tokens that it reads and writes most. Layers {layers}; {signs}. (There was no scan, so it has no
activations.)
"""

_TAIL = """
| table | rows |
|---|---|
{rows}

```python
import pipeline

dataset = pipeline.open("path/to/this/folder")
dataset.sql("select * from neuron_summary order by {order} desc limit 10").show()
```

Any reader of Parquet will do:

```sql
select {columns}
from read_parquet('{table}/*/*.parquet', hive_partitioning = false)
where layer = {first_layer} and neuron = 0
```

The settings, versions and hardware of the run are in `manifest.json`, and the files of each table
with their sizes, by which web pages read them. The definitions are those of
*GLUScope: A Tool for Analyzing GLU Neurons in Transformer Language Models* (arXiv 2602.23826) and
*Understanding Gated Neurons in Transformers from Their Input-Output Functionality*
(arXiv 2505.17936), both by Gerstner and Schuetze: please cite them.
"""


def _data_files(table: str) -> str:
    return f"{table}/layer=*/part-*.parquet" if table in LAYER_TABLES else f"{table}/part-*.parquet"


def _span(layers: list[int]) -> str:
    if layers == list(range(layers[0], layers[-1] + 1)):
        return f"{layers[0]} to {layers[-1]}"
    return ", ".join(map(str, layers))


def card(manifest: dict[str, Any]) -> str:
    """The card's whole text: YAML for the Hub, then what a person reads."""
    model, scan = manifest["model"], manifest["config"]["scan"]
    tables = [table for table in TABLES if table in manifest["tables"]]
    configs = [
        {"config_name": table, "data_files": _data_files(table), "default": True}
        if table == "neurons"
        else {"config_name": table, "data_files": _data_files(table)}
        for table in tables
    ]
    head = DatasetCardData(
        pretty_name=f"Neurons of {model['name']}",
        tags=["interpretability", "neurons", "gatescope"],
        configs=configs,
    ).to_yaml()
    layers = model["layers"]
    facts = {
        "model": model["name"],
        "version": manifest["code_version"],
        "revision": f" (revision `{model['revision']}`)" if model["revision"] else "",
        "layers": f"{_span(layers)} ({len(layers)} of {model['n_layers']})",
        "signs": "w_in and w_out of a neuron are negated where cos(w_gate, w_in) < 0 (`flipped`)"
        if scan["canonical_signs"] and model["gated"]
        else "signs are as the model has them",
        "rows": "\n".join(f"| `{table}` | {manifest['tables'][table]:,} |" for table in tables),
        "first_layer": layers[0],
        "order": "cos_in_out",
        "table": "neurons",
        "columns": "layer, neuron, cos_in_out, io_class",
    }
    body = _WEIGHTS
    if scan["name"] != "none":
        corpus, body = manifest["corpus"], _SCANNED
        facts |= {
            "n_tokens": corpus["n_tokens"],
            "n_examples": corpus["n_examples"],
            "corpus": corpus["name"],
            "counted": "position 0 of each example is not counted"
            if scan["skip_bos"]
            else "every position is counted",
            "order": "gate_positive_frequency",
            "table": "sign_stats",
            "columns": "layer, neuron, combo, frequency",
        }
    return f"---\n{head}\n---\n\n{(_HEAD + body + _TAIL).format(**facts)}"


def write_card(place: Place, manifest: dict[str, Any]) -> None:
    """Write a dataset's `README.md`."""
    place.write_text("README.md", card(manifest))
