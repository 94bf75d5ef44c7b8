"""An output on S3: a server on loopback (moto's, as in the tests of s3fs) that fails at times."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from crews import N_UNITS, Runner, names, nothing
from datasets_compared import differences_between
from werkzeug.serving import BaseWSGIServer, make_server

import pipeline
from pipeline.errors import GatescopeError
from pipeline.schema import TABLES
from pipeline.store import Place, committed_snapshots
from pipeline.store import place as place_module
from pipeline.store import writer as writer_module

s3fs = pytest.importorskip("s3fs")
moto_server = pytest.importorskip("moto.server")

# What aiobotocore's connection pool leaves to the garbage collector when a server has gone.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")


class Server:
    """An S3 server that may answer 500 for a while, or be gone; what it holds stays."""

    def __init__(self) -> None:
        self._app = moto_server.DomainDispatcherApplication(moto_server.create_backend_app)
        self.n_failed = 0
        self._fails_until = 0.0
        self._server: BaseWSGIServer | None = None
        self.port = 0
        self.start()

    def _answer(self, environment: dict[str, Any], start: Callable[..., Any]) -> Any:
        if time.monotonic() < self._fails_until:
            self.n_failed += 1
            start("500 Internal Server Error", [("Content-Type", "application/xml")])
            return [b"<Error><Code>InternalError</Code><Message>We failed.</Message></Error>"]
        return self._app(environment, start)

    def start(self) -> None:
        self._server = make_server("127.0.0.1", self.port, self._answer, threaded=True)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def fail_for(self, seconds: float) -> None:
        self._fails_until = time.monotonic() + seconds


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "testing")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        # botocore's own patience is not what is tested.
        patch.setenv("AWS_MAX_ATTEMPTS", "1")
        fsspec.filesystem("s3").mkdir("bucket")
        yield server
    server.stop()


@pytest.fixture
def runner(texts: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    monkeypatch.setattr(place_module, "_LONGEST_WAIT_S", 0.5)
    monkeypatch.setattr(writer_module, "_LEASE_S", 1.0)
    monkeypatch.setattr(writer_module, "_SETTLE_S", 0.1)
    # Neither is that of s3fs.
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    return Runner(texts, monkeypatch)


def fetched(url: str, folder: Path) -> Path:
    fsspec.filesystem("s3", use_listings_cache=False).get(url, str(folder), recursive=True)
    return folder


def test_a_run(server: Server, undisturbed: Path, runner: Runner, tmp_path: Path) -> None:
    url = "s3://bucket/run"
    runner(url, 2)
    folder = fetched(url, tmp_path / "fetched")
    assert differences_between(undisturbed, folder) == []
    assert {path.name for path in folder.iterdir()} == {path.name for path in undisturbed.iterdir()}
    assert names(folder)["unit_counted"] == N_UNITS
    with pipeline.open(url) as remote, pipeline.open(undisturbed) as local:
        for table in TABLES:
            counts = [ds.sql(f"select count(*) from {table}").fetchall() for ds in (remote, local)]
            assert counts[0] == counts[1]
        assert remote.neuron(3, 17).stats == local.neuron(3, 17).stats


@pytest.mark.parametrize("how", ["answers 500", "is gone"])
def test_the_server_is_away_for_a_while(
    server: Server, undisturbed: Path, runner: Runner, tmp_path: Path, how: str
) -> None:
    """Whenever that is: at a snapshot of any worker, at a commit, or at the merge."""
    url = f"s3://bucket/away-{how.replace(' ', '-')}"
    n_asked = [0]
    lock = threading.Lock()

    def mishap(worker: Any, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        n_asked[0] += 1
        if n_asked[0] in (8, 20, 40) and lock.acquire(blocking=False):
            if how == "answers 500":
                server.fail_for(2.0)
                lock.release()
                return
            server.stop()

            def back() -> None:
                server.start()
                lock.release()

            threading.Timer(2.0, back).start()

    runner(url, 2, mishap)
    assert how == "is gone" or server.n_failed > 0
    assert differences_between(undisturbed, fetched(url, tmp_path / "fetched")) == []


def test_the_server_stays_away(
    server: Server,
    undisturbed: Path,
    runner: Runner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The run says so and stops; nothing there looks whole, and the next one goes on."""
    url = "s3://bucket/stays-away"
    monkeypatch.setattr(place_module, "_PATIENCE_S", {"new": 0.5, "reached": 2.0})

    def mishap(worker: Any, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if method == "scan" and arguments[0].unit_id == 6:
            server.fail_for(3600)

    with pytest.raises(GatescopeError, match=r"output=s3://bucket/stays-away: .* failed: "):
        runner(url, 2, mishap)
    server.fail_for(0)
    assert not Place(url).exists("manifest.json")
    with pytest.raises(GatescopeError, match="unfinished"):
        pipeline.open(url)
    n_kept = sum(len(s.units) for s in committed_snapshots(Place(url)))
    assert n_kept > 0
    assert runner(url, 1)["scan"]["n_resumed_units"] == n_kept
    assert differences_between(undisturbed, fetched(url, tmp_path / "fetched")) == []


def test_no_such_bucket(server: Server, runner: Runner) -> None:
    started = time.monotonic()
    with pytest.raises(GatescopeError, match="output=s3://no-such-bucket/run: "):
        runner("s3://no-such-bucket/run", 1, nothing)
    assert time.monotonic() - started < 60


def test_status_from_elsewhere(
    server: Server, runner: Runner, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.cli import main

    url = "s3://bucket/status"
    said: list[str] = []

    def mishap(worker: Any, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if method == "merge" and not said:
            # It is uploaded now and then.
            until = time.monotonic() + 30
            while not Place(url).exists("_work/status.json") and time.monotonic() < until:
                time.sleep(0.2)
            assert main(["status", url]) == 0
            said.append(capsys.readouterr().out)

    runner(url, 1, mishap)
    assert "running" in said[0]
    assert "Merging: 0 of 2 layers" in said[0]
    assert main(["status", url]) == 0
    assert "complete" in capsys.readouterr().out
