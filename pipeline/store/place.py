"""A folder for output: local or any URL that fsspec opens; its files appear whole or not at all."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import GatescopeError

T = TypeVar("T")

WORK = "_work"

# Seconds for which a place on the network may be away: before it was reached once a mistake is
# likely, and later a server that restarts.
_PATIENCE_S: Final = {"new": 15.0, "reached": 300.0}
_LONGEST_WAIT_S: Final = 15.0
# What is as it is, however often it is asked.
_FINAL: Final = (
    FileExistsError,
    FileNotFoundError,
    ImportError,
    IsADirectoryError,
    KeyError,
    NotADirectoryError,
    NotImplementedError,
    PermissionError,
    TypeError,
    ValueError,
)
# There a folder is the start of a name, and to make one may make a bucket that nobody meant.
_PROTOCOLS_WITHOUT_FOLDERS: Final = frozenset(("s3", "s3a", "gs", "gcs", "az", "abfs", "hf"))
_log = logging.getLogger(__name__)


class Place:
    """A folder whose files are named by paths relative to it, with `/` between their parts.

    Writing goes to a temporary file first; a local one is fsynced and renamed, a remote one is
    uploaded in one piece. A remote place that does not answer is asked again for minutes. What goes
    wrong becomes a GatescopeError that names the place.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = str(url)
        try:
            self._fs, root = fsspec.core.url_to_fs(os.path.expanduser(self.url))
            if not _PROTOCOLS_WITHOUT_FOLDERS.isdisjoint(_protocols(self._fs)):
                # Others write there too: a listing that is kept would be out of date.
                self._fs, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False)
        # Filesystems of other kinds raise classes of their own, straight from Exception.
        except Exception as error:
            raise GatescopeError(
                f"output={self.url}: cannot be opened ({error}); give a folder or an fsspec URL "
                "whose library is installed"
            ) from error
        self._root = str(root).rstrip("/")
        self.is_local = isinstance(self._fs, LocalFileSystem)
        self._reached = False

    def __str__(self) -> str:
        return self.url

    @property
    def pace(self) -> float:
        """How much rarer than elsewhere small files may be written: on the Hub each is a commit."""
        return 60.0 if "hf" in _protocols(self._fs) else 1.0

    @property
    def address(self) -> str:
        """Where other processes, with other working folders, find the same place."""
        return self._root if self.is_local else self.url

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _error(self, doing: str, error: Exception) -> GatescopeError:
        said = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return GatescopeError(
            f"output={self.url}: {doing} failed: {said}; free space, check "
            "permissions or choose another output, then run the same command again"
        )

    @contextmanager
    def _mended(self, doing: str) -> Iterator[None]:
        """For what touches local files alone."""
        try:
            yield
        except OSError as error:
            raise self._error(doing, error) from error

    def _ask(self, doing: str, act: Callable[[], T]) -> T:
        """Do something with the filesystem; a remote one is given time to come back."""
        if self.is_local:
            with self._mended(doing):
                return act()

        # Here and not above: a scan to a folder runs where it is not installed.
        import tenacity

        def say(state: tenacity.RetryCallState) -> None:
            said = state.outcome.exception() if state.outcome else None
            _log.warning("output=%s: %s failed (%s); trying again", self.url, doing, said)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(
                lambda error: isinstance(error, Exception) and not isinstance(error, _FINAL)
            ),
            stop=tenacity.stop_after_delay(_PATIENCE_S["reached" if self._reached else "new"]),
            wait=tenacity.wait_random_exponential(multiplier=0.5, max=_LONGEST_WAIT_S),
            before_sleep=say,
            reraise=True,
        )
        try:
            result = retrying(act)
        # Filesystems of other kinds raise classes of their own, straight from Exception.
        except Exception as error:
            # What is still to be asked is not waited for as long again.
            self._reached = False
            raise self._error(doing, error) from error
        self._reached = True
        return result

    def exists(self, name: str = "") -> bool:
        """Whether there is a file or folder of that name."""
        return self._ask(
            f"looking for {name or 'the folder'}", lambda: self._is_there(self._path(name))
        )

    def _is_there(self, path: str) -> bool:
        # Not `exists`, which takes a place that does not answer for one without the file.
        try:
            self._fs.info(path)
        except FileNotFoundError:
            return False
        return True

    def names(self, folder: str = "") -> list[str]:
        """All files below a folder, sorted; empty where there is none."""
        return sorted(self.sizes(folder))

    def sizes(self, folder: str = "") -> dict[str, int]:
        """The bytes of each file below a folder; empty where there is none."""

        def find() -> dict[str, Any]:
            path = self._path(folder)
            return dict(self._fs.find(path, detail=True)) if self._is_there(path) else {}

        found = self._ask(f"listing {folder or 'the folder'}", find)
        return {str(path)[len(self._root) + 1 :]: info["size"] for path, info in found.items()}

    def write(self, name: str, fill: Callable[[Path], object], *, durable: bool = True) -> None:
        """Make a file whole: `fill` writes it to the temporary path that it is given.

        A local one that is not `durable` is not synced, and may be lost when the machine stops.
        """
        doing = f"writing {name}"
        if not self.is_local:
            with tempfile.TemporaryDirectory(prefix="gatescope-") as folder:
                temporary = Path(folder) / "file"
                with self._mended(doing):
                    fill(temporary)

                def upload() -> None:
                    if _PROTOCOLS_WITHOUT_FOLDERS.isdisjoint(_protocols(self._fs)):
                        self._fs.makedirs(os.path.dirname(self._path(name)), exist_ok=True)
                    self._fs.put_file(str(temporary), self._path(name))

                self._ask(doing, upload)
            return
        with self._mended(doing):
            temporary = Path(self._path(WORK)) / f"tmp-{uuid.uuid4().hex}"
            temporary.parent.mkdir(parents=True, exist_ok=True)
            try:
                fill(temporary)
                target = Path(self._path(name))
                new = [p for p in target.parents if not p.exists()]
                target.parent.mkdir(parents=True, exist_ok=True)
                if durable:
                    _sync(temporary)
                temporary.replace(target)
                # A new folder lasts once the folder above it is synced too.
                for synced in (target.parent, *(p.parent for p in new)) if durable else ():
                    _sync(synced)
            finally:
                temporary.unlink(missing_ok=True)

    def write_text(self, name: str, text: str, *, durable: bool = True) -> None:
        """Make a text file whole."""
        self.write(name, lambda path: path.write_text(text, encoding="utf-8"), durable=durable)

    def write_json(self, name: str, value: object, *, durable: bool = True) -> None:
        """Make a JSON file whole."""
        text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        self.write_text(name, text, durable=durable)

    def append(self, name: str, text: str) -> None:
        """Add to the end of a text file of a local place; others cannot do that."""
        with self._mended(f"writing {name}"), open(self._path(name), "a", encoding="utf-8") as file:
            file.write(text)

    def read_bytes(self, name: str) -> bytes:
        """All of a file."""
        return bytes(self._ask(f"reading {name}", lambda: self._fs.cat_file(self._path(name))))

    def read_json(self, name: str) -> Any:
        """The value of a JSON file; raises GatescopeError where it is no JSON."""
        try:
            return json.loads(self.read_bytes(name).decode("utf-8"))
        except ValueError as error:
            raise GatescopeError(
                f"output={self.url}: {name} is damaged ({error}); delete the folder and run again"
            ) from error

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A local path to read a file from: the file itself, or a copy that goes away."""
        if self.is_local:
            yield Path(self._path(name))
            return
        with tempfile.TemporaryDirectory(prefix="gatescope-") as folder:
            path = Path(folder) / "file"
            self._ask(f"reading {name}", lambda: self._fs.get_file(self._path(name), str(path)))
            yield path

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A local folder for large files that go away, in the work folder where that is local."""
        parent = Path(self._path(WORK)) if self.is_local else None
        with self._mended("writing temporary files"):
            folder = tempfile.TemporaryDirectory(
                prefix="tmp-", dir=parent, ignore_cleanup_errors=True
            )
        with folder as path:
            yield Path(path)

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all that is in it, if it is there."""

        def remove() -> None:
            path = self._path(name)
            if self.is_local and Path(path).is_dir():
                shutil.rmtree(path)
            elif self._is_there(path):
                self._fs.rm(path, recursive=True)

        self._ask(f"removing {name}", remove)


def _protocols(filesystem: fsspec.AbstractFileSystem) -> tuple[str, ...]:
    named = filesystem.protocol
    return (named,) if isinstance(named, str) else tuple(named)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
