"""Tables of others, a row a neuron, read piece by piece: Parquet files and saved Arrow streams.

Memory does not grow with the files: a first pass reads the neurons' numbers alone, a second one
slices of the rest.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from fsspec.implementations.local import LocalFileSystem
from jaxtyping import Int64, Shaped

from pipeline.errors import GatescopeError

KEYS: Final = ("layer", "neuron")
# Rows of a slice, 6 MB of a published dataset.
_ROWS: Final = 1 << 11
# Of a remote file, what is fetched at once of a column.
_BUFFER: Final = 1 << 22
_BLOCK: Final = 1 << 20


@dataclass(frozen=True)
class PublishedRows:
    """Some neurons: columns of numbers [row], and of lists [row k] with the lengths of each row.

    Null is NaN in numbers. Beyond a list's length its row holds zeros.
    """

    file: str
    layer: Int64[np.ndarray, " row"]
    neuron: Int64[np.ndarray, " row"]
    numbers: dict[str, Shaped[np.ndarray, " row"]] = field(default_factory=dict)
    lists: dict[str, tuple[Shaped[np.ndarray, "row k"], Int64[np.ndarray, " row"]]] = field(
        default_factory=dict
    )


class Published(ABC):
    """A source of rows: its columns, its files with their SHA-256, its neurons in any order."""

    columns: tuple[str, ...]
    digests: dict[str, str]

    def close(self) -> None:  # noqa: B027  (most have nothing to give back)
        """Remove what was fetched."""

    @abstractmethod
    def neurons(self) -> Iterator[PublishedRows]:
        """The numbers of all neurons, in the order of `rows`."""

    @abstractmethod
    def rows(
        self, numbers: Sequence[str], lists: Sequence[str], skipped: frozenset[int]
    ) -> Iterator[PublishedRows]:
        """These columns of all neurons; those of the layers `skipped` may be left out."""


class _Tables(Published):
    """Files of Arrow tables."""

    def __init__(self, filesystem: Any, paths: dict[str, str]) -> None:
        self._filesystem = filesystem
        self._paths = paths
        self.digests = {name: digest_of(filesystem, path, name) for name, path in paths.items()}
        schemas = {}
        for name in paths:
            with readable(name):
                schemas[name] = self._schema(name)
        first, *others = schemas
        self.columns = tuple(schemas[first].names)
        for other in others:
            lacking = set(self.columns) ^ set(schemas[other].names)
            if lacking:
                raise GatescopeError(
                    f"{other} and {first} have not the same columns ({min(lacking)}); give the "
                    "files of one dataset"
                )

    @abstractmethod
    def _schema(self, name: str) -> pa.Schema: ...

    @abstractmethod
    def _tables(
        self, name: str, columns: Sequence[str], skipped: frozenset[int]
    ) -> Iterator[Any]: ...

    def neurons(self) -> Iterator[PublishedRows]:
        yield from self.rows((), (), frozenset())

    def rows(
        self, numbers: Sequence[str], lists: Sequence[str], skipped: frozenset[int]
    ) -> Iterator[PublishedRows]:
        for name in self._paths:
            with readable(name):
                for table in self._tables(name, [*KEYS, *numbers, *lists], skipped):
                    layer, neuron = (_integers(name, key, table[key]) for key in KEYS)
                    yield PublishedRows(
                        name,
                        layer,
                        neuron,
                        {column: _numbers(name, column, table[column]) for column in numbers},
                        {column: _padded(name, column, table[column]) for column in lists},
                    )


class ParquetTables(_Tables):
    """Parquet files; of one with a single row group slices are read too."""

    @contextmanager
    def _opened(self, name: str) -> Iterator[pq.ParquetFile]:
        path = self._paths[name]
        if isinstance(self._filesystem, LocalFileSystem):
            with pq.ParquetFile(path, memory_map=True) as file:
                yield file
        else:
            with (
                self._filesystem.open(path, "rb") as raw,
                pq.ParquetFile(raw, buffer_size=_BUFFER) as file,
            ):
                yield file

    def _schema(self, name: str) -> pa.Schema:
        with self._opened(name) as file:
            return file.schema_arrow

    def _tables(self, name: str, columns: Sequence[str], skipped: frozenset[int]) -> Iterator[Any]:
        with self._opened(name) as file:
            for group in range(file.num_row_groups):
                if skipped:
                    layers = file.read_row_group(group, columns=["layer"])["layer"]
                    if skipped.issuperset(pc.unique(layers).to_pylist()):
                        continue
                yield from file.iter_batches(_ROWS, row_groups=[group], columns=list(columns))


class ArrowTables(_Tables):
    """Streams of Arrow, as `datasets.Dataset.save_to_disk` writes them."""

    def _schema(self, name: str) -> pa.Schema:
        with self._filesystem.open(self._paths[name], "rb") as raw, pa.ipc.open_stream(raw) as file:
            return file.schema

    def _tables(self, name: str, columns: Sequence[str], skipped: frozenset[int]) -> Iterator[Any]:
        with self._filesystem.open(self._paths[name], "rb") as raw, pa.ipc.open_stream(raw) as file:
            for batch in file:
                for start in range(0, batch.num_rows, _ROWS):
                    yield batch.slice(start, _ROWS).select(list(columns))


def digest_of(filesystem: Any, path: str, name: str) -> str:
    """SHA-256 of a file; of one on the Hub as the Hub tells it."""
    with readable(name):
        said = (filesystem.info(path).get("lfs") or {}) if _is_hub(filesystem) else {}
        sha256 = said.get("sha256") if isinstance(said, dict) else getattr(said, "sha256", None)
        if sha256:
            return str(sha256)
        digest = hashlib.sha256()
        with filesystem.open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()


def _is_hub(filesystem: Any) -> bool:
    named = filesystem.protocol
    return "hf" in ((named,) if isinstance(named, str) else named)


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn what files, networks and Arrow raise into one line."""
    try:
        yield
    except GatescopeError:
        raise
    # Filesystems of other kinds raise classes of their own, straight from Exception.
    except Exception as error:
        raise GatescopeError(
            f"{name}: cannot be read ({one_line(error)}); fetch or write it again"
        ) from error


def one_line(error: BaseException) -> str:
    """What an error says, without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__


def _integers(file: str, column: str, values: Any) -> Int64[np.ndarray, " row"]:
    if not pa.types.is_integer(values.type) or values.null_count:
        what = f"{values.null_count} nulls" if values.null_count else str(values.type)
        raise GatescopeError(
            f"{file}: {column} holds {what}, not whole numbers; give a GLUScope dataset, a row a "
            "neuron"
        )
    numbers: np.ndarray = values.to_numpy(zero_copy_only=False).astype(np.int64)
    return numbers


def _numbers(file: str, column: str, values: Any) -> Shaped[np.ndarray, " row"]:
    if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
        raise GatescopeError(
            f"{file}: {column} holds {values.type}, not numbers; give a GLUScope dataset"
        )
    numbers: np.ndarray = values.to_numpy(zero_copy_only=False)
    return numbers


def _padded(
    file: str, column: str, values: Any
) -> tuple[Shaped[np.ndarray, "row k"], Int64[np.ndarray, " row"]]:
    kind = values.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (is_list or pa.types.is_fixed_size_list(kind)):
        raise GatescopeError(f"{file}: {column} holds {kind}, not lists; give a GLUScope dataset")
    flat = _numbers(file, column, values.flatten())
    lengths = np.asarray(pc.fill_null(pc.list_value_length(values), 0)).astype(np.int64)
    padded = np.zeros((len(lengths), int(lengths.max(initial=0))), dtype=flat.dtype)
    padded[np.arange(padded.shape[1]) < lengths[:, None]] = flat
    return padded, lengths
