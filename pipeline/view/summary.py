"""What a run and a check print: a small table, a list of queries, a line a check."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pipeline.naming import COMBO_NAMES
from pipeline.view.visible import visible

if TYPE_CHECKING:
    from pipeline.query import Check, Query

_EXAMPLE: Final = "median_cosines_by_layer"
# Layers of a summary before the middle ones are left out.
_MOST_LAYERS: Final = 12
# Columns that are named where many are null.
_MOST_NAMES: Final = 4


def render_summary(
    manifest: Mapping[str, Any], frequencies: Sequence[tuple[int, str, float]]
) -> RenderableType:
    """What `gatescope run` ends with; `frequencies` are (layer, combo, mean frequency)."""
    model, corpus, scan = manifest["model"], manifest["corpus"], manifest["scan"]
    by_layer: dict[int, dict[str, float]] = {}
    for layer, combo, mean in frequencies:
        by_layer.setdefault(layer, {})[combo] = mean
    title = f"{model['name']} on {corpus['name']}: mean frequency of each sign combination"
    rows = {
        layer: [_percent(of_layer.get(combo)) for combo in COMBO_NAMES]
        for layer, of_layer in by_layer.items()
    }
    made = (
        f"{corpus['n_examples']:,} examples, {corpus['n_tokens']:,} tokens, "
        f"{sum(model['n_neurons']):,} neurons; made in {scan['wall_s']:.0f} s"
    )
    return _summary(manifest, title, COMBO_NAMES, rows, made)


def render_weights_summary(
    manifest: Mapping[str, Any], columns: Sequence[str], rows: Sequence[tuple[Any, ...]]
) -> RenderableType:
    """What a `gatescope run scan=none` ends with.

    A row holds a layer and its `columns`: medians of cosines, the 97.5% quantile of random ones,
    and the share `orthogonal` of that class.
    """
    model = manifest["model"]
    title = f"{model['name']}: medians of the cosines, random vectors (97.5%), orthogonal output"
    cells = {
        row[0]: [
            _percent(value) if name == "orthogonal" else "-" if value is None else f"{value:.3f}"
            for name, value in zip(columns[1:], row[1:], strict=True)
        ]
        for row in rows
    }
    names = [name.replace("median_", "").replace("randomness_high", "random") for name in columns]
    seconds = manifest["scan"]["wall_s"]
    made = f"{sum(model['n_neurons']):,} neurons; made in {seconds:.0f} s"
    return _summary(manifest, title, names[1:], cells, made)


def render_import(manifest: Mapping[str, Any]) -> RenderableType:
    """What `gatescope import` ends with: what there is now, and what is missing."""
    imported, corpus = manifest["imported"], manifest["corpus"]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    rows = {
        "source": imported["source"],
        "neurons": f"{sum(manifest['model']['n_neurons']):,} in {len(manifest['model']['layers'])} "
        "layers",
        "examples": f"{imported['n_entries']:,} entries of lists",
    }
    if imported["n_filled"] is not None:
        rows["examples"] += f", {imported['n_filled']:,} of them with position and window"
    if corpus["n_tokens"] is not None:
        rows["corpus"] = f"{corpus['n_examples']:,} examples, {corpus['n_tokens']:,} tokens"
    rows["made"] = f"in {manifest['scan']['wall_s']:.0f} s"
    for name, text in rows.items():
        table.add_row(Text(name, style="bold"), Text(visible(text)))
    for lacking in manifest["missing"]:
        names = lacking["columns"] or []
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        columns = f": {', '.join(names[:_MOST_NAMES])}{more}" if names else ""
        told = Text(visible(f"{lacking['table']}{columns} ({lacking['why']})"))
        table.add_row(Text("missing", style="bold"), told)
    return table


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def _summary(
    manifest: Mapping[str, Any],
    title: str,
    columns: Sequence[str],
    cells: Mapping[int, Sequence[str]],
    made: str,
) -> RenderableType:
    """A table with a row a layer, the middle ones left out, and what was made."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in ("layer", *columns):
        table.add_column(column, justify="right")
    layers = sorted(cells)
    shown = layers
    if len(layers) > _MOST_LAYERS:
        half = _MOST_LAYERS // 2
        shown = layers[:half] + layers[-half:]
    for previous, layer in zip([None, *shown], shown, strict=False):
        if previous is not None and layers.index(layer) > layers.index(previous) + 1:
            table.add_row("...")
        table.add_row(str(layer), *cells[layer])
    n_rows = ", ".join(f"{table} {n:,}" for table, n in manifest["tables"].items())
    facts = (Text(made), Text(f"rows: {n_rows}"))
    return Group(Text(), Text(visible(title), style="bold"), table, Text(), *facts)


def render_queries(queries: Sequence[Query], datasets: Sequence[str]) -> RenderableType:
    """What `gatescope query DATASET...` lists: the queries by theme, with their parameters."""
    parts: list[RenderableType] = []
    theme = None
    for query in queries:
        if query.theme != theme:
            theme = query.theme
            parts += [Text(), Text(theme, style="bold")]
        usage = Table.grid(padding=(0, 1, 0, 0))
        usage.add_row(Text(f"  {query.name}", style="cyan"), Text(query.parameters_usage))
        parts += [usage, Padding(Text(query.question), (0, 0, 0, 6), expand=False)]
    parts += [Text(), Text("what a parameter takes", style="bold")]
    kinds = {p.kind: p.takes for query in queries for p in query.parameters}
    values = Table.grid(padding=(0, 1, 0, 0))
    for kind, takes in sorted(kinds.items()):
        values.add_row(Text(f"  {kind.upper()}"), Text(takes))
    example = shlex.join(["gatescope", "query", *datasets, _EXAMPLE])
    parts += [values, Text("  [n=5] may be left out, and is 5 then; [combo=COMBO] is any then")]
    parts += [Text(), Text(f"Next: {example}"), Text("  or: --sql 'select ...', --format csv")]
    return Group(*parts)


def render_check(check: Check) -> RenderableType:
    """A line of `gatescope verify`, and the first violations below it."""
    line = Text()
    line.append("ok    " if check.ok else "FAILED", style="green" if check.ok else "bold red")
    line.append(f" {check.sentence} ")
    line.append(f"({check.n_rows:,})", style="dim")
    violations = [Text(f"       {visible(violation)}") for violation in check.violations]
    if check.n_violations > len(violations):
        violations.append(Text(f"       and {check.n_violations - len(violations):,} more"))
    return Group(line, *violations)
