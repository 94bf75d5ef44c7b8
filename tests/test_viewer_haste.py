"""The viewer with somebody who does not wait for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsing import served, tab
from playwright.sync_api import Browser, Route, expect
from synthetic import write_synthetic


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    dataset = write_synthetic(tmp_path_factory.mktemp("haste") / "ds", layers=(0, 7), n_neurons=12)
    with served([dataset.path]) as url:
        yield url


def test_steps_do_not_wait_for_what_is_passed(browser: Browser, url: str) -> None:
    held: list[Route] = []
    is_held = True

    def hold(route: Route) -> None:
        if is_held:
            held.append(route)
        else:
            route.continue_()

    with tab(browser, url, csp=False) as opened:
        page = opened.open("#/neuron/0.1")
        page.route("**/layer=7/*", hold)
        page.evaluate("location.hash = '#/neuron/7.1'")
        for neuron in range(1, 6):
            page.wait_for_function(f"document.title.startsWith('7.{neuron} ')")
            page.keyboard.press("]")
        page.wait_for_url("**/neuron/7.6")
        assert held
        is_held = False
        for route in held:
            route.continue_()
        expect(opened.shown().locator("h1")).to_have_text("7.6")


def test_a_page_that_was_left_keeps_nothing(browser: Browser, url: str) -> None:
    with tab(browser, url) as opened:
        page = opened.open("#/neuron/0.1")
        page.wait_for_selector(".peak")
        # While the next page is read, this one is still there to be pressed.
        page.evaluate(
            """() => new Promise((done) => {
                const tab = document.querySelector("#ranking-in");
                addEventListener("hashchange", () => done(tab.click()), { once: true });
                location.hash = "#/neuron/7.1";
            })"""
        )
        expect(opened.shown().locator("h1")).to_have_text("7.1")
        assert page.url.endswith("#/neuron/7.1")
