"""How long `gatescope run scan=none` takes, and whether it holds one layer or the model.

    python benchmarks/weights_only.py --shape 1024 24 4096 8 --vocab 32000

Random Llamas of the shape and of a quarter of its layers, in bfloat16 as most models come. Memory
is what the process alone holds (pages of files, which the system may drop, left out), above what it
holds for a model of one small layer. The time is that of the whole command less that of that small
one, and beside it stands that of the float32 products that the token lists are the ends of.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import torch
from random_llama import SHAPE, random_llama

from pipeline.provenance import provenance

_CHECKOUT = Path(__file__).resolve().parents[1]
_SMALL = (64, 1, 128, 2)


def run(model: Path, output: Path, k: int) -> dict[str, float]:
    """One command: its seconds, and the most private memory that it held, in GiB."""
    words = ["scan=none", f"model.name={model}", f"weights.k={k}", f"output={output}"]
    command = [sys.executable, "-m", "pipeline", "run", *words, "model.device=cpu"]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=_CHECKOUT, stdout=subprocess.DEVNULL)
    held, peak = psutil.Process(process.pid), 0
    while process.poll() is None:
        memory = held.memory_info()
        peak = max(peak, memory.rss - memory.shared)
        time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return {"seconds": time.perf_counter() - start, "gib": peak / 2**30}


def product_seconds(shape: tuple[int, int, int, int], d_vocab: int) -> float:
    """The seconds of a layer's five products of weights and vocabulary in float32."""
    d_model, _, d_mlp, _ = shape
    weights, rows = torch.randn(d_mlp, d_model), torch.randn(d_vocab, d_model)
    start = time.perf_counter()
    for _ in range(5):
        for block in rows.split(8192):
            weights @ block.T
    return time.perf_counter() - start


def main(arguments: list[str] | None = None) -> None:
    """Measure and print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", type=int, nargs=4, metavar=SHAPE, default=(1024, 24, 4096, 8))
    parser.add_argument("--vocab", type=int, default=32_000)
    parser.add_argument("--k", type=int, default=10)
    options = parser.parse_args(arguments)
    d_model, n_layers, d_mlp, heads = shape = tuple(options.shape)
    few = max(1, n_layers // 4)
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for n, sizes in ((0, _SMALL), (few, (d_model, few, d_mlp, heads)), (n_layers, shape)):
            model = random_llama(sizes, torch.device("cpu"), torch.bfloat16, d_vocab=options.vocab)
            model.save_pretrained(folder / f"model-{n}", max_shard_size="2GB")
            del model
            found[n] = run(folder / f"model-{n}", folder / f"dataset-{n}", options.k)
    layer = 4 * 3 * d_model * d_mlp / 2**30
    matrices = 2 * 2 * options.vocab * d_model / 2**30
    rest = found[n_layers]["seconds"] - found[0]["seconds"]
    products = n_layers * product_seconds(shape, options.vocab)
    line = {
        "what": "gatescope run scan=none",
        "shape": dict(zip(SHAPE, shape, strict=True)),
        "vocabulary": options.vocab,
        "k": options.k,
        "seconds": round(rest, 1),
        "seconds_of_products": round(products, 1),
        "ratio_to_products": round(rest / products, 2),
        "gib_of_model_float32": round(n_layers * layer + 2 * matrices, 2),
        "gib_of_layer_float32": round(layer, 3),
        "gib_of_vocabulary": round(matrices, 3),
        "gib_few_layers": round(found[few]["gib"] - found[0]["gib"], 3),
        "gib_all_layers": round(found[n_layers]["gib"] - found[0]["gib"], 3),
        "few_layers": few,
        **provenance(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
