"""Names and texts of a manifest as Markdown: whatever they are, they stay text."""

from __future__ import annotations

import re
from typing import Any

from pipeline.naming import HUB_ID


def inline(text: object) -> str:
    """A text as code within a line or a cell of a table."""
    flat = one_line(text)
    ticks = "`" * (max(map(len, re.findall("`+", flat)), default=0) + 1)
    # A space keeps a tick of the text from the fence. A cell ends at `|` even within code.
    padded = f" {flat} " if flat.startswith("`") or flat.endswith("`") else flat
    return f"{ticks}{padded}{ticks}".replace("|", "\\|") if flat else "(nothing)"


def one_line(text: object) -> str:
    """A text without what breaks a line or is not seen."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


def hub_id(manifest: dict[str, Any], what: str) -> str | None:
    """The Hub id of the model or of the corpus, where it has one."""
    if what == "model":
        name, on_hub = manifest["model"]["name"], manifest["model"].get("revision") is not None
    else:
        corpus = manifest["config"]["corpus"]
        name, on_hub = corpus.get("path"), corpus.get("source") == "hub" and "corpus" in manifest
    return name if on_hub and name and HUB_ID.fullmatch(name) else None


def linked(manifest: dict[str, Any], what: str) -> str:
    """The name of the model or of the corpus, with its address on the Hub where it has one."""
    name = manifest[what]["name"]
    found = hub_id(manifest, what)
    kind = "datasets/" if what == "corpus" else ""
    shown = inline(name) if name else f"a {what} that is not named"
    return f"[{shown}](https://huggingface.co/{kind}{found})" if found else shown
