"""How every table is written: zstd, page index, floats BYTE_STREAM_SPLIT (DESIGN section 3)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.place import Place

WRITE_OPTIONS: Final[dict[str, Any]] = {
    "compression": "zstd",
    "write_statistics": True,
    "write_page_index": True,
}


def _leaf_paths(field: pa.Field) -> Iterable[tuple[str, pa.DataType]]:
    if pa.types.is_list(field.type):
        yield f"{field.name}.list.element", field.type.value_type
    else:
        yield field.name, field.type


def encodings(schema: pa.Schema) -> dict[str, Any]:
    """BYTE_STREAM_SPLIT for floats, dictionaries for the rest."""
    leaves = [leaf for field in schema for leaf in _leaf_paths(field)]
    floats = [path for path, type_ in leaves if pa.types.is_floating(type_)]
    others = [path for path, type_ in leaves if not pa.types.is_floating(type_)]
    return {
        "use_dictionary": others,
        "column_encoding": dict.fromkeys(floats, "BYTE_STREAM_SPLIT") or None,
    }


def layer_part(table: str, layer: int) -> str:
    """The part file of a table's partition."""
    return f"{table}/layer={layer}/part-0.parquet"


def write_table(place: Place, name: str, schema: pa.Schema, row_groups: Iterable[pa.Table]) -> int:
    """Write a part file, one row group a table; gives its number of rows."""
    n_rows = 0

    def fill(path: Path) -> None:
        nonlocal n_rows
        n_rows = 0
        with pq.ParquetWriter(path, schema, **WRITE_OPTIONS, **encodings(schema)) as writer:
            for table in row_groups:
                n_rows += len(table)
                writer.write_table(table, row_group_size=max(1, len(table)))

    place.write(name, fill)
    return n_rows
