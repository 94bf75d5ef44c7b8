"""The dataset card, `README.md`: metadata for the Hub, then what a person reads and pastes."""

from __future__ import annotations

from typing import Any

from pipeline.hub.card.code import code_section
from pipeline.hub.card.front_matter import front_matter
from pipeline.hub.card.making import left_out_section, making_section
from pipeline.hub.card.tables import tables_section
from pipeline.hub.card.text import CITATIONS, introduction, limits_section
from pipeline.store import Place

__all__ = ["card", "write_card"]


def card(manifest: dict[str, Any], repo: str | None = None) -> str:
    """The card's whole text, made from the manifest.

    Its code opens the dataset `repo` on the Hub, or without one the folder that the card lies in.
    """
    parts = [
        introduction(manifest),
        code_section(manifest, repo),
        making_section(manifest),
        tables_section(manifest),
        left_out_section(manifest),
        limits_section(manifest),
        CITATIONS,
    ]
    text = "\n\n".join(part.strip("\n") for part in parts)
    return f"---\n{front_matter(manifest)}\n---\n\n{text}\n"


def write_card(place: Place, manifest: dict[str, Any]) -> None:
    """Write a dataset's `README.md`."""
    place.write_text("README.md", card(manifest))
