"""Text that somebody else wrote, made harmless: nothing of it acts on a terminal."""

from __future__ import annotations

import unicodedata
from typing import Final

_SYMBOLS: Final = {"\n": "↵", "\t": "⇥", "\r": "␍", "\x7f": "␡"}
# Categories of characters without a shape of their own, or with one that moves or hides others.
_UNSEEN: Final = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def visible(text: str) -> str:
    """`text` on one line without control characters: what acts on a terminal becomes a symbol.

    Newlines become `↵`, other controls their pictures, and bidi controls, zero-width and unassigned
    characters `<U+202E>`.
    """
    return "".join(map(_visible_character, text))


def _visible_character(character: str) -> str:
    if character in _SYMBOLS:
        return _SYMBOLS[character]
    if ord(character) < 0x20:
        return chr(0x2400 + ord(character))
    if unicodedata.category(character) in _UNSEEN:
        return f"<U+{ord(character):04X}>"
    return character
