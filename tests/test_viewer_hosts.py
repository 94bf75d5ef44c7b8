"""The viewer on hosts of all kinds: beside its data, apart from it, without ranges, with damage."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import browsing
import pytest
from browsing import Tab, is_too_wide, served, tab
from playwright.sync_api import Browser, Page
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from synthetic import write_synthetic

from pipeline.cli import main
from pipeline.view.serve import SITE

PAGE = "#/neuron/1.5"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("hosts") / "ds", n_neurons=9).path


@contextmanager
def plain_host(folder: Path, *, others_may_read: bool = False) -> Iterator[str]:
    """A file server that knows ranges, and nothing of this project."""
    cors = Middleware(CORSMiddleware, allow_origins=["*"], allow_headers=["range"])
    app = Starlette(
        routes=[Mount("/", StaticFiles(directory=folder, html=True))],
        middleware=[cors] if others_may_read else [],
    )
    with browsing.running(app) as url:
        yield url


@contextmanager
def host_without_ranges(folder: Path) -> Iterator[str]:
    """Python's own, which sends whole files whatever is asked."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def shows_the_neuron(page: Page) -> bool:
    page.wait_for_selector(".peak")
    return page.locator("h1").inner_text().strip().startswith("1.5")


def says(opened: Tab, where: str) -> str:
    """What a page that cannot be shown says; the browser notes failed requests by itself."""
    page = opened.open(where)
    text = page.get_by_role("alert").inner_text()
    assert not is_too_wide(page)
    opened.problems = [one for one in opened.problems if "Failed to load resource" not in one]
    return text


def test_the_site_beside_and_within_its_data(
    browser: Browser, dataset: Path, tmp_path: Path
) -> None:
    inside = shutil.copytree(dataset, tmp_path / "inside")
    shutil.copytree(SITE, inside / "viewer")
    beside = shutil.copytree(dataset, tmp_path / "beside")
    shutil.copytree(SITE, beside, dirs_exist_ok=True)
    with plain_host(tmp_path) as url:
        for folder in ("inside/viewer/", "beside/"):
            with tab(browser, f"{url}{folder}") as opened:
                assert shows_the_neuron(opened.open(PAGE))
                opened.problems.clear()  # datasets.json was looked for, and is not there


def test_the_site_apart_from_its_data(browser: Browser, dataset: Path, tmp_path: Path) -> None:
    shutil.copytree(SITE, tmp_path / "site")
    with (
        plain_host(dataset, others_may_read=True) as data,
        plain_host(tmp_path / "site") as url,
        tab(browser, url) as opened,
    ):
        assert shows_the_neuron(opened.open(f"?data={quote(data)}{PAGE}"))
        page = opened.open(f"?data={data}&data={data}nothing/#/datasets")
        assert "no complete dataset" in page.locator("table").inner_text()
        opened.problems.clear()


def test_a_host_that_lets_no_other_site_read(
    browser: Browser, dataset: Path, tmp_path: Path
) -> None:
    shutil.copytree(SITE, tmp_path / "site")
    with (
        plain_host(dataset) as data,
        plain_host(tmp_path / "site") as url,
        tab(browser, url) as opened,
    ):
        assert "CORS" in says(opened, f"?data={data}{PAGE}")
        opened.problems.clear()  # the browser says so too


def test_a_host_without_ranges(browser: Browser, dataset: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(dataset, tmp_path / "ds")
    shutil.copytree(SITE, folder / "viewer")
    with host_without_ranges(folder) as url, tab(browser, f"{url}viewer/") as opened:
        assert "knows no byte ranges" in says(opened, PAGE)


def test_an_export(browser: Browser, dataset: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(dataset, tmp_path / "data")
    assert main(["serve", str(folder), str(dataset), "--export", str(tmp_path / "site")]) == 0
    with plain_host(tmp_path) as url, tab(browser, f"{url}site/") as opened:
        assert shows_the_neuron(opened.open(f"{PAGE}?data=data"))


def test_damage_is_said(browser: Browser, dataset: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(dataset, tmp_path / "ds")
    part, manifest = folder / "neurons/layer=1/part-0.parquet", folder / "manifest.json"
    whole, said = part.read_bytes(), manifest.read_text("utf-8")
    shutil.copytree(SITE, folder / "viewer")

    def changed(change: Callable[[], object], expected: str) -> None:
        part.write_bytes(whole)
        manifest.write_text(said, "utf-8")
        change()
        assert expected in says(opened, PAGE)

    with plain_host(folder) as url, tab(browser, f"{url}viewer/") as opened:
        changed(part.unlink, "is missing, though manifest.json names it")
        changed(lambda: part.write_bytes(whole[:-200]), "incomplete")
        changed(lambda: part.write_bytes(whole + whole), "not the file that manifest.json names")
        changed(lambda: part.write_bytes(whole[:-4] + b"nope"), "cannot be read")
        changed(lambda: part.write_bytes(bytes(len(whole))), "cannot be read")
        changed(lambda: manifest.write_text("{"), "is no JSON")
        changed(lambda: manifest.write_text("[]"), "not the manifest")
        changed(lambda: manifest.write_text(json.dumps({"model": {}})), "not the manifest")


def test_addresses_that_are_none(browser: Browser, dataset: Path) -> None:
    with served([dataset]) as url, tab(browser, url) as opened:
        assert "no address of a dataset" in says(opened, f"?data=file:///etc/{PAGE}")
        assert "no address of a dataset" in says(opened, "?data=javascript:alert(1)#/model")
        assert "no complete dataset" in says(opened, f"?data={quote('/nowhere/')}{PAGE}")
        assert 'no page "nothing"' in says(opened, "#/nothing")
        for where in ("1.900", "9.0", "x", "1", "-1.0", "1.5.5", "%00", "1.5<img>"):
            assert "This page failed" not in says(opened, f"#/neuron/{where}")
        assert "no dataset other" in says(opened, "#/model?data=other").replace("There is ", "")


def test_several_datasets(browser: Browser, dataset: Path, tmp_path: Path) -> None:
    other = write_synthetic(tmp_path / "other", layers=(2,), n_neurons=4, seed=1).path
    with served([dataset, other]) as url, tab(browser, url) as opened:
        page = opened.open("#/datasets")
        assert page.locator("tbody tr").count() == 2
        page.get_by_role("link", name="other").click()
        page.wait_for_url("**/#/model?data=other")
        opened.shown()
        page = opened.open("#/neuron/2.3?data=other")
        assert page.locator("h1").inner_text().strip().startswith("2.3")
