"""The viewer when a server or a dataset goes while a page is open."""

from __future__ import annotations

import shutil
from pathlib import Path

from browsing import served, tab
from playwright.sync_api import Browser, expect
from synthetic import write_synthetic

# What a browser itself says in its console of an address that does not answer.
NO_ANSWER = "error: Failed to load resource: "


def test_a_server_that_has_gone(browser: Browser, tmp_path: Path) -> None:
    dataset = write_synthetic(tmp_path / "ds", n_neurons=4).path
    with served([dataset]) as url:
        left = tab(browser, url)
        page = left.open("#/neuron/0.1")
        page.wait_for_selector(".peak")
    # A page that was never shown: its script is not here yet.
    page.evaluate("location.hash = '#/compare'")
    expect(page.get_by_role("alert")).to_contain_text("see that its server still runs")
    assert "This page failed" not in page.locator("main").inner_text()
    assert page.get_by_role("button", name="Try again").is_visible()
    left.problems = [said for said in left.problems if not said.startswith(NO_ANSWER)]
    left.close()


def test_a_way_out_of_a_dataset_that_has_gone(browser: Browser, tmp_path: Path) -> None:
    gone, there = (write_synthetic(tmp_path / name, n_neurons=4).path for name in ("gone", "there"))
    with served([gone, there]) as url:
        shutil.rmtree(gone)
        opened = tab(browser, url)
        page = opened.open("#/neuron/0.1?data=gone")
        expect(page.get_by_role("alert")).to_contain_text("There is no complete dataset")
        # The light can be chosen here too.
        expect(page.get_by_label("Colours")).to_be_visible()
        page.get_by_role("link", name="All datasets").click()
        page.get_by_role("link", name="there").click()
        page.wait_for_url("**/#/model?data=there")
        expect(opened.shown().get_by_role("navigation", name="Pages")).to_be_visible()
        opened.problems = [said for said in opened.problems if not said.startswith(NO_ANSWER)]
        opened.close()


def test_a_page_that_is_none_keeps_the_way_to_others(browser: Browser, tmp_path: Path) -> None:
    dataset = write_synthetic(tmp_path / "ds", n_neurons=4).path
    with served([dataset]) as url, tab(browser, url) as opened:
        page = opened.open("#/nothing")
        expect(page.get_by_role("alert")).to_contain_text('There is no page "nothing"')
        page.get_by_role("navigation", name="Pages").get_by_role("link", name="Find").click()
        expect(opened.shown().locator("h1")).to_have_text("Find neurons")
