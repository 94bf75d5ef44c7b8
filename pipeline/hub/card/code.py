"""The code on a card: SQL and Python that run as they are pasted."""

from __future__ import annotations

from typing import Any, Final

from pipeline.shipped import QUERIES

_SECTION: Final = """\
## Read it

{where}With [Gatescope](https://pypi.org/project/gatescope/) (`pip install gatescope`) come
{n_queries} questions by name, and a page for every neuron (`gatescope serve {place}`).

```python
import pipeline

dataset = pipeline.open("{place}")
dataset.sql(\"\"\"
    select {summary}
    from neuron_summary
    order by {order} desc
    limit 10
\"\"\").show()
{more}
```

With `datasets`, each table is a configuration:

```python
{load}

neurons = load_dataset({folder}, "neurons", split="train")
print(neurons.features, neurons[0])

{streamed} = load_dataset({folder}, "{streamed}", split="train", streaming=True)
print(next(iter({streamed})))
```

With pandas and Polars:

```python
import pandas as pd

columns = {columns}
print(pd.read_parquet("{root}neurons", columns=columns, partitioning=None))
```

```python
{polars}

{opened}
print(rows.filter(pl.col("neuron") == {neuron}).collect())
```

With DuckDB, which fetches the parts that hold the neuron:

```python
{duckdb}
db.sql(\"\"\"
    select {selected}
    from read_parquet('{root}{table}/layer={layer}/*.parquet', hive_partitioning = false)
    where neuron = {neuron}
\"\"\").show()
```

and in its own shell, over all layers:

```sql
select layer, {aggregate}
from read_parquet('{root}{table}/*/*.parquet', hive_partitioning = false)
group by all
order by all;
```
"""
_OWN_FOLDER: Final = "These lines are for the folder that this file lies in. "
# Of a dataset on the Hub, and of a folder. The Hub's own file system, for it goes where DuckDB's
# httpfs cannot be had, and reads private datasets too.
_IMPORTS: Final = {
    True: {
        "load": "from datasets import load_dataset",
        "duckdb": "import duckdb\nfrom huggingface_hub import HfFileSystem\n\n"
        "db = duckdb.connect()\n"
        "db.register_filesystem(HfFileSystem())  # or leave it to DuckDB's httpfs",
        "polars": "import polars as pl\nfrom huggingface_hub import HfFileSystem",
    },
    False: {
        "load": "from pathlib import Path\n\nfrom datasets import load_dataset",
        "duckdb": "import duckdb\n\ndb = duckdb.connect()",
        "polars": "import polars as pl",
    },
}


def code_section(manifest: dict[str, Any], repo: str | None) -> str:
    """The section of code, for the dataset `repo` on the Hub or for the folder of the card."""
    scanned = "sign_stats" in manifest["tables"]
    layer, neuron = manifest["model"]["layers"][0], 0
    table = "sign_stats" if scanned else "neurons"
    part = f"{table}/layer={layer}/part-0.parquet"
    columns = ["layer", "neuron"] + ([] if _no_weights(manifest) else ["cos_in_out", "io_class"])
    top = f'dataset.query("top_examples", layer={layer}, neuron={neuron}).show()'
    facts = {
        "where": "" if repo else _OWN_FOLDER,
        "place": repo or ".",
        "root": f"hf://datasets/{repo}/" if repo else "",
        "n_queries": len(list(QUERIES.glob("*.sql"))),
        "summary": "layer, neuron, gate_positive_frequency" if scanned else ", ".join(columns),
        "order": "gate_positive_frequency" if scanned else "cos_in_out",
        "more": top if scanned else 'dataset.query("io_classes").show()',
        "streamed": "examples" if scanned else "weight_tokens",
        "columns": "[" + ", ".join(f'"{name}"' for name in columns) + "]",
        "table": table,
        "layer": layer,
        "neuron": neuron,
        "folder": f'"{repo}"' if repo else "str(Path.cwd())",
        "opened": f'file = HfFileSystem().open("datasets/{repo}/{part}")\n'
        "rows = pl.scan_parquet(file, hive_partitioning=False)"
        if repo
        else f'rows = pl.scan_parquet("{part}", hive_partitioning=False)',
        **_IMPORTS[repo is not None],
        "selected": "combo, frequency, mean_gate, mean_in, mean_post"
        if scanned
        else "cos_gate_in, cos_gate_out, cos_in_out, io_class",
        "aggregate": "combo, avg(frequency) as mean_frequency"
        if scanned
        else "io_class, count(*) as n_neurons",
    }
    return _SECTION.format(**facts)


def _no_weights(manifest: dict[str, Any]) -> bool:
    lacking = manifest.get("missing") or []
    return any("cos_in_out" in (one["columns"] or ()) for one in lacking)
