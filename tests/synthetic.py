"""A small dataset of random activations in the real layout, by plain loops over the definitions.

It needs no model, and is what the tests of `query` and `view` count by hand.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.naming import (
    COMBOS,
    DUPLICATE_CONTEXT,
    MATRICES,
    QUANTITIES,
    RANKINGS,
    SIDES,
    WEIGHTS,
)
from pipeline.schema import (
    CLASS_COLUMNS,
    COSINES,
    EXAMPLES,
    LAYER_TABLES,
    LAYERS,
    NEURONS,
    SIGN_STATS,
    VOCAB,
    WEIGHT_TABLES,
    corpus_schema,
)
from pipeline.store import Place, table_files

Rows = list[dict[str, Any]]

# What a corpus may do to a terminal, a page, a file or a query.
HOSTILE_TOKENS = (
    "\x1b[31mred",
    "\x1b]0;title\x07",
    "[bold red]",
    "[/]",
    "\n",
    "\r\n\t",
    "\u202egnp.exe",
    "\u2066",
    "\x00",
    "\x9b5m",
    "'; drop view neurons; --",
    '"quoted", comma',
    "$layer",
    "<script>alert(1)</script>",
    "\u200b",
    "e\u0301",
    "日本",
    "🙂",
    "»",
    "",
)


@dataclass(frozen=True)
class Shape:
    """How large, and with which settings."""

    layers: tuple[int, ...] = (0, 1)
    n_neurons: int = 8
    n_examples: int = 24
    max_length: int = 30
    n_words: int = 12
    more_tokens: tuple[str, ...] = ()
    k: int = 3
    spare: int = 3
    before: int = 6
    after: int = 3
    skip_bos: bool = True
    canonical_signs: bool = True
    dedupe: bool = True
    rankings: tuple[str, ...] = RANKINGS
    weight_k: int = 4
    threshold: float = 0.5
    scan: bool = True  # without: weights only
    gated: bool = True
    matrices: tuple[str, ...] = MATRICES  # those that the model's files hold
    seed: int = 0
    model: str = "test/synthetic"
    revision: str = "0"


@dataclass(frozen=True)
class Synthetic:
    """A dataset on disk, and the same as rows to calculate with."""

    path: Path
    shape: Shape
    manifest: dict[str, Any]
    tables: dict[str, Rows]


@dataclass
class _Draft:
    shape: Shape
    rng: np.random.Generator
    vocab: list[str] = field(default_factory=list)
    texts: list[list[int]] = field(default_factory=list)
    random: list[np.ndarray] = field(default_factory=list)


def write_synthetic(path: Path, shape: Shape | None = None, **changes: Any) -> Synthetic:
    """Write a dataset into an empty or missing folder; `changes` are fields of Shape."""
    shape = shape or Shape(**changes)
    draft = _Draft(shape, np.random.default_rng(shape.seed))
    draft.vocab = ["<s>", *HOSTILE_TOKENS, *(f" word{i}" for i in range(shape.n_words))]
    draft.vocab += shape.more_tokens
    _draw_texts(draft)
    written = tuple(LAYER_TABLES) if shape.scan else WEIGHT_TABLES
    tables: dict[str, Rows] = {name: [] for name in written}
    for layer in shape.layers:
        parts = {name: rows for name, rows in _layer(draft, layer).items() if name in written}
        for name, rows in parts.items():
            _write(path / name / f"layer={layer}" / "part-0.parquet", rows, LAYER_TABLES[name])
            tables[name] += rows
    if shape.scan:
        tables["corpus"] = _corpus(draft, path)
    tables["vocab"] = [
        {"token_id": i, "token": token, "bytes": token.encode() if i else None}
        for i, token in enumerate(draft.vocab)
    ]
    _write(path / "vocab/part-00000.parquet", tables["vocab"], VOCAB)
    manifest = _manifest(draft, {name: len(rows) for name, rows in tables.items()})
    # Of the corpus in two parts, the first example of each.
    first = {f"corpus/part-{i:05d}.parquet": i * (shape.n_examples // 2) for i in (0, 1)}
    manifest["files"] = table_files(Place(path), first)
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return Synthetic(path, shape, manifest, tables)


def _corpus(draft: _Draft, path: Path) -> Rows:
    """The corpus in two part files."""
    corpus: Rows = [
        {
            "example_id": i,
            "n_tokens": len(ids),
            "input_ids": ids,
            "text": "".join(draft.vocab[t] for t in ids[1:]),
            "url": f"https://example.org/{i}",
        }
        for i, ids in enumerate(draft.texts)
    ]
    half = len(corpus) // 2
    for part, rows in enumerate((corpus[:half], corpus[half:])):
        _write(path / f"corpus/part-{part:05d}.parquet", rows, corpus_schema({"url": "string"}))
    return corpus


def _draw_texts(draft: _Draft) -> None:
    shape, rng = draft.shape, draft.rng
    for i in range(shape.n_examples):
        length = int(rng.integers(1, shape.max_length + 1))
        ids = [0, *rng.integers(1, len(draft.vocab), length - 1).tolist()]
        if i % 3 == 2:  # texts repeat
            ids = [*draft.texts[i - 1], *ids[1:]][: shape.max_length]
        draft.texts.append(ids)
        draft.random.append(rng.random(len(ids), dtype=np.float32))


def _layer(draft: _Draft, layer: int) -> dict[str, Rows]:
    parts: dict[str, Rows] = {name: [] for name in LAYER_TABLES}
    for neuron in range(draft.shape.n_neurons):
        parts["neurons"].append(_weights(draft, layer, neuron))
        stats, examples = _activations(draft, layer, neuron)
        parts["sign_stats"] += stats
        parts["examples"] += examples
        parts["weight_tokens"] += _weight_tokens(draft, layer, neuron)
    rows = parts["neurons"]
    classes = Counter(row["io_class"] for row in rows)
    summary: dict[str, Any] = {"layer": layer, "n_neurons": len(rows)}
    summary["n_flipped"] = sum(row["flipped"] for row in rows)
    summary |= {column: classes[name] for name, column in CLASS_COLUMNS.items()}
    for name in COSINES:
        if not draft.shape.gated and "gate" in name:
            continue
        quartiles = np.quantile([row[name] for row in rows], [0.25, 0.5, 0.75]).tolist()
        for place, value in zip(("q1", "median", "q3"), quartiles, strict=True):
            summary[f"{place}_{name}"] = value
        if len(rows) > 1:
            summary |= {f"mismatched_low_{name}": -0.13, f"mismatched_high_{name}": 0.13}
    summary |= {"randomness_low": -0.12, "randomness_high": 0.12}
    summary |= {"mismatched_n_pairs": len(rows) * (len(rows) - 1), "mismatched_error": 0.0}
    parts["layers"] = [summary]
    return parts


def _weight_tokens(draft: _Draft, layer: int, neuron: int) -> Rows:
    """Lists of random dot products with one decimal, so that there are ties."""
    rows: Rows = []
    for weight, matrix in product(WEIGHTS, MATRICES):
        if (weight, matrix) == ("out", "embedding"):
            continue
        if (weight == "gate" and not draft.shape.gated) or matrix not in draft.shape.matrices:
            continue
        scores = np.round(draft.rng.normal(size=len(draft.vocab)), 1).astype(np.float32)
        for side in SIDES:
            order = np.argsort(-scores if side == "highest" else scores, kind="stable")
            for rank, token_id in enumerate(order[: draft.shape.weight_k].tolist()):
                rows.append({
                    "layer": layer, "neuron": neuron, "weight": weight, "matrix": matrix,
                    "side": side, "rank": rank, "token_id": token_id,
                    "score": float(scores[token_id]),
                })  # fmt: skip
    return rows


def _weights(draft: _Draft, layer: int, neuron: int) -> dict[str, Any]:
    gate_in, gate_out, in_out = draft.rng.uniform(-1, 1, 3).tolist()
    flipped = draft.shape.canonical_signs and gate_in < 0
    if flipped:
        gate_in, gate_out = -gate_in, -gate_out
    gate_norm, in_norm, out_norm = draft.rng.uniform(0.5, 2, 3).tolist()
    t = draft.shape.threshold
    if not draft.shape.gated:
        return {
            "layer": layer, "neuron": neuron, "flipped": False, "cos_gate_in": None,
            "cos_gate_out": None, "cos_in_out": in_out, "norm_gate": None, "norm_in": in_norm,
            "norm_out": out_norm, "io_class": vanilla_class(in_out, t),
        }  # fmt: skip
    return {
        "layer": layer, "neuron": neuron, "flipped": flipped,
        "cos_gate_in": gate_in, "cos_gate_out": gate_out, "cos_in_out": in_out,
        "norm_gate": gate_norm, "norm_in": in_norm, "norm_out": out_norm,
        "io_class": io_class(gate_in, gate_out, in_out, t),
    }  # fmt: skip


def vanilla_class(in_out: float, t: float = 0.5) -> str:
    """The class of a neuron without a gate."""
    if abs(in_out) <= t:
        return "orthogonal output"
    return "enrichment" if in_out > 0 else "depletion"


def io_class(gate_in: float, gate_out: float, in_out: float, t: float = 0.5) -> str:
    """The class of DESIGN section 2, written out."""
    a = [1 if x > t else -1 if x < -t else 0 for x in (gate_in, gate_out, in_out)]
    names = {
        (1, 1): "enrichment", (1, 0): "conditional enrichment", (0, 1): "proportional change",
        (0, 0): "orthogonal output", (-1, 1): "depletion", (-1, 0): "conditional depletion",
    }  # fmt: skip
    key = (a[2], abs(a[1]))
    typical = key == (0, 0) or a[0] == a[1] * a[2]
    return names[key] if typical else f"atypical {names[key]}"


def _activations(draft: _Draft, layer: int, neuron: int) -> tuple[Rows, Rows]:
    """One decimal only, so that there are zeros and ties; neuron 0 has no positive gate."""
    shape, rng = draft.shape, draft.rng
    shift = rng.normal(0, 1, 2)
    values: list[dict[str, np.ndarray]] = []
    for ids in draft.texts:
        gate = np.round(rng.normal(shift[0], 1, len(ids)), 1).astype(np.float32)
        in_ = np.round(rng.normal(shift[1], 1, len(ids)), 1).astype(np.float32)
        gate = -np.abs(gate) if neuron == 0 else gate
        act = (gate / (1 + np.exp(-gate))).astype(np.float32)
        values.append({"gate": gate, "in": in_, "act": act, "post": act * in_})
    first = int(shape.skip_bos)
    n_tokens = sum(len(ids) - first for ids in draft.texts)
    stats: Rows = []
    examples: Rows = []
    for combo in COMBOS:
        places = [
            np.nonzero(
                (np.sign(v["gate"]) == combo.gate_sign)
                & (np.sign(v["in"]) == combo.in_sign)
                & (np.arange(len(v["gate"])) >= first)
            )[0]
            for v in values
        ]
        count = sum(map(len, places))
        where = {
            "layer": layer, "neuron": neuron, "gate_sign": combo.gate_sign,
            "in_sign": combo.in_sign, "combo": combo.name,
        }  # fmt: skip
        row = where | {"n_tokens": n_tokens, "count": count, "frequency": count / n_tokens}
        for quantity in QUANTITIES:
            total = sum(
                v[quantity][p].astype(float).sum() for v, p in zip(values, places, strict=True)
            )
            row[f"mean_{quantity}"] = total / count if count else None
        stats.append(row)
        for ranking in sorted(shape.rankings):
            for rank, entry in enumerate(_best(draft, values, places, ranking)):
                examples.append(where | {"ranking": ranking, "rank": rank} | entry)
    n_signed = sum(row["count"] for row in stats)
    return [row | {"n_zero": n_tokens - n_signed} for row in stats], examples


def _best(
    draft: _Draft, values: list[dict[str, np.ndarray]], places: list[np.ndarray], ranking: str
) -> Rows:
    shape = draft.shape
    found: list[tuple[float, int, int]] = []
    for i, where in enumerate(places):
        if len(where):
            score = draft.random[i] if ranking == "random" else np.abs(values[i][ranking])
            best = where[np.argmax(score[where])]
            found.append((-float(score[best]), i, int(best)))
    kept: dict[Any, dict[str, Any]] = {}
    for score, i, at in sorted(found)[: shape.k + shape.spare]:
        ids = draft.texts[i]
        context = tuple(ids[max(0, at - DUPLICATE_CONTEXT) : at + 1]) if shape.dedupe else i
        if context in kept:
            kept[context]["n_duplicates"] += 1
            continue
        window = slice(max(0, at - shape.before), at + shape.after + 1)
        v = values[i]
        kept[context] = {
            "score": -score, "gate_value": v["gate"][at], "in_value": v["in"][at],
            "post_value": v["post"][at], "example_id": i, "position": at, "peak_token": ids[at],
            "n_duplicates": 0, "window_start": window.start, "token_ids": ids[window],
            "gate": v["gate"][window].tolist(), "in": v["in"][window].tolist(),
        }  # fmt: skip
    return list(kept.values())[: shape.k]


def _write(path: Path, rows: Rows, schema: pa.Schema) -> None:
    """One part file; the row groups of a table with neurons hold three whole neurons each."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_index=True) as writer:
        for group in range(max(1, (max((r.get("neuron", 0) for r in rows), default=0) + 3) // 3)):
            group_rows = [row for row in rows if row.get("neuron", 0) // 3 == group]
            writer.write_table(pa.Table.from_pylist(group_rows, schema=schema))


def rewrite(path: Path, change: Any, row_group_size: int = 1 << 20) -> None:
    """Replace a part file by `change` of its table, and its size in the manifest."""
    table = change(pq.ParquetFile(path).read())
    pq.write_table(table, path, row_group_size=row_group_size)
    folder = next(above for above in path.parents if (above / "manifest.json").exists())
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    for file in manifest["files"][path.relative_to(folder).parts[0]]:
        if folder / file["path"] == path:
            file["bytes"] = path.stat().st_size
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def _manifest(draft: _Draft, tables: dict[str, int]) -> dict[str, Any]:
    shape = draft.shape
    scan = {
        name: asdict(shape)[name]
        for name in ("k", "spare", "skip_bos", "canonical_signs", "dedupe")
    }
    scan |= {
        "rankings": list(shape.rankings),
        "window": {"before": shape.before, "after": shape.after},
    }
    corpus = {
        "name": "random",
        "n_examples": len(draft.texts),
        "n_tokens": sum(map(len, draft.texts)),
    }
    return ({"corpus": corpus} if shape.scan else {}) | {
        "model": {
            "name": shape.model,
            "revision": shape.revision,
            "act_fn": "silu",
            "gated": shape.gated,
            "layers": list(shape.layers),
            "n_layers": max(shape.layers) + 1,
            "n_neurons": [shape.n_neurons] * len(shape.layers),
            "d_model": 64,
            "d_vocab": len(draft.vocab),
        },
        "config": {
            "scan": {"name": "default" if shape.scan else "none", **scan},
            "weights": {"threshold": shape.threshold, "k": shape.weight_k},
            "corpus": {"name": "random", "max_length": shape.max_length},
            "seed": shape.seed,
        },
        "tables": tables,
        "code_version": "0.0",
        "packages": {"python": "3.11.0", "torch": "2.13.0"},
        "hardware": {"processor": "none", "cores": 1, "accelerators": []},
        "finished": "2026-01-01T00:00:00+00:00",
    }


__all__ = ["EXAMPLES", "LAYERS", "NEURONS", "SIGN_STATS", "Shape", "Synthetic", "write_synthetic"]
