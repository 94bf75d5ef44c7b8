"""Local files (or any URL that fsspec opens): which there are, and their bytes as text."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import IO, Any, Final

import fsspec
from fsspec.compression import compr

from pipeline.corpus.source import Source
from pipeline.errors import GatescopeError

SUFFIXES: Final = (".txt", ".json", ".jsonl", ".csv", ".parquet")
_CODECS: Final = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zst": "zstd"}
_KNOWN: Final = (
    f"{', '.join(SUFFIXES)} (all but .parquet also with {', '.join(_CODECS)} after them)"
)


class TextFile(Source):
    """A UTF-8 file, perhaps compressed. A byte order mark at its start is not part of the text.

    `text_column` names the texts of a file that does not name them itself.
    """

    def __init__(self, filesystem: Any, path: str, name: str, size: int, text_column: str) -> None:
        super().__init__(name, size)
        self._text_column = text_column
        self._filesystem = filesystem
        self._path = path

    def place(self, number: int) -> str:
        """Where the row of that number is: a line of the file, from 1."""
        return f"{self.name}, line {number}"

    @contextmanager
    def _opened(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """The file decompressed, and as it lies on the disk."""
        codec = _CODECS.get(PurePosixPath(self._path).suffix.lower())
        # With the package zstandard alone fsspec stops after a file's first frame, silently.
        if codec == "zstd" and not isinstance(compr.get(codec), type):
            raise GatescopeError(f"{self.name} needs a package: pip install backports.zstd")
        try:
            raw = self._filesystem.open(self._path, "rb")
        except OSError as error:
            raise _unreadable(self.name, error) from error
        with raw:
            yield (compr[codec](raw, mode="rb") if codec else raw), raw

    def lines(self) -> Iterator[tuple[int, str]]:
        """(number from 1, line with its line break). Errors: GatescopeError."""
        with self._opened() as (file, raw):
            number = offset = 0
            while True:
                try:
                    line = file.readline()
                except Exception as error:  # every codec has an error class of its own
                    raise _unreadable(self.name, error) from error
                if not line:
                    break
                number += 1
                self.bytes_read = raw.tell()
                try:
                    text = line.decode("utf-8")
                except UnicodeDecodeError as error:
                    place = f"{self.place(number)}, byte {offset + error.start} of the file"
                    raise _not_utf8(place, error) from error
                offset += len(line)
                yield number, text.removeprefix("\ufeff") if number == 1 else text

    @contextmanager
    def blocks(self) -> Iterator[Blocks]:
        """The file to be read piece by piece, where a line may be the whole file."""
        with self._opened() as (file, raw):
            yield Blocks(self, file, raw)


class Blocks:
    """Reads a `TextFile` in pieces of a given size."""

    def __init__(self, source: TextFile, file: IO[bytes], raw: IO[bytes]) -> None:
        self._source = source
        self._file = file
        self._raw = raw
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._n_bytes = 0

    def read(self, n_bytes: int) -> str:
        """The text of about the next `n_bytes`; empty only at the end of the file."""
        while True:
            try:
                block = self._file.read(n_bytes)
            except Exception as error:  # every codec has an error class of its own
                raise _unreadable(self._source.name, error) from error
            try:
                text = self._decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                # The decoder's own bytes, of a character cut by the last block, come before.
                start = self._n_bytes - (len(error.object) - len(block)) + error.start
                raise _not_utf8(f"{self._source.name}, byte {start}", error) from error
            if self._n_bytes == 0:
                text = text.removeprefix("\ufeff")
            self._n_bytes += len(block)
            self._source.bytes_read = self._raw.tell()
            if text or not block:
                return text


def find_files(path: str) -> tuple[str, list[tuple[Any, str, str, int]]]:
    """What to read for `corpus.path`: its absolute path or URL, and the files, sorted by path.

    Each file is (filesystem, path there, name for messages, size in bytes). Hidden files and
    links to folders are left out.

    Errors: GatescopeError where there is nothing, or nothing of a known kind.
    """
    try:
        filesystem, top = fsspec.core.url_to_fs(path)
        exists = filesystem.exists(top)
    except (ValueError, ImportError, OSError) as error:  # an unknown protocol, a missing package
        raise GatescopeError(f"corpus.path={path} cannot be opened: {one_line(error)}") from error
    if not exists:
        raise GatescopeError(f"corpus.path={path} does not exist (looked for {top})")
    local = "file" in filesystem.protocol
    location = top if local else filesystem.unstrip_protocol(top)
    try:
        if not filesystem.isdir(top):
            suffix_of(top)
            return location, [(filesystem, top, location, filesystem.size(top))]
        paths = _files_below(filesystem, top, local)
    except OSError as error:
        raise _unreadable(f"corpus.path={path}", error) from error
    if not paths:
        raise GatescopeError(f"corpus.path={path} holds no file of a known kind: {_KNOWN}")
    return location, [
        (filesystem, file, file if local else filesystem.unstrip_protocol(file), size)
        for file, size in sorted(paths.items())
    ]


def _files_below(filesystem: Any, top: str, local: bool) -> dict[str, int]:
    found = {}
    for file, entry in filesystem.find(top, detail=True).items():
        inner = PurePosixPath(file).relative_to(top)
        if any(part.startswith(".") for part in inner.parts) or _suffix(file) is None:
            continue
        # fsspec gives a link's own size and type, and lists links that lead nowhere.
        if local and not os.path.isfile(file):
            continue
        found[file] = os.path.getsize(file) if local else entry["size"]
    return found


def suffix_of(path: str) -> str:
    """The suffix that says what the file holds, a compression's left off. Errors: unknown ones."""
    suffix = _suffix(path)
    if suffix is None:
        name = PurePosixPath(path).name
        raise GatescopeError(f"corpus.path={path}: {name} is of no known kind: {_KNOWN}")
    return suffix


def _suffix(path: str) -> str | None:
    whole = PurePosixPath(path.lower())
    packed = whole.suffix in _CODECS
    suffix = PurePosixPath(whole.stem).suffix if packed else whole.suffix
    return suffix if suffix in SUFFIXES and not (packed and suffix == ".parquet") else None


def one_line(error: BaseException) -> str:
    """An error's message without line breaks; its class where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _unreadable(name: str, error: BaseException) -> GatescopeError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
    return GatescopeError(f"{name} cannot be read ({why}): mend the file or corpus.path")


def _not_utf8(place: str, error: UnicodeDecodeError) -> GatescopeError:
    byte = error.object[error.start]
    return GatescopeError(
        f"{place}: invalid UTF-8 (0x{byte:02x}, {error.reason}): convert the file to UTF-8"
    )
