"""`gatescope run scan=none`: datasets of weights alone, against the weights, and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from by_hand import folded_by_hand
from datasets_compared import differences_between
from tiny_models import (
    ARCHITECTURES,
    D_VOCAB,
    N_LAYERS,
    UNGATED,
    VARIANTS,
    Tiny,
    build,
    byte_level_tokenizer,
)
from transformers import AutoModelForCausalLM

from pipeline import weights_only
from pipeline.cli import main
from pipeline.config import compose_config
from pipeline.console import messages
from pipeline.errors import GatescopeError, Interrupted
from pipeline.model.trace import probe_ids
from pipeline.naming import IO_CLASSES
from pipeline.run import run
from pipeline.schema import CLASS_COLUMNS
from pipeline.shipped import DEMO_MODEL

K = 4


def saved(name: str, folder: Path) -> tuple[Any, Path]:
    model = build((ARCHITECTURES | UNGATED)[name])
    model.save_pretrained(folder)
    return model, folder


def words(model: Path, output: Path, *more: str) -> list[str]:
    return ["scan=none", f"model.name={model}", f"weights.k={K}", *more, f"output={output}"]


def made(model: Path, output: Path, *more: str) -> dict[str, Any]:
    return run(compose_config(words(model, output, *more)), messages()).manifest


def table(output: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(output / name, partitioning=None)


def unit(vectors: torch.Tensor) -> np.ndarray:
    values = vectors.detach().double().numpy()
    return values / np.linalg.norm(values, axis=1, keepdims=True)


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


def test_the_threshold_decides_the_classes(tmp_path: Path) -> None:
    _, folder = saved("llama", tmp_path / "model")
    counts = {}
    for threshold in (0.5, 0.05):
        output = tmp_path / f"t{threshold}"
        made(folder, output, f"weights.threshold={threshold}")
        assert main(["verify", str(output)]) == 0
        counts[threshold] = table(output, "neurons")["io_class"].nunique()
    assert counts[0.05] > counts[0.5]
    assert counts[0.05] <= len(IO_CLASSES)


def test_without_token_lists(tmp_path: Path) -> None:
    _, folder = saved("llama", tmp_path / "model")
    manifest = made(folder, tmp_path / "dataset", "weights.k=0")
    assert manifest["tables"]["weight_tokens"] == 0
    assert len(table(tmp_path / "dataset", "weight_tokens")) == 0
    assert main(["verify", str(tmp_path / "dataset")]) == 0


def test_lists_are_as_long_as_the_vocabulary_at_most(tmp_path: Path) -> None:
    _, folder = saved("llama", tmp_path / "model")
    made(folder, tmp_path / "dataset", f"weights.k={D_VOCAB + 5}")
    lists = table(tmp_path / "dataset", "weight_tokens")
    assert lists["rank"].max() == D_VOCAB - 1
    assert main(["verify", str(tmp_path / "dataset")]) == 0


def test_lists_without_an_unembedding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(ARCHITECTURES["llama"]).base_model.save_pretrained(tmp_path / "model")
    assert main(["run", *words(tmp_path / "model", tmp_path / "dataset")]) == 0
    assert (
        "weight_tokens has no lists of the unembedding: not in the model's files"
        in capsys.readouterr().err
    )
    lists = table(tmp_path / "dataset", "weight_tokens")
    assert set(zip(lists["weight"], lists["matrix"], strict=True)) == {
        ("gate", "embedding"),
        ("in", "embedding"),
    }
    assert main(["verify", str(tmp_path / "dataset")]) == 0


def test_a_model_whose_vectors_do_not_fit(tmp_path: Path) -> None:
    _, folder = saved("opt-projected", tmp_path / "model")
    made(folder, tmp_path / "dataset")
    assert len(table(tmp_path / "dataset", "weight_tokens")) == 0
    assert main(["verify", str(tmp_path / "dataset")]) == 0


def test_the_tokenizer_names_the_tokens(tmp_path: Path) -> None:
    tokenizer = byte_level_tokenizer()
    build(Tiny("gpt2", {"vocab_size": len(tokenizer)})).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    made(tmp_path / "model", tmp_path / "dataset")
    assert " the" in set(table(tmp_path / "dataset", "vocab")["token"])


def stopping_after(n: int, error: type[BaseException]) -> Any:
    """`write_weights` that raises once n layers are written."""
    write, done = weights_only.write_weights, 0

    def write_some(*arguments: Any) -> Any:
        nonlocal done
        if done == n:
            raise error
        done += 1
        return write(*arguments)

    return write_some


@pytest.mark.parametrize("n", [0, 1, 2])
def test_stopped_and_resumed(n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, folder = saved("qwen3", tmp_path / "model")
    made(folder, tmp_path / "whole")
    output = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(weights_only, "write_weights", stopping_after(n, KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            made(folder, output)
    assert not (output / "manifest.json").exists()
    written: list[int] = []
    write = weights_only.write_weights

    def noted(*arguments: Any) -> Any:
        written.append(arguments[2])
        return write(*arguments)

    monkeypatch.setattr(weights_only, "write_weights", noted)
    made(folder, output)
    assert written == list(range(n, N_LAYERS))
    assert differences_between(tmp_path / "whole", output) == []
    assert run(compose_config(words(folder, output)), messages()).already_complete


def test_status_and_damage_of_an_unfinished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _, folder = saved("llama", tmp_path / "model")
    made(folder, tmp_path / "whole")
    output = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(weights_only, "write_weights", stopping_after(2, KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            made(folder, output)
    capsys.readouterr()
    assert main(["status", str(output)]) == 0
    assert "Weights: 2 of 3 layers" in capsys.readouterr().out
    part = output / "neurons/layer=0/part-0.parquet"
    part.write_bytes(part.read_bytes()[:100])
    made(folder, output)
    assert differences_between(tmp_path / "whole", output) == []


def test_a_place_and_a_model_whose_names_look_like_markup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    saved("llama", tmp_path / "m[b]x [/]")
    assert main(["run", "scan=none", 'model.name="./m[b]x [/]"', 'output="o[red]ut [/x]"']) == 0
    printed = capsys.readouterr()
    assert "Model ./m[b]x [/]: LlamaForCausalLM" in printed.err
    assert "  gatescope query 'o[red]ut [/x]'" in printed.out
    for command in ("query", "verify", "status"):
        assert main([command, "o[red]ut [/x]"]) == 0
    assert "o[red]ut [/x]: the dataset is sound" in capsys.readouterr().out


def test_told_to_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os
    import signal

    _, folder = saved("llama", tmp_path / "model")
    write = weights_only.write_weights

    def leave(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return write(*arguments)

    monkeypatch.setattr(weights_only, "write_weights", leave)
    with pytest.raises(Interrupted):
        made(folder, tmp_path / "dataset")
    assert [p.name for p in (tmp_path / "dataset/neurons").iterdir()] == ["layer=0"]


def test_other_settings_are_refused_and_those_of_a_scan_do_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = saved("llama", tmp_path / "model")
    output = tmp_path / "dataset"
    with monkeypatch.context() as patch:
        patch.setattr(weights_only, "write_weights", stopping_after(1, KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            made(folder, output)
    with pytest.raises(GatescopeError, match=r"an unfinished run .*weights.threshold: 0.5 there"):
        made(folder, output, "weights.threshold=0.4")
    made(folder, output, "scan.k=3", "seed=5")
    with pytest.raises(GatescopeError, match=r"a finished dataset .*model.dtype"):
        made(folder, output, "model.dtype=bfloat16")
    with pytest.raises(GatescopeError, match=r"a finished dataset .*scan.name"):
        run(compose_config([f"model.name={folder}", f"output={output}"]), messages())


def test_weights_that_are_no_numbers_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = saved("llama", tmp_path / "model")
    from pipeline.model import ModelWeights

    read = ModelWeights.mlp_weights

    def broken(weights: ModelWeights, layer: int) -> Any:
        found = read(weights, layer)
        found.out[7, 3] = float("inf")
        return found

    monkeypatch.setattr(ModelWeights, "mlp_weights", broken)
    with pytest.raises(GatescopeError, match=r"w_out of neuron 0\.7 is NaN or infinite"):
        made(folder, tmp_path / "dataset")


def test_tokens_whose_vectors_are_no_numbers_are_in_no_list(tmp_path: Path) -> None:
    """Those that the probe's texts do not hold: what it looks at has to be sound."""
    model = build(ARCHITECTURES["llama"])
    unused = next(i for i in range(D_VOCAB) if i not in probe_ids(D_VOCAB))
    with torch.no_grad():
        model.get_input_embeddings().weight[unused] = float("nan")
        model.get_output_embeddings().weight[7, 3] = float("inf")
    model.save_pretrained(tmp_path / "model")
    made(tmp_path / "model", tmp_path / "dataset")
    lists = table(tmp_path / "dataset", "weight_tokens")
    for matrix, token in (("embedding", unused), ("unembedding", 7)):
        assert token not in set(lists[lists["matrix"] == matrix]["token_id"])
    assert main(["verify", str(tmp_path / "dataset")]) == 0


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("weights.threshold=0", "weights.threshold=0.0 is out of range"),
        ("weights.threshold=1", "weights.threshold=1.0 is out of range"),
        ("weights.k=-1", "weights.k=-1 is too small"),
        ("cluster=ray", "cluster=ray does not go with scan=none"),
        ("scan.name=full", "scan.name=full is not known: give default or none"),
    ],
)
def test_mistakes(word: str, message: str) -> None:
    with pytest.raises(GatescopeError, match=message):
        compose_config(["scan=none", word])


def test_what_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, folder = saved("gpt2", tmp_path / "model")
    output = tmp_path / "dataset"
    assert main(["run", *words(folder, output)]) == 0
    printed = capsys.readouterr()
    assert "GPT2LMHeadModel, 3 layers x 40 neurons without gates, gelu_new" in printed.err
    lines = [line.split() for line in printed.out.splitlines()]
    columns = ["layer", "cos_gate_in", "cos_gate_out", "cos_in_out", "random", "orthogonal"]
    assert lines[2] == columns
    assert [line[:3] for line in lines[3:6]] == [[str(i), "-", "-"] for i in range(N_LAYERS)]
    classes = table(output, "neurons").groupby("layer")["io_class"]
    shares = classes.apply(lambda of_layer: (of_layer == "orthogonal output").mean())
    assert [line[5] for line in lines[3:6]] == [f"{share:.1%}" for share in shares]
    commands = [line.strip() for line in printed.out.splitlines() if line.startswith("  gatescope")]
    for command in commands:
        if not command.startswith("gatescope figures"):
            assert main(command.split()[1:]) == 0, command
    assert compose_config(["scan=none"]).output == "outputs/demo_weights"
