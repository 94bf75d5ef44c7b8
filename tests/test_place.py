"""A place on the network that is away for a while, and the right to write to a place."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from pipeline.errors import GatescopeError
from pipeline.store import EventLog, Place, only_writer
from pipeline.store import place as place_module
from pipeline.store import writer as writer_module


@pytest.fixture
def url() -> str:
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    """What the next requests to a memory place end with; no time passes between tries."""
    errors: list[Exception] = []

    def faulty(name: str) -> Any:
        whole = getattr(MemoryFileSystem, name)

        def call(self: MemoryFileSystem, *arguments: Any, **more: Any) -> Any:
            if errors:
                raise errors.pop(0)
            return whole(self, *arguments, **more)

        return call

    for name in ("cat_file", "put_file", "info", "find"):
        monkeypatch.setattr(MemoryFileSystem, name, faulty(name))
    monkeypatch.setattr(place_module, "_LONGEST_WAIT_S", 0.01)
    return errors


def test_a_request_is_made_again(url: str, answers: list[Exception]) -> None:
    place = Place(url)
    answers += [OSError(errno.EIO, "500 Internal Server Error"), ConnectionError("refused")]
    place.write_text("a/b", "text")
    answers += [OSError("Service Unavailable"), RuntimeError("of a class of its own")]
    assert place.read_bytes("a/b") == b"text"
    answers.append(TimeoutError("slow"))
    assert place.names() == ["a/b"]
    assert answers == []


@pytest.mark.parametrize("error", [PermissionError("403"), FileNotFoundError("no bucket")])
def test_what_will_not_pass_is_said_at_once(
    url: str, answers: list[Exception], error: Exception
) -> None:
    place = Place(url)
    answers += [error, OSError("never asked for")]
    with pytest.raises(GatescopeError, match=f"output={url}: reading x failed: {error}"):
        place.read_bytes("x")
    assert len(answers) == 1


def test_a_place_that_does_not_answer_is_not_an_empty_one(
    url: str, answers: list[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place_module, "_PATIENCE_S", {"new": 0.05, "reached": 0.05})
    place = Place(url)
    place.write_text("a", "text")
    for ask in (lambda: place.exists("a"), place.names, lambda: place.remove("a")):
        answers += [OSError("503")] * 10_000
        with pytest.raises(GatescopeError, match="503"):
            ask()
        answers.clear()
    assert place.names() == ["a"]
    assert not place.exists("b")


def test_patience_ends(url: str, answers: list[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """Soon where the place was never reached, for that is likely a mistake; later otherwise."""
    monkeypatch.setattr(place_module, "_PATIENCE_S", {"new": 0.05, "reached": 1.0})
    for _ in range(2):
        place = Place(url)
        answers += [OSError("503")] * 10_000
        started = time.monotonic()
        with pytest.raises(GatescopeError, match=r"writing a failed: 503; free space"):
            place.write_text("a", "text")
        assert time.monotonic() - started < 5
        answers.clear()
    place.write_text("a", "text")
    answers += [OSError("503")] * 10_000
    started = time.monotonic()
    with pytest.raises(GatescopeError, match="503"):
        place.write_text("a", "other")
    assert time.monotonic() - started >= 0.9
    answers.clear()
    assert place.read_bytes("a") == b"text"


def test_a_file_is_filled_once_and_sent_often(url: str, answers: list[Exception]) -> None:
    filled = []

    def fill(path: Path) -> None:
        filled.append(path)
        path.write_text("text")

    answers += [OSError("503")] * 3
    Place(url).write("a", fill)
    assert len(filled) == 1


def test_an_error_of_who_fills_is_its_own(url: str, tmp_path: Path) -> None:
    def fill(path: Path) -> None:
        raise LookupError("mine")

    for place in (Place(url), Place(tmp_path)):
        with pytest.raises(LookupError, match="mine"):
            place.write("a", fill)
        assert place.names() == []


def test_other_working_folders_find_the_same_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Place("outputs/x").address == str(tmp_path / "outputs/x")
    assert Place("s3://bucket/x").address == "s3://bucket/x"


@pytest.mark.parametrize("kind", ["local", "memory"])
def test_events(kind: str, url: str, tmp_path: Path) -> None:
    place = Place(tmp_path if kind == "local" else url)
    log = EventLog(place)
    log.write("started", n=1, text="é\n")
    log.flush()
    # A run was killed in the middle of a line.
    whole = place.read_bytes("events.jsonl").decode()
    place.write_text("events.jsonl", whole + '{"time": "20')
    log = EventLog(place)
    log.write("resumed")
    log.flush()
    lines = place.read_bytes("events.jsonl").decode().splitlines()
    assert len(lines) == 3
    assert '"started", "n": 1, "text": "é\\n"}' in lines[0]
    assert '"resumed"' in lines[2]


_HOLD = """
import sys, time
from pipeline.store import Place, only_writer
with only_writer(Place(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_held_by_one_process_until_it_dies(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(GatescopeError, match="another run is writing"),
            only_writer(Place(tmp_path)),
        ):
            pass
        other.kill()
    with only_writer(Place(tmp_path)) as check:
        check()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_BEAT_S", 0.05)
    monkeypatch.setattr(writer_module, "_LEASE_S", 1.0)
    monkeypatch.setattr(writer_module, "_SETTLE_S", 0.0)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("kind", ["url", "folder without locks"])
def test_a_place_without_locks_is_leased(
    kind: str, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "folder without locks":

        def no_locks(*_: object) -> None:
            raise OSError(errno.ENOLCK, "No locks available")

        monkeypatch.setattr(fcntl, "flock", no_locks)
        url = str(tmp_path)
    with only_writer(Place(url)) as check:
        check()
        with (
            pytest.raises(GatescopeError, match=r"another run is writing there \(process"),
            only_writer(Place(url)),
        ):
            pass
        time.sleep(0.2)
        check()
    with only_writer(Place(url)) as check:
        check()
    assert "_work/writer.json" not in Place(url).names()


@pytest.mark.usefixtures("soon")
def test_the_lease_of_a_run_that_is_no_more_is_taken(url: str) -> None:
    place, notes = Place(url), []
    dead = {"id": "x", "host": os.uname().nodename, "pid": 2**22 + 1, "started": 0.0, "beat": 3}
    place.write_json("_work/writer.json", dead)
    with only_writer(place, notes.append) as check:
        check()
    assert notes == []
    # Nobody can tell of another machine's: its beat is waited for.
    place.write_json("_work/writer.json", {**dead, "host": "elsewhere"})
    started = time.monotonic()
    with only_writer(place, notes.append) as check:
        check()
    assert time.monotonic() - started >= 1.0
    assert len(notes) == 1


@pytest.mark.usefixtures("soon")
def test_a_lease_that_another_takes_is_lost(url: str) -> None:
    """Such as after a machine was asleep: whoever sleeps must not commit any more."""
    place = Place(url)
    with only_writer(place) as check:
        there = place.read_json("_work/writer.json")
        place.write_json("_work/writer.json", {**there, "id": "another"})
        time.sleep(0.2)
        with pytest.raises(GatescopeError, match="another run is writing there now"):
            check()
    assert place.read_json("_work/writer.json")["id"] == "another"


def test_only_one_of_many_gets_a_lease(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_BEAT_S", 0.02)
    monkeypatch.setattr(writer_module, "_SETTLE_S", 0.5)
    held = []
    together = threading.Barrier(4)

    def try_it() -> None:
        together.wait()
        try:
            with only_writer(Place(url)) as check:
                time.sleep(0.3)
                check()
                held.append(1)
                time.sleep(0.3)
        except GatescopeError:
            pass

    threads = [threading.Thread(target=try_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(held) == 1
