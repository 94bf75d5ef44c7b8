"""Parquet files and Hub data sets, streamed with `datasets`: nothing is copied to a cache."""

from __future__ import annotations

import glob
import re
import tempfile
from abc import abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pipeline.config import CorpusConfig
from pipeline.corpus.columns import Kind, Row
from pipeline.corpus.files import one_line
from pipeline.corpus.source import Source
from pipeline.errors import GatescopeError

_BATCH_ROWS: Final = 128
# By the names that Arrow gives its types, to their first parenthesis or bracket.
_NAMES: Final[dict[Kind, str]] = {
    "null": "null",
    "bool": "bool",
    "int64": "int8 int16 int32 int64 uint8 uint16 uint32",
    "float64": "float16 float32 float64",
    # The upper half of uint64 is beyond int64; decimals would lose digits as float64.
    "string": "string large_string string_view uint64 timestamp date32 date64 time32 time64 "
    "duration decimal32 decimal64 decimal128 decimal256",
}
_KINDS: Final = {name: kind for kind, names in _NAMES.items() for name in names.split()}
# What `datasets` and Arrow raise for what cannot be read; DatasetsError is added when known.
_ERRORS: Final = (OSError, ValueError, RuntimeError, NotImplementedError, TypeError, KeyError)


class _Stream(Source):
    """Rows of a `datasets.IterableDataset`."""

    remedy = ""

    @abstractmethod
    def _stream(self, columns: Collection[str] | None) -> Any:
        """The stream, with no other columns than these where there is a choice."""

    def _features(self) -> Any:
        """The declared features, or None."""
        with self._failures("cannot be opened"):
            return self._stream(None).features

    def kinds(self, n_sources: int) -> dict[str, Kind]:
        """The declared columns; from the first rows where a data set declares none."""
        features = self._features()
        if features is None:
            return super().kinds(n_sources)
        return {name: _kind_of_feature(feature) for name, feature in features.items()}

    def rows(self, columns: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
        """(row from 0, row)."""
        with self._failures("cannot be opened"):
            stream = self._stream(columns)
            batches = iter(stream.iter(batch_size=_BATCH_ROWS))
        number = 0
        while True:
            try:
                with self._failures(f"cannot be read after row {number} (from 0)"):
                    batch = next(batches, None)
            except UnicodeDecodeError as error:
                number += _rows_before_failure(stream.skip(number))
                raise GatescopeError(
                    f"{self.place(number)}: invalid UTF-8 ({one_line(error)}): write it as UTF-8"
                ) from error
            if batch is None:
                break
            names = list(batch)
            for values in zip(*batch.values(), strict=True):
                yield number, dict(zip(names, values, strict=True))
                number += 1

    @contextmanager
    def _failures(self, what: str) -> Iterator[None]:
        """Turn what `datasets` raises into one line, and keep it from printing its own."""
        import datasets

        verbosity = datasets.logging.get_verbosity()
        bars = datasets.are_progress_bars_disabled()
        datasets.logging.set_verbosity(datasets.logging.CRITICAL)
        datasets.disable_progress_bars()
        try:
            yield
        except UnicodeDecodeError:
            raise
        except (*_ERRORS, datasets.exceptions.DatasetsError) as error:
            raise GatescopeError(f"{self.name} {what} ({one_line(error)}){self.remedy}") from error
        finally:
            datasets.logging.set_verbosity(verbosity)
            if not bars:
                datasets.enable_progress_bars()


class ParquetFile(_Stream):
    """A Parquet file. `path` may be any URL that fsspec opens."""

    remedy = ": mend the file or corpus.path"

    def __init__(self, path: str, size: int | None) -> None:
        super().__init__(path, size)
        self._path = path

    def _stream(self, columns: Collection[str] | None) -> Any:
        import datasets

        # The builder leaves a lock file in its cache folder, which need not be writable.
        with tempfile.TemporaryDirectory() as cache:
            builder = datasets.load_dataset_builder(
                "parquet",
                data_files=[glob.escape(self._path)],
                cache_dir=cache,
                columns=None if columns is None else list(columns),
                batch_size=_BATCH_ROWS,
            )
            return builder.as_streaming_dataset(split="train")

    def rows(self, columns: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
        """(row from 0, row)."""
        self.bytes_read = 0
        yield from super().rows(columns)
        self.bytes_read = self.size or 0


class HubDataset(_Stream):
    """One split of a Hub data set; `location` says which, with the revision it resolved to."""

    def __init__(self, config: CorpusConfig) -> None:
        super().__init__(f"corpus.path={config.path}")
        settings = {"split": config.split, "subset": config.subset, "revision": config.revision}
        named = ", ".join(f"corpus.{name}={value}" for name, value in settings.items() if value)
        self.remedy = (
            f": check the id, {named}, the network and, for a private or gated one, `hf auth login`"
        )
        with self._failures("cannot be opened"):
            import datasets

            builder = datasets.load_dataset_builder(
                config.path, name=config.subset, revision=config.revision
            )
            self._dataset = builder.as_streaming_dataset(split=config.split)
        revision = getattr(builder, "hash", None) or config.revision or "unknown revision"
        parts = [f"subset {config.subset}"] if config.subset else []
        self.location = f"{config.path}@{revision} ({', '.join([*parts, config.split])})"

    def _stream(self, columns: Collection[str] | None) -> Any:
        return self._dataset if columns is None else self._dataset.select_columns(list(columns))


def _kind_of_feature(feature: Any) -> Kind:
    """The kind of a `datasets` feature: of values only; lists, images and structs are nested."""
    import datasets

    if not isinstance(feature, datasets.Value | datasets.ClassLabel):
        return "nested"
    return _KINDS.get(re.split(r"[(\[]", feature.dtype)[0], "nested")


def _rows_before_failure(rows: Any) -> int:
    """How many rows can be read one by one before invalid UTF-8 comes."""
    n_rows = 0
    try:
        for _ in rows:
            n_rows += 1
    except UnicodeDecodeError:
        pass  # found: the caller reports it
    return n_rows
