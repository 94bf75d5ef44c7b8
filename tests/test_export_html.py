"""The page of chosen neurons: one harmless file that everyone can read, with the right numbers."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from browsing import is_too_wide, violations
from hostile import write_hostile
from partial import write_imported
from playwright.sync_api import Browser
from rich.console import Console
from synthetic import Synthetic, write_synthetic

from pipeline.errors import GatescopeError
from pipeline.exporting import export_dataset
from pipeline.naming import COMBO_NAMES
from pipeline.query import open_dataset

# Elements that load or run something.
_ACTIVE = {"script", "link", "img", "iframe", "object", "embed", "form", "video", "audio", "base"}


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def export(dataset: Path, out: Path, *neurons: tuple[int, int]) -> str:
    export_dataset(
        str(dataset),
        str(out),
        format="html",
        neurons=neurons,
        console=Console(file=io.StringIO()),
    )
    return out.read_text(encoding="utf-8")


def assert_needs_nothing(page: str) -> None:
    found = Elements(page)
    for tag, attributes in found.elements:
        assert tag not in _ACTIVE
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")
        assert "src" not in attributes
    assert "url(" not in page
    assert "@import" not in page
    # What cannot be seen is shown by its number.
    assert not re.search("[\u200b-\u200f\u202a-\u202e\u2066-\u2069\x00-\x08\x7f]", page)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("page") / "ds", n_neurons=12, seed=4)


def test_numbers_are_the_datasets(made: Synthetic, tmp_path: Path) -> None:
    page = export(made.path, tmp_path / "page.html", (1, 5), (0, 2))
    assert_needs_nothing(page)
    text = " ".join(" ".join(Elements(page).texts).split())
    assert text.index("Neuron 1.5") < text.index("Neuron 0.2")
    for neuron in ((1, 5), (0, 2)):
        for stats in made.tables["sign_stats"]:
            if (stats["layer"], stats["neuron"]) == neuron:
                assert f"{stats['frequency']:.2%} {stats['count']:,}" in text
    for row in made.tables["neurons"]:
        if (row["layer"], row["neuron"]) == (1, 5):
            assert row["io_class"] in text
            assert f"cos(w_in, w_out) {row['cos_in_out']:.3g}".replace("-", "−") in text
    best = next(
        entry
        for entry in made.tables["examples"]
        if (entry["layer"], entry["neuron"], entry["ranking"], entry["rank"]) == (1, 5, "post", 0)
    )
    assert f"example {best['example_id']:,}, position {best['position']:,}" in text
    assert len(re.findall("<mark", page)) == len(re.findall('<p class="text">', page))


def test_ten_neurons_are_no_large_file(made: Synthetic, tmp_path: Path) -> None:
    page = export(made.path, tmp_path / "page.html", *[(1, n) for n in range(10)])
    assert len(page.encode()) < 1_500_000
    assert page.count("<section") == 10


@pytest.mark.parametrize("width", [390, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everyone_can_read_it(
    made: Synthetic, tmp_path: Path, browser: Browser, width: int, scheme: Any
) -> None:
    export(made.path, tmp_path / "page.html", (1, 5), (0, 2))
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"file://{tmp_path / 'page.html'}")
    assert violations(page) == []
    assert not is_too_wide(page)
    assert said == []
    assert page.pdf(format="A4").startswith(b"%PDF")
    context.close()


def test_hostile_texts(tmp_path: Path, browser: Browser) -> None:
    path = write_hostile(tmp_path / "hostile")
    with open_dataset(path) as opened:
        neurons = opened.sql("select layer, neuron from neurons limit 6").fetchall()
    page = export(path, tmp_path / "page.html", *neurons)
    assert_needs_nothing(page)
    context = browser.new_context()
    tab = context.new_page()
    wrong: list[str] = []
    tab.on("dialog", lambda dialog: wrong.append(dialog.message))
    tab.on("console", lambda message: wrong.append(message.text))
    tab.on("request", lambda request: wrong.append(request.url))
    tab.goto(f"file://{tmp_path / 'page.html'}")
    assert wrong == [f"file://{tmp_path / 'page.html'}"]
    assert tab.locator("section").count() == len(neurons)
    context.close()


def test_what_is_not_known(tmp_path: Path) -> None:
    imported = write_imported(tmp_path / "imported").path
    with open_dataset(imported) as opened:
        (neuron,) = opened.sql("select layer, neuron from neurons limit 1").fetchall()
    page = export(imported, tmp_path / "page.html", neuron)
    assert_needs_nothing(page)
    text = " ".join(" ".join(Elements(page).texts).split())
    assert "Not in this dataset:" in text
    assert "imported without --model" in text
    assert "position not known" in text
    assert not re.search(r"\b(None|nan|null)\b", text)


def test_weights_alone(tmp_path: Path) -> None:
    weights = write_synthetic(tmp_path / "ds", n_neurons=3, scan=False, gated=False)
    page = export(weights.path, tmp_path / "page.html", (0, 1))
    text = " ".join(Elements(page).texts)
    assert not [combo for combo in COMBO_NAMES if f"{combo}," in text]
    assert "|w_out|" in text


def test_what_is_refused(made: Synthetic, tmp_path: Path) -> None:
    with pytest.raises(GatescopeError, match=r"shows chosen neurons: name them, as --neurons"):
        export(made.path, tmp_path / "page.html")
    with pytest.raises(GatescopeError, match=r"101 neurons are too many for a page"):
        export(made.path, tmp_path / "page.html", *[(0, n) for n in range(101)])
    with pytest.raises(GatescopeError, match=r"neuron 0.99 of test/synthetic does not exist"):
        export(made.path, tmp_path / "page.html", (0, 99))
    assert not list(tmp_path.iterdir())
