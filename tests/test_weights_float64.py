"""The tables of weights against the same figures calculated from the model in float64."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from by_hand import folded_by_hand
from tiny_models import (
    ARCHITECTURES,
    D_VOCAB,
    N_LAYERS,
    VARIANTS,
    build,
)
from transformers import AutoModelForCausalLM
from weight_runs import K, made, saved, table, unit

from pipeline.cli import main
from pipeline.config import compose_config
from pipeline.console import messages
from pipeline.run import run
from pipeline.schema import CLASS_COLUMNS
from pipeline.shipped import DEMO_MODEL


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "opt"])
def test_a_model_without_a_gate(name: str, tmp_path: Path) -> None:
    model, folder = saved(name, tmp_path / "model")
    output = tmp_path / "dataset"
    manifest = made(folder, output)
    assert manifest["tables"] == {
        "vocab": D_VOCAB,
        "neurons": 40 * N_LAYERS,
        "layers": N_LAYERS,
        "weight_tokens": 40 * N_LAYERS * 3 * 2 * K,
    }
    assert manifest["model"]["gated"] is False
    neurons, layers = table(output, "neurons"), table(output, "layers").sort_values("layer")
    for column in ("cos_gate_in", "cos_gate_out", "norm_gate"):
        assert neurons[column].isna().all()
    assert not neurons["flipped"].any()
    for layer in range(N_LAYERS):
        if name == "gpt2":
            block = model.base_model.h[layer]
            in_, out, gain = block.mlp.c_fc.weight.T, block.mlp.c_proj.weight, block.ln_2.weight
        elif name == "gpt_neox":
            block = model.base_model.layers[layer]
            in_, out = block.mlp.dense_h_to_4h.weight, block.mlp.dense_4h_to_h.weight.T
            gain = block.post_attention_layernorm.weight
        else:
            block = model.base_model.decoder.layers[layer]
            in_, out, gain = block.fc1.weight, block.fc2.weight.T, block.final_layer_norm.weight
        cosines = (unit(in_ * gain) * unit(out)).sum(1)
        of_layer = neurons[neurons["layer"] == layer].sort_values("neuron")
        np.testing.assert_allclose(of_layer["cos_in_out"], cosines, atol=1e-6)
        classes = np.select(
            [cosines > 0.5, cosines < -0.5], ["enrichment", "depletion"], "orthogonal output"
        )
        assert of_layer["io_class"].tolist() == classes.tolist()
        row = layers.iloc[layer]
        assert row["n_enrichment"] == (classes == "enrichment").sum()
        assert row["n_proportional_change"] == 0
        quartiles = row[["q1_cos_in_out", "median_cos_in_out", "q3_cos_in_out"]].astype(float)
        np.testing.assert_allclose(quartiles, np.quantile(cosines, [0.25, 0.5, 0.75]), atol=1e-6)
        pairs = (unit(in_ * gain) @ unit(out).T)[~np.eye(40, dtype=bool)]
        mismatched = row[["mismatched_low_cos_in_out", "mismatched_high_cos_in_out"]].astype(float)
        np.testing.assert_allclose(mismatched, np.quantile(pairs, [0.025, 0.975]), atol=1e-5)
        for column in layers.columns:
            if "gate" in column:
                assert layers[column].isna().all(), column
    assert main(["verify", str(output)]) == 0


def a(cosines: np.ndarray, threshold: float) -> np.ndarray:
    return (cosines > threshold).astype(int) - (cosines < -threshold).astype(int)


def compare_with_float64(
    output: Path, layer: int, folded: tuple[Any, Any, Any], threshold: float
) -> None:
    """A layer's `neurons` and row of `layers` against weights folded apart, [neuron d_model]."""
    gate, in_, out = (unit(vectors) for vectors in folded)
    sign = np.where((gate * in_).sum(1) < 0, -1, 1)
    cosines = {
        "cos_gate_in": (gate * in_).sum(1) * sign,
        "cos_gate_out": (gate * out).sum(1) * sign,
        "cos_in_out": (in_ * out).sum(1),
    }
    neurons = table(output, "neurons").query(f"layer == {layer}").sort_values("neuron")
    row = table(output, "layers").query(f"layer == {layer}").iloc[0]
    for name, values in cosines.items():
        np.testing.assert_allclose(neurons[name], values, atol=1e-6)
        quartiles = row[[f"{q}_{name}" for q in ("q1", "median", "q3")]].astype(float)
        np.testing.assert_allclose(quartiles, np.quantile(values, [0.25, 0.5, 0.75]), atol=1e-6)
    gi, go, io = (a(values, threshold) for values in cosines.values())
    classes = []
    for gi_n, go_n, io_n in zip(gi, go, io, strict=True):
        if io_n == 0:
            name = "proportional change" if go_n else "orthogonal output"
        else:
            name = ("" if go_n else "conditional ") + ("enrichment" if io_n > 0 else "depletion")
        typical = gi_n == go_n * io_n or (io_n == 0 and go_n == 0)
        classes.append(name if typical else f"atypical {name}")
    assert neurons["io_class"].tolist() == classes
    for io_class, column in CLASS_COLUMNS.items():
        assert row[column] == classes.count(io_class)
    vectors = {"gate": gate, "in": in_ * sign[:, None], "out": out * sign[:, None]}
    for one, other in (("gate", "in"), ("gate", "out"), ("in", "out")):
        pairs = (vectors[one] @ vectors[other].T)[~np.eye(len(gate), dtype=bool)]
        found = row[[f"mismatched_{end}_cos_{one}_{other}" for end in ("low", "high")]]
        np.testing.assert_allclose(
            found.astype(float), np.quantile(pairs, [0.025, 0.975]), atol=1e-5
        )


@pytest.mark.parametrize("name", ARCHITECTURES | VARIANTS)
def test_every_architecture_against_float64(name: str, tmp_path: Path) -> None:
    """With a threshold at which random vectors of so few dimensions are of many classes."""
    tiny = (ARCHITECTURES | VARIANTS)[name]
    model = build(tiny)
    model.save_pretrained(tmp_path / "model")
    made(tmp_path / "model", tmp_path / "dataset", "weights.threshold=0.15")
    for layer in range(N_LAYERS):
        folded = folded_by_hand(tiny, model, layer)
        compare_with_float64(tmp_path / "dataset", layer, folded, 0.15)
    assert table(tmp_path / "dataset", "neurons")["io_class"].nunique() >= 6


def test_trained_models_against_float64(tmp_path: Path, shared: Path) -> None:
    for model_folder in (DEMO_MODEL, shared / "data/stories260K"):
        output = tmp_path / model_folder.name
        made(model_folder, output)
        model = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
        for layer, block in enumerate(model.base_model.layers):
            gain, mlp = block.post_attention_layernorm.weight.double(), block.mlp
            folded = (
                mlp.gate_proj.weight.double() * gain,
                mlp.up_proj.weight.double() * gain,
                mlp.down_proj.weight.double().T,
            )
            compare_with_float64(output, layer, folded, 0.5)


def test_the_tables_of_weights_are_those_of_a_scan(undisturbed: Path, tmp_path: Path) -> None:
    manifest = json.loads((undisturbed / "manifest.json").read_text())
    layers = ",".join(map(str, manifest["model"]["layers"]))
    run(compose_config(["scan=none", f"model.layers=[{layers}]", f"output={tmp_path}"]), messages())
    for name in ("neurons", "layers", "weight_tokens", "vocab"):
        pd.testing.assert_frame_equal(table(tmp_path, name), table(undisturbed, name))
    assert not any((tmp_path / name).exists() for name in ("examples", "sign_stats", "corpus"))
    assert not (tmp_path / "_work").exists()


def test_token_lists_of_flipped_neurons(tmp_path: Path) -> None:
    """w_in and w_out point the other way there, w_gate does not; against the plain product."""
    model, folder = saved("gemma2", tmp_path / "model")
    output = tmp_path / "dataset"
    made(folder, output)
    block = model.base_model.layers[0]
    before = 1 + block.pre_feedforward_layernorm.weight.double()
    after = 1 + block.post_feedforward_layernorm.weight.double()
    neurons = table(output, "neurons").query("layer == 0").sort_values("neuron")
    sign = torch.from_numpy(np.where(neurons["flipped"], -1.0, 1.0))[:, None]
    assert 0 < neurons["flipped"].sum() < 40
    mlp = block.mlp
    weights = {
        "gate": mlp.gate_proj.weight.double() * before,
        "in": mlp.up_proj.weight.double() * before * sign,
        "out": mlp.down_proj.weight.double().T * after * sign,
    }
    embedding = model.get_input_embeddings().weight.double()
    matrices = {
        "embedding": embedding,
        "unembedding": embedding * (1 + model.base_model.norm.weight.double()),
    }
    lists = table(output, "weight_tokens").query("layer == 0")
    groups = lists.groupby(["weight", "matrix", "side"])
    assert set(groups.groups) == {
        (weight, matrix, side)
        for weight in weights
        for matrix in matrices
        for side in ("highest", "lowest")
        if (weight, matrix) != ("out", "embedding")
    }
    for (weight, matrix, side), unsorted in groups:
        rows = unsorted.sort_values(["neuron", "rank"])
        scores = weights[weight] @ matrices[matrix].T
        order = scores.sort(dim=1, descending=side == "highest", stable=True).indices[:, :K]
        assert rows["token_id"].to_numpy().reshape(40, K).tolist() == order.tolist()
        found = rows["score"].to_numpy().reshape(40, K)
        np.testing.assert_allclose(found, scores.gather(1, order).detach(), rtol=1e-5)
        assert rows["rank"].tolist() == list(range(K)) * 40
