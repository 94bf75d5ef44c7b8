"""The card's metadata, by which the Hub shows and finds a dataset, and `load_dataset` loads it."""

from __future__ import annotations

import re
from typing import Any, Final

from huggingface_hub import DatasetCardData

from pipeline.hub.card.names import hub_id, one_line
from pipeline.schema import LAYER_TABLES, TABLES

# What the Hub takes for a size: below how many rows, and its name.
_SIZES: Final = (
    (10**3, "n<1K"),
    (10**4, "1K<n<10K"),
    (10**5, "10K<n<100K"),
    (10**6, "100K<n<1M"),
    (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"),
    (10**9, "100M<n<1B"),
    (10**10, "1B<n<10B"),
    (10**11, "10B<n<100B"),
    (10**12, "100B<n<1T"),
)
_TAGS: Final = ("interpretability", "mechanistic-interpretability", "neurons", "gatescope")


def front_matter(manifest: dict[str, Any]) -> str:
    """The YAML between the lines `---`; each table is a configuration, `neurons` the default."""
    model = manifest["model"]
    tables = [table for table in TABLES if manifest["tables"].get(table)]
    corpus = hub_id(manifest, "corpus")
    link = hub_id(manifest, "model")
    found = DatasetCardData(
        pretty_name=f"Neurons of {one_line(model['name'] or 'a language model')}",
        # It follows from those of the model and of the texts, which no manifest knows.
        license="other",
        license_name="as-of-model-and-corpus",
        license_link=f"https://huggingface.co/{link}" if link else None,
        tags=[*_TAGS, *_tags(model)],
        size_categories=[_size(max(manifest["tables"].values()))],
        source_datasets=[corpus] if corpus else None,
        configs=[_config(table) for table in tables],
    )
    return str(found.to_yaml()).strip()


def _config(table: str) -> dict[str, Any]:
    parts = "layer=*/part-*.parquet" if table in LAYER_TABLES else "part-*.parquet"
    config: dict[str, Any] = {"config_name": table, "data_files": f"{table}/{parts}"}
    return config | ({"default": True} if table == "neurons" else {})


def _tags(model: dict[str, Any]) -> list[str]:
    """The activation function and the kind of model, as words that one searches for."""
    words = [model.get("act_fn"), (model.get("architecture") or "").removesuffix("ForCausalLM")]
    return [re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in words if word]


def _size(n_rows: int) -> str:
    return next((name for below, name in _SIZES if n_rows < below), "n>1T")
