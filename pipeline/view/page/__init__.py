"""One HTML page of chosen neurons that needs nothing else: for an appendix, or an e-mail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from pipeline.citations import BIBTEX
from pipeline.query import Dataset, Neuron
from pipeline.view.page.parts import neuron_parts
from pipeline.view.visible import visible

_HERE: Final = Path(__file__).parent


def render_page(dataset: Dataset, neurons: Sequence[Neuron]) -> str:
    """The page. All text of the dataset is escaped, and what is not seen of it is shown."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    manifest = dataset.manifest
    corpus = manifest.get("corpus") or {}
    n_tokens = corpus.get("n_tokens")
    return environment.get_template("page.html").render(
        css=(_HERE / "page.css").read_text(encoding="utf-8"),
        model=visible(dataset.model),
        corpus=visible(corpus["name"]) if corpus.get("name") else None,
        n_tokens=f"{n_tokens:,}" if n_tokens else None,
        version=manifest["code_version"],
        finished=manifest["finished"][:10],
        missing=[_missing(one) for one in manifest.get("missing") or []],
        neurons=[neuron_parts(neuron, manifest) for neuron in neurons],
        bibtex=BIBTEX,
    )


def _missing(one: dict[str, Any]) -> str:
    columns = f" ({', '.join(one['columns'])})" if one["columns"] else ""
    return visible(f"{one['table']}{columns}: {one['why']}")
