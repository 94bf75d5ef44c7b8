"""A dataset whose texts, values and addresses do what they can to break a page."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from synthetic import rewrite, write_synthetic

# What is markup, a script, a tag's end, an address or an order to a terminal, where it is not text.
MARKUP = (
    "<img src=x onerror=window.broken=1>",
    "</script><script>window.broken=2</script>",
    "<svg/onload=window.broken=3>",
    "javascript:window.broken=4",
    "<a href='javascript:window.broken=5'>here</a>",
    "<!--",
    "]]>",
    "&lt;b&gt;&amp;",
    "{{constructor.constructor('window.broken=6')()}}",
    "' onmouseover='window.broken=7",
    "long " * 2000,
    "x" * 10_000,
    "\u0000\u0001\u001b[2J\u007f",
    "\U0001f469\u200d\U0001f680",
    "\U0001f1e9\U0001f1ea",
    "\u05e9\u05dc\u05d5\u05dd",
    "\u0627\u0644\u0633\u0644\u0627\u0645",
    "\u202emoc.elpmaxe",
    "Z\u0310\u0311\u0312\u0313\u0314\u0315\u0316\u0317",
    "\ufffd",
    "\ufeff",
    "\u2028",
    "<0xE2>",
)
# Whole characters in pieces, and bytes that are no character.
PIECES = (b"\xf0\x9f", b"\x99\x82", b"\xe2", b"\x80\x99", b"\xff", b"\xc3")
URLS = (
    "javascript:window.broken=8",
    "data:text/html,<script>window.broken=9</script>",
    "https://example.org/1",
)
MODEL = "<img src=x onerror=window.broken=10>"


def write_hostile(path: Path) -> Path:
    """Write it; of each layer the first neurons hold NaN, infinities and nulls."""
    path = write_synthetic(
        path, layers=(0, 7), n_neurons=12, n_examples=60, n_words=0, k=4, model=MODEL,
        more_tokens=(*MARKUP, *("\ufffd" * len(PIECES))),
    ).path  # fmt: skip
    rewrite(path / "vocab/part-00000.parquet", _in_pieces)
    for part in sorted((path / "corpus").iterdir()):
        rewrite(part, _with_addresses)
    odd: dict[str, Callable[[pa.Table], pa.Table]] = {
        "examples": lambda table: _spoilt(table, ("gate_value", "post_value"), ("gate", "in")),
        "sign_stats": lambda table: _spoilt(table, ("mean_gate", "mean_post", "mean_in")),
        "neurons": lambda table: _spoilt(table, ("cos_gate_in", "cos_in_out", "norm_out")),
        "weight_tokens": lambda table: _spoilt(table, ("score",)),
    }
    for name, change in odd.items():
        for part in sorted(path.glob(f"{name}/*/*.parquet")):
            rewrite(part, change)
    manifest = json.loads((path / "manifest.json").read_text("utf-8"))
    manifest["corpus"] |= {"name": "</script><script>window.broken=11</script>"}
    manifest["hardware"] = {"processor": "<b>fast</b>", "cores": None}
    (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return path


def _in_pieces(table: pa.Table) -> pa.Table:
    rows = table.to_pylist()
    for row, piece in zip(rows[-len(PIECES) :], PIECES, strict=True):
        row |= {"bytes": piece, "token": "".join(f"<0x{byte:02X}>" for byte in piece)}
    # Padding of the embedding, that the tokenizer does not have.
    rows[3] |= {"bytes": None, "token": "<unused 3>"}
    return pa.Table.from_pylist(rows, schema=table.schema)


def _with_addresses(table: pa.Table) -> pa.Table:
    rows = table.to_pylist()
    for row in rows:
        row["url"] = URLS[row["example_id"] % len(URLS)]
    return pa.Table.from_pylist(rows, schema=table.schema)


def _spoilt(table: pa.Table, names: tuple[str, ...], lists: tuple[str, ...] = ()) -> pa.Table:
    """With a NaN in neuron 1, infinities in 2 and 3, the largest and least floats in 4 and 5."""
    values = {1: math.nan, 2: math.inf, 3: -math.inf, 4: 3e38, 5: 1e-40}
    rows: list[dict[str, Any]] = table.to_pylist()
    for row in rows:
        value = values.get(row["neuron"])
        if value is not None:
            row |= {name: value for name in names if row[name] is not None}
            row |= {name: [value, *row[name][1:]] for name in lists}
    return pa.Table.from_pylist(rows, schema=table.schema)
