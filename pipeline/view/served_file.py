"""A file that a browser reads whole or by a byte range, local or anywhere that fsspec opens.

Starlette's FileResponse does this for local files alone; here a folder and a bucket are read in one
way, so that what holds of one holds of the other.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import PurePosixPath
from typing import IO, Final, NamedTuple

from fsspec import AbstractFileSystem
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

# By the end of the name, whatever this machine believes of it.
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".md": "text/markdown; charset=utf-8",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    "": "text/plain; charset=utf-8",
}
# What is read at a time: of a place on the network each is a request of its own.
_CHUNK: Final = 4 * 2**20
# One range. A server may answer any other with the whole file, as it may one that makes no sense.
_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII | re.IGNORECASE)
_log = logging.getLogger(__name__)


class Unsatisfiable(Exception):
    """A range that begins after the end of the file."""


def wanted_range(header: str, size: int) -> tuple[int, int] | None:
    """First byte and end (exclusive) that a Range header asks for; None where all is to be sent.

    Raises Unsatisfiable where the file has no byte of it.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        n = min(int(match[2]), size)
        if n == 0:
            raise Unsatisfiable
        return size - n, size
    start = int(match[1])
    end = int(match[2]) + 1 if match[2] else size
    if end <= start and match[2]:
        return None
    if start >= size:
        raise Unsatisfiable
    return start, min(end, size)


class _Opened(NamedTuple):
    """An open file and what it is now, so that no answer mixes two of them."""

    stream: IO[bytes]
    size: int
    etag: str
    modified: str | None


@dataclass(frozen=True)
class ServedFile:
    """A file and what browsers are told of it; `filesystem` is None for a local one.

    `name` is what it is called where it is served, which says of what type it is.
    """

    name: str
    path: str
    filesystem: AbstractFileSystem | None
    cache_control: str

    @property
    def media_type(self) -> str:
        """What the end of the name says that it is."""
        return _TYPES.get(PurePosixPath(self.name).suffix, "application/octet-stream")

    def open(self) -> _Opened:
        """Open it for reading; FileNotFoundError where it has gone."""
        if self.filesystem is None:
            return self._open_local()
        # Nothing is kept between requests: the file may be another one at the next.
        stream = self.filesystem.open(self.path, "rb", cache_type="none")
        size = stream.size
        if size is None:
            stream.close()
            raise OSError("the server does not say how long it is")
        said = getattr(stream, "details", None) or self.filesystem.info(self.path)
        return _Opened(stream, int(size), _etag(said), None)

    def _open_local(self) -> _Opened:
        # To open a pipe would be to wait for who writes to it.
        if not stat.S_ISREG(os.stat(self.path).st_mode):
            raise FileNotFoundError(self.path)
        stream = open(self.path, "rb")  # noqa: SIM115  # closed by who answers
        said = os.fstat(stream.fileno())
        tag = _etag((said.st_mtime_ns, said.st_size, said.st_ino))
        return _Opened(stream, said.st_size, tag, formatdate(said.st_mtime, usegmt=True))


def _etag(said: object) -> str:
    return f'"{hashlib.sha256(str(said).encode("utf-8", "replace")).hexdigest()[:32]}"'


class FileAnswer(Response):
    """The answer to GET and HEAD of a file: 200, 206, 304, 404, 416; 500 or 502 if unreadable."""

    def __init__(self, file: ServedFile) -> None:
        super().__init__(media_type=file.media_type)
        self._file = file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Open the file, answer, close it."""
        try:
            opened = await run_in_threadpool(self._file.open)
        except (FileNotFoundError, NotADirectoryError):
            return await _said(404, "not found")(scope, receive, send)
        # Backends raise what they like (httpx's errors are no OSError); all mean the same here.
        except Exception as error:
            _log.warning("%s cannot be read: %s", self._file.path, error)
            said = (
                f"this file cannot be read ({type(error).__name__}); the server's terminal says why"
            )
            status = 500 if self._file.filesystem is None else 502
            return await _said(status, said)(scope, receive, send)
        try:
            response = self._answer(opened, scope["method"], Headers(scope=scope))
            await response(scope, receive, send)
        finally:
            opened.stream.close()
        return None

    def _answer(self, opened: _Opened, method: str, asked: Headers) -> Response:
        headers = {
            "accept-ranges": "bytes",
            "cache-control": self._file.cache_control,
            "etag": opened.etag,
        }
        if opened.modified is not None:
            headers["last-modified"] = opened.modified
        if _names(asked.get("if-none-match", ""), opened.etag):
            return Response(status_code=304, headers=headers)
        start, end, status = 0, opened.size, 200
        # If-Range: a piece of this very file, or all of the one that is there now.
        if asked.get("if-range", opened.etag) in (opened.etag, opened.modified):
            try:
                part = wanted_range(asked.get("range", ""), opened.size)
            except Unsatisfiable:
                headers["content-range"] = f"bytes */{opened.size}"
                return _said(416, f"the file has {opened.size} bytes", headers)
            if part is not None:
                (start, end), status = part, 206
                headers["content-range"] = f"bytes {start}-{end - 1}/{opened.size}"
        headers["content-length"] = str(end - start)
        if method == "HEAD":
            return Response(None, status, headers, self._file.media_type)
        pieces = _pieces(opened.stream, start, end)
        return StreamingResponse(pieces, status, headers, self._file.media_type)


def _names(if_none_match: str, etag: str) -> bool:
    given = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return etag in given or given == ["*"]


def _said(status: int, sentence: str, headers: dict[str, str] | None = None) -> Response:
    return PlainTextResponse(sentence + "\n", status, headers)


async def _pieces(stream: IO[bytes], start: int, end: int) -> AsyncIterator[bytes]:
    def read(at: int) -> bytes:
        stream.seek(at)
        return stream.read(min(_CHUNK, end - at))

    while start < end:
        piece = await run_in_threadpool(read, start)
        if not piece:
            raise OSError("the file has become shorter while it was read")
        start += len(piece)
        yield piece
