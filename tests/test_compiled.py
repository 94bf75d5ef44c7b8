"""When a state is updated by compiled code, and what happens where nothing can be compiled."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.naming import RANKINGS
from pipeline.reduce import LayerState, NativeUpdate, StateSettings
from pipeline.scan import compiled
from pipeline.scan.compiled import choose_update

CPU = torch.device("cpu")
STATES = StateSettings(3, RANKINGS, 2, 1, 1, torch.float32)


@pytest.fixture(autouse=True)
def compiled_anew() -> Iterator[None]:
    """Before each test, and after it: others must not get what a broken compiler made."""
    compiled._library.cache_clear()
    yield
    compiled._library.cache_clear()


def test_only_a_long_job_is_compiled() -> None:
    if not any(map(shutil.which, ("c++", "g++", "clang++"))):
        pytest.skip("no C++ compiler here")
    for setting, n_pairs in (("false", 10**12), ("auto", 1000)):
        assert choose_update(setting, n_pairs, CPU, STATES, pytest.fail) == (
            LayerState.update,
            False,
        )
    for setting, n_pairs in (("true", 0), ("auto", 10**12)):
        update, is_compiled = choose_update(setting, n_pairs, CPU, STATES, pytest.fail)
        assert isinstance(update, NativeUpdate)
        assert is_compiled


def test_without_a_compiler_it_runs_eager_and_says_so_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    told: list[str] = []
    found = choose_update("auto", 10**12, CPU, STATES, told.append)
    assert found == (LayerState.update, False)
    (text,) = told
    assert "scan.compile=auto" in text
    assert "none of c++, g++, clang++" in text


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("echo this compiler is broken >&2; exit 1", "this compiler is broken"),
        ("exit 1", "no reason given"),
        ("sleep 9", "timed out"),
        ('while [ "$1" != -o ]; do shift; done; echo no library > "$2"', "update.so"),
        (
            'while [ "$1" != -o ]; do shift; done; '
            "echo 'int x;' | /usr/bin/gcc -shared -xc -o \"$2\" -",
            "call_size",
        ),
    ],
)
def test_a_compiler_that_fails_is_quoted(
    does: str, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if "gcc" in does and shutil.which("/usr/bin/gcc") is None:
        pytest.skip("no gcc here")
    compiler = tmp_path / "c++"
    compiler.write_text(f"#!/bin/sh\n{does}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(compiled, "_LONGEST_COMPILATION_S", 2 if "sleep" in does else 60)
    told: list[str] = []
    assert not choose_update("true", 0, CPU, STATES, told.append)[1]
    (text,) = told
    assert said in text
