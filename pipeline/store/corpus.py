"""The `corpus` table: one row group a unit, so that a worker reads exactly what it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int32, Int64

from pipeline.errors import GatescopeError
from pipeline.naming import DUPLICATE_CONTEXT
from pipeline.schema import corpus_schema
from pipeline.store.parquet import open_parquet, write_options
from pipeline.store.place import Place

# Units of one part file: 4 or 16 million tokens at the default units, held until it is written.
_UNITS_PER_PART = 64
# example_id shares an int64 with the score in the lists' keys (reduce/keys.py).
MAX_EXAMPLES = 2**32 - 1


@runtime_checkable
class _Example(Protocol):
    @property
    def input_ids(self) -> Any: ...
    @property
    def text(self) -> str: ...
    @property
    def source(self) -> Mapping[str, object]: ...


@dataclass(frozen=True)
class Unit:
    """A fixed run of consecutive examples: a row group of a part file of the corpus table."""

    unit_id: int
    part: str
    row_group: int
    first_example: int
    n_examples: int
    n_tokens: int


@dataclass(frozen=True)
class UnitExamples:
    """The tokens of a unit's examples; example i has the id `first_example + i`."""

    first_example: int
    input_ids: list[np.ndarray]


@dataclass(frozen=True)
class CorpusIndex:
    """What the corpus table holds, kept beside it until the dataset is complete."""

    units: tuple[Unit, ...]
    fingerprint: str
    facts: dict[str, Any]

    @property
    def n_examples(self) -> int:
        """Examples of all units."""
        return sum(unit.n_examples for unit in self.units)

    @property
    def n_tokens(self) -> int:
        """Tokens of all units."""
        return sum(unit.n_tokens for unit in self.units)

    def to_json(self) -> dict[str, Any]:
        """As written to the work folder."""
        return {
            "units": [asdict(unit) for unit in self.units],
            "fingerprint": self.fingerprint,
            "facts": self.facts,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> CorpusIndex:
        """What `to_json` gave."""
        units = tuple(Unit(**unit) for unit in value["units"])
        return cls(units, value["fingerprint"], value["facts"])


def write_corpus(
    place: Place, units: Iterable[list[Any]], source_columns: dict[str, str]
) -> tuple[Unit, ...]:
    """Write units of examples as part files, a row group each; gives where each unit lies."""
    schema = corpus_schema(source_columns)
    options = write_options(schema)
    written: list[Unit] = []
    pending: list[pa.Table] = []
    first_example = 0

    def flush() -> None:
        if not pending:
            return
        part = f"corpus/part-{written[-1].unit_id // _UNITS_PER_PART:05d}.parquet"

        def fill(path: Path) -> None:
            with pq.ParquetWriter(path, schema, **options) as writer:
                for table in pending:
                    writer.write_table(table, row_group_size=len(table))

        place.write(part, fill)
        pending.clear()

    for unit_id, examples in enumerate(units):
        table = _unit_table(examples, first_example, schema)
        written.append(
            Unit(
                unit_id=unit_id,
                part=f"corpus/part-{unit_id // _UNITS_PER_PART:05d}.parquet",
                row_group=unit_id % _UNITS_PER_PART,
                first_example=first_example,
                n_examples=len(examples),
                n_tokens=int(pa.compute.sum(table["n_tokens"]).as_py()),
            )
        )
        first_example += len(examples)
        pending.append(table)
        if len(pending) == _UNITS_PER_PART:
            flush()
    flush()
    return tuple(written)


def _unit_table(examples: list[_Example], first_example: int, schema: pa.Schema) -> pa.Table:
    lengths = np.array([len(example.input_ids) for example in examples], dtype=np.int32)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    ids = np.concatenate([example.input_ids for example in examples]).astype(np.int32)
    columns: dict[str, Any] = {
        "example_id": np.arange(first_example, first_example + len(examples)),
        "n_tokens": lengths,
        "input_ids": pa.ListArray.from_arrays(pa.array(offsets), pa.array(ids)),
        "text": [example.text for example in examples],
    }
    for name in schema.names[len(columns) :]:
        columns[name] = [example.source.get(name) for example in examples]
    return pa.table(
        [pa.array(columns[field.name], type=field.type) for field in schema], schema=schema
    )


class CorpusReader:
    """Reads units from the corpus table, one row group at a time; a context manager."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._part: str | None = None
        self._file: pq.ParquetFile | None = None
        self._open = ExitStack()

    def __enter__(self) -> CorpusReader:
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def read(self, unit: Unit) -> UnitExamples:
        """The tokens of a unit's examples."""
        try:
            # A remote part is fetched once for all the units in it.
            if self._file is None or unit.part != self._part:
                self._open.close()
                path = self._open.enter_context(self._place.local(unit.part))
                self._file = self._open.enter_context(open_parquet(path))
                self._part = unit.part
            column = self._file.read_row_group(unit.row_group, columns=["input_ids"])["input_ids"]
        except (OSError, pa.ArrowException) as error:
            raise GatescopeError(
                f"output={self._place}: {unit.part} is damaged ({error}); delete the folder "
                "and run again"
            ) from error
        ids = column.combine_chunks()
        values = ids.values.to_numpy()
        offsets = ids.offsets.to_numpy()
        return UnitExamples(unit.first_example, [values[a:b] for a, b in pairwise(offsets)])


class TokenIndex:
    """Random access to the tokens of all examples, for the merge: a memory-mapped flat file.

    On disk rather than in memory, so that memory does not grow with the corpus. `progress` is
    called at every unit while the file is made.
    """

    def __init__(
        self, place: Place, index: CorpusIndex, progress: Callable[[], object] = lambda: None
    ) -> None:
        self._open = ExitStack()
        path = self._open.enter_context(place.scratch()) / "tokens.int32"
        lengths = np.empty(index.n_examples, dtype=np.int64)
        with path.open("wb") as file, CorpusReader(place) as reader:
            for unit in index.units:
                progress()
                for i, ids in enumerate(reader.read(unit).input_ids):
                    lengths[unit.first_example + i] = len(ids)
                    file.write(ids.astype("<i4").tobytes())
        self.lengths: Int64[np.ndarray, " example"] = lengths
        self._offsets = np.concatenate([[0], np.cumsum(lengths)])
        self._tokens = np.memmap(path, dtype="<i4", mode="r")

    def at(
        self, example_id: Int64[np.ndarray, ...], position: Int64[np.ndarray, ...]
    ) -> Int32[np.ndarray, ...]:
        """The tokens at positions of examples, -1 beyond an example's ends."""
        inside = (position >= 0) & (position < self.lengths[example_id])
        where = np.where(inside, self._offsets[example_id] + position, 0)
        return np.where(inside, self._tokens[where], -1).astype(np.int32)

    def contexts(
        self, example_id: Int64[np.ndarray, "*entries"], position: Int64[np.ndarray, "*entries"]
    ) -> Int32[np.ndarray, "*entries context"]:
        """The tokens from DUPLICATE_CONTEXT before each position up to it."""
        steps = np.arange(-DUPLICATE_CONTEXT, 1)
        return self.at(example_id[..., None], position[..., None] + steps)

    def close(self) -> None:
        """Remove the flat file."""
        del self._tokens
        self._open.close()

    def __enter__(self) -> TokenIndex:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
