"""How far a run is: the display of a terminal, the lines of a log, and `gatescope status`."""

from __future__ import annotations

import io
import json
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from pipeline.cli import main
from pipeline.status import RunStatus, WorkerStatus
from pipeline.store import Place, RunRecord
from pipeline.view.run_status import (
    duration,
    render_from_elsewhere,
    render_status,
    run_display,
    status_line,
)

WORKERS = (
    WorkerStatus("a1b2c3-0", "node-1", "unit 17", 1_200_000, 1520.4),
    WorkerStatus("a1b2c3-1", "[red]node-2", "snapshot", 1_100_000, 1501.0),
    WorkerStatus("a1b2c3-2", "", "load", 0, 0.0),
)
STATUS = RunStatus(
    time="2026-01-02T03:04:05.000+00:00",
    phase="scanning",
    host="head",
    pid=7,
    n_units=40,
    n_units_done=12,
    n_units_kept=9,
    n_tokens=4_000_000,
    n_tokens_done=1_240_000,
    tokens_per_s=3021.6,
    seconds_left=913.0,
    n_layers=32,
    n_layers_done=0,
    workers=WORKERS,
    n_workers_wanted=4,
    n_workers_lost=1,
    n_units_again=3,
    last_snapshot="2026-01-02T03:03:31.000+00:00",
)


def test_json_and_back() -> None:
    assert RunStatus.from_json(json.loads(json.dumps(STATUS.to_json()))) == STATUS


def test_a_line() -> None:
    assert status_line(STATUS) == (
        "Scanning: 1,240,000 of 4,000,000 tokens (31%), 12 of 40 units, 9 kept; 3,022 tokens/s, "
        "15 min left; 2 of 4 workers; last snapshot 34 s ago; workers lost: 1; "
        "units given out again: 3; by worker 1,520, 1,501 tokens/s"
    )
    many = replace(STATUS, workers=WORKERS[:2] * 5)
    assert status_line(many).endswith("; by worker 1,501 to 1,520 tokens/s")
    merging = replace(STATUS, phase="merging", n_layers_done=3)
    assert status_line(merging).startswith("Merging: 3 of 32 layers; 2 of 4 workers")
    fresh = replace(STATUS, last_snapshot=None, n_workers_lost=0, n_units_again=0)
    assert "2 of 4 workers; no snapshot yet" in status_line(fresh)
    alone = replace(fresh, workers=WORKERS[:1])
    assert status_line(alone).endswith("1 of 4 workers; no snapshot yet")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0 s"), (119.0, "119 s"), (120.0, "2 min"), (7140.0, "119 min"), (7260.0, "2 h 1 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def rendered(status: RunStatus) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(render_status(status))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_every_worker_has_a_line() -> None:
    lines = rendered(STATUS).splitlines()
    assert "a1b2c3-0" in lines[4]
    assert "unit 17" in lines[4]
    assert "1,520" in lines[4]
    # What a machine calls itself is shown as it is.
    assert "[red]node-2" in lines[5]
    assert "waits for its place" in lines[6]
    assert "and 34 more workers" in rendered(replace(STATUS, workers=WORKERS[:1] * 50))


def test_a_log_has_a_line_now_and_then_and_one_at_each_end() -> None:
    console = Console(file=io.StringIO(), width=80)
    with run_display(console) as show:
        for done in (0, 10, 20):
            show(replace(STATUS, n_tokens_done=done))
        show(replace(STATUS, phase="merging", n_tokens_done=4_000_000))
        show(replace(STATUS, phase="merging", n_layers_done=32))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.partition(",")[0].partition(";")[0] for line in lines] == [
        "Scanning: 0 of 4",
        "Scanning: 4",
        "Merging: 32 of 32 layers",
    ]
    assert "4,000,000 of 4,000,000 tokens (100%)" in lines[1]


def test_a_terminal_keeps_a_line_of_each_phase() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    with run_display(console) as show:
        show(STATUS)
        show(replace(STATUS, phase="merging"))
    assert "Merging: 0 of 32 layers; 2 of 4 workers" in console.file.getvalue()  # type: ignore[attr-defined]


def from_elsewhere(age: timedelta) -> str:
    console = Console(file=io.StringIO(), width=200)
    then = (datetime.now(UTC) - age).isoformat()
    console.print(render_from_elsewhere(replace(STATUS, time=then), "s3://bucket/[bold]x"))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_from_elsewhere() -> None:
    assert "s3://bucket/[bold]x: running (process 7 on head), as of 3 s ago" in from_elsewhere(
        timedelta(seconds=3)
    )
    said = from_elsewhere(timedelta(hours=3))
    assert "unfinished, and nobody has written there for 3 h 0 min (process 7 on head did)" in said
    assert "running" not in said


def test_a_run_that_has_ended(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=200)
    now = datetime.now(UTC).isoformat()
    for ended in (
        replace(STATUS, time=now, phase="stopped"),
        # Killed, on this machine: no process has such a number.
        replace(STATUS, time=now, host=socket.gethostname(), pid=2**22 + 1),
    ):
        console.print(render_from_elsewhere(ended, "out"))
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert said.count("has ended; the same `gatescope run` again goes on") == 2
    assert "running" not in said


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(tmp_path / "nowhere")]) == 2
    assert "no run has begun to scan there" in capsys.readouterr().err
    RunRecord(Place(tmp_path)).keep_status(STATUS)
    assert main(["status", str(tmp_path)]) == 0
    assert "12 of 40 units" in capsys.readouterr().out
