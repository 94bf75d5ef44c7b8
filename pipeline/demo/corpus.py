"""The demo corpus: the documentation that every CPython carries, read where it is installed.

Its sources are the topics of `help()` (`pydoc_data.topics`) and the docstrings of the standard
library, taken from the `.py` files with `ast`, so that no module is imported. What an installation
lacks is left out; the texts differ a little from one Python version to the next.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import os
import re
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MIN_CHARS = 200
MAX_CHARS = 1600
HELD_OUT_SHARE = 0.1
# Tests, code tables and demos, other people's packages, and what Python 3.12 dropped.
SKIPPED_FOLDERS = frozenset(
    {"test", "tests", "idle_test", "idlelib", "turtledemo", "encodings", "pydoc_data"}
    | {"ensurepip", "lib-dynload", "site-packages", "dist-packages", "lib2to3", "distutils"}
)
_REPEATED_FROM = 80  # characters: a shorter paragraph ("See also:") may stand in many texts
_Definition = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class DemoText:
    """One text: a docstring, a help topic, or (`id` ends in `#2`) a part of a long one.

    `held_out` is true for the texts, about a tenth, that the demo model was not trained on.
    """

    id: str
    text: str
    held_out: bool


def demo_texts(min_chars: int = MIN_CHARS) -> Iterator[DemoText]:
    """The demo corpus, the held-out texts first and then the rest, each in a fixed mixed order.

    Texts have at least `min_chars` characters; those above `MAX_CHARS` come in parts, cut between
    paragraphs. A paragraph that stands in several sources is kept in the first one only.
    """
    texts = []
    seen_ids: set[str] = set()
    seen_paragraphs: set[str] = set()
    for source_id, text in _documents():
        if source_id in seen_ids:
            continue
        seen_ids.add(source_id)
        held_out = _fraction(source_id) < HELD_OUT_SHARE
        parts = _parts(_new_paragraphs(text, seen_paragraphs))
        for number, part in enumerate(parts, start=1):
            # Filtered last, so that the parts and the split are the same for every min_chars.
            if len(part) >= min_chars:
                part_id = source_id if len(parts) == 1 else f"{source_id}#{number}"
                texts.append(DemoText(part_id, part, held_out))
    yield from sorted(texts, key=lambda t: (not t.held_out, _fraction(f"order {t.id}"), t.id))


def _documents() -> Iterator[tuple[str, str]]:
    """(id, text) of every topic and docstring, in a fixed order, repetitions included."""
    topics = _help_topics()
    for name in sorted(topics):
        yield f"topics/{name}", inspect.cleandoc(topics[name])
    root = Path(sysconfig.get_path("stdlib"))
    for folder, subfolders, files in os.walk(root):
        subfolders[:] = sorted(set(subfolders) - SKIPPED_FOLDERS)
        for file in sorted(files):
            if file.endswith(".py"):
                path = Path(folder, file)
                yield from _docstrings(path, _module_name(path.relative_to(root)))


def _help_topics() -> dict[str, str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:  # some distributions package it apart, or not at all
        return {}
    return dict(topics)


def _docstrings(path: Path, module: str) -> Iterator[tuple[str, str]]:
    """(dotted name, docstring) of the module in `path` and of what it defines."""
    source = path.read_bytes()
    if b'"""' not in source and b"'''" not in source:
        return  # parsing is most of the time here, and such a file has no long docstring
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # invalid escapes in somebody's standard library
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):  # a template or a file for another Python
            return
    yield from _definitions(tree, module)


def _definitions(node: _Definition, name: str) -> Iterator[tuple[str, str]]:
    text = ast.get_docstring(node)
    if text:
        # A lone surrogate from an escape such as \ud800 is no text that UTF-8 can hold.
        yield name, text.encode("utf-8", "replace").decode("utf-8")
    for child in _statements(node.body):
        if isinstance(child, _Definition):
            yield from _definitions(child, f"{name}.{child.name}")


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a body and of its `if` and `try` blocks."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try):
            yield from _statements(statement.body)
            yield from _statements(statement.orelse)
        else:
            yield statement


def _module_name(relative: Path) -> str:
    parts = relative.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def _new_paragraphs(text: str, seen: set[str]) -> list[str]:
    """The paragraphs of a text that no earlier one had; adds them to `seen`."""
    fresh = []
    for paragraph in re.split(r"\n\s*\n", text.strip("\n")):
        key = " ".join(paragraph.lower().split())
        if key and key not in seen:
            fresh.append(paragraph.rstrip())
            if len(key) >= _REPEATED_FROM:
                seen.add(key)
    return fresh


def _parts(paragraphs: list[str]) -> list[str]:
    """Consecutive paragraphs joined up to `MAX_CHARS`; a longer paragraph is a part of its own."""
    parts: list[str] = []
    for paragraph in paragraphs:
        if parts and len(parts[-1]) + 2 + len(paragraph) <= MAX_CHARS:
            parts[-1] += "\n\n" + paragraph
        else:
            parts.append(paragraph)
    return parts


def _fraction(key: str) -> float:
    """A number in [0, 1) that depends on `key` alone, on every machine."""
    digest = hashlib.sha256(key.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
