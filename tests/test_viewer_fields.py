"""The fields of the viewer, filled in by keyboard, with sense and without."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pytest
from browsing import served, tab
from playwright.sync_api import Browser, expect
from synthetic import rewrite, write_synthetic


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("fields")
    dataset = write_synthetic(folder / "ds", n_neurons=12, more_tokens=(r"\nu",)).path
    rewrite(dataset / "vocab/part-00000.parquet", _shown)
    with served([dataset]) as url:
        yield url


def _shown(table: pa.Table) -> pa.Table:
    """The newline as the vocabulary of a run has it."""
    tokens = ["↵" if token == "\n" else token for token in table["token"].to_pylist()]
    return table.set_column(1, table.schema.field("token"), pa.array(tokens))


def test_ranges_of_a_layer(browser: Browser, url: str) -> None:
    with tab(browser, url) as opened:
        page = opened.open("#/layer/0")
        group = page.get_by_role("group", name="cos(w_in, w_out)")
        least, most = group.get_by_role("textbox").all()
        least.fill("0,1")
        page.keyboard.press("Tab")
        # What is no number is left to be mended, and marked; the next field is the next one.
        expect(most).to_be_focused()
        expect(least).to_have_value("0,1")
        expect(least).to_have_attribute("aria-invalid", "true")
        expect(page.locator(".chosen")).to_have_text("12 of 12 neurons")
        least.fill("2")
        page.keyboard.press("Enter")
        expect(least).to_be_focused()
        expect(least).to_have_attribute("aria-invalid", "false")
        expect(page.locator(".chosen")).to_have_text("0 of 12 neurons")
        page.get_by_role("button", name="Choose all").click()
        expect(group.get_by_role("textbox").first).to_have_value("")


def test_indices_of_a_layer(browser: Browser, url: str) -> None:
    with tab(browser, url) as opened:
        page = opened.open("#/layer/0?neurons=two")
        indices = page.get_by_label("Indices")
        expect(indices).to_have_attribute("aria-invalid", "true")
        indices.fill("2, 4-5")
        expect(indices).to_have_attribute("aria-invalid", "false")
        expect(page.locator(".chosen")).to_have_text("3 of 12 neurons")


@pytest.mark.parametrize("written", ["#/find?token=%0A", r"\n", "↵"])
def test_a_newline_is_found(browser: Browser, url: str, written: str) -> None:
    with tab(browser, url) as opened:
        page = opened.open(written if written.startswith("#") else "#/find")
        if not written.startswith("#"):
            page.get_by_role("textbox", name="Token").fill(written)
            page.get_by_role("button", name="Look up").click()
        offers = page.get_by_role("group", name="This token").locator("label")
        expect(offers).to_have_count(1)
        expect(offers).to_contain_text("↵")


def test_a_backslash_is_found(browser: Browser, url: str) -> None:
    with tab(browser, url) as opened:
        page = opened.open("#/find?token=%5Cnu")
        expect(page.get_by_role("group", name="This token").locator("label")).to_contain_text("nu")
        expect(page.get_by_role("textbox", name="Token")).to_have_value(r"\nu")


def test_random_lists_have_a_score(browser: Browser, url: str) -> None:
    with tab(browser, url) as opened:
        page = opened.open("#/find?token=word1&ranking=random")
        header = page.get_by_role("columnheader", name="best score")
        expect(header).to_be_visible()
