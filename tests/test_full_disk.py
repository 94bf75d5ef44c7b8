"""Real disks that are full or read-only: file systems in memory, where they may be mounted."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from crews import Runner
from datasets_compared import differences_between

import pipeline
from pipeline.errors import GatescopeError

Mount = Callable[[str], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Mount]]:
    """A folder on a disk of its own, and a function that changes its options."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip(f"nothing may be mounted here: {mounted.stderr.decode().strip()}")

    def change(options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)

    yield folder, change
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_a_disk_that_is_full_again_and_again(
    disk: tuple[Path, Mount],
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    n_workers: int,
) -> None:
    """At the corpus, at snapshots, at the merge: it is said, and the next run goes on."""
    runner = Runner(texts, monkeypatch)
    runner(tmp_path / "undisturbed")
    folder, change = disk
    output = folder / "dataset"
    n_failed = 0
    for n_kib in (64, 100, 200, 400, 800, 1600, 2400, 3200, 4000, 4800, 5600, 8000, 64_000):
        change(f"size={n_kib}k")
        try:
            runner(output, n_workers)
        except GatescopeError as error:
            assert "No space left on device" in str(error)  # noqa: PT017
            assert "free space" in str(error)  # noqa: PT017
            n_failed += 1
            assert not (output / "manifest.json").exists()
            with pytest.raises(GatescopeError):
                pipeline.open(output)
        else:
            break
    assert n_failed >= 5
    assert differences_between(tmp_path / "undisturbed", output) == []


def test_a_disk_that_is_read_only(
    disk: tuple[Path, Mount], texts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, change = disk
    change("ro")
    with pytest.raises(GatescopeError, match=r"Read-only file system; .*choose another output"):
        Runner(texts, monkeypatch)(folder / "dataset")
    change("rw,size=64m")
    assert list(folder.iterdir()) == []
