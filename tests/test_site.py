"""The rules of the viewer's site, read from its files."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_architecture import MAX_LINES, PACKAGE, VAGUE

from pipeline.view.serve import _HEADERS

SITE = PACKAGE / "view/site"
OURS = sorted(path for path in SITE.rglob("*") if path.is_file() and "vendor" not in path.parts)
SCRIPTS = [path for path in OURS if path.suffix == ".js"]
NAMES = [str(path.relative_to(SITE)) for path in OURS]
# The one module that knows the libraries.
OWNER_OF_VENDOR = SITE / "data/parquet.js"
# Ways in which text becomes markup or code.
FORBIDDEN = (
    "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "createContextualFragment",
    "setHTMLUnsafe", "DOMParser", "eval(", "new Function", "srcdoc", "javascript:",
)  # fmt: skip
_IMPORT = re.compile(
    r"""^(?:import|export)\s(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']|\bimport\("([^"]+)"\)""",
    re.MULTILINE,
)
_COMMENT = re.compile(r"/\*.*?\*/|(?<!:)//[^\n]*", re.DOTALL)


def code_of(path: Path) -> str:
    return _COMMENT.sub("", path.read_text("utf-8"))


def imports_of(path: Path) -> list[str]:
    return [first or second for first, second in _IMPORT.findall(code_of(path))]


def test_there_is_a_site() -> None:
    assert {"index.html", "app.js", "data/parquet.js", "pages/neuron.js"} <= set(NAMES)


@pytest.mark.parametrize("path", OURS, ids=NAMES)
def test_a_file(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    assert path.stem not in VAGUE
    assert not re.search(r"TODO|FIXME|XXX", text)
    assert text.endswith("\n")
    assert not re.search(r"[ \t]+$", text, re.MULTILINE)
    assert all(len(line) <= 100 for line in text.splitlines() if path.suffix in (".js", ".css"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(SITE)))
def test_a_script(path: Path) -> None:
    code = code_of(path)
    assert [word for word in FORBIDDEN if word in code] == []
    assert "console.log" not in code
    for target in imports_of(path):
        assert target.startswith("."), f"{target} is loaded from elsewhere"
        found = (path.parent / target).resolve()
        assert found.is_file(), f"{target} is missing"
        if "vendor" in found.parts:
            assert path == OWNER_OF_VENDOR
    # The first word of a public function's comment is what a reader sees of it.
    for match in re.finditer(r"^export (?:async )?(?:function|class) (\w+)", code, re.MULTILINE):
        source = path.read_text("utf-8")
        before = source[: source.index(match[0])].rstrip()
        assert before.endswith("*/"), f"{match[1]} says nothing of itself"


def test_every_script_is_used() -> None:
    targets = {(path.parent / to).resolve() for path in SCRIPTS for to in imports_of(path)}
    assert {path for path in SCRIPTS if path.resolve() not in targets} == {SITE / "app.js"}


def test_no_address_is_loaded() -> None:
    for path in OURS:
        if path.suffix in (".css", ".html"):
            assert not re.search(r"url\(\s*['\"]?(?:https?:)?//|@import", path.read_text("utf-8"))


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.policy = ""
        self.loaded: list[str] = []
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = attributes["content"]
        self.loaded += [attributes[name] for name in ("src", "href") if name in attributes]
        self.inline += [name for name in attributes if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in attributes):
            self.inline.append(tag)


def test_the_page_itself() -> None:
    page = _Page()
    page.feed((SITE / "index.html").read_text("utf-8"))
    assert page.inline == []
    files = [target for target in page.loaded if not target.startswith("#")]
    assert all((SITE / target).is_file() for target in files)
    styles = {str(path.relative_to(SITE)) for path in OURS if path.suffix == ".css"}
    assert styles <= set(files)
    # On a plain host the page brings its own; a meta element has no frame-ancestors.
    server = _HEADERS["content-security-policy"].removesuffix("; frame-ancestors 'self'")
    assert page.policy == server
    assert "unsafe" not in page.policy


def test_vendored_libraries_have_their_licences() -> None:
    listed = (SITE / "vendor/README.md").read_text("utf-8")
    for folder in (path for path in (SITE / "vendor").iterdir() if path.is_dir()):
        assert "Permission is hereby granted" in (folder / "LICENSE").read_text("utf-8")
        assert f"`{folder.name}/`" in listed


def test_words_are_those_of_the_package() -> None:
    from pipeline.naming import COMBO_NAMES, IO_CLASSES, QUANTITIES, RANKINGS

    words = (SITE / "words.js").read_text("utf-8")
    for names in (COMBO_NAMES, QUANTITIES, RANKINGS):
        assert ", ".join(f'"{name}"' for name in names) in words
    for name in IO_CLASSES:
        assert re.search(rf'^  (?:"{name}"|{name}):', words, re.MULTILINE), name
