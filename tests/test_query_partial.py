"""The invariants of datasets that lack something: what is left out, and damage that is seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from partial import write_without_texts
from synthetic import rewrite

from pipeline.cli import main
from pipeline.errors import GatescopeError
from pipeline.hub.gluscope.checks import counts_of
from pipeline.query import check_invariants, open_dataset

DAMAGE: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    "examples.peak_token": ("examples", "peak_token", lambda v: v + 1),
    "examples.position": ("examples", "position", lambda v: 0),
    "examples.window": ("examples", "window_start", lambda v: v + 1),
    "examples.lengths": ("examples", "gate", lambda v: v[1:]),
    "examples.score_value": ("examples", "score", lambda v: v + 1),
    "sign_stats.frequency": ("sign_stats", "frequency", lambda v: v / 2),
    "neurons.counts": ("sign_stats", "count", lambda v: v + 1),
    "neurons.class": ("neurons", "io_class", lambda v: "depletion"),
}


def broken(path: Path) -> set[str]:
    with open_dataset(path) as dataset:
        return {check.name for check in check_invariants(dataset) if not check.ok}


@pytest.mark.parametrize("changes", [{}, {"dedupe": False}, {"before": 12, "after": 2}])
def test_published_without_its_texts(
    changes: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_without_texts(tmp_path / "ds", **changes)
    assert broken(tmp_path / "ds") == set()
    assert main(["verify", str(tmp_path / "ds")]) == 0
    assert main(["verify", str(tmp_path / "ds"), "--rerun", "3"]) == 2
    assert "has no texts to run again; leave --rerun out" in capsys.readouterr().err
    with open_dataset(tmp_path / "ds") as dataset:
        (note,) = dataset.notes("from corpus")
        assert "has no corpus (the texts were left out when it was published" in note


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_without_texts_is_seen(name: str, tmp_path: Path) -> None:
    write_without_texts(tmp_path / "ds")
    table, column, change = DAMAGE[name]

    def changed(rows: pa.Table) -> pa.Table:
        values = rows.to_pylist()
        place = next(
            i
            for i, row in enumerate(values)
            if row.get("frequency", 1) > 0
            and row.get("io_class") != "depletion"
            and row.get("ranking") in (None, "post")
            and row.get("position", 1) > 0
        )
        values[place][column] = change(values[place][column])
        return pa.Table.from_pylist(values, schema=rows.schema)

    rewrite(tmp_path / "ds" / f"{table}/layer=1/part-0.parquet", changed)
    assert name in broken(tmp_path / "ds")


def test_what_is_said_to_be_missing_has_to_be(tmp_path: Path) -> None:
    """A table that the manifest names as missing and yet has, or has not and does not name."""
    write_without_texts(tmp_path / "ds")
    file = tmp_path / "ds/manifest.json"
    manifest = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(manifest | {"missing": []}), encoding="utf-8")
    assert "manifest" in broken(tmp_path / "ds")
    lacks = [{"table": "vocab", "columns": None, "why": "gone"}, *manifest["missing"]]
    file.write_text(json.dumps(manifest | {"missing": lacks}), encoding="utf-8")
    assert "row_counts" in broken(tmp_path / "ds")


@pytest.mark.parametrize("n_tokens", [1, 1000, 76_667, 20_000_000, 3_000_000_000])
def test_counts_of_frequencies_in_float32(n_tokens: int) -> None:
    rng = np.random.default_rng(n_tokens)
    shares = rng.dirichlet(np.ones(4) / 3, 500)
    count = np.floor(shares * n_tokens).astype(np.int64)
    count[:, 0] += n_tokens - count.sum(1)
    # As GLUScope does it: the count as float32, divided by the tokens as float32.
    frequency = (count.astype(np.float32) / np.float32(n_tokens)).astype(np.float64)
    got, n_zero = counts_of(0, frequency, n_tokens, "texts")
    assert (got.sum(1) + n_zero == n_tokens).all()
    assert (got >= 0).all()
    assert (n_zero >= 0).all()
    error = np.abs(got - count).max()
    assert error <= np.ceil(n_tokens * 2.0**-22)
    if n_tokens < 2**22:
        assert error == 0
        assert not n_zero.any()


def test_zeros_are_what_is_left() -> None:
    got, n_zero = counts_of(0, np.array([[0.5, 0.25, 0.125, 0.0625]]), 1000 * 16, "texts")
    assert got.tolist() == [[8000, 4000, 2000, 1000]]
    assert n_zero.tolist() == [1000]
    with pytest.raises(GatescopeError, match=r"neuron 2\.0 has gate-_in- at a share of 0\.3337"):
        counts_of(2, np.array([[0.1, 0.2, 0.3, 0.3337]]), 1000, "texts")
    with pytest.raises(GatescopeError, match=r"the counts of neuron 2\.1 add up to 1,100, more"):
        counts_of(2, np.array([[0.1] * 4, [0.5, 0.5, 0.1, 0.0]]), 1000, "texts")
