"""The viewer in a real browser: a server beside the test, and pages that tell what went wrong."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from pipeline.query.source import find_source
from pipeline.view.listen import listen
from pipeline.view.live import LiveModel
from pipeline.view.serve import ServedDataset, dataset_names, viewer_app

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Milliseconds: a loaded machine is slow, not wrong.
PATIENCE = 60_000
# Narrow is a phone, and 1280 pixels at 400%.
WIDTHS = {"narrow": (320, 740), "wide": (1400, 900)}


@contextmanager
def started_browser() -> Iterator[Browser]:
    """The system's Chromium; skips where there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(_NAMES)} is installed")
    with sync_playwright() as playwright:
        # Root, as in a container, has no sandbox; /dev/shm is small there.
        options = ["--no-sandbox", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=found, args=options)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def served(places: Sequence[Path], models: dict[str, LiveModel] | None = None) -> Iterator[str]:
    """Datasets as `gatescope serve` serves them, at the address that is given."""
    sources = [find_source(place) for place in places]
    names = dataset_names([source.root for source in sources])
    live = models or {}
    datasets = [
        ServedDataset(name, source, live.get(name))
        for name, source in zip(names, sources, strict=True)
    ]
    with running(viewer_app(datasets, "127.0.0.1")) as url:
        yield url


@contextmanager
def running(app: Any) -> Iterator[str]:
    """An ASGI application in a thread, at the address that is given."""
    config = uvicorn.Config(app, http="h11", ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            thread.join()


class Tab:
    """A page of the viewer; `close` fails for what went wrong on it and was not expected."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context, self.url = context, url
        self.page: Page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.problems: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.problems.append(f"error: {error}"))
        self.page.on("dialog", self._refuse)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.type}: {message.text}")

    def _refuse(self, dialog: Any) -> None:
        self.problems.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, where: str = "") -> Page:
        """Load a page by its hash, and wait until it is shown."""
        # Where the address does not change a browser loads nothing.
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}{where}")
        return self.shown()

    def shown(self) -> Page:
        """Wait until the page that is asked for is shown."""
        self.page.wait_for_selector("main:not([aria-busy]) h1")
        return self.page

    def resize(self, width: str) -> None:
        """Make the window as wide as WIDTHS says."""
        size = WIDTHS[width]
        self.page.set_viewport_size({"width": size[0], "height": size[1]})

    def close(self) -> None:
        self.context.close()
        assert self.problems == []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *error: object) -> None:
        if kind is None:
            self.close()
        else:
            self.context.close()


def tab(browser: Browser, url: str, *, width: str = "wide", csp: bool = True) -> Tab:
    """A fresh tab; without `csp` what a test injects may run."""
    size = WIDTHS[width]
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        bypass_csp=not csp,
        reduced_motion="reduce",
    )
    return Tab(context, url)


def is_too_wide(page: Page) -> bool:
    """Whether the page moves sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > innerWidth"))


def violations(page: Page) -> list[str]:
    """What axe-core finds against WCAG and its own good practice."""
    found = Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {node['target']} {node.get('failureSummary', '')}"
        for one in found
        for node in one["nodes"][:3]
    ]
