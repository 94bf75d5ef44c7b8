"""Names of models in figures and in the names of files: whatever they hold, they do no harm."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from matplotlib.font_manager import FontProperties, findfont, get_font

from pipeline.config.settings import file_name
from pipeline.view.visible import visible

_LONGEST: Final = 36
_LONGEST_FILE: Final = 80


def drawable(text: str, longest: int = _LONGEST) -> str:
    """`text` on one line, of characters that the figures' font has, shortened in its middle.

    It may still hold `$`: give it to matplotlib with `parse_math=False`.
    """
    known = _characters()
    shown = "".join(c if ord(c) in known else f"<U+{ord(c):04X}>" for c in visible(text)).strip()
    if len(shown) > longest:
        tail = (longest - 1) * 2 // 3
        shown = f"{shown[: longest - 1 - tail]}…{shown[-tail:]}"
    return shown or "unnamed"


@functools.cache
def _characters() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def labels(models: Sequence[str]) -> list[str]:
    """What to call each model in a figure: of one that lies in a folder, the folder's name.

    Where two would be called the same they keep their whole names.
    """
    short = [_last_part(model) for model in models]
    seen = Counter(short)
    return [
        drawable(part if seen[part] == 1 else model)
        for part, model in zip(short, models, strict=True)
    ]


def _last_part(model: str) -> str:
    is_folder = model.startswith(("/", ".", "~")) or re.match(r"[A-Za-z]:[\\/]", model) is not None
    return re.split(r"[\\/]", model.rstrip("\\/"))[-1] or model if is_folder else model


def folder_names(models: Sequence[str]) -> list[str]:
    """A folder for the figures of each model, no two the same on any file system."""
    names: list[str] = []
    taken: set[str] = set()
    for model in models:
        stem = file_name(_last_part(model)).encode()[:_LONGEST_FILE].decode(errors="ignore")
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names
