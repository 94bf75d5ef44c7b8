"""The benchmarks run and print what they say they do, at sizes that take seconds."""

from __future__ import annotations

import json
from pathlib import Path

import dataset_queries
import pytest
import scan_throughput
import write_merge

_SMALL = ["--layers=2", "--neurons=24", "--example-layers=2", "--examples=60", "--max-length=40"]
_PARTS = ("bare forward", "hooked forward", "reduction", "lists")


@pytest.mark.slow
def test_scan_throughput() -> None:
    options = ["--shape", "16", "2", "24", "2", "--lengths", "5", "9", "--compile", "false"]
    options += ["--examples", "12", "--warm", "4", "--rounds", "2", "--command", "16"]
    found = scan_throughput.measured(scan_throughput.parsed([*options, "--device", "cpu"]))
    assert len(found["ratio_of_each_round"]) == 2
    assert min(found["ratio_of_each_round"]) <= found["ratio"] <= max(found["ratio_of_each_round"])
    assert tuple(found["ns_per_token_and_neuron"]) == _PARTS
    assert 0 <= found["padding"] < 1
    command = found["command"]
    assert command["quarter"]["tokens"] < command["whole"]["tokens"]
    assert command["ratio"] != 0
    json.dumps(found)


def test_dataset_queries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--asked", "2", "--rounds", "1"]
    dataset_queries.main([str(tmp_path / "dataset"), *asked, *_SMALL])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    named = [line["what"] for line in lines]
    assert named[:3] == ["one_neuron_sql_rows", "one_neuron_sql_arrays", "one_neuron"]
    assert {"cosine_vs_gate_frequency", "unexpected_signs", "neurons_by_token"} <= set(named)
    assert all(line["n_neurons"] == 2 * 24 for line in lines)
    assert lines[-1]["what"] == "example_row"


def test_write_merge(capsys: pytest.CaptureFixture[str]) -> None:
    write_merge.main(["--neurons", "8", "--examples", "400"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(found["workers"]) == {"1", "3"}
    assert found["workers"]["1"]["bytes_a_row"] > 0
