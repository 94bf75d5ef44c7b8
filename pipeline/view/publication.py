"""What is published, as a table for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table


def render_publication(n_rows: Mapping[str, int], n_bytes: Mapping[str, int]) -> Table:
    """The tables with their rows and bytes, and the sum."""
    table = Table(box=None, header_style="bold", show_footer=True)
    table.add_column("table", footer="all")
    table.add_column("rows", justify="right", footer=f"{sum(n_rows.values()):,}")
    table.add_column("bytes", justify="right", footer=f"{sum(n_bytes.values()):,}")
    for name, n in n_rows.items():
        table.add_row(name, f"{n:,}", f"{n_bytes[name]:,}")
    return table
