"""What holds for every test: few threads, no network, types and shapes checked at run time."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import jaxtyping
import pytest
from loopback_hub import LoopbackHub, loopback_hub
from playwright.sync_api import Browser

# Before torch is imported, here and in the processes that tests start. One thread: on a machine
# that does something else beside, threads wait for each other far longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

# Every signature of the package is checked whenever a test calls it.
jaxtyping.install_import_hook("pipeline", "beartype.beartype")

# A loaded machine is slow, not wrong; what fails once fails again.
hypothesis.settings.register_profile("gatescope", deadline=None, derandomize=True)
hypothesis.settings.load_profile("gatescope")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden results and real data beside the checkout; skips where it is absent."""
    folder = Path(__file__).parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: it holds the golden results and the real texts")
    return folder


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A JSON list of some thirty real texts: the start of the built-in corpus."""
    from pipeline.demo.corpus import demo_texts

    path = tmp_path_factory.mktemp("texts") / "texts.json"
    path.write_text(json.dumps([text.text for text in itertools.islice(demo_texts(), 40)]))
    return path


@pytest.fixture(scope="module")
def loopback() -> Iterator[LoopbackHub]:
    """A Hub on loopback, with no repositories."""
    with loopback_hub() as hub:
        yield hub


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium; skips where there is none.

    No longer than a module: while it runs, an event loop of Playwright's runs in this thread, and
    no other can.
    """
    from browsing import started_browser

    with started_browser() as browser:
        yield browser


@pytest.fixture
def unchecked_signatures() -> Iterator[None]:
    """For a test that compiles: torch.compile cannot trace through the checks of signatures."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="session")
def undisturbed(texts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset of one worker to which nothing happens, of the settings of `crews.Runner`."""
    # Here and not above: the package is imported once its signatures are checked.
    from crews import N_UNITS, Runner

    output = tmp_path_factory.mktemp("undisturbed") / "dataset"
    with pytest.MonkeyPatch.context() as patch:
        manifest = Runner(texts, patch)(output)
    assert manifest["scan"]["n_units"] == N_UNITS
    return output
