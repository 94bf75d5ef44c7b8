"""A folder for output: local or any URL that fsspec opens; its files appear whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import GatescopeError

WORK = "_work"


class Place:
    """A folder whose files are named by paths relative to it, with `/` between their parts.

    Writing goes to a temporary file first; a local one is fsynced and renamed, a remote one is
    uploaded in one piece. What goes wrong becomes a GatescopeError that names the place.
    """

    def __init__(self, url: str | os.PathLike[str]) -> None:
        self.url = str(url)
        try:
            self._fs, root = fsspec.core.url_to_fs(os.path.expanduser(self.url))
        # Filesystems of other kinds raise classes of their own, straight from Exception.
        except Exception as error:
            raise GatescopeError(
                f"output={self.url}: cannot be opened ({error}); give a folder or an fsspec URL "
                "whose library is installed"
            ) from error
        self._root = str(root).rstrip("/")
        self._is_local = isinstance(self._fs, LocalFileSystem)

    def __str__(self) -> str:
        return self.url

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @contextmanager
    def _mended(self, doing: str) -> Iterator[None]:
        try:
            yield
        except GatescopeError:
            raise
        except Exception as error:
            if self._is_local and not isinstance(error, OSError):
                raise
            said = getattr(error, "strerror", None) or error
            raise GatescopeError(
                f"output={self.url}: {doing} failed: {said}; free space, check "
                "permissions or choose another output, then run the same command again"
            ) from error

    def exists(self, name: str = "") -> bool:
        """Whether there is a file or folder of that name."""
        with self._mended(f"looking for {name or 'the folder'}"):
            return bool(self._fs.exists(self._path(name)))

    def names(self, folder: str = "") -> list[str]:
        """All files below a folder, sorted; empty where there is none."""
        with self._mended(f"listing {folder or 'the folder'}"):
            if not self._fs.exists(self._path(folder)):
                return []
            found = self._fs.find(self._path(folder))
        return sorted(str(path)[len(self._root) + 1 :] for path in found)

    def write(self, name: str, fill: Callable[[Path], object]) -> None:
        """Make a file whole: `fill` writes it to the temporary path that it is given."""
        with self._mended(f"writing {name}"):
            if self._is_local:
                temporary = Path(self._path(WORK)) / f"tmp-{uuid.uuid4().hex}"
                temporary.parent.mkdir(parents=True, exist_ok=True)
                try:
                    fill(temporary)
                    _sync(temporary)
                    target = Path(self._path(name))
                    new = [p for p in target.parents if not p.exists()]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    temporary.replace(target)
                    # A new folder lasts once the folder above it is synced too.
                    for synced in (target.parent, *(p.parent for p in new)):
                        _sync(synced)
                finally:
                    temporary.unlink(missing_ok=True)
            else:
                with tempfile.TemporaryDirectory(prefix="gatescope-") as folder:
                    temporary = Path(folder) / "file"
                    fill(temporary)
                    self._fs.makedirs(os.path.dirname(self._path(name)), exist_ok=True)
                    self._fs.put_file(str(temporary), self._path(name))

    def write_text(self, name: str, text: str) -> None:
        """Make a text file whole."""
        self.write(name, lambda path: path.write_text(text, encoding="utf-8"))

    def write_json(self, name: str, value: object) -> None:
        """Make a JSON file whole."""
        self.write_text(name, json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def read_json(self, name: str) -> Any:
        """The value of a JSON file; raises GatescopeError where it is no JSON."""
        with self._mended(f"reading {name}"):
            text = self._fs.cat_file(self._path(name)).decode("utf-8")
        try:
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise GatescopeError(
                f"output={self.url}: {name} is damaged ({error}); delete the folder and run again"
            ) from error

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """A local path to read a file from: the file itself, or a copy that goes away."""
        if self._is_local:
            with self._mended(f"reading {name}"):
                yield Path(self._path(name))
            return
        with tempfile.TemporaryDirectory(prefix="gatescope-") as folder:
            path = Path(folder) / "file"
            with self._mended(f"reading {name}"):
                self._fs.get_file(self._path(name), str(path))
            yield path

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A local folder for large files that go away, in the work folder where that is local."""
        parent = Path(self._path(WORK)) if self._is_local else None
        with (
            self._mended("writing temporary files"),
            tempfile.TemporaryDirectory(prefix="tmp-", dir=parent) as folder,
        ):
            yield Path(folder)

    @contextmanager
    def only_writer(self) -> Iterator[None]:
        """Hold a local place for this process alone, until it ends or is killed.

        Raises GatescopeError where another process holds it. A URL has no such lock.
        """
        if not self._is_local:
            yield
            return
        import fcntl

        lock = Path(self._path(WORK)) / "lock"
        with self._mended("locking"):
            lock.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise GatescopeError(
                f"output={self.url}: another run is writing there; wait for it or choose another "
                "output"
            ) from error
        else:
            yield
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        """Remove a file or a folder with all that is in it, if it is there."""
        with self._mended(f"removing {name}"):
            if self._is_local and Path(self._path(name)).is_dir():
                shutil.rmtree(self._path(name))
            elif self._fs.exists(self._path(name)):
                self._fs.rm(self._path(name), recursive=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
