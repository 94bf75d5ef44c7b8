"""Runs over several workers, to which everything happens that happens on clusters."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from crews import N_UNITS, Runner, Threads, events, names, nothing
from datasets_compared import differences_between

import pipeline.run
import pipeline.scan.blame
import pipeline.scan.team
from pipeline.errors import GatescopeError, Interrupted
from pipeline.scan import Worker
from pipeline.scan.crew import Lost
from pipeline.store import Place, committed_snapshots


@pytest.fixture
def runner(texts: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    # Nobody has to wait for what is lost here.
    monkeypatch.setattr(pipeline.scan.team, "_LONGEST_PAUSE_S", 0.0)
    monkeypatch.setattr(pipeline.scan.team, "_PULSE_EVERY_S", 0.05)
    return Runner(texts, monkeypatch)


def assert_each_unit_kept_once(output: Path) -> None:
    """By the events alone: what was counted, less what was given out again, is every unit once."""
    balance: Counter[int] = Counter()
    for event in events(output):
        if event["event"] == "unit_counted":
            balance[event["unit"]] += 1
        if event["event"] == "worker_lost":
            counted = [u for u in event["units_again"] if balance[u] > 0]
            balance.subtract(counted)
    assert balance == Counter(range(N_UNITS))


@pytest.mark.parametrize("n_workers", [2, 3])
def test_any_number_of_workers(
    undisturbed: Path, runner: Runner, tmp_path: Path, n_workers: int
) -> None:
    manifest = runner(tmp_path / "dataset", n_workers)
    assert differences_between(undisturbed, tmp_path / "dataset") == []
    workers = manifest["scan"]["workers"]
    assert sum(worker["n_units"] for worker in workers) == N_UNITS
    assert_each_unit_kept_once(tmp_path / "dataset")


@pytest.mark.parametrize("seed", range(6))
def test_workers_are_lost_at_any_time(
    undisturbed: Path, runner: Runner, tmp_path: Path, seed: int
) -> None:
    """Before and after each thing that a worker does, also when its answer is all that is lost."""
    rng = random.Random(seed)
    lost: list[str] = []

    def mishap(worker: Worker, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if len(lost) < 8 and rng.random() < 0.15:
            lost.append(f"{'after' if done else 'before'} {method}")
            raise Lost(lost[-1])

    output = tmp_path / "dataset"
    # So many of so few units may well be at one of them.
    runner.patch.setattr(pipeline.scan.blame, "_TRIES", 1000)
    runner.patch.setattr(pipeline.scan.blame, "_MOST_TRIES", 1000)
    runner(output, 3, mishap)
    assert differences_between(undisturbed, output) == []
    n_told = names(output)["worker_lost"]
    # Those that are lost before the scan begins are noted on the terminal alone.
    assert n_told >= sum("load" not in how and "plan" not in how for how in lost) > 0
    assert not (output / "_work").exists()


def test_two_drivers_die(undisturbed: Path, runner: Runner, tmp_path: Path) -> None:
    """The next one knows what was kept, with other numbers of workers each time."""

    class Killed(BaseException):
        pass

    output = tmp_path / "dataset"
    n_left = [3]

    def mishap(worker: Worker, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if method == "scan" and done:
            n_left[0] -= 1
            if n_left[0] == 0:
                raise Killed

    for n_workers in (3, 1):
        n_left[0] = 3
        with pytest.raises(Killed):
            runner(output, n_workers, mishap)
        assert not (output / "manifest.json").exists()
        time.sleep(0.5)  # as of another process, what was begun may end after its driver
    n_kept = sum(len(s.units) for s in committed_snapshots(Place(output)))
    assert 0 < n_kept < N_UNITS
    manifest = runner(output, 2)
    assert manifest["scan"]["n_resumed_units"] == n_kept
    assert differences_between(undisturbed, output) == []


def test_a_driver_dies_at_the_merge(undisturbed: Path, runner: Runner, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    output = tmp_path / "dataset"
    merged: list[int] = []

    def mishap(worker: Worker, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if method == "merge" and not done:
            if merged:
                raise Killed
            merged.append(arguments[0])

    with pytest.raises(Killed):
        runner(output, 1, mishap)
    again: list[int] = []
    runner(
        output,
        1,
        lambda worker, method, arguments, done: (
            again.append(arguments[0]) if method == "merge" and done else None
        ),
    )
    assert (merged, again) == ([0], [3])
    assert differences_between(undisturbed, output) == []


@pytest.mark.parametrize("error", [RuntimeError("CUDA error"), Lost("segmentation fault")])
def test_a_unit_that_fails_again_and_again(
    undisturbed: Path, runner: Runner, tmp_path: Path, error: Exception
) -> None:
    output = tmp_path / "dataset"
    tries: list[int] = []

    def mishap(worker: Worker, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if method == "scan" and not done and arguments[0].unit_id == 4:
            tries.append(4)
            raise error

    with pytest.raises(GatescopeError, match=rf"unit 4 \(examples \d+ to \d+ .*{error}"):
        runner(output, 2, mishap)
    # Losses are told from bad luck by what was counted elsewhere by then, so it may take one more.
    assert len(tries) == 3 or (isinstance(error, Lost) and 3 < len(tries) <= 5)
    assert names(output)["stopped"] == 1
    # All others are kept.
    kept = {unit for s in committed_snapshots(Place(output)) for unit in s.units}
    assert kept == set(range(N_UNITS)) - {4}
    assert runner(output, 2)["scan"]["n_resumed_units"] == N_UNITS - 1
    assert differences_between(undisturbed, output) == []


def test_a_worker_hangs_and_goes_on_too_late(
    undisturbed: Path, runner: Runner, tmp_path: Path
) -> None:
    """Its units are given to others; what it writes afterwards changes nothing."""
    output = tmp_path / "dataset"
    hangs, waits = threading.Event(), threading.Event()

    def mishap(worker: Worker, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if method == "snapshot" and not done and not hangs.is_set():
            hangs.set()
            waits.wait(60)
            # It was stopped meanwhile, and yet it writes.
            worker._stopped.clear()
            worker.snapshot(*arguments)

    def release() -> None:
        hangs.wait(60)
        while not output.joinpath("events.jsonl").exists() or not names(output)["worker_lost"]:
            time.sleep(0.05)
        waits.set()

    helper = threading.Thread(target=release)
    helper.start()
    runner(output, 2, mishap, hang_after_s=3.0)
    helper.join()
    lost = next(event for event in events(output) if event["event"] == "worker_lost")
    assert "no sign of life for 3 s at snapshot" in lost["reason"]
    assert differences_between(undisturbed, output) == []


def test_workers_join_late_and_leave_early(
    undisturbed: Path, runner: Runner, tmp_path: Path
) -> None:
    output = tmp_path / "dataset"
    crews: list[Threads] = []
    n_counted = [0]

    def mishap(worker: Worker, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if method == "scan" and done:
            n_counted[0] += 1
            if n_counted[0] == 2:
                crews[0].n = 3
            if n_counted[0] == 4:
                worker.leave()

    # No snapshot but those that leaving asks for, and the last.
    manifest = runner(output, 1, mishap, "cluster.snapshot_every_s=1000", crew=crews.append)
    assert names(output)["worker_left"] == 1
    assert names(output)["unit_counted"] == N_UNITS
    assert len(manifest["scan"]["workers"]) >= 3
    assert differences_between(undisturbed, output) == []


def test_told_to_leave(undisturbed: Path, runner: Runner, tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    before = signal.getsignal(signal.SIGTERM)

    def mishap(worker: Worker, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if method == "scan" and not done and arguments[0].unit_id == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        runner(output, 2, mishap, "cluster.snapshot_every_s=1000")
    assert signal.getsignal(signal.SIGTERM) == before
    n_counted = names(output)["unit_counted"]
    # What was begun is ended, and kept.
    assert sum(len(s.units) for s in committed_snapshots(Place(output))) == n_counted >= 3
    manifest = runner(output, 1, nothing, "cluster.snapshot_every_s=1000")
    assert manifest["scan"]["n_resumed_units"] == n_counted
    assert names(output)["unit_counted"] == N_UNITS
    assert differences_between(undisturbed, output) == []


def _damage(path: Path, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


@pytest.mark.parametrize("what", ["layer", "truncated", "missing", "commit"])
@pytest.mark.parametrize("n_workers", [1, 3])
def test_a_damaged_snapshot_is_scanned_again(
    undisturbed: Path, runner: Runner, tmp_path: Path, what: str, n_workers: int
) -> None:
    output, rng = tmp_path / "dataset", random.Random(5)

    def mishap(worker: Worker, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if method == "scan" and not done and arguments[0].unit_id == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        runner(output, 2, mishap)
    snapshots = committed_snapshots(Place(output))
    folder = output / rng.choice(snapshots).folder
    layer = folder / "layer-0003.safetensors"
    if what == "layer":
        _damage(layer, rng)
    elif what == "truncated":
        layer.write_bytes(layer.read_bytes()[:-1])
    elif what == "missing":
        layer.unlink()
    else:
        _damage(folder / "commit.json", rng)
    n_again = len(next(s for s in snapshots if str(folder).endswith(s.name)).units)
    n_kept = sum(len(s.units) for s in snapshots)
    manifest = runner(output, n_workers)
    assert differences_between(undisturbed, output) == []
    assert manifest["scan"]["n_resumed_units"] == n_kept - n_again
    assert names(output)["snapshot_damaged"] == (what != "commit")


def test_a_snapshot_is_damaged_before_the_merge(
    undisturbed: Path, runner: Runner, tmp_path: Path
) -> None:
    output, rng = tmp_path / "dataset", random.Random(0)
    damaged: list[Path] = []

    def mishap(worker: Worker, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        if method == "merge" and not damaged:
            damaged.append(output / arguments[2][0].folder / "layer-0000.safetensors")
            _damage(damaged[0], rng)

    runner(output, 2, mishap)
    assert names(output)["snapshot_damaged"] == 1
    assert differences_between(undisturbed, output) == []


def test_a_worker_of_another_kind_is_refused(runner: Runner, tmp_path: Path) -> None:
    from dataclasses import replace

    load = Worker.load

    def other(self: Worker) -> Any:
        loaded = load(self)
        if self._name.endswith("-1"):
            return replace(loaded, facts=replace(loaded.facts, dtype="bfloat16"))
        return loaded

    runner.patch.setattr(Worker, "load", other)
    with pytest.raises(GatescopeError, match="another model than the first"):
        runner(tmp_path / "dataset", 2)


def test_an_output_that_the_worker_does_not_share(runner: Runner, tmp_path: Path) -> None:
    def elsewhere(crew: Threads) -> None:
        make = crew._make

        def moved(name: str) -> Worker:
            worker = make(name)
            worker._place = Place(tmp_path / "another machine")
            return worker

        crew._make = moved

    with pytest.raises(GatescopeError, match="give a folder that all machines share"):
        runner(tmp_path / "dataset", 1, crew=elsewhere)


def test_workers_that_never_come(runner: Runner, tmp_path: Path) -> None:
    def mishap(worker: Worker, method: str, arguments: tuple[Any, ...], done: bool) -> None:
        raise Lost("out of memory")

    with pytest.raises(GatescopeError, match=r"12 workers were lost .* load: out of memory"):
        runner(tmp_path / "dataset", 2, mishap)
    assert not (tmp_path / "dataset").exists()


def test_a_full_disk(undisturbed: Path, runner: Runner, tmp_path: Path) -> None:
    output = tmp_path / "dataset"
    write = Place.write

    def full(self: Place, name: str, fill: Any, **durable: bool) -> None:
        if "snapshots" in name and not name.endswith("/000001/layer-0000.safetensors"):
            fill_and_fail: Callable[[Path], object] = lambda path: (  # noqa: E731
                path.write_bytes(b"half"),
                (_ for _ in ()).throw(OSError(28, "No space left on device")),
            )
            return write(self, name, fill_and_fail, **durable)
        return write(self, name, fill, **durable)

    with runner.patch.context() as patch:
        patch.setattr(Place, "write", full)
        with pytest.raises(GatescopeError, match="No space left on device"):
            runner(output, 2)
    assert committed_snapshots(Place(output)) == []
    assert not list(output.glob("_work/tmp-*"))
    runner(output, 2)
    assert differences_between(undisturbed, output) == []


def test_nothing_of_size_goes_through_the_driver(runner: Runner, tmp_path: Path) -> None:
    """What workers are asked and answer is a few KB, whatever they hold."""
    import pickle

    largest: Counter[str] = Counter()
    ask = Threads.hire

    def hire(self: Threads, name: str) -> Any:
        hired = ask(self, name)
        inner = hired.ask

        def measured(method: str, *arguments: Any) -> Future[Any]:
            future = inner(method, *arguments)
            largest[method] = max(largest[method], len(pickle.dumps(arguments)))
            future.add_done_callback(
                lambda f: largest.update(
                    {method: max(0, len(pickle.dumps(f.result())) - largest[method])}
                )
            )
            return future

        hired.ask = measured  # type: ignore[method-assign]
        return hired

    runner.patch.setattr(Threads, "hire", hire)
    runner(tmp_path / "dataset", 2)
    assert set(largest) == {"load", "plan", "begin", "scan", "snapshot", "merge"}
    assert max(largest.values()) < 4096, largest
