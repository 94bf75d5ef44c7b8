"""`gatescope run scan=none` as a run: its settings, its messages, stopped and resumed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets_compared import differences_between
from tiny_models import (
    ARCHITECTURES,
    D_VOCAB,
    N_LAYERS,
    Tiny,
    build,
    byte_level_tokenizer,
)
from weight_runs import made, saved, table, words

from pipeline import weights_only
from pipeline.cli import main
from pipeline.config import compose_config
from pipeline.console import messages
from pipeline.errors import GatescopeError, Interrupted
from pipeline.model.trace import probe_ids
from pipeline.naming import IO_CLASSES
from pipeline.run import run


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
        if not command.startswith(("gatescope figures", "gatescope serve")):
            assert main(command.split()[1:]) == 0, command
    assert compose_config(["scan=none"]).output == "outputs/demo_weights"
