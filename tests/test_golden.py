"""The whole run against what the original GLUScope code computed for a real trained model."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets_compared import table_of
from rich.console import Console

from pipeline.config import compose_config
from pipeline.naming import COMBO_NAMES, HOOKS
from pipeline.run import run

_HOOKS = {**HOOKS, "act": "swish"}
_N_TOKENS = 76_667


@pytest.fixture(scope="module", params=[False, True], ids=["as-it-is", "canonical"])
def golden(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[dict], bool]:
    """(our dataset, the reference's rows, whether signs are canonical)."""
    canonical = request.param
    output = tmp_path_factory.mktemp("golden") / "dataset"
    config = compose_config(
        [
            "experiment=gluscope",
            f"model.name={shared / 'data/stories260K'}",
            "corpus=tokenized",
            f"corpus.path={shared / 'golden/stories260K/corpus.parquet'}",
            f"scan.canonical_signs={str(canonical).lower()}",
            f"output={output}",
        ]
    )
    run(config, Console(file=io.StringIO()))
    name = "reference_refactored" if canonical else "reference"
    reference = pq.read_table(shared / f"golden/stories260K/{name}.parquet").to_pylist()
    return output, reference, canonical


def test_flips(golden: tuple[Path, list[dict], bool], shared: Path) -> None:
    output, _, canonical = golden
    flipped = np.array(table_of(output, "neurons")["flipped"]).reshape(5, 172)
    expected = np.load(shared / "golden/stories260K/flip.npy") < 0
    assert (flipped == (expected if canonical else False)).all()


def test_frequencies_and_means(golden: tuple[Path, list[dict], bool]) -> None:
    output, reference, _ = golden
    stats = {
        (row["layer"], row["neuron"], row["combo"]): row
        for row in table_of(output, "sign_stats").to_pylist()
    }
    assert len(stats) == 4 * len(reference)
    for expected in reference:
        for combo in COMBO_NAMES:
            got = stats[expected["layer"], expected["neuron"], combo]
            assert got["n_tokens"] == _N_TOKENS
            off = abs(got["frequency"] - expected[f"{combo}_freq"]) * _N_TOKENS
            assert off <= 3, (expected["layer"], expected["neuron"], combo)
            for quantity, hook in _HOOKS.items():
                mean = got[f"mean_{quantity}"]
                if mean is not None:
                    wanted = expected[f"{combo}_{hook}_mean"]
                    assert abs(mean - wanted) <= 2e-3 * abs(wanted)


def test_lists(golden: tuple[Path, list[dict], bool]) -> None:
    output, reference, _ = golden
    lists: dict[tuple, list[tuple[float, int]]] = {}
    for row in table_of(output, "examples").to_pylist():
        key = (row["layer"], row["neuron"], row["combo"], row["ranking"])
        lists.setdefault(key, []).append((row[f"{row['ranking']}_value"], row["example_id"]))
    n_missing = 0
    for expected in reference:
        for combo in COMBO_NAMES:
            for ranking, hook in HOOKS.items():
                got = lists.get((expected["layer"], expected["neuron"], combo, ranking), [])
                values = expected[f"{combo}_{hook}_max_values"]
                ids = expected[f"{combo}_{hook}_max_indices"]
                # The reference pads with 0 where fewer examples have the combination.
                n = sum(value != 0 for value in values)
                assert len(got) == n
                found, wanted = np.array([value for value, _ in got]), np.array(values[:n])
                tolerance = 1e-4 * np.maximum(np.abs(wanted), np.abs(wanted).max(initial=1e-3))
                assert (np.abs(found - wanted) <= tolerance).all()
                ours = {example_id for _, example_id in got}
                last = abs(values[n - 1]) if n else 0
                n_missing += sum(
                    example_id not in ours and abs(value) > last + 1e-4
                    for value, example_id in zip(values[:n], ids[:n], strict=True)
                    if sum(abs(abs(value) - abs(v)) < 1e-6 for v in values[:n]) == 1
                )
    assert n_missing == 0
