"""The files that Neuronpedia's importer takes, a source for each layer and sign combination.

The layout is that of Neuronpedia's and SAEDashboard's own exports (named in columns.py): of each
source `release.jsonl`, `model.jsonl`, `sourceset.jsonl`, `source.jsonl`, and in batches
`features/batch-N.jsonl.gz` and `activations/batch-N.jsonl.gz`.

A feature there has one activation, which is not negative; a gated neuron has four sign
combinations. So each combination is a set of sources (`gatescope-gate-pos-in-neg`), the feature's
index is the neuron, and its activation is |post| where gate and in have those signs and 0
elsewhere, as at a position that the scan left out: `frac_nonzero` is the combination's frequency
(0, as in their tables, where it is not known), `maxActApprox` the best score, the activations are
its list by post. The logits are the dot products of w_out with the unembedding, negated where post
is negative.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from pipeline.activation import Activation
from pipeline.hub.neuronpedia.columns import DEFAULTS
from pipeline.hub.neuronpedia.reading import (
    EXAMPLES,
    LOGITS,
    STATS,
    Row,
    grouped,
    known_activation,
    neurons_of,
    require_stored_post,
    rows_of,
    token_texts,
)
from pipeline.naming import COMBOS, Combo
from pipeline.query import Dataset
from pipeline.query.rules.rule import POSITIVE

# To whom Neuronpedia's own scripts give what is imported in bulk.
_CREATOR: Final = "clkht01d40000jv08hvalcvly"


def neuronpedia_files(
    dataset: Dataset, neurons: Sequence[tuple[int, int]] | None = None, batch: int = 1024
) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file, of some neurons or of all, `batch` neurons a file.

    Raises GatescopeError where the dataset has no lists by post with windows, and where its
    activation function is not known.
    """
    act = known_activation(dataset)
    export = _Export(dataset, act)
    for layer in dataset.layers:
        wanted = neurons_of(dataset, layer, neurons)
        if not wanted:
            continue
        require_stored_post(dataset, layer, act)
        for combo in COMBOS:
            yield from export.descriptions(layer, combo)
        for number, start in enumerate(range(0, len(wanted), batch)):
            yield from export.batch(layer, wanted[start : start + batch], number)


def source_set(combo: Combo) -> str:
    """The name of a combination's sources: `gatescope-gate-pos-in-neg`."""
    words = {1: "pos", -1: "neg"}
    return f"gatescope-gate-{words[combo.gate_sign]}-in-{words[combo.in_sign]}"


def model_id(name: str | None) -> str:
    """A model's name as Neuronpedia writes them: `olmo-7b-0424-hf`."""
    last = (name or "").rstrip("/").rpartition("/")[2].lower()
    return re.sub(r"[^a-z0-9.]+", "-", last).strip("-.") or "model"


class _Export:
    """What the files of a dataset have in common."""

    def __init__(self, dataset: Dataset, act: Activation) -> None:
        self._dataset, self._act = dataset, act
        self._manifest = dataset.manifest
        self._model = model_id(self._manifest["model"]["name"])
        self._release = f"gatescope-{self._model}"
        self._common = {"creatorId": _CREATOR, "createdAt": self._manifest["finished"]}
        self._tokens = token_texts(dataset)
        self._skips_first = self._manifest["config"]["scan"]["skip_bos"]
        self._is_positive = self._manifest["model"]["act_fn"] in POSITIVE

    def descriptions(self, layer: int, combo: Combo) -> Iterator[tuple[str, bytes]]:
        """The four files that say what a source is."""
        corpus, model = self._manifest.get("corpus") or {}, self._manifest["model"]
        sources = source_set(combo)
        what = f"|post| of the MLP neurons of {model['name']} where {combo.name}"
        rows: dict[str, dict[str, Any]] = {
            "release": {
                "name": self._release,
                "description": f"Gatescope: MLP neurons of {model['name']} by sign combination",
                "descriptionShort": "MLP neurons by sign combination",
                "creatorName": "Gatescope",
                "creatorNameShort": "Gatescope",
                "urls": ["https://arxiv.org/abs/2602.23826", "https://arxiv.org/abs/2505.17936"],
            },
            "model": {
                "id": self._model,
                "displayName": self._model,
                "displayNameShort": self._model,
                "instruct": "instruct" in self._model or self._model.endswith("-it"),
                "layers": model["n_layers"],
                "neuronsPerLayer": max(model["n_neurons"]),
                "updatedAt": self._manifest["finished"],
            },
            "sourceset": {
                "modelId": self._model,
                "name": sources,
                "description": what,
                "type": "neurons",
                "creatorName": "Gatescope",
                "releaseName": self._release,
            },
            "source": {
                "id": f"{layer}-{sources}",
                "modelId": self._model,
                "setName": sources,
                "dataset": corpus.get("name") or "",
                "num_prompts": corpus.get("n_examples"),
                "num_tokens_in_prompt": self._manifest["config"]["corpus"]["max_length"],
                "notes": what,
            },
        }
        for name, row in rows.items():
            yield (
                self._path(layer, combo, f"{name}.jsonl"),
                _lines([DEFAULTS[name] | row | self._common]),
            )

    def batch(self, layer: int, neurons: list[int], number: int) -> Iterator[tuple[str, bytes]]:
        """Features and activations of some neurons of a layer, of each combination."""
        values = {"layer": layer, "neurons": neurons}
        frequencies = {
            (row["neuron"], row["combo"]): row["frequency"]
            for row in rows_of(self._dataset, STATS, values)
        }
        logits = grouped(rows_of(self._dataset, LOGITS, values), "neuron", "side")
        for combo in COMBOS:
            # A combination at a time: the windows of all four need four times the memory.
            of_combo = rows_of(self._dataset, EXAMPLES, values | {"combo": combo.name})
            entries = grouped(of_combo, "neuron")
            features, activations = [], []
            for neuron in neurons:
                own = entries.get((neuron,), [])
                activations += [
                    self._activation(layer, combo, neuron, entry)
                    for entry in own
                    if entry["token_ids"] is not None
                ]
                best = max((_number(entry["score"]) for entry in own), default=0.0)
                frequency = frequencies.get((neuron, combo.name))
                features.append(
                    self._feature(layer, combo, neuron, best)
                    | {"frac_nonzero": 0.0 if frequency is None else frequency}
                    | self._logits(combo, neuron, logits)
                )
            for name, rows in (("features", features), ("activations", activations)):
                path = self._path(layer, combo, f"{name}/batch-{number}.jsonl.gz")
                yield path, gzip.compress(_lines(rows), 6, mtime=0)

    def _path(self, layer: int, combo: Combo, name: str) -> str:
        return f"{self._model}/{layer}-{source_set(combo)}/{name}"

    def _of(self, layer: int, combo: Combo, neuron: int) -> dict[str, Any]:
        sources = source_set(combo)
        return {
            "modelId": self._model,
            "layer": f"{layer}-{sources}",
            "index": str(neuron),
            **self._common,
        }

    def _feature(self, layer: int, combo: Combo, neuron: int, best: float) -> dict[str, Any]:
        return (
            DEFAULTS["feature"]
            | self._of(layer, combo, neuron)
            | {
                "sourceSetName": source_set(combo),
                "hookName": f"blocks.{layer}.mlp.hook_post",
                "maxActApprox": best,
            }
        )

    def _logits(
        self, combo: Combo, neuron: int, logits: Mapping[tuple[Any, ...], list[Row]]
    ) -> dict[str, Any]:
        sign = combo.in_sign if self._is_positive else combo.gate_sign * combo.in_sign
        sides = ("highest", "lowest") if sign > 0 else ("lowest", "highest")
        found: dict[str, Any] = {}
        for name, side in zip(("pos", "neg"), sides, strict=True):
            rows = logits.get((neuron, side), [])
            found[f"{name}_str"] = [self._text(row["token_id"]) for row in rows]
            found[f"{name}_values"] = [_number(sign * row["score"]) for row in rows]
        return found

    def _activation(self, layer: int, combo: Combo, neuron: int, entry: Row) -> dict[str, Any]:
        gate, in_ = (np.asarray(entry[name], np.float64) for name in ("gate", "in"))
        with np.errstate(invalid="ignore"):
            post = self._act(gate) * in_
        inside = (np.sign(gate) == combo.gate_sign) & (np.sign(in_) == combo.in_sign)
        if self._skips_first and entry["window_start"] == 0:
            inside[0] = False
        values = [_number(v) for v in np.where(inside, np.abs(post), 0.0)]
        key = f"{self._model} {layer} {combo.name} {neuron} {entry['rank']}"
        return (
            DEFAULTS["activation"]
            | self._of(layer, combo, neuron)
            | {
                "id": "c" + hashlib.sha256(key.encode()).hexdigest()[:24],
                "tokens": [self._text(token_id) for token_id in entry["token_ids"]],
                "values": values,
                "maxValue": max(values),
                "maxValueTokenIndex": values.index(max(values)),
                "minValue": min(values),
                "dataIndex": str(entry["example_id"]),
                "dataSource": (self._manifest.get("corpus") or {}).get("name"),
            }
        )

    def _text(self, token_id: int) -> str:
        return self._tokens.get(token_id, f"<id {token_id}>")


def _number(value: float) -> float:
    """Six digits, which is what float32 holds; never -0. JSON has no infinities: they are 0."""
    return float(f"{value:.6g}") + 0.0 if math.isfinite(value) else 0.0


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    lines = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    return "".join(lines).encode("utf-8", "surrogatepass")
