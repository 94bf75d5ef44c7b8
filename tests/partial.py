"""Datasets that lack something, as import and publish leave them: a synthetic one rewritten."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from synthetic import Rows, Synthetic, rewrite, write_synthetic

from pipeline.schema import EXAMPLES, LAYERS, NEURONS, SIGN_STATS

NO_MODEL = "imported without --model"
NO_CORPUS = "imported without --corpus"
NO_TEXTS = "the texts were left out when it was published; windows of the examples are there"
# What only the model can tell of an entry.
WINDOW = ("position", "peak_token", "window_start", "token_ids", "gate", "in")
VALUES = ("gate_value", "in_value", "post_value")
_KEYS = ("layer", "neuron")
# A text that is longer than a page shows of it at first, and that is not to become markup.
LONG = "<b>Bold</b> \u202eand long: " + "so much is said of it. " * 300


def _table(path: Path, change: Callable[[Rows], Rows], schema: pa.Schema) -> None:
    def changed(table: pa.Table) -> pa.Table:
        return pa.Table.from_pylist(change(table.to_pylist()), schema=schema)

    rewrite(path, changed)


def _null(*columns: str) -> Callable[[Rows], Rows]:
    return lambda rows: [row | dict.fromkeys(columns) for row in rows]


def _others(schema: pa.Schema, *kept: str) -> list[str]:
    return [name for name in schema.names if name not in kept]


def _drop(path: Path, table: str) -> None:
    shutil.rmtree(path / table)
    _manifest(path, lambda m: [m[key].pop(table) for key in ("tables", "files")])


def _manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = path / "manifest.json"
    manifest = json.loads(file.read_text("utf-8"))
    change(manifest)
    file.write_text(json.dumps(manifest), encoding="utf-8")


def _parts(path: Path, table: str) -> list[Path]:
    return sorted((path / table).rglob("*.parquet"))


def write_imported(
    path: Path, *, corpus: bool = False, n_unfilled: int | None = None, **changes: Any
) -> Synthetic:
    """A published GLUScope dataset as it is imported: without a model, with a corpus or without.

    With `n_unfilled` the model was there too, and so many entries of each layer did not fit it.
    """
    given = {"skip_bos": False, "dedupe": False, "rankings": ("post", "in", "gate")} | changes
    made = write_synthetic(path, **given)
    filled = n_unfilled is not None
    for part in _parts(path, "examples"):
        _table(part, lambda rows: _unfilled(_with_act(rows), n_unfilled), EXAMPLES)
    n_entries = sum(pq.read_metadata(part).num_rows for part in _parts(path, "examples"))
    imported = {
        "format": "gluscope",
        "source": "published.parquet",
        "files": {"published.parquet": "0" * 64},
        "n_entries": n_entries,
        "n_filled": n_entries - n_unfilled * len(made.shape.layers) if filled else None,
        "act_lists": True,
    }
    missing: list[dict[str, Any]] = []
    if not filled:
        missing += _without_model(path)
    else:
        why = f"{n_unfilled} of {n_entries} entries do not have the published score in this model"
        missing.append({"table": "examples", "columns": [*WINDOW, *VALUES], "why": why})
    if corpus:
        _texts(path, with_ids=filled)
        if not filled:
            missing.append({"table": "corpus", "columns": ["input_ids"], "why": NO_MODEL})
    else:
        missing += _without_corpus(path)

    def told(manifest: dict[str, Any]) -> None:
        manifest |= {"imported": imported, "missing": missing}
        if not filled:
            known = ("gated", "layers", "n_layers", "n_neurons")
            model = manifest["model"]
            manifest["model"] = {key: model[key] if key in known else None for key in model}
        if not corpus:
            manifest["corpus"] |= {"name": None, "n_tokens": None, "fingerprint": None}

    _manifest(path, told)
    return made


def write_without_texts(path: Path, **changes: Any) -> Synthetic:
    """A dataset that was published with --no-corpus."""
    made = write_synthetic(path, **changes)
    _drop(path, "corpus")
    lacks = [{"table": "corpus", "columns": None, "why": NO_TEXTS}]
    _manifest(path, lambda manifest: manifest.update(missing=lacks))
    return made


def write_gaps(path: Path, n_gaps: int = 3, **changes: Any) -> Synthetic:
    """A dataset of which some neurons of each layer have no weights, and one no frequencies."""
    made = write_synthetic(path, **changes)

    def gaps(rows: Rows) -> Rows:
        names = dict.fromkeys(_others(NEURONS, *_KEYS))
        return [row | (names if row["neuron"] < n_gaps else {}) for row in rows]

    def no_frequency(rows: Rows) -> Rows:
        names = dict.fromkeys(("count", "frequency", "n_tokens", "n_zero"))
        return [row | (names if row["neuron"] == n_gaps else {}) for row in rows]

    for part in _parts(path, "neurons"):
        _table(part, gaps, NEURONS)
    for part in _parts(path, "sign_stats"):
        _table(part, no_frequency, SIGN_STATS)
    why = f"the weights of {n_gaps} neurons of each layer were not published"
    lacks = [{"table": "neurons", "columns": _others(NEURONS, *_KEYS), "why": why}]
    _manifest(path, lambda manifest: manifest.update(missing=lacks))
    return made


def _without_model(path: Path) -> list[dict[str, Any]]:
    columns = {
        "neurons": _others(NEURONS, *_KEYS),
        "layers": _others(LAYERS, "layer", "n_neurons"),
    }
    for table, schema in (("neurons", NEURONS), ("layers", LAYERS)):
        for part in _parts(path, table):
            _table(part, _null(*columns[table]), schema)
    for table in ("vocab", "weight_tokens"):
        _drop(path, table)
    columns["examples"] = [*WINDOW, *VALUES]
    return [
        *({"table": name, "columns": some, "why": NO_MODEL} for name, some in columns.items()),
        *({"table": name, "columns": None, "why": NO_MODEL} for name in ("vocab", "weight_tokens")),
    ]


def _without_corpus(path: Path) -> list[dict[str, Any]]:
    columns = ["n_tokens", "n_zero", "count"]
    for part in _parts(path, "sign_stats"):
        _table(part, _null(*columns), SIGN_STATS)
    _drop(path, "corpus")
    return [
        {"table": "sign_stats", "columns": columns, "why": NO_CORPUS},
        {"table": "corpus", "columns": None, "why": NO_CORPUS},
    ]


def _texts(path: Path, *, with_ids: bool) -> None:
    for part in _parts(path, "corpus"):
        table = pq.ParquetFile(part).read()

        def changed(rows: Rows) -> Rows:
            ids = {} if with_ids else {"input_ids": None}
            return [row | ids | {"text": f"{row['text']} {LONG}"} for row in rows]

        _table(part, changed, table.schema)


def _with_act(rows: Rows) -> Rows:
    """With the lists by |act| of the combinations with gate < 0."""
    more = []
    for row in rows:
        if row["ranking"] == "gate" and row["gate_sign"] < 0:
            gate = row["gate_value"]
            more.append(row | {"ranking": "act", "score": abs(gate / (1 + math.exp(-gate)))})
    more.sort(key=lambda row: (row["neuron"], row["combo"], -row["score"]))
    lists: dict[tuple[int, str], int] = {}
    for row in more:
        key = (row["neuron"], row["combo"])
        row["rank"] = lists[key] = lists.get(key, -1) + 1
    return sorted(
        [*rows, *more],
        key=lambda row: (row["neuron"], row["combo"], row["ranking"], row["rank"]),
    )


def _unfilled(rows: Rows, n: int | None) -> Rows:
    """The first `n` entries, or all, with what was published alone."""
    found = []
    for place, row in enumerate(rows):
        if n is not None and place >= n:
            found.append(row | {"n_duplicates": 0})
            continue
        own = f"{row['ranking']}_value"
        null = dict.fromkeys((*WINDOW, *VALUES)) | {"n_duplicates": 0}
        found.append(row | null | ({own: row[own]} if own in VALUES else {}))
    return found
