"""How fast the command `gatescope run` is, start-up left out: two corpora, and their difference."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).resolve().parents[1]


def run_gatescope(settings: dict[str, Any], output: Path) -> dict[str, float]:
    """One `gatescope run`: its tokens, the seconds of the whole command, its scan's tokens/s."""
    words = [f"{key}={value}" for key, value in settings.items()]
    command = [sys.executable, "-m", "pipeline", "run", *words, f'output="{output}"']
    start = time.perf_counter()
    subprocess.run(command, cwd=_CHECKOUT, stdout=subprocess.DEVNULL, check=True)
    seconds = time.perf_counter() - start
    manifest = json.loads((output / "manifest.json").read_text())
    tokens, scan = manifest["corpus"]["n_tokens"], manifest["scan"]["tokens_per_s"]
    return {"tokens": tokens, "seconds": round(seconds, 3), "scan_tokens_per_s": round(scan, 1)}


def marginal_rate(settings: dict[str, Any], rows: Sequence[Any], folder: Path) -> dict[str, Any]:
    """`gatescope run` on a quarter of the rows of a corpus and on all of them.

    The rate is the difference of their tokens over that of their seconds, so that what a command
    costs whatever the corpus is cancels. Rows are JSON objects; what is written stays in `folder`.
    """
    runs = []
    for n in (max(1, len(rows) // 4), len(rows)):
        path = folder / f"{n}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows[:n]))
        runs.append(run_gatescope({**settings, "corpus.path": f'"{path}"'}, path.with_suffix("")))
    few, whole = runs
    rate = (whole["tokens"] - few["tokens"]) / (whole["seconds"] - few["seconds"])
    return {"marginal_tokens_per_s": round(rate, 1), "quarter": few, "whole": whole}
