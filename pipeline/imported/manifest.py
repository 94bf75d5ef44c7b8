"""What the manifest of an import says: model, corpus, source, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pipeline.config import to_dict
from pipeline.hub.gluscope.schema import Layout
from pipeline.imported.settings import UNKNOWN
from pipeline.imported.task import Import
from pipeline.naming import COMBO_NAMES, QUANTITIES
from pipeline.provenance import provenance
from pipeline.schema import LAYERS, NEURONS
from pipeline.store import CorpusIndex

NO_CORPUS: Final = "imported without --corpus"
NO_MODEL: Final = "imported without --model"
_COUNTS: Final = ("n_tokens", "n_zero", "count")
_VALUES: Final = ("gate_value", "in_value", "post_value")
_WINDOW: Final = ("position", "peak_token", "window_start", "token_ids", "gate", "in")


def import_manifest(
    task: Import,
    texts: CorpusIndex | None,
    model: Mapping[str, Any] | None,
    n_rows: Mapping[str, int],
    n_filled: int | None,
    wall_s: float,
) -> dict[str, Any]:
    """The manifest; `model` is what a loaded one says, `n_filled` the entries that it has."""
    n_entries = n_rows.get("examples", 0)
    of_corpus: dict[str, Any] = {"n_examples": None, "n_tokens": None, "fingerprint": None}
    if texts is not None:
        of_corpus = {
            "n_examples": texts.n_examples,
            "n_tokens": texts.n_tokens,
            "fingerprint": texts.fingerprint,
            **texts.facts,
        }
    return {
        "model": dict(model or _known(task)),
        "config": to_dict(task.config),
        "settings": task.settings,
        "corpus": {"name": task.config.corpus.name if task.has_corpus else None, **of_corpus},
        "scan": {"wall_s": wall_s},
        "tables": dict(n_rows),
        "imported": {
            "format": "gluscope",
            "source": task.name,
            "files": task.source.digests,
            "n_entries": n_entries,
            "n_filled": n_filled,
            "act_lists": "act" in task.layout.rankings,
            "lists": [f"{combo} {ranking}" for combo, ranking in task.lists],
        },
        "missing": _missing(task, n_entries, n_filled),
        **provenance(),
    }


def _known(task: Import) -> dict[str, Any]:
    """What is known of a model that was not loaded."""
    named = task.config.model.name
    return {
        "name": None if named == UNKNOWN else named,
        "revision": None,
        "architecture": None,
        "act_fn": None,
        "gated": True,
        "dtype": None,
        "device": None,
        "attention": None,
        "n_layers": max(task.neurons.all_layers) + 1,
        "layers": list(task.neurons.sizes),
        "n_neurons": list(task.neurons.sizes.values()),
        "d_model": None,
        "d_vocab": None,
        "tokenizer_sha256": None,
    }


def _missing(task: Import, n_entries: int, n_filled: int | None) -> list[dict[str, Any]]:
    """What the source does not tell, and what was not given."""
    found: list[dict[str, Any]] = []

    def lacks(table: str, columns: Sequence[str] | None, why: str) -> None:
        found.append(
            {"table": table, "columns": None if columns is None else list(columns), "why": why}
        )

    if not task.has_corpus:
        lacks("sign_stats", _COUNTS, NO_CORPUS)
    for quantity in QUANTITIES:
        combos = [c for c in COMBO_NAMES if (c, quantity) not in task.layout.means]
        if combos:
            of = "" if len(combos) == len(COMBO_NAMES) else f" of {', '.join(combos)}"
            lacks("sign_stats", [f"mean_{quantity}"], f"the source has none{of}")
    if not task.lists:
        lacks("examples", None, "the source has no lists")
    else:
        if absent := _absent_lists(task.layout):
            lacks("examples", [], f"the source has no lists of {', '.join(absent)}")
        if not task.has_model:
            lacks("examples", [*_VALUES, *_WINDOW], NO_MODEL)
        elif n_filled is not None and n_filled < n_entries:
            lacks(
                "examples",
                [*_VALUES, *_WINDOW],
                f"{n_entries - n_filled:,} of {n_entries:,} entries do not have the published "
                "score in this model",
            )
    if not task.has_corpus:
        lacks("corpus", None, NO_CORPUS)
    if not task.has_model:
        lacks("neurons", NEURONS.names[2:], NO_MODEL)
        lacks("layers", LAYERS.names[2:], NO_MODEL)
        lacks("vocab", None, NO_MODEL)
        lacks("weight_tokens", None, NO_MODEL)
    return found


def _absent_lists(layout: Layout) -> list[str]:
    return [
        f"{combo} by {ranking}"
        for combo in COMBO_NAMES
        for ranking in ("post", "in", "gate")
        if (combo, ranking) not in layout.lists
    ]
