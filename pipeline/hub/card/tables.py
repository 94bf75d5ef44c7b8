"""The tables of a card: their rows, and each column with its type, meaning and unit."""

from __future__ import annotations

from typing import Any, Final

from pipeline.schema import TABLES, columns_of

_ROWS: Final = {
    "neurons": "a neuron: its weights",
    "sign_stats": "a neuron's sign combination: how often it occurs, how strong it is there",
    "examples": "an entry of a list: a text that shows a neuron's sign combination",
    "corpus": "an example: a text as the model read it",
    "vocab": "a token",
    "layers": "a layer",
    "weight_tokens": "a token that a neuron's weight points at, or away from",
}


def tables_section(manifest: dict[str, Any]) -> str:
    """The section of tables and columns."""
    tables = [table for table in TABLES if table in manifest["tables"]]
    rows = [f"| `{table}` | {manifest['tables'][table]:,} | {_ROWS[table]} |" for table in tables]
    return "\n".join(
        [
            "## The tables",
            "",
            "| table | rows | a row is |",
            "|---|---|---|",
            *rows,
            "",
            "Tables of neurons lie in a folder for each layer, by neuron. gate is w_gate . x,",
            "in is w_in . x, where x is the input of the MLP after its norm; act is act_fn(gate),",
            "post is act * in. A sign combination such as `gate+_in-` is the pair of their signs.",
            *(line for table in tables for line in _columns(table)),
        ]
    )


def _columns(table: str) -> list[str]:
    lines = ["", f"### `{table}`", "", "| column | type | what | unit |", "|---|---|---|---|"]
    lines += [
        f"| `{column.name}` | {column.type} | {column.meaning} | {column.unit} |"
        for column in columns_of(table)
    ]
    if table == "corpus":
        lines.append("| ... | | the source's own columns, carried along | |")
    return lines
