"""The viewer on a dataset that does what it can to break it: its text stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browsing import is_too_wide, served, tab, violations
from hostile import MODEL, write_hostile
from playwright.sync_api import Browser, Page, expect

PAGES = (
    "#/model",
    "#/layer/0",
    "#/layer/7?x=norm_out&y=cos_gate_in&sort=cos_in_out",
    "#/neuron/0.0",
    "#/neuron/0.1",
    "#/neuron/0.2?ranking=in&colour=in",
    "#/neuron/7.3?ranking=gate&colour=gate",
    "#/neuron/7.4?ranking=random&colour=act",
    "#/neuron/7.5",
    "#/find?class=enrichment",
    "#/compare?a=0.1&b=7.2",
)
# What people could be sent as a link.
LINKS = (
    "#/neuron/<img src=x onerror=window.broken=20>",
    "#/neuron/0.1?ranking=<script>window.broken=21</script>&colour=constructor",
    "#/layer/0?x=__proto__&y=constructor&class=<b>&sort=-toString",
    "#/find?token=<img src=x onerror=window.broken=22>",
    "#/find?class=__proto__&in_out_min=NaN",
    "#/compare?a=<b>&b=javascript:window.broken=23&data_b=<i>",
    "#/text?text=<img src=x onerror=window.broken=24>&neuron=0.1",
    "#/model?data=<img src=x onerror=window.broken=25>",
    "#/__proto__",
    "#/constructor",
)
_MAY_LEAD = re.compile(r"#|https?://")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    hostile = write_hostile(tmp_path_factory.mktemp("hostile") / "ds")
    with served([hostile]) as url:
        yield url


def assert_harmless(page: Page) -> None:
    assert page.evaluate("window.broken") is None
    names = {"img", "iframe", "object", "embed", "script", "style", "base", "meta"}
    found = page.evaluate("[...document.querySelectorAll('main *')].map((e) => e.localName)")
    assert names & set(found) == set()
    links = page.evaluate("[...document.querySelectorAll('a')].map((a) => a.getAttribute('href'))")
    assert [link for link in links if not _MAY_LEAD.match(link)] == []
    attributes = page.evaluate(
        "[...document.querySelectorAll('*')].flatMap((e) => e.getAttributeNames())"
    )
    assert [name for name in set(attributes) if name.startswith("on")] == []
    assert "This page failed" not in page.locator("main").inner_text()


@pytest.mark.parametrize("where", PAGES)
def test_a_page(browser: Browser, url: str, where: str) -> None:
    with tab(browser, url, width="narrow", csp=False) as opened:
        page = opened.open(where)
        page.wait_for_load_state("networkidle")
        # What comes when it is looked at, comes.
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_load_state("networkidle")
        assert_harmless(page)
        assert not is_too_wide(page)
        assert violations(page) == []


@pytest.mark.parametrize("where", LINKS)
def test_a_link(browser: Browser, url: str, where: str) -> None:
    with tab(browser, url) as opened:
        page = opened.open(where)
        page.wait_for_load_state("networkidle")
        assert_harmless(page)


def test_longer_contexts(browser: Browser, url: str) -> None:
    with tab(browser, url, width="narrow") as opened:
        page = opened.open("#/neuron/7.6")
        page.wait_for_selector(".peak")
        for button in page.get_by_role("button", name="Longer context").all()[:4]:
            button.click()
        page.wait_for_load_state("networkidle")
        assert_harmless(page)
        assert not is_too_wide(page)


def test_text_is_shown_as_it_is(browser: Browser, url: str) -> None:
    with tab(browser, url) as opened:
        text = ""
        for neuron in range(6, 12):
            page = opened.open(f"#/neuron/0.{neuron}")
            page.wait_for_selector(".peak")
            text += page.locator("main").inner_text()
        assert MODEL in opened.open("#/model").locator("main").inner_text()
    for token in ("<img src=x onerror=window.broken=1>", "&lt;b&gt;&amp;", "]]>", "</script>"):
        assert token in text
    assert "10,000 characters" in text
    for unseen in ("\u202e", "\u2028", "\u0000", "\u001b", "\ufeff"):
        assert unseen not in text
    assert "<U+202E>" in text
    assert "<0xFF>" in text
    assert "<unused 3>" in text


def test_values_that_are_no_numbers_are_said(browser: Browser, url: str) -> None:
    with tab(browser, url) as opened:
        for where, said in (("0.1", "NaN"), ("0.2", "∞"), ("0.3", "−∞")):
            table = opened.open(f"#/neuron/{where}").locator("table").first
            expect(table).to_contain_text(said)
        # Two of a layer's cosines are infinite and one is NaN; the others are drawn.
        expect(opened.open("#/layer/0").locator("main")).to_contain_text("9")
