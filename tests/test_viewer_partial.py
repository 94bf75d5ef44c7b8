"""The viewer on datasets that lack something: what is there is shown, what is not is said."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from browsing import Tab, is_too_wide, served, tab, violations
from partial import NO_CORPUS, NO_MODEL, NO_TEXTS, write_gaps, write_imported, write_without_texts
from playwright.sync_api import Browser, Page, expect
from rich.console import Console
from synthetic import Synthetic, write_synthetic

from pipeline.imported import import_dataset
from pipeline.naming import COMBO_NAMES

SIZE = {"n_neurons": 12, "layers": (0, 1), "k": 4}
N_UNFILLED = 3
PAGES = (
    "#/model",
    "#/layer/1",
    "#/layer/1?x=cos_in_out&y=norm_out",
    "#/neuron/0.0",
    "#/neuron/1.5?ranking=act",
    "#/find?frequency_gate_pos=0.2:",
    "#/find?token=word1",
    "#/compare?a=0.1&b=1.5",
)
# What axe-core looks at: all where the most is missing, elsewhere what is not the same there.
LOOKED_AT = {
    "bare": PAGES,
    "texts": ("#/neuron/0.0",),
    "filled": ("#/neuron/0.0", "#/find?token=word1"),
    "untold": (),
    "gaps": ("#/layer/1", "#/neuron/0.0", "#/compare?a=0.1&b=1.5"),
}
# What no page is to say of a value that is not there.
EMPTY = re.compile(r"\b(?:NaN|null|undefined|Infinity)\b|\[object")


# Until the page begins to change, the one before is still there.
_GO = """(hash) => new Promise((done) => {
    addEventListener("hashchange", done, { once: true });
    if (location.hash === hash) done();
    location.hash = hash;
})"""
# Whether nothing is being read, and no more was read than when it was last asked.
_RESTS = """() => {
    const before = window.readSoFar;
    window.readSoFar = `${location.hash} ${document.querySelector("footer").textContent}`;
    const busy = document.querySelector("main .loading, main progress:not([hidden])");
    return !busy && window.readSoFar === before;
}"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Synthetic]:
    folder = tmp_path_factory.mktemp("partial")
    return {
        "bare": write_imported(folder / "bare", **SIZE),
        "texts": write_imported(folder / "texts", corpus=True, **SIZE),
        "filled": write_imported(folder / "filled", corpus=True, n_unfilled=N_UNFILLED, **SIZE),
        "untold": write_without_texts(folder / "untold", **SIZE),
        "gaps": write_gaps(folder / "gaps", n_gaps=2, **SIZE),
    }


@pytest.fixture(scope="module")
def url(made: dict[str, Synthetic]) -> Iterator[str]:
    with served([one.path for one in made.values()]) as url:
        yield url


@pytest.fixture(scope="module")
def opened(browser: Browser, url: str) -> Iterator[Tab]:
    """One tab for all tests, which fails at the end for what went wrong on any page."""
    with tab(browser, url, csp=False) as opened:
        opened.open()
        yield opened


def go(opened: Tab, name: str, where: str) -> Page:
    """A page of a dataset, with all that comes when it is looked at."""
    page = opened.page
    page.evaluate(_GO, f"{where}{'&' if '?' in where else '?'}data={name}")
    opened.shown()
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    page.wait_for_function(_RESTS, polling=100)
    return page


def words(page: Page) -> str:
    return " ".join(page.locator("main").inner_text().split())


@pytest.mark.parametrize("name", LOOKED_AT)
def test_every_page_is_whole(opened: Tab, name: str) -> None:
    for i, where in enumerate(PAGES):
        page = go(opened, name, where)
        assert not EMPTY.search(words(page)), where
        assert page.get_by_role("alert").count() == 0, where
        assert page.locator("h1").inner_text().strip(), where
        # Every look of every page somewhere.
        narrow = i % 2 == (name in ("bare", "filled"))
        opened.resize("narrow" if narrow else "wide")
        page.emulate_media(color_scheme="light" if i % 4 < 2 else "dark")
        assert not is_too_wide(page), where
        assert where not in LOOKED_AT[name] or violations(page) == [], where


def test_without_a_model_it_says_so(opened: Tab) -> None:
    page = go(opened, "bare", "#/model")
    assert page.locator("h1").inner_text() == "bare"
    said = words(page)
    assert "24 neurons in 2 layers, over a corpus that is not named, imported from GLUScope" in said
    assert "neurons: flipped, cos_gate_in, cos_gate_out" in said
    assert "vocab, the whole table" in said
    assert said.count(f"No neuron has a cos(w_in, w_out): {NO_MODEL}.") == 2
    assert f"Classes and cosines are not known: {NO_MODEL}." in said
    page = go(opened, "bare", "#/neuron/1.5")
    said = words(page)
    assert f"Nothing is known of the weights of this neuron: {NO_MODEL}." in said
    assert f"How many tokens were counted is not known: {NO_CORPUS}." in said
    assert f"Neither positions nor windows are known: {NO_MODEL}." in said
    assert f"The texts are not here: {NO_CORPUS}." in said
    assert page.locator("fieldset.colour-choice, .legend").count() == 0
    counts = page.locator("table.combinations tbody tr").nth(1).locator("td").all_inner_texts()
    assert counts == ["–"] * 4
    page = go(opened, "bare", "#/find")
    assert f"Which tokens the lists hold is not known: {NO_MODEL}." in words(page)
    expect(page.get_by_label("cos(w_in, w_out): least")).to_be_disabled()
    expect(page.get_by_role("checkbox", name="depletion", exact=True)).to_be_disabled()
    expect(page.get_by_label("frequency of gate > 0: least")).to_be_enabled()


def shares(one: Synthetic, layer: int) -> dict[int, float]:
    """How often the gate of each neuron is positive."""
    found: dict[int, float] = defaultdict(float)
    for row in one.tables["sign_stats"]:
        if row["layer"] == layer and row["gate_sign"] > 0:
            found[row["neuron"]] += row["frequency"]
    return found


def test_frequencies_are_shown_without_counts(opened: Tab, made: dict[str, Synthetic]) -> None:
    page = go(opened, "bare", "#/layer/1")
    expect(page.locator("#chart-title")).to_have_text(
        "frequency of gate > 0 against frequency of in > 0"
    )
    heads = [text.split("\n")[0] for text in page.locator("thead th").all_inner_texts()]
    assert not [head for head in heads if "cos" in head or "Class" in head]
    column = next(i for i, head in enumerate(heads) if head.startswith("frequency of gate > 0"))
    expected = shares(made["bare"], 1)
    for row in page.locator("tbody tr").all():
        cells = row.locator("th, td").all_inner_texts()
        share = float(cells[column].removesuffix("%").replace("<0.01", "0")) / 100
        assert share == pytest.approx(expected[int(cells[0].split(".")[1])], abs=6e-5)
    page = go(opened, "bare", "#/find?frequency_gate_pos=0.5:")
    n = sum(share >= 0.5 for layer in (0, 1) for share in shares(made["bare"], layer).values())
    expect(page.locator("#numbers-results")).to_contain_text(f"{n} of the 24 neurons")


def test_a_chart_of_nothing_says_why(opened: Tab) -> None:
    page = go(opened, "bare", "#/layer/0?x=cos_in_out")
    assert f"No neuron has a cos(w_in, w_out): {NO_MODEL}." in words(page)
    expect(page.locator(".scatter")).to_be_hidden()
    expect(page.locator("figure.histogram .plot").first).to_be_hidden()
    expect(page.locator("figure.histogram .plot").nth(1)).to_be_visible()


def test_an_entry_without_a_window(opened: Tab, made: dict[str, Synthetic]) -> None:
    best = max(
        (
            row
            for row in made["bare"].tables["examples"]
            if (row["layer"], row["neuron"], row["combo"], row["ranking"])
            == (1, 5, "gate+_in-", "gate")
        ),
        key=lambda row: (row["score"], -row["example_id"]),
    )
    page = go(opened, "bare", "#/neuron/1.5?ranking=gate")
    tabs = page.get_by_role("tab").all_inner_texts()
    assert tabs == ["largest |post|", "largest |in|", "largest |gate|", "largest |act|"]
    entry = page.get_by_label("Examples of gate+ in−", exact=True).locator(".example").first
    expect(entry).to_contain_text(f"gate {best['gate_value']:.3f}")
    expect(entry).to_contain_text(f"example {best['example_id']}, position not known")
    page.get_by_role("tab", name="largest |act|").click()
    assert "ranking=act" in page.url
    entry = page.get_by_label("Examples of gate− in+", exact=True).locator(".example").first
    expect(entry).to_contain_text(re.compile(r"\|act\| 0\.\d{3}"))


def test_its_text_from_the_beginning(opened: Tab, made: dict[str, Synthetic]) -> None:
    page = go(opened, "texts", "#/neuron/1.5")
    assert "The texts are not here" not in words(page)
    entry = page.locator(".example").first
    entry.scroll_into_view_if_needed()
    text = entry.locator(".text")
    expect(text).to_contain_text("…")
    number = int(entry.inner_text().split("example ")[1].split(",")[0])
    corpus = made["texts"].tables["corpus"][number]
    word = next(part for part in corpus["text"].split() if part.startswith("word"))
    expect(text).to_contain_text(word)
    expect(entry).to_contain_text(corpus["url"])
    before = len(text.inner_text())
    # A few more for characters that are spelt.
    assert before < 700
    entry.get_by_role("button", name="More of the text").click()
    expect(text).to_contain_text("<b>Bold</b> <U+202E>and long")
    assert len(text.inner_text()) > before + 3000
    expect(text).to_be_focused()
    entry.get_by_role("button", name="More of the text").click()
    expect(text).not_to_contain_text("…")
    assert page.locator("main .example b b, main .text b").count() == 0


def test_entries_that_did_not_fit_stand_among_the_others(opened: Tab) -> None:
    page = go(opened, "filled", "#/neuron/0.0?ranking=act")
    assert f"{N_UNFILLED} of the" in words(page)
    assert "entries have no window" in words(page)
    without = page.get_by_text("position not known")
    assert without.count() == N_UNFILLED
    assert page.locator(".peak").count() > 0
    page = go(opened, "filled", "#/neuron/1.5")
    assert "have no window" not in words(page)


def test_texts_that_were_left_at_home(opened: Tab) -> None:
    page = go(opened, "untold", "#/neuron/1.5")
    assert f"The whole texts are not here: {NO_TEXTS}." in words(page)
    assert page.locator(".peak").count() > 0
    assert page.get_by_role("button", name="Longer context").count() == 0
    said = words(go(opened, "untold", "#/compare?a=1.5&data_b=bare"))
    assert f"1.5 of untold: The whole texts are not here: {NO_TEXTS}." in said
    assert f"1.5 of bare: Neither positions nor windows are known: {NO_MODEL}." in said
    assert f"Nothing is known of the weights of 1.5 of bare: {NO_MODEL}." in said


def test_what_is_left_out_of_a_chart_is_counted(opened: Tab) -> None:
    page = go(opened, "gaps", "#/layer/0")
    said = words(page)
    why = "the weights of 2 neurons of each layer were not published"
    assert f"n = 9 neurons. 2 of 12 neurons have no cos(w_in, w_out): {why}." in said
    assert "1 of 12 neurons has no frequency of gate > 0." in said
    said = words(go(opened, "gaps", "#/neuron/0.2"))
    assert "How often each combination occurs is not known." in said


def test_what_was_published_is_shown_as_it_is(
    browser: Browser, shared: Path, tmp_path: Path
) -> None:
    published = shared / "golden/stories260K/reference_refactored.parquet"
    output = tmp_path / "published"
    console = Console(file=io.StringIO())
    import_dataset(
        str(published), str(output), corpus=None, model=None, overrides=[], console=console
    )
    rows = pq.read_table(published, filters=[("layer", "=", 2), ("neuron", "=", 7)]).to_pylist()
    frequencies = [rows[0][f"{combo}_freq"] for combo in COMBO_NAMES]
    with served([output]) as url, tab(browser, url) as opened:
        page = opened.open("#/neuron/2.7?ranking=in")
        cells = page.locator("table.combinations tbody tr").first.locator("td").all_inner_texts()
        shown = [float(cell.removesuffix("%")) / 100 for cell in cells]
        assert shown == pytest.approx(frequencies, abs=6e-5)
        entry = page.get_by_label("Examples of gate− in+", exact=True).locator(".example").first
        expect(entry).to_contain_text(
            f"example {rows[0]['gate-_in+_hook_pre_linear_max_indices'][0]},"
        )
        value = rows[0]["gate-_in+_hook_pre_linear_max_values"][0]
        expect(entry).to_contain_text(f"in {value:.3f}")


def test_several_datasets_begin_with_their_list(
    browser: Browser, opened: Tab, made: dict[str, Synthetic], tmp_path: Path
) -> None:
    page = opened.open("#/")
    assert page.locator("h1").inner_text() == "Datasets"
    rows = [row.split("\t") for row in page.locator("tbody tr").all_inner_texts()]
    assert [row[0].strip() for row in rows] == list(made)
    assert "not known" in rows[0][-1]
    assert opened.open("#/?data=texts").locator("h1").inner_text() == "texts"
    whole = write_synthetic(tmp_path / "whole", n_neurons=3)
    with served([whole.path]) as url, tab(browser, url) as alone:
        assert alone.open("").locator("h1").inner_text() == whole.shape.model
