"""The viewer on a dataset of the Hub: files come by way of redirects, from another host than asked.

The server here answers as the Hub does: a revision is one part of the path, what is large is
redirected to a host of files with a signature, what is small to an address of its own; both let
other sites read, and neither is asked beforehand whether they may (a request with a header that
has to be asked for is refused, as a host of files may do).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import pytest
from browsing import Tab, running, tab
from playwright.sync_api import Browser, Page, Route
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route as At
from synthetic import write_synthetic

from pipeline.view.serve import SITE
from pipeline.view.served_file import Unsatisfiable, wanted_range

REPO = "datasets/org/name"
SIGNED = "X-Signature=abc%2Fdef%3D"
PAGE = "#/neuron/1.5"
REVISION = "refs/pr/1"
HELD = (REVISION, "main")


@dataclass
class Hub:
    """Where the two hosts are, and what each was asked for, with its Origin."""

    url: str = ""
    files: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)
    sent: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("redirect") / "ds", n_neurons=9).path


@contextmanager
def hub_of(dataset: Path) -> Iterator[Hub]:
    """A Hub with the one dataset, and its host of files."""
    hub = Hub()

    def allowed(request: Request) -> dict[str, str]:
        return {"access-control-allow-origin": request.headers["origin"], "vary": "Origin"}

    async def resolve(request: Request) -> Response:
        # As it came: an encoded slash is none.
        raw = request.scope["raw_path"].decode("ascii")
        hub.asked.append((request.method, raw))
        start, _, path = raw.removeprefix(f"/{REPO}/resolve/").partition("/")
        if not raw.startswith(f"/{REPO}/resolve/") or request.method == "OPTIONS":
            said = {"error": "Repository not found"}
            return JSONResponse(said, 401, headers=allowed(request))
        if unquote(start) not in HELD or not (dataset / path).is_file():
            return JSONResponse({"error": "Entry not found"}, 404, headers=allowed(request))
        if path.endswith(".parquet"):
            to = f"{hub.files}repos/0a/{path}?{SIGNED}"
            return RedirectResponse(to, 302, headers=allowed(request))
        to = f"/api/resolve-cache/{REPO}/0a1b/{path}?etag=%220%22"
        return RedirectResponse(to, 307, headers=allowed(request))

    async def small(request: Request) -> Response:
        text = (dataset / request.path_params["path"]).read_bytes()
        return Response(text, media_type="text/plain", headers=allowed(request))

    async def large(request: Request) -> Response:
        hub.sent.append((request.method, request.headers.get("origin")))
        if request.method != "GET" or request.url.query != SIGNED:
            return Response("refused", 403)
        content = (dataset / request.path_params["path"]).read_bytes()
        anyone = {"access-control-allow-origin": "*"}
        try:
            span = wanted_range(request.headers.get("range", ""), len(content))
        except Unsatisfiable:
            return Response(status_code=416, headers=anyone)
        if span is None:
            return Response(content, headers=anyone)
        # That other sites may read Content-Range is not said.
        said = {"content-range": f"bytes {span[0]}-{span[1] - 1}/{len(content)}"}
        return Response(content[slice(*span)], 206, headers=anyone | said)

    methods = ["GET", "HEAD", "OPTIONS"]
    routes = [
        At(f"/api/resolve-cache/{REPO}/0a1b/{{path:path}}", small),
        At("/{path:path}", resolve, methods=methods),
    ]
    files = Starlette(routes=[At("/repos/0a/{path:path}", large, methods=methods)])
    with running(Starlette(routes=routes)) as hub.url, running(files) as hub.files:
        yield hub


@pytest.fixture(scope="module")
def hub(dataset: Path) -> Iterator[Hub]:
    with hub_of(dataset) as hub:
        yield hub


@pytest.fixture(scope="module")
def site(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The pages on a third host, as a static Space is, with a list that leads to the Hub."""
    folder = shutil.copytree(SITE, tmp_path_factory.mktemp("site") / "space")
    place = f"{hub.url}{REPO}/resolve/refs%2Fpr%2F1/"
    listed = [{"name": "published", "url": place, "live": False}]
    (folder / "datasets.json").write_text(json.dumps(listed), encoding="utf-8")

    async def read(request: Request) -> Response:
        file = folder / (request.path_params["path"] or "index.html")
        kind = {".js": "text/javascript", ".css": "text/css", ".html": "text/html"}
        return Response(file.read_bytes(), media_type=kind.get(file.suffix))

    with running(Starlette(routes=[At("/{path:path}", read)])) as url:
        yield url


def read_through(opened: Tab, where: str) -> Page:
    page = opened.open(where)
    page.wait_for_selector(".peak")
    assert page.locator("h1").inner_text().strip().startswith("1.5")
    return page


def test_files_come_by_way_of_redirects(browser: Browser, hub: Hub, site: str) -> None:
    with tab(browser, site) as opened:
        page = read_through(opened, PAGE)
        page.get_by_role("button", name="Longer context").first.click()
        page.wait_for_selector(".longer .text")
        assert "published" in page.locator("header").inner_text()
        assert opened.open("#/layer/0").locator("tbody tr").count() == 9
    # None was asked for beforehand, and each with the revision as one part of the path.
    assert {method for method, _ in hub.asked} == {"GET"}
    assert all("/resolve/refs%2Fpr%2F1/" in path for _, path in hub.asked)
    # Who was led on is nobody to the second host.
    assert set(hub.sent) == {("GET", "null")}
    assert len(hub.sent) < len(hub.asked)  # manifest.json came from the first


def test_an_address_of_the_hub_in_the_address(browser: Browser, hub: Hub, site: str) -> None:
    with tab(browser, site) as opened:
        page = read_through(opened, f"?data={hub.url}{REPO}/resolve/main/{PAGE}")
        assert "name" in page.locator("header nav").inner_text().split()


@pytest.mark.parametrize("revision", ["", f"@{REVISION}", "@refs%252Fpr%252F1", "@1a2b/"])
def test_an_hf_address(browser: Browser, hub: Hub, site: str, revision: str) -> None:
    """`hf://` is an address of the Hub; here its files come from the server beside."""
    asked: list[str] = []

    def instead(route: Route) -> None:
        asked.append(route.request.url)
        path = asked[-1].removeprefix("https://huggingface.co/").replace("/1a2b/", "/main/")
        found = route.fetch(
            url=f"{hub.url}{path}", headers={"origin": site, **route.request.headers}
        )
        route.fulfill(response=found)

    with tab(browser, site) as opened:
        opened.context.route("https://huggingface.co/**", instead)
        page = read_through(opened, f"?data=hf://{REPO}{revision}{PAGE}")
        name = {"": "name", "@1a2b/": "name-1a2b"}.get(revision, "name-refs/pr/1")
        assert name in page.locator("header nav").inner_text().split()
    part = {"": "main", "@1a2b/": "1a2b"}.get(revision, "refs%2Fpr%2F1")
    start = f"https://huggingface.co/{REPO}/resolve/{part}/"
    assert asked
    assert all(one.startswith(start) for one in asked)


def test_what_is_not_open_is_said(browser: Browser, hub: Hub, site: str) -> None:
    with tab(browser, site) as opened:

        def said(where: str) -> str:
            return opened.open(where).get_by_role("alert").inner_text()

        other = said(f"?data={hub.url}datasets/org/other/resolve/main/{PAGE}")
        assert "not open to everyone, or does not exist" in other
        assert "no complete dataset" in said(f"?data={hub.url}{REPO}/resolve/v9/{PAGE}")
        opened.problems = [p for p in opened.problems if "Failed to load resource" not in p]
