"""How every table is written: zstd, page index, floats BYTE_STREAM_SPLIT (DESIGN section 3).

What was measured for these choices is in the log of benchmarks/README.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.store.place import Place

_OPTIONS: Final[dict[str, Any]] = {
    "compression": "zstd",
    "write_page_index": True,
    # So that what a disk has changed is seen where it is read (`open_parquet`).
    "write_page_checksum": True,
}
# Uncompressed bytes of a page, the least that is fetched of a column over HTTP. Smaller ones
# compress worse, and lists are most of a dataset; the numbers beside them do not need as large
# pages, which the limit of rows sees to.
_PAGES: Final[dict[str, dict[str, int]]] = {
    "lists": {"data_page_size": 1 << 18, "max_rows_per_page": 1 << 11},
    "numbers": {"data_page_size": 1 << 14},
}
# Integers of many values, mostly small: split into bytes, the upper ones are nearly free, while a
# dictionary is as large as what it stands for.
_SPLIT_INTEGERS: Final = (
    "example_id",
    "position",
    "peak_token",
    "window_start",
    "token_id",
    "token_ids",
    "input_ids",
)
# What tables are sorted by and rows are looked up by. `examples` and `corpus` have many row groups,
# which differ in these columns alone: where all columns have statistics, DuckDB takes a third
# longer for a neuron.
_KEYS: Final = ("layer", "neuron", "example_id", "token_id")


def _leaf_paths(field: pa.Field) -> Iterable[tuple[str, pa.DataType]]:
    if pa.types.is_list(field.type):
        yield f"{field.name}.list.element", field.type.value_type
    else:
        yield field.name, field.type


def write_options(schema: pa.Schema) -> dict[str, Any]:
    """What a writer of such a table is given.

    BYTE_STREAM_SPLIT for floats and large integers, dictionaries for the rest. Of a table with
    lists, which has many row groups, the keys that come first have statistics.
    """
    leaves = [leaf for field in schema for leaf in _leaf_paths(field)]
    split = [
        path
        for path, type_ in leaves
        if pa.types.is_floating(type_)
        # A source's own column may have such a name, and hold text.
        or (pa.types.is_integer(type_) and path.split(".")[0] in _SPLIT_INTEGERS)
    ]
    keys = list(takewhile(lambda name: name in _KEYS, schema.names))
    has_lists = any(path not in schema.names for path, _ in leaves)
    return {
        **_OPTIONS,
        **_PAGES["lists" if has_lists else "numbers"],
        "use_dictionary": [path for path, _ in leaves if path not in split],
        "column_encoding": dict.fromkeys(split, "BYTE_STREAM_SPLIT") or None,
        "write_statistics": keys if has_lists else True,
    }


def layer_part(table: str, layer: int) -> str:
    """The part file of a table's partition."""
    return f"{table}/layer={layer}/part-0.parquet"


def open_parquet(path: Path) -> pq.ParquetFile:
    """A file of a table; to read what is not as it was written raises OSError."""
    return pq.ParquetFile(path, page_checksum_verification=True)


def ends_well(path: Path) -> bool:
    """Whether a file has the footer that is written last, and is not cut."""
    try:
        pq.ParquetFile(path).close()
    except (OSError, pa.ArrowException):
        return False
    return True


def damaged_files(place: Place, names: Iterable[str]) -> Iterator[str]:
    """Those of the files, of any tables, that are not as they were written, each with why."""
    for name in names:
        try:
            with place.local(name) as path, open_parquet(path) as file:
                for group in range(file.num_row_groups):
                    file.read_row_group(group)
        except (OSError, pa.ArrowException) as error:
            yield f"{name}: {error}"


def row_groups(table: pa.Table, n_rows: int) -> list[pa.Table]:
    """A table cut into row groups of `n_rows`; an empty one stays whole."""
    return [table.slice(start, n_rows) for start in range(0, len(table), n_rows)] or [table]


def write_table(place: Place, name: str, schema: pa.Schema, row_groups: Iterable[pa.Table]) -> int:
    """Write a part file, one row group a table; gives its number of rows."""
    n_rows = 0

    def fill(path: Path) -> None:
        nonlocal n_rows
        n_rows = 0
        with pq.ParquetWriter(path, schema, **write_options(schema)) as writer:
            for table in row_groups:
                n_rows += len(table)
                writer.write_table(table, row_group_size=max(1, len(table)))

    place.write(name, fill)
    return n_rows
