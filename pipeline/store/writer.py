"""The right to write to an output place: one run at a time, on any machine."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psutil

from pipeline.errors import GatescopeError
from pipeline.store.place import WORK, Place

LOCK: Final = f"{WORK}/lock"
LEASE: Final = f"{WORK}/writer.json"
_BEAT_S: Final = 10.0
# A run whose beat stands still for so long is taken for dead.
_LEASE_S: Final = 40.0
_SETTLE_S: Final = 2.0
_log = logging.getLogger(__name__)
_NO_LOCKS: Final = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def only_writer(
    place: Place, note: Callable[[str], object] = lambda text: None
) -> Iterator[Callable[[], None]]:
    """Hold a place for this process alone, until it ends or is killed.

    Gives a function that raises GatescopeError where the right was lost meanwhile; to be called
    before what others must not do at the same time. A local folder is locked; a URL, or a folder
    whose filesystem has no locks, holds a file whose beat says that its run lives. Raises
    GatescopeError where another process holds the place.
    """
    descriptor = _locked(place) if place.is_local else None
    if descriptor is not None:
        try:
            yield lambda: _refuse_removed(place, descriptor)
        finally:
            os.close(descriptor)
        return
    lease = _Lease(place, note)
    try:
        yield lease.check
    finally:
        lease.release()


def _locked(place: Place) -> int | None:
    """The descriptor that holds the lock; None where the filesystem has no locks."""
    lock = Path(place.address) / LOCK
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise GatescopeError(
            f"output={place.url}: locking failed: {error.strerror}; check permissions or choose "
            "another output"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in _NO_LOCKS:
            return None
        raise GatescopeError(
            f"output={place.url}: another run is writing there; wait for it or choose another "
            "output"
        ) from error
    return descriptor


def _refuse_removed(place: Place, descriptor: int) -> None:
    lock = Path(place.address) / LOCK
    if not lock.exists() or lock.stat().st_ino != os.fstat(descriptor).st_ino:
        raise GatescopeError(
            f"output={place.url}: the folder was removed or replaced while the run wrote there; "
            "run the same command again to start anew"
        )


class _Lease:
    """A file in the place that says whose it is; its beat goes up while that run lives."""

    def __init__(self, place: Place, note: Callable[[str], object]) -> None:
        self._place = place
        self._mine = {
            "id": uuid.uuid4().hex,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": psutil.Process().create_time(),
        }
        self._lost = threading.Event()
        self._over = threading.Event()
        self._await_the_end_of_others(note)
        self._write(0)
        # Of several that found nobody there, all have written by then, and the last one has it.
        time.sleep(_SETTLE_S)
        self.check()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def _there(self) -> dict[str, Any] | None:
        return dict(self._place.read_json(LEASE)) if self._place.exists(LEASE) else None

    def _write(self, beat: int) -> None:
        self._place.write_json(LEASE, {**self._mine, "beat": beat}, durable=False)

    def _await_the_end_of_others(self, note: Callable[[str], object]) -> None:
        other = self._there()
        if other is None or _is_dead(other):
            return
        who = f"process {other.get('pid')} on {other.get('host')}"
        note(f"output={self._place}: {who} was writing there; seeing whether it still does")
        until = time.monotonic() + _LEASE_S * self._place.pace
        while time.monotonic() < until:
            time.sleep(min(1.0, _LEASE_S / 10))
            now = self._there()
            if now is None:
                return
            if now != other:
                raise GatescopeError(
                    f"output={self._place.url}: another run is writing there ({who}); wait for it "
                    "or choose another output"
                )

    def _beat(self) -> None:
        beat = 0
        while not self._over.wait(_BEAT_S * self._place.pace):
            beat += 1
            try:
                there = self._there()
                if there is None or there["id"] != self._mine["id"]:
                    self._lost.set()
                    return
                self._write(beat)
            except GatescopeError:
                # The place is away for longer than is waited for: the next write of the run says
                # so, and whether the lease is still ours shows once it is back.
                continue

    def check(self) -> None:
        """Raise GatescopeError where another run has the place now."""
        if not self._lost.is_set():
            there = self._there()
            if there is not None and there["id"] == self._mine["id"]:
                return
        raise GatescopeError(
            f"output={self._place.url}: another run is writing there now; wait for it, then run "
            "the same command again"
        )

    def release(self) -> None:
        self._over.set()
        self._thread.join(_SETTLE_S)
        try:
            there = self._there()
            if there is not None and there["id"] == self._mine["id"]:
                self._place.remove(LEASE)
        except GatescopeError as error:
            # What the run ends with is told, not this: the next one waits for the lease to end.
            _log.warning("%s", error)


def _is_dead(other: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    if other.get("host") != socket.gethostname():
        return False
    try:
        return bool(psutil.Process(int(other["pid"])).create_time() != other["started"])
    except psutil.NoSuchProcess:
        return True
