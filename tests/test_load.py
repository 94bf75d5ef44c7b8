"""Loading a model: what is found, what is refused and how, and what is not printed."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from logging.handlers import BufferingHandler
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import (
    ARCHITECTURES,
    D_MODEL,
    D_VOCAB,
    MAX_POSITIONS,
    N_LAYERS,
    build,
    byte_level_tokenizer,
    save,
)
from transformers import AutoConfig
from transformers.utils import logging

from pipeline.config import ModelConfig
from pipeline.errors import GatescopeError
from pipeline.model import GatedModel, inspect_model, load_model, load_tokenizer

WEIGHTS = "model.safetensors"

# Whatever becomes of a model, nothing of the libraries is printed.
pytestmark = pytest.mark.usefixtures("silent")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "llama"
    return save(build(ARCHITECTURES["llama"]), folder, byte_level_tokenizer())


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    """A model's folder, to be spoilt."""
    return Path(shutil.copytree(saved, tmp_path / "llama"))


@pytest.fixture
def silent(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    level = logging.get_verbosity()
    logging.set_verbosity_warning()  # TransformerLens lowers it, for all of the process
    logged = BufferingHandler(capacity=1000)
    logging.add_handler(logged)
    capfd.readouterr()
    yield
    logging.remove_handler(logged)
    logging.set_verbosity(level)
    assert [record.getMessage() for record in logged.buffer] == []
    assert capfd.readouterr() == ("", "")


def loaded(name: object, **settings: Any) -> GatedModel:
    config = ModelConfig(name=str(name), **settings)
    return load_model(config, inspect_model(config))


def refusal(name: object, **settings: Any) -> str:
    with pytest.raises(GatescopeError) as caught:
        loaded(name, **settings)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def change_config(folder: Path, **settings: Any) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) | settings
    given = {key: value for key, value in config.items() if value is not None}
    file.write_text(json.dumps(given), encoding="utf-8")


def change_weights(folder: Path, **weights: torch.Tensor | None) -> None:
    """Replace or (None) drop weights, whose dots are written `__`."""
    tensors = load_file(folder / WEIGHTS)
    for name, weight in weights.items():
        tensors.pop(name.replace("__", "."), None)
        if weight is not None:
            tensors[name.replace("__", ".")] = weight
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def test_a_folder_is_loaded_and_nothing_is_printed(saved: Path) -> None:
    config = ModelConfig(name=str(saved), device="cpu")
    info = inspect_model(config)
    assert (info.n_layers, info.d_vocab, info.max_positions) == (N_LAYERS, D_VOCAB, MAX_POSITIONS)
    assert (info.architecture, info.revision) == ("LlamaForCausalLM", None)
    assert load_tokenizer(config, info).get_vocab() == byte_level_tokenizer().get_vocab()
    model = load_model(config, info)
    assert (model.name, model.layers, model.dtype) == (str(saved), (0, 1, 2), torch.float32)
    assert (model.d_model, model.act_fn_name, model.attention) == (D_MODEL, "silu", "sdpa")
    assert not any(parameter.requires_grad for parameter in model.body.parameters())


def test_the_libraries_print_again_afterwards(folder: Path) -> None:
    def no_bar(factory: Any, args: Any, kwargs: Any) -> Any:
        raise AssertionError("not called while a model is loaded")

    before = logging.get_verbosity()
    previous = logging.set_tqdm_hook(no_bar)
    try:
        loaded(folder)
        (folder / WEIGHTS).unlink()
        refusal(folder)
        assert logging.get_verbosity() == before
        assert logging.set_tqdm_hook(previous) is no_bar
    finally:
        logging.set_tqdm_hook(previous)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "auto"])
def test_the_dtype_is_that_of_the_activations(saved: Path, dtype: str) -> None:
    model = loaded(saved, dtype=dtype, device="cpu")
    wanted = getattr(torch, dtype.replace("auto", "float32"))
    seen = set()
    model.run(
        torch.tensor([[1, 2, 3]]), lambda layer, gate, in_: seen.update([gate.dtype, in_.dtype])
    )
    assert (model.dtype, seen) == (wanted, {wanted})
    assert model.mlp_weights(0).in_.dtype == torch.float64


def test_weights_that_are_not_needed_may_be_absent_and_others_be_there(folder: Path) -> None:
    change_weights(folder, lm_head__weight=None, model__rotary__inv_freq=torch.ones(2))
    assert loaded(folder).architecture == "LlamaForCausalLM"


@pytest.mark.parametrize(
    "architectures", [["LlamaModel"], ["LlamaForSequenceClassification"], None]
)
def test_a_model_saved_with_another_head_is_loaded(folder: Path, architectures: Any) -> None:
    change_config(folder, architectures=architectures)
    assert loaded(folder).architecture == "LlamaForCausalLM"


def test_a_cached_hub_model_is_loaded_offline_at_its_commit(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--some--model"
    shutil.copytree(saved, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    config = ModelConfig(name="some/model")
    info = inspect_model(config)
    # The branch moves on after the configuration is read.
    (repository / "refs" / "main").write_text("f" * 40)
    model = load_model(config, info)
    assert (info.revision, model.revision, model.name) == (commit, commit, "some/model")


# What is refused before any weight is read: the folders hold a configuration alone.

_MOE = {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 16}


@pytest.mark.parametrize(
    ("model_type", "settings", "wanted"),
    [
        ("gpt2", {}, "the MLP of GPT2LMHeadModel is not gated (MLP)"),
        ("bert", {}, "the MLP of BertLMHeadModel is not gated (MLP)"),
        ("mixtral", {}, "the MLP of MixtralForCausalLM is a mixture of experts"),
        ("gemma4_text", {"enable_moe_block": True, **_MOE}, "is a mixture of experts"),
        ("t5", {}, "t5 is not a causal (decoder-only) language model"),
        ("t5", {"feed_forward_proj": "gated-gelu"}, "t5 is not a causal"),
        ("modernbert", {}, "modernbert is not a causal"),
        ("biogpt", {}, "TransformerLens has no adapter with MLPs for BioGptForCausalLM"),
        (
            "llama",
            {"quantization_config": {"quant_method": "gptq", "bits": 4}},
            "its weights are quantised (gptq)",
        ),
    ],
)
def test_models_that_are_not_dense_and_gated(
    model_type: str, settings: dict[str, Any], wanted: str, tmp_path: Path
) -> None:
    AutoConfig.for_model(model_type, **settings).save_pretrained(tmp_path)
    message = refusal(tmp_path)
    assert message.startswith(f"model.name={tmp_path}: ")
    assert wanted in message
    assert "Llama, Qwen, Gemma or OLMo" in message or "in bfloat16, float16 or float32" in message


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({"model_type": "wibble"}, "model type `wibble`"),
        ({"model_type": None}, "Should have a `model_type` key"),
        ({"hidden_size": "abc"}, "'hidden_size' expected int"),
        ({"num_attention_heads": 5}, "not a multiple of the number of attention heads"),
        (
            {"model_type": "wibble", "auto_map": {"AutoConfig": "configuration_w.Wibble"}},
            "contains custom code",
        ),
    ],
)
def test_configurations_that_cannot_be_read(
    settings: dict[str, Any], wanted: str, folder: Path
) -> None:
    change_config(folder, **settings)
    message = refusal(folder)
    assert message.startswith(f"model.name={folder}: the folder's config.json cannot be read (")
    assert wanted in message


def test_a_config_json_that_is_no_json_or_absent(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type":')
    assert "not a valid JSON file" in refusal(folder)
    (folder / "config.json").unlink()
    assert "config.json cannot be read" in refusal(folder)


@pytest.mark.parametrize("name", ["nope/nope", "nope"])
def test_a_name_that_is_neither_a_folder_nor_a_known_hub_id(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    started = time.monotonic()
    message = refusal(name)
    assert time.monotonic() - started < 10  # no retries where HF_HUB_OFFLINE is set
    assert message.startswith(f"model.name={name}: there is no such folder, and no configuration")
    assert "HF_HUB_OFFLINE" in message


@pytest.mark.parametrize(
    "name", ["./nope", "~/nope/nope", "/nope", "a/b/c", "models/nope/", "file"]
)
def test_a_name_that_can_only_be_a_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert refusal(name).startswith(f"model.name={name}: there is no such folder; give a folder")


@pytest.mark.parametrize("layers", [(3,), (0, 3), (-1,), ()])
def test_layers_that_are_not_there(folder: Path, layers: tuple[int, ...]) -> None:
    (folder / WEIGHTS).unlink()  # said before the weights are read
    message = refusal(folder, layers=layers)
    assert message.startswith(f"model.layers={list(layers)}: {folder} has layers 0 to 2")


def test_a_device_that_is_not_there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / WEIGHTS).unlink()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert refusal(folder, device="cuda").startswith("model.device=cuda: PyTorch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert "sees 2 cuda devices" in refusal(folder, device="cuda:2")
    assert "the weights could not be loaded" in refusal(folder, device="cuda:1")


# What is refused of the weights.


def test_a_folder_without_weights_or_with_pickled_ones(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    assert "no file named model.safetensors" in refusal(folder)
    torch.save(tensors, folder / "pytorch_model.bin")
    assert "pickled weights are not read" in refusal(folder)


@pytest.mark.parametrize("spoil", ["nonsense", "truncated", "empty", "lost shard"])
def test_weights_that_cannot_be_read(folder: Path, spoil: str) -> None:
    file = folder / WEIGHTS
    whole = file.read_bytes()
    if spoil == "lost shard":
        index = {"metadata": {}, "weight_map": dict.fromkeys(load_file(file), "one.safetensors")}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        file.unlink()
    else:
        cut = {"nonsense": b"\xff" * 64 + whole[64:], "truncated": whole[:5000], "empty": b""}
        file.write_bytes(cut[spoil])
    assert refusal(folder).startswith(f"model.name={folder}: the weights could not be loaded (")


def test_weights_that_are_missing_are_not_made_up(folder: Path) -> None:
    change_weights(folder, model__layers__1__mlp__gate_proj__weight=None)
    message = "do not fit config.json: model.layers.1.mlp.gate_proj.weight is missing; "
    assert message in refusal(folder)
    change_weights(folder, model__norm__weight=None)
    assert "model.layers.1.mlp.gate_proj.weight is missing, and 1 more; " in refusal(folder)


def test_weights_of_another_shape_or_number_of_layers(folder: Path) -> None:
    change_config(folder, intermediate_size=41)
    message = refusal(folder)
    assert "model.layers.0.mlp.down_proj.weight is (32, 40) in the files and (32, 41)" in message
    assert message.count("and 8 more") == 1
    change_config(folder, intermediate_size=40, num_hidden_layers=4)
    assert "model.layers.3.input_layernorm.weight is missing" in refusal(folder)


def test_an_unknown_activation_function(folder: Path) -> None:
    change_config(folder, hidden_act="wobble")
    assert "(KeyError: 'wobble')" in refusal(folder)


def test_more_gpus_than_there_are(saved: Path) -> None:
    config = ModelConfig(name=str(saved))
    with pytest.raises(GatescopeError, match=r"cluster\.gpus_per_worker=2: the worker sees 0 CUDA"):
        load_model(config, inspect_model(config), 2)
