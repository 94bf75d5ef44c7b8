"""What `gatescope publish` refuses, and what it says then."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_clients import gatescope
from loopback_hub import LoopbackHub, loopback_hub
from synthetic import Synthetic, write_synthetic


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("publish") / "ds", n_neurons=6, seed=2)


@pytest.fixture
def hub() -> Iterator[LoopbackHub]:
    with loopback_hub() as hub:
        yield hub


def refused(hub: LoopbackHub, *words: str, **environment: str) -> str:
    """The one line that says why."""
    done = gatescope(hub, "publish", *words, **environment)
    assert done.returncode == 2, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("gatescope: ")]
    assert "Traceback" not in done.stderr
    assert not hub.uploads, "it was refused before anything was sent"
    return line


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"HF_TOKEN": ""}, r"no token is here; run `hf auth login`, or set HF_TOKEN"),
        ({"HF_TOKEN": "hf_wrong"}, r"the Hub does not know the token.*; log in again"),
        ({"HF_TOKEN": LoopbackHub.read_token}, r"the token may not do this .*may write there"),
        ({"HF_ENDPOINT": "http://127.0.0.1:9"}, r"127.0.0.1:9 cannot be reached .*check the net"),
        ({"HF_HUB_OFFLINE": "1"}, r"HF_HUB_OFFLINE is set; unset it"),
    ],
)
def test_tokens_and_networks(
    made: Synthetic, hub: LoopbackHub, environment: dict[str, str], said: str
) -> None:
    line = refused(hub, str(made.path), "org/name", **environment)
    assert re.search(rf"^gatescope: publish: org/name: .*{said}", line), line


@pytest.mark.parametrize("repo", ["a/b/c", "org/na me", "-", "org/..", "", "org/name@v1"])
def test_names_that_are_none(made: Synthetic, hub: LoopbackHub, repo: str) -> None:
    line = refused(hub, str(made.path), repo)
    assert "is no repository on the Hub; write org/name" in line


def test_an_organisation_of_others(made: Synthetic, hub: LoopbackHub) -> None:
    line = refused(hub, str(made.path), "strangers/name")
    assert "the token may not do this" in line


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"train.csv": b"a,b\n", "x.csv": b""}, r"holds 2 files \(such as train.csv\) and no Gate"),
        ({"manifest.json": b"{}"}, r"has a manifest.json that is not that of a Gatescope dataset"),
        ({"manifest.json": b"[1"}, r"has a manifest.json that is not that of a Gatescope dataset"),
        (
            {"manifest.json": json.dumps({"model": {"name": "org/else"}}).encode()},
            r"holds the dataset of org/else, and this is that of test/synthetic on random",
        ),
    ],
)
def test_a_repository_with_other_content(
    made: Synthetic, hub: LoopbackHub, files: dict[str, bytes], said: str
) -> None:
    before = hub.put("org/name", files).files
    line = refused(hub, str(made.path), "org/name")
    assert re.search(rf"^gatescope: publish: org/name {said}.*; publish to another repo", line), (
        line
    )
    assert hub.repo("org/name").files == before


def test_a_repository_with_a_card_alone(made: Synthetic, hub: LoopbackHub) -> None:
    """As the Hub's pages make one."""
    hub.put("org/name", {"README.md": b"---\nlicense: mit\n---\n"})
    done = gatescope(hub, "publish", str(made.path), "org/name")
    assert done.returncode == 0, done.stderr


def test_datasets_that_cannot_be_published(
    made: Synthetic, hub: LoopbackHub, tmp_path: Path
) -> None:
    assert "does not exist" in refused(hub, str(tmp_path / "gone"), "org/name")
    hub.put("org/there", {"manifest.json": (made.path / "manifest.json").read_bytes()})
    assert "is not on this machine; copy it" in refused(hub, "org/there", "org/name")
    damaged = tmp_path / "ds"
    shutil.copytree(made.path, damaged)
    (damaged / "sign_stats/layer=1/part-0.parquet").unlink()
    line = refused(hub, str(damaged), "org/name")
    assert "is not sound" in line
    assert f"`gatescope verify {damaged}` says all" in line
