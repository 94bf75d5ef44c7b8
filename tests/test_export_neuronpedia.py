"""Export for Neuronpedia: its columns and types, and numbers counted again by hand."""

from __future__ import annotations

import gzip
import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile import write_hostile
from synthetic import Synthetic, write_synthetic
from transformers.activations import ACT2FN

from pipeline.activation import _FUNCTIONS, activation_of
from pipeline.errors import GatescopeError
from pipeline.hub.neuronpedia import model_id, neuronpedia_files
from pipeline.query import open_dataset

_TEXT, _FLOAT, _LIST, _MAYBE = str, (int, float), list, (str, int, float, list, type(None))
# Their dataclasses, by file: column and type.
SCHEMAS: dict[str, dict[str, Any]] = {
    "release": {"name": _TEXT, "description": _TEXT, "creatorName": _TEXT, "urls": _LIST},
    "model": {"id": _TEXT, "instruct": bool, "layers": int, "neuronsPerLayer": int},
    "sourceset": {"modelId": _TEXT, "name": _TEXT, "releaseName": _TEXT, "hasDashboards": bool},
    "source": {"id": _TEXT, "modelId": _TEXT, "setName": _TEXT, "dataset": _TEXT},
    "features": {
        "modelId": _TEXT,
        "layer": _TEXT,
        "index": _TEXT,
        "maxActApprox": _FLOAT,
        "hasVector": bool,
        "vector": _LIST,
        "hookName": _TEXT,
        "pos_str": _LIST,
        "pos_values": _LIST,
        "neg_str": _LIST,
        "neg_values": _LIST,
        "frac_nonzero": _FLOAT,
        "freq_hist_data_bar_heights": _LIST,
        "correlated_neurons_l1": _LIST,
    },
    "activations": {
        "id": _TEXT,
        "modelId": _TEXT,
        "layer": _TEXT,
        "index": _TEXT,
        "tokens": _LIST,
        "values": _LIST,
        "maxValue": _FLOAT,
        "maxValueTokenIndex": int,
        "minValue": _FLOAT,
        "dfaValues": _LIST,
        "dataIndex": _MAYBE,
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("np") / "ds", n_neurons=7, seed=4)


def exported(dataset: Path, **options: Any) -> dict[str, list[dict[str, Any]]]:
    """The rows of every file by its path."""
    with open_dataset(dataset) as opened:
        files = dict(neuronpedia_files(opened, **options))
    return {
        path: [
            json.loads(line, parse_constant=pytest.fail)
            for line in (gzip.decompress(data) if path.endswith(".gz") else data).splitlines()
        ]
        for path, data in files.items()
    }


def test_every_row_is_what_the_importer_takes(made: Synthetic) -> None:
    files = exported(made.path, batch=3)
    assert len(files) == 2 * 4 * (4 + 2 * 3)  # layers, combinations, batches
    ids = []
    for path, rows in files.items():
        kind = path.split("/")[2].removesuffix(".jsonl")
        for row in rows:
            for column, type_ in {**SCHEMAS[kind], "creatorId": _TEXT, "createdAt": _TEXT}.items():
                assert isinstance(row[column], type_), (path, column)
            datetime.fromisoformat(row["createdAt"])
        if kind == "activations":
            ids += [row["id"] for row in rows]
            for row in rows:
                assert len(row["tokens"]) == len(row["values"])
                assert row["values"][row["maxValueTokenIndex"]] == row["maxValue"]
                assert (max(row["values"]), min(row["values"])) == (
                    row["maxValue"],
                    row["minValue"],
                )
                assert row["layer"] == path.split("/")[1]
        assert path.startswith("synthetic/")
    assert len(set(ids)) == len(ids) > 0
    assert files == exported(made.path, batch=3)


def test_numbers_counted_again(made: Synthetic) -> None:
    files = exported(made.path, neurons=[(1, 5), (1, 2)])
    features = {
        (row["layer"], row["index"]): row
        for path, rows in files.items()
        if "/features/" in path
        for row in rows
    }
    assert {index for _, index in features} == {"2", "5"}
    words = {1: "pos", -1: "neg"}
    vocab = {
        row["token_id"]: row["bytes"].decode() if row["bytes"] else row["token"]
        for row in made.tables["vocab"]
    }
    n_checked = 0
    for stats in made.tables["sign_stats"]:
        if (stats["layer"], stats["neuron"]) not in ((1, 5), (1, 2)):
            continue
        signs = stats["gate_sign"], stats["in_sign"]
        source = f"1-gatescope-gate-{words[signs[0]]}-in-{words[signs[1]]}"
        feature = features[source, str(stats["neuron"])]
        assert feature["frac_nonzero"] == stats["frequency"]
        entries = [
            entry
            for entry in made.tables["examples"]
            if (entry["layer"], entry["neuron"], entry["combo"], entry["ranking"])
            == (1, stats["neuron"], stats["combo"], "post")
        ]
        rows = [
            row
            for row in files[f"synthetic/{source}/activations/batch-0.jsonl.gz"]
            if row["index"] == str(stats["neuron"])
        ]
        assert len(rows) == len(entries)
        for row, entry in zip(rows, sorted(entries, key=lambda e: e["rank"]), strict=True):
            gate = torch.tensor(entry["gate"], dtype=torch.float64)
            in_ = torch.tensor(entry["in"], dtype=torch.float64)
            post = (torch.nn.functional.silu(gate) * in_).abs()
            inside = (gate.sign() == signs[0]) & (in_.sign() == signs[1])
            assert row["values"] == pytest.approx((post * inside).tolist(), rel=1e-5, abs=1e-9)
            assert row["tokens"] == [vocab[token_id] for token_id in entry["token_ids"]]
            assert row["maxValue"] == pytest.approx(entry["score"], rel=1e-5)
            n_checked += 1
        # Where post is negative the neuron writes against its w_out.
        sign = signs[0] * signs[1]
        side = "highest" if sign > 0 else "lowest"
        logits = [
            sign * row["score"]
            for row in made.tables["weight_tokens"]
            if (row["layer"], row["neuron"], row["weight"], row["matrix"], row["side"])
            == (1, stats["neuron"], "out", "unembedding", side)
        ]
        assert feature["pos_values"] == pytest.approx(logits, rel=1e-5)
    assert n_checked > 10


def test_hostile_texts_stay_what_they_are(tmp_path: Path) -> None:
    path = write_hostile(tmp_path / "hostile")
    with open_dataset(path) as opened:
        found = opened.sql("select bytes from vocab where bytes is not null").fetchall()
    whole = {bytes(raw).decode("utf-8", "ignore") for (raw,) in found}
    files = exported(path)
    tokens = {
        token
        for name, rows in files.items()
        if "/activations/" in name
        for row in rows
        for token in row["tokens"]
    }
    assert len(tokens & whole) > 5


@pytest.mark.parametrize("name", sorted(_FUNCTIONS))
def test_activation_functions_are_those_of_transformers(name: str) -> None:
    x = torch.linspace(-9, 9, 181, dtype=torch.float64)
    function = activation_of(name)
    assert function is not None
    wanted = torch.relu(x) ** 2 if name == "relu^2" else ACT2FN[name](x)
    assert np.allclose(function(x.numpy()), wanted.numpy(), rtol=1e-6, atol=1e-6)


def test_names_of_models() -> None:
    assert model_id("allenai/OLMo-7B-0424-hf") == "olmo-7b-0424-hf"
    assert model_id("/some/where/a b?/") == "a-b"
    assert model_id(None) == model_id("///") == "model"


def test_what_cannot_be_exported(made: Synthetic, tmp_path: Path) -> None:
    weights = write_synthetic(tmp_path / "weights", n_neurons=3, scan=False)
    with pytest.raises(GatescopeError, match=r"has no examples .*; give a dataset of a scan"):
        exported(weights.path)
    manifest = json.loads((made.path / "manifest.json").read_text("utf-8"))
    manifest["model"]["act_fn"] = "swoosh"
    other = write_synthetic(tmp_path / "other", n_neurons=3)
    (other.path / "manifest.json").write_text(
        json.dumps(
            json.loads((other.path / "manifest.json").read_text("utf-8"))
            | {"model": manifest["model"]}
        )
    )
    with pytest.raises(GatescopeError, match=r"the activation function swoosh of .* is not known"):
        exported(other.path)


def test_a_post_that_is_not_that_of_the_window(tmp_path: Path) -> None:
    """As where a model scales its gate, which no name of a function tells."""
    made = write_synthetic(tmp_path / "ds", n_neurons=3)
    manifest = json.loads((made.path / "manifest.json").read_text("utf-8"))
    manifest["model"]["act_fn"] = "gelu"
    (made.path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(GatescopeError, match=r"is not the post that was stored, at \d+% of the pe"):
        exported(made.path)
