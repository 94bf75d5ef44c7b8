"""A dataset's files at a URL as DuckDB reads them: the ranges that it asks for, and nothing else.

DuckDB's own httpfs is not used: what it downloads when it is first needed cannot be had everywhere,
and it knows neither other endpoints of the Hub nor S3 settings that fsspec reads.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from fsspec import AbstractFileSystem

# The files of a dataset do not change. When they were written would be a request for each.
_WRITTEN: Final = datetime(2000, 1, 1, tzinfo=UTC)


class RemoteFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files of another filesystem, whose sizes are known from a listing, read range by range.

    Filesystems of fsspec read ahead, the Hub's 5 MB each time, and ask for size and time of a file
    before they read. Of a file that is not among the known ones they are asked all the same.
    """

    cachable = False

    def __init__(self, filesystem: AbstractFileSystem) -> None:
        super().__init__()
        # DuckDB finds the files by it.
        self.protocol = filesystem.protocol
        self._filesystem = filesystem
        self._sizes: dict[str, int] = {}

    @property
    def name(self) -> str:
        """The first protocol, by which DuckDB calls it."""
        return self.protocol if isinstance(self.protocol, str) else str(self.protocol[0])

    def know(self, sizes: Mapping[str, int | None]) -> None:
        """Take the bytes of files, by URL, for what they are."""
        self._sizes |= {self._key(url): n for url, n in sizes.items() if n is not None}

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Name, size and type of a file, without a request where it is known."""
        key = self._key(path)
        if key in self._sizes:
            return {"name": key, "size": self._sizes[key], "type": "file"}
        said: dict[str, Any] = self._filesystem.info(path, **kwargs)
        return said

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        """The listing of the other filesystem."""
        return self._filesystem.ls(path, detail=detail, **kwargs)

    def modified(self, path: str) -> datetime:
        """The same time for all files, as they do not change."""
        return _WRITTEN

    def open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:
        """A file of ranges. Nothing is asked before the first is read."""
        return _Ranges(self._filesystem, self._key(path), int(self.info(path)["size"]))

    def _key(self, path: str) -> str:
        return str(self._filesystem._strip_protocol(path))


class _Ranges(io.RawIOBase):
    """A file of which each read is a request for as many bytes."""

    def __init__(self, filesystem: AbstractFileSystem, path: str, size: int) -> None:
        super().__init__()
        self._filesystem, self._path, self._size = filesystem, path, size
        self._at = 0
        self._stream: Any = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        n = min(len(buffer), max(self._size - self._at, 0))
        if n == 0:
            return 0
        if self._stream is None:
            self._stream = self._filesystem.open(
                self._path, "rb", cache_type="none", size=self._size
            )
        self._stream.seek(self._at)
        data = self._stream.read(n)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        super().close()
