"""When a state is updated by compiled code, and what happens where nothing can be compiled."""

from __future__ import annotations

import shutil
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
def compiled_anew() -> None:
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


def test_a_compiler_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho this compiler is broken >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    told: list[str] = []
    assert not choose_update("true", 0, CPU, STATES, told.append)[1]
    assert "this compiler is broken" in told[0]
