"""How long a neuron takes to show in the browser, and what it takes over the wire.

    python benchmarks/viewer.py /tmp/olmo7b
    python benchmarks/viewer.py /tmp/small --layers 2 --neurons 64 --examples 400

Where there is no dataset at the path, a synthetic one of the given size is written first
(synthetic_dataset.py). `gatescope serve` serves it, and Chromium goes from neuron to neuron by the
address, as a link does: two of each layer that has examples, the first of which reads the footers,
then neighbours. One line of JSON each: milliseconds until the combinations and until the examples
stand on the page (of the first list the peak is there and a frame was drawn), bytes and requests
until nothing more is asked for. A last line has the pages of a layer and of the model.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from playwright.sync_api import Page, Response, sync_playwright
from synthetic_dataset import add_size_options, chosen_size, write_dataset

from pipeline.provenance import provenance

LIMIT_MS: Final = 300
LIMIT_BYTES: Final = 2_000_000
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# Goes to an address and gives when each of some selectors was on the page and drawn.
_GO = """async ([hash, selectors]) => {
    const began = performance.now();
    const old = document.querySelector("main > *");
    const drawn = (selector) => new Promise((resolve) => {
        const look = () => {
            const there = document.querySelector(selector);
            if (there && document.querySelector("main > *") !== old) {
                setTimeout(() => resolve(performance.now() - began));
            } else requestAnimationFrame(look);
        };
        look();
    });
    location.hash = hash;
    return await Promise.all(selectors.map(drawn));
}"""


@contextmanager
def served(path: Path) -> Iterator[str]:
    """The address of `gatescope serve` on a free port."""
    command = [sys.executable, "-m", "pipeline", "serve", str(path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            for line in server.stdout or ():
                if found := re.search(r"http://\S+/", line):
                    yield found[0]
                    break
        finally:
            server.send_signal(signal.SIGINT)


class Wire:
    """What comes over the wire, of the dataset alone."""

    def __init__(self, page: Page) -> None:
        self.n_bytes = self.n_requests = 0
        page.on("response", self._count)

    def _count(self, response: Response) -> None:
        if "/data/" in response.url:
            self.n_bytes += int(response.headers.get("content-length", 0))
            self.n_requests += 1


def visit(page: Page, wire: Wire, where: str, selectors: list[str]) -> dict[str, Any]:
    """Go there by the address and measure."""
    n_bytes, n_requests = wire.n_bytes, wire.n_requests
    times = page.evaluate(_GO, [where, selectors])
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(500)
    return {
        "ms": [round(ms) for ms in times],
        "bytes": wire.n_bytes - n_bytes,
        "requests": wire.n_requests - n_requests,
    }


def neurons_of(manifest: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    """Neurons to look at, each with what is known of its layer by then."""
    rng = np.random.default_rng(0)
    parts = [part["path"] for part in manifest["files"]["examples"]]
    n_neurons = dict(zip(manifest["model"]["layers"], manifest["model"]["n_neurons"], strict=True))
    for part in parts:
        layer = int(part.split("layer=")[1].split("/")[0])
        for known, neuron in zip(
            ("nothing", "footers"), rng.integers(0, n_neurons[layer] - 1, 2).tolist(), strict=True
        ):
            yield known, layer, neuron
        yield "neighbour", layer, neuron + 1


def measure(url: str, manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A line a neuron, then their medians, then other pages."""
    executable = next(filter(None, map(shutil.which, _BROWSERS)))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        wire = Wire(page)
        # The first page reads the vocabulary and the scripts.
        page.goto(f"{url}#/neuron/{manifest['model']['layers'][-1]}.0")
        page.wait_for_selector("main:not([aria-busy]) h1")
        page.wait_for_load_state("networkidle")
        found: dict[str, list[dict[str, Any]]] = {}
        for known, layer, neuron in neurons_of(manifest):
            where = f"#/neuron/{layer}.{neuron}"
            one = visit(page, wire, where, ["main table", "main .peak"])
            found.setdefault(known, []).append(one)
            yield {"neuron": f"{layer}.{neuron}", "known": known, **one}
        for known, several in found.items():
            ms = np.array([one["ms"] for one in several])
            yield {
                "known": known,
                "n": len(several),
                "combinations_ms": {
                    "median": float(np.median(ms[:, 0])),
                    "most": int(ms[:, 0].max()),
                },
                "examples_ms": {"median": float(np.median(ms[:, 1])), "most": int(ms[:, 1].max())},
                "examples_of_limit": round(float(np.median(ms[:, 1])) / LIMIT_MS, 2),
                "bytes_most": max(one["bytes"] for one in several),
                "bytes_of_limit": round(max(one["bytes"] for one in several) / LIMIT_BYTES, 2),
            }
        layer = manifest["model"]["layers"][0]
        yield {"page": "layer", **visit(page, wire, f"#/layer/{layer}", ["main canvas", "main td"])}
        yield {"page": "model", **visit(page, wire, "#/model", ["main svg, main canvas"])}
        browser.close()


def main(arguments: list[str] | None = None) -> None:
    """Write the dataset if need be, serve it, look at it."""
    parser = argparse.ArgumentParser(
        description="Time the viewer.", formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("path", type=Path, help="a dataset, or where to write a synthetic one")
    add_size_options(parser)
    options = parser.parse_args(arguments)
    if not (options.path / "manifest.json").exists():
        write_dataset(options.path, chosen_size(options))
    manifest = json.loads((options.path / "manifest.json").read_text("utf-8"))
    said = provenance()
    with served(options.path) as url:
        for line in measure(url, manifest):
            print(json.dumps({"what": "viewer", **line}), flush=True)
    print(json.dumps({key: said[key] for key in ("hardware", "packages", "finished")}))


if __name__ == "__main__":
    main()
