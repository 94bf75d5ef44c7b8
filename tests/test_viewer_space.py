"""The viewer as a static Space, in a browser, on the dataset that was published beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import running, tab
from hub_clients import gatescope
from loopback_hub import LoopbackHub, loopback_hub
from playwright.sync_api import Browser, expect
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from synthetic import Synthetic, write_synthetic


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("space") / "ds", n_neurons=10, seed=2)


@pytest.fixture(scope="module")
def hub(made: Synthetic) -> Iterator[LoopbackHub]:
    with loopback_hub() as hub:
        done = gatescope(hub, "publish", str(made.path), "org/name", "--public", "--space")
        assert done.returncode == 0, done.stderr
        yield hub


@pytest.fixture(scope="module")
def space(hub: LoopbackHub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the Space's files, on a host of their own."""
    folder = tmp_path_factory.mktemp("files")
    repo = hub.repo("org/name", "space")
    for path in repo.files:
        target = Path(folder / path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(hub.read(repo, path))
    with running(Starlette(routes=[Mount("/", StaticFiles(directory=folder, html=True))])) as url:
        yield url


def test_a_neuron_in_the_space(
    made: Synthetic, hub: LoopbackHub, space: str, browser: Browser
) -> None:
    n_before = len(hub.asked)
    with tab(browser, space) as one:
        page = one.open("#/model")
        expect(page.get_by_role("heading", level=1)).to_contain_text("test/synthetic")
        page = one.open("#/neuron/1.5?ranking=post")
        page.wait_for_selector(".peak")
        wanted = next(
            row
            for row in made.tables["sign_stats"]
            if (row["layer"], row["neuron"], row["combo"]) == (1, 5, "gate+_in+")
        )
        assert f"{wanted['count']:,}" in page.locator("main").inner_text()
    asked = hub.asked[n_before:]
    (tag,) = hub.repo("org/name").tags
    # The version that was published beside it, whatever becomes of main.
    files = [one.path for one in asked if "/resolve/" in one.path]
    assert files
    assert all(path.startswith(f"/datasets/org/name/resolve/{tag}/") for path in files)
    assert any(one.path.startswith("/cdn/") and one.status == 206 for one in asked)
    assert not [one for one in asked if one.status >= 400 and "datasets.json" not in one.path]


def test_the_card_of_the_space(hub: LoopbackHub) -> None:
    repo = hub.repo("org/name", "space")
    text = hub.read(repo, "README.md").decode()
    assert "sdk: static" in text
    assert "datasets:\n- org/name" in text
    (listed,) = json.loads(hub.read(repo, "datasets.json"))
    assert (listed["name"], listed["live"]) == ("name", False)
