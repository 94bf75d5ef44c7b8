"""Every page of the viewer in Chromium: its numbers, its look in every light and width, keys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import is_too_wide, served, tab, violations
from playwright.sync_api import Browser, Locator, Page, expect

import pipeline
from pipeline.cli import main
from pipeline.dataset_model import load_live_model
from pipeline.naming import COMBO_NAMES

# Of every kind one; the texts are typed where they are needed.
PAGES = (
    "#/datasets",
    "#/model",
    "#/layer/1",
    "#/layer/3?x=norm_in&y=cos_gate_in",
    "#/neuron/1.197",
    "#/neuron/3.12?ranking=random&colour=gate",
    "#/find",
    "#/find?class=orthogonal+output",
    "#/compare?a=1.197&b=3.12",
    "#/text?neuron=1.197",
)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo, of two layers, fewer texts and shorter lists."""
    output = tmp_path_factory.mktemp("pages") / "demo"
    scan = ["scan.k=4", "scan.spare=4", "scan.compile=false", "model.layers=[1,3]"]
    assert main(["run", "corpus.max_tokens=4000", "weights.k=4", *scan, f"output={output}"]) == 0
    return output


@pytest.fixture(scope="module")
def dataset(output: Path) -> Iterator[pipeline.Dataset]:
    with pipeline.open(output) as opened:
        yield opened


@pytest.fixture(scope="module")
def url(output: Path, dataset: pipeline.Dataset) -> Iterator[str]:
    with served([output], {"demo": load_live_model(dataset, None)}) as url:
        yield url


def numbers(cells: Locator) -> list[float | None]:
    """The numbers of a row's cells; None for a dash."""
    return [number(text) for text in cells.all_inner_texts()]


def number(text: str) -> float | None:
    plain = text.strip().replace("−", "-").replace(",", "")
    if plain in ("–", ""):
        return None
    return float(plain.removesuffix("%")) / (100 if plain.endswith("%") else 1)


@pytest.mark.parametrize("where", PAGES)
def test_a_page(browser: Browser, url: str, where: str) -> None:
    with tab(browser, url, width="narrow", csp=False) as opened:
        page = opened.open(where)
        page.wait_for_load_state("networkidle")
        assert page.locator("h1").count() == 1
        assert page.title().endswith(" · Gatescope")
        assert page.get_by_role("alert").count() == 0
        # A window may be made wider, and a system change its light, while a page is open.
        for width, light in (("narrow", "light"), ("wide", "dark")):
            opened.resize(width)
            page.emulate_media(color_scheme=light)
            assert not is_too_wide(page)
            assert violations(page) == []


def test_a_neuron_has_the_numbers_of_its_tables(
    browser: Browser, url: str, dataset: pipeline.Dataset
) -> None:
    neuron = dataset.neuron(1, 197)
    with tab(browser, url) as opened:
        page = opened.open("#/neuron/1.197")
        table = page.locator("table").first
        shown = {
            row.locator("th").inner_text().strip(): numbers(row.locator("td"))
            for row in table.locator("tbody tr").all()
        }
        for name in ("frequency", "count", "mean_gate", "mean_in", "mean_act", "mean_post"):
            stored = [row[name] for row in neuron.stats]
            for found, value in zip(shown[name.replace("_", " ")], stored, strict=True):
                assert (found is None) == (value is None)
                assert found is None or found == pytest.approx(value, rel=6e-3, abs=6e-5)
        text = page.locator("main").inner_text()
        for name in ("cos_gate_in", "cos_gate_out", "cos_in_out", "norm_gate", "norm_in"):
            assert f"{neuron.row[name]:.3f}".replace("-", "−") in text
        assert neuron.row["io_class"] in text
        assert f"{neuron.stats[0]['n_tokens']:,} tokens" in text


def test_a_neuron_as_json_is_what_the_tables_hold(
    browser: Browser, url: str, dataset: pipeline.Dataset
) -> None:
    neuron = dataset.neuron(3, 12)
    with tab(browser, url) as opened:
        opened.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = opened.open("#/neuron/3.12")
        page.wait_for_selector(".peak")
        page.get_by_role("button", name="Copy as JSON").click()
        expect(page.get_by_text(re.compile("copied", re.IGNORECASE)).first).to_be_visible()
        copied: Any = json.loads(page.evaluate("navigator.clipboard.readText()"))
    keys = ("ranking", "rank", "example_id", "position", "token_ids", "gate", "in", "score")
    lists = copied["examples"]
    assert len(lists) == len(neuron.examples) > 0
    for found, stored in zip(lists, neuron.examples, strict=True):
        for key in keys:
            expected = stored[key]
            if not isinstance(expected, str):
                expected = pytest.approx(expected, rel=1e-6)
            assert found[key] == expected, key


def test_a_layer_has_the_neurons_of_its_tables(
    browser: Browser, url: str, dataset: pipeline.Dataset
) -> None:
    rows = dataset.sql(
        "select neuron, cos_in_out, io_class from neurons where layer = 1 "
        "order by cos_in_out limit 5"
    ).fetchall()
    with tab(browser, url) as opened:
        page = opened.open("#/layer/1")
        header = page.get_by_role("button", name=re.compile(r"^cos\(w_in, w_out\)"))
        header.click()
        header.click()
        first = page.locator("table tbody tr").first
        expect(first.get_by_role("link")).to_have_text(f"1.{rows[0][0]}")
        for shown, (neuron, cosine, io_class) in zip(
            page.locator("table tbody tr").all(), rows, strict=False
        ):
            text = shown.inner_text()
            assert text.startswith(f"1.{neuron}")
            assert f"{cosine:.3f}".replace("-", "−") in text
            assert io_class in text
        assert "sort" in page.url
        first.get_by_role("link").click()
        opened.shown()
        expect(page.locator("h1")).to_contain_text(f"1.{rows[0][0]}")


def test_correlations_are_those_of_the_query(
    browser: Browser, url: str, dataset: pipeline.Dataset
) -> None:
    columns = dataset.query("cosine_vs_gate_frequency")
    rows = [dict(zip(columns.columns, row, strict=True)) for row in columns.fetchall()]
    with tab(browser, url) as opened:
        for row in rows:
            if row["layer"] is None:
                continue
            text = opened.open(f"#/layer/{row['layer']}").locator("main").inner_text()
            for name in ("pearson", "spearman"):
                assert f"{row[name]:.3f}".replace("-", "−") in text, (row, name)


def test_where_to_start_is_what_the_queries_say(
    browser: Browser, url: str, dataset: pipeline.Dataset
) -> None:
    with tab(browser, url) as opened:
        page = opened.open("#/model")
        for query in ("unexpected_signs", "rare_combinations"):
            found = dataset.query(query)
            places = [found.columns.index(name) for name in ("layer", "neuron")]
            rows = [tuple(row[i] for i in places) for row in found.fetchall()]
            for layer, neuron in rows[:5]:
                link = page.locator("main a", has_text=re.compile(rf"^{layer}\.{neuron}$"))
                expect(link.first).to_be_visible()


def test_neurons_are_found(browser: Browser, url: str, dataset: pipeline.Dataset) -> None:
    (n,) = dataset.sql("select count(*) from neurons where cos_in_out > 0.2").fetchall()[0]
    assert n
    with tab(browser, url) as opened:
        page = opened.open("#/find")
        page.get_by_label("Layer.neuron").fill("1.7")
        page.keyboard.press("Enter")
        page.wait_for_url("**/neuron/1.7*")
        page = opened.open("#/find")
        group = page.get_by_role("group", name="cos(w_in, w_out)")
        group.get_by_role("textbox").first.fill("0.2")
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_contain_text(f"{n:,} of the 1,024 neurons")


def test_a_token_is_found_where_lists_have_their_peak(
    browser: Browser, url: str, dataset: pipeline.Dataset
) -> None:
    token, _ = dataset.sql(
        "select token, count(distinct (layer, neuron)) as n from examples "
        "join vocab on peak_token = token_id where ranking = 'post' and token ~ '^ [a-z]{3,}$' "
        "group by all order by n desc limit 1"
    ).fetchall()[0]
    found = dataset.query("neurons_by_token", token=token)
    best = dict(zip(found.columns, found.fetchall()[0], strict=True))
    with tab(browser, url) as opened:
        page = opened.open("#/find")
        page.get_by_role("textbox", name="Token").fill(token)
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Search").click()
        link = page.locator("main table a", has_text=f"{best['layer']}.{best['neuron']}")
        expect(link.first).to_be_visible()


def test_a_text_that_is_typed(browser: Browser, url: str, dataset: pipeline.Dataset) -> None:
    with tab(browser, url) as opened:
        page = opened.open("#/text?neuron=1.197")
        page.get_by_role("textbox", name="Text").fill("the position of the cursor")
        with page.expect_response("**/live") as answer:
            page.get_by_role("button", name=re.compile("Run|Try|Show")).click()
        said = answer.value.json()
        assert len(said["tokens"]) == len(said["post"]) > 4
        expect(page.locator(".t").first).to_be_visible()
        assert "text=the" in page.url


@pytest.mark.parametrize("where", ["#/layer/1", "#/neuron/1.197"])
def test_back_is_where_it_was_left(browser: Browser, url: str, where: str) -> None:
    with tab(browser, url, csp=False) as opened:
        page = opened.open(where)
        page.wait_for_load_state("networkidle")
        # Farther down than the page reaches when it is first shown.
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        page.wait_for_function("scrollY > 600")
        depth = page.evaluate("scrollY")
        page.evaluate("location.hash = '#/model'")
        page.wait_for_function("scrollY == 0")
        opened.shown()
        page.go_back()
        page.wait_for_function(f"Math.abs(scrollY - {depth}) <= 1")


def test_keys_alone(browser: Browser, url: str) -> None:
    with tab(browser, url) as opened:
        page = opened.open("#/neuron/1.197")
        page.wait_for_selector(".peak")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        _tab_to(page, ".example .text")
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
        # The peak is read first, with its values; other tokens by the arrows.
        readout = page.locator(".readout")
        expect(readout).to_be_visible()
        at_peak = readout.inner_text()
        for key in ("ArrowLeft", "ArrowRight", "Home", "End"):
            page.keyboard.press(key)
            assert (readout.inner_text() == at_peak) == (key == "ArrowRight")
        assert page.locator("[role=status]", has_text="position").count() == 1
        page.keyboard.press("]")
        page.wait_for_url("**/neuron/1.198*")
        opened.shown()
        # A page that was gone to has the focus at its head.
        expect(page.locator("h1")).to_be_focused()


def test_the_chart_by_keys(browser: Browser, url: str) -> None:
    with tab(browser, url) as opened:
        page = opened.open("#/layer/1")
        _tab_to(page, ".plot")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        page.wait_for_url("**/neuron/1.*")
        opened.shown()


def _tab_to(page: Page, selector: str) -> None:
    for _ in range(150):
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    pytest.fail(f"no Tab leads to {selector}")


def test_a_choice_of_light_is_kept(browser: Browser, url: str) -> None:
    with tab(browser, url) as opened:
        page = opened.open("#/model")
        ground = "getComputedStyle(document.documentElement).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_label("Colours").select_option("dark")
        dark = page.evaluate(ground)
        assert dark != light
        assert opened.open("#/layer/1").evaluate(ground) == dark


def test_combinations_are_named_as_everywhere(browser: Browser, url: str) -> None:
    with tab(browser, url) as opened:
        text = opened.open("#/neuron/1.197").locator("table").first.inner_text()
        plain = re.sub(r"\s+", "", text.replace("−", "-"))
        assert [name for name in COMBO_NAMES if name.replace("_", "") not in plain] == []
