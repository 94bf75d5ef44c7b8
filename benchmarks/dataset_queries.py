"""How long it takes to ask a dataset of a model's full size.

    python benchmarks/dataset_queries.py /tmp/olmo7b
    python benchmarks/dataset_queries.py /tmp/small --layers 2 --neurons 64 --examples 400

Where there is no dataset at the path, a synthetic one of the given size is written first
(synthetic_dataset.py). One line of JSON a question: everything of one neuron through `Dataset` and
through plain SQL over the files, the named queries that read all neurons, and the size of the
files. Everything is warm: each question has been asked once before the clock runs.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from synthetic_dataset import add_size_options, chosen_size, word, write_dataset

import pipeline
from pipeline.provenance import provenance
from pipeline.query import Dataset

# Frequent enough that many neurons have it, as the words are that one asks for.
_TOKEN_ID = 100
_QUERIES: dict[str, dict[str, Any]] = {
    "cosine_vs_gate_frequency": {},
    "unexpected_signs": {},
    "neurons_by_token": {"token": word(_TOKEN_ID).strip()},
}


def timed(ask: Callable[[], object]) -> float:
    """Milliseconds that a call takes."""
    started = time.perf_counter()
    ask()
    return (time.perf_counter() - started) * 1e3


def spread(milliseconds: list[float]) -> dict[str, float]:
    """The median and the 95% quantile."""
    return {
        "median_ms": round(float(np.median(milliseconds)), 2),
        "p95_ms": round(float(np.quantile(milliseconds, 0.95)), 2),
    }


def one_neuron(ds: Dataset, path: Path, n: int, n_threads: int) -> Iterator[dict[str, Any]]:
    """Everything of random neurons: `Dataset.neuron`, and the same rows by SQL over the files.

    The two are asked for the same neuron in turn.
    """
    rng = np.random.default_rng(0)
    layers = [layer for layer in ds.layers if ds.source.layer_files("examples", layer)]
    n_neurons = ds.sql("select max(neuron) + 1 from neurons").fetchall()[0][0]
    asked = [(int(rng.choice(layers)), int(rng.integers(n_neurons))) for _ in range(n)]
    config: dict[str, str | bool | int | float | list[str]] = {"threads": n_threads}
    with duckdb.connect(config=config) as connection:
        connection.execute("set global parquet_metadata_cache = true")

        def by_sql(layer: int, neuron: int, table: str) -> duckdb.DuckDBPyConnection:
            return connection.execute(
                f"from read_parquet('{path}/{table}/*/*.parquet', hive_partitioning = true) "
                f"where layer = {layer} and neuron = {neuron}"
            )

        def as_rows(layer: int, neuron: int) -> None:
            for table in ("neurons", "sign_stats", "examples"):
                by_sql(layer, neuron, table).fetchall()

        def as_arrays(layer: int, neuron: int) -> None:
            for table in ("neurons", "sign_stats", "examples"):
                by_sql(layer, neuron, table).fetchnumpy()

        ways: dict[str, Callable[[int, int], object]] = {
            "one_neuron_sql_rows": as_rows,
            "one_neuron_sql_arrays": as_arrays,
            "one_neuron": ds.neuron,
        }
        taken: dict[str, list[float]] = {name: [] for name in ways}
        for is_warm in (False, True):
            for layer, neuron in asked:
                for name, ask in ways.items():
                    milliseconds = timed(lambda: ask(layer, neuron))  # noqa: B023
                    if is_warm:
                        taken[name].append(milliseconds)
    baseline = float(np.median(taken["one_neuron_sql_rows"]))
    for name, milliseconds_each in taken.items():
        line = {"what": name, **spread(milliseconds_each), "n_asked": n}
        if name != "one_neuron_sql_rows":
            line["ratio_to_sql_rows"] = round(float(np.median(milliseconds_each)) / baseline, 2)
        yield line


def named_queries(ds: Dataset, rounds: int) -> Iterator[dict[str, Any]]:
    """The named queries that read all neurons, or all examples."""
    for name, parameters in _QUERIES.items():
        n_rows = len(ds.query(name, **parameters).fetchall())
        taken = [
            timed(lambda: ds.query(name, **parameters).fetchall())  # noqa: B023
            for _ in range(rounds)
        ]
        yield {"what": name, **spread(taken), "n_result_rows": n_rows, "parameters": parameters}


def sizes(ds: Dataset, path: Path) -> dict[str, Any]:
    """Bytes of each table and of a row of `examples`, beside those of the values as they are."""
    n_bytes: Counter[str] = Counter()
    for table in ds.source.files:
        n_bytes[table] = sum(part.stat().st_size for part in (path / table).rglob("*.parquet"))
    n_rows = ds.manifest["tables"]["examples"]
    (window,) = ds.sql("select avg(len(token_ids)) from examples where neuron < 8").fetchall()[0]
    # Token, gate and in as the model gave them: 4 + 2 + 2 bytes a position.
    plain = 8 * window
    each = n_bytes["examples"] / n_rows
    return {
        "what": "example_row",
        "bytes": round(each, 1),
        "mean_window": round(window, 1),
        "ratio_to_plain_window": round(each / plain, 3),
        "table_mib": {table: round(n / 2**20, 2) for table, n in n_bytes.items()},
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description="Questions to a dataset of full size.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("path", type=Path, help="a dataset, or where to write a synthetic one")
    parser.add_argument("--asked", type=int, default=100, help="random neurons to fetch")
    parser.add_argument("--rounds", type=int, default=9, help="of each named query")
    add_size_options(parser)
    options = parser.parse_args(arguments)
    if not (options.path / "manifest.json").exists():
        write_dataset(options.path, chosen_size(options))
    made = provenance()
    with pipeline.open(options.path) as ds:
        (n_threads,) = ds.sql("select current_setting('threads')").fetchall()[0]
        counts = ds.manifest["tables"]
        same = {
            "n_neurons": counts["neurons"],
            "n_examples": counts["examples"],
            "threads": n_threads,
            "hardware": made["hardware"],
            "versions": made["packages"],
        }
        for line in one_neuron(ds, options.path, options.asked, n_threads):
            print(json.dumps(line | same), flush=True)
        for line in named_queries(ds, options.rounds):
            print(json.dumps(line | same), flush=True)
        print(json.dumps(sizes(ds, options.path) | same))


if __name__ == "__main__":
    main()
