"""Clients of a loopback Hub: the command within this process, and pieces of Python in others."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import HfFileSystem, constants, hf_api
from loopback_hub import LoopbackHub

from pipeline.cli import main

GATESCOPE = str(Path(sys.executable).with_name("gatescope"))


def gatescope(
    hub: LoopbackHub, *words: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command, in this process, which is faster; its token is in nothing that it prints."""
    given = hub.environment | environment
    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        patch.setenv("HF_TOKEN", given["HF_TOKEN"])
        # What huggingface_hub reads from the environment as it is imported.
        endpoint = given["HF_ENDPOINT"]
        patch.setattr(constants, "ENDPOINT", endpoint)
        template = f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_OFFLINE", given.get("HF_HUB_OFFLINE") == "1")
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(constants, "HF_TOKEN_PATH", f"{given['HF_HOME']}/token")
        patch.setattr(hf_api.api, "endpoint", endpoint)
        HfFileSystem.clear_instance_cache()
        code = main(list(words))
    for token in (hub.token, hub.read_token, given["HF_TOKEN"]):
        assert not token or token not in out.getvalue() + err.getvalue()
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def python(hub: LoopbackHub, *pieces: str, folder: Path | None = None, **environment: str) -> str:
    """What pieces of Python print, each as if pasted into a new session."""
    program = "\n".join(f"exec({one!r}, {{'__name__': '__main__'}})" for one in pieces)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=hub.environment | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
