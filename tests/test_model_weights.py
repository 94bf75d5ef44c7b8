"""Weights read from the disk, layer by layer, of every architecture, against other ways to them."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import ARCHITECTURES, D_VOCAB, UNGATED, VARIANTS, Tiny, build, info_of
from torch import Tensor
from transformer_lens.model_bridge.sources import build_bridge_from_module
from transformers import AutoConfig, AutoModelForCausalLM

from pipeline.config import ModelConfig
from pipeline.errors import GatescopeError
from pipeline.model import MLPWeights, ModelFacts, ModelWeights, inspect_model, open_weights
from pipeline.model.hook import hook_model

LAYER = 1
# Where TransformerLens' folding is not what the model computes (see the formulas by hand, here and
# in test_architectures.py).
NOT_AS_COMPUTED = ("gemma4_text", "nemotron", "glm4")
# Where it leaves the final norm alone (no gain, post-norms), or scales the logits (Cohere).
UNEMBEDDING_AS_IT_IS = ("olmo", "olmo2", "olmo3", "exaone4", "cohere")


def config_of(model: Any, folder: Path) -> ModelConfig:
    model.save_pretrained(folder)
    return ModelConfig(name=str(folder), device="cpu")


def read(
    model: Any, folder: Path, look: Callable[[ModelFacts, ModelWeights], Any] | None = None
) -> Any:
    """What `look` says of the opened weights; by default a layer's."""
    config = config_of(model, folder)
    with open_weights(config, inspect_model(config, needs_gate=False)) as (facts, weights):
        return look(facts, weights) if look else weights.mlp_weights(LAYER)


def centred(vectors: Tensor) -> Tensor:
    return vectors - vectors.mean(1, keepdim=True)


@pytest.mark.parametrize("name", ARCHITECTURES | VARIANTS)
def test_from_the_disk_as_from_memory(name: str, tmp_path: Path) -> None:
    model = build((ARCHITECTURES | VARIANTS)[name])
    there = read(model, tmp_path)
    here = hook_model(model, info_of(model)).mlp_weights(LAYER)
    for part in ("gate", "in_", "out"):
        assert torch.equal(getattr(there, part), getattr(here, part)), part
        assert getattr(there, part).dtype == torch.float64


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ARCHITECTURES | VARIANTS | UNGATED)
def test_as_transformer_lens_processes_them(name: str, tmp_path: Path) -> None:
    """Its `fold_ln` centres what reads after a LayerNorm (W_gate excepted), which we do not.

    Nor does it fold what follows an MLP: the gain of a post-norm, a multiplier.
    """
    tiny = (ARCHITECTURES | VARIANTS | UNGATED)[name]
    if tiny.model_type in NOT_AS_COMPUTED:
        pytest.skip(f"TransformerLens folds the gain of {tiny.model_type} otherwise")
    if tiny.model_type == "falcon_h1" or name == "opt-projected":
        pytest.skip(f"TransformerLens cannot process the weights of {name}")
    model = build(tiny)

    def look(facts: ModelFacts, weights: ModelWeights) -> tuple[MLPWeights, Tensor, Tensor]:
        rows = {each.name: each for each in weights.token_rows()}["unembedding"]
        near = weights.neighbours[LAYER]
        after = near.out_gain * near.out_scale * weights.residual_multiplier
        return weights.mlp_weights(LAYER), rows.rows.double() * rows.gain.double(), after.double()

    ours, unembedding, after = read(model, tmp_path, look)
    bridge: Any = build_bridge_from_module(
        model, type(model).__name__, hf_config=model.config, model_name="tiny"
    )
    bridge.process_weights(
        fold_ln=True,
        center_writing_weights=False,
        center_unembed=False,
        fold_value_biases=False,
        refactor_factored_attn_matrices=False,
    )
    mlp = bridge.blocks[LAYER].mlp
    # The first GPT has norms of the residual stream, after which nothing is folded.
    is_layer_norm = bridge.cfg.normalization_type == "LN" and name != "openai-gpt"
    as_read = centred if is_layer_norm else lambda vectors: vectors
    pairs = [
        (as_read(ours.in_), mlp.W_in.T),
        (ours.out / after, mlp.W_out),
    ]
    if tiny.model_type not in UNEMBEDDING_AS_IT_IS:
        pairs.append((as_read(unembedding), bridge.unembed.W_U.T))
    if ours.gate is not None:
        pairs.append((ours.gate, mlp.W_gate.T))
    for got, want in pairs:
        torch.testing.assert_close(got, want.double(), rtol=1e-5, atol=1e-6)


def by_hand(name: str, model: Any) -> tuple[Tensor, Tensor, Tensor]:
    """w_in, w_out and the unembedding of a model without gates, [neuron or token, d_model]."""
    body, head = model.base_model, model.get_output_embeddings()
    if name == "gpt2":
        block, norm = body.h[LAYER], body.ln_f
        in_, out, gain = block.mlp.c_fc.weight.T, block.mlp.c_proj.weight, block.ln_2.weight
    elif name == "gpt_neox":
        block, norm = body.layers[LAYER], body.final_layer_norm
        in_, out = block.mlp.dense_h_to_4h.weight, block.mlp.dense_4h_to_h.weight.T
        gain = block.post_attention_layernorm.weight
    elif name == "nemotron":
        block, norm = body.layers[LAYER], body.norm
        in_, out = block.mlp.up_proj.weight, block.mlp.down_proj.weight.T
        gain = 1 + block.post_attention_layernorm.weight
    else:
        block, norm = body.decoder.layers[LAYER], body.decoder.final_layer_norm
        in_, out, gain = block.fc1.weight, block.fc2.weight.T, block.final_layer_norm.weight
    last = norm.weight.double() + (name == "nemotron")
    return in_.double() * gain.double(), out.double(), head.weight.double() * last


@pytest.mark.parametrize("name", ["gpt2", "gpt_neox", "opt", "nemotron"])
def test_without_a_gate_as_by_hand(name: str, tmp_path: Path) -> None:
    model = build(UNGATED[name])

    def look(facts: ModelFacts, weights: ModelWeights) -> tuple[ModelFacts, MLPWeights, Tensor]:
        rows = {each.name: each for each in weights.token_rows()}["unembedding"]
        return facts, weights.mlp_weights(LAYER), rows.rows.double() * rows.gain.double()

    facts, got, unembedding = read(model, tmp_path, look)
    assert (facts.gated, got.gate) == (False, None)
    for there, want in zip((got.in_, got.out, unembedding), by_hand(name, model), strict=True):
        torch.testing.assert_close(there, want, rtol=1e-6, atol=1e-7)


ACT_FNS = {
    "gpt2": "gelu_new", "gpt_neox": "gelu", "opt": "relu", "bloom": "gelu_new", "falcon": "gelu",
    "mpt": "gelu", "nemotron": "relu2", "starcoder2": "gelu_pytorch_tanh",
}  # fmt: skip


@pytest.mark.parametrize("name", ACT_FNS)
def test_the_activation_function_is_the_one_that_is_computed(name: str, tmp_path: Path) -> None:
    assert read(build(UNGATED[name]), tmp_path, lambda facts, _: facts.act_fn) == ACT_FNS[name]


def test_norms_of_the_residual_stream_are_not_folded(tmp_path: Path) -> None:
    model = build(UNGATED["openai-gpt"])
    block = model.base_model.h[LAYER]
    found = read(model, tmp_path)
    torch.testing.assert_close(found.in_, block.mlp.c_fc.weight.T.double())
    torch.testing.assert_close(found.out, block.mlp.c_proj.weight.double())


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_an_odd_width(name: str, tmp_path: Path) -> None:
    """Of an RMSNorm and of a LayerNorm."""
    heads = {"num_attention_heads": 3, "num_key_value_heads": 3}
    settings = heads | ({"head_dim": 8} if name == "llama" else {"n_inner": 40})
    model = build(Tiny(name, {"hidden_size": 33, **settings}))
    found = read(model, tmp_path)
    if name == "llama":
        block = model.base_model.layers[LAYER]
        in_, gain = block.mlp.up_proj.weight, block.post_attention_layernorm.weight
    else:
        block = model.base_model.h[LAYER]
        in_, gain = block.mlp.c_fc.weight.T, block.ln_2.weight
    torch.testing.assert_close(found.in_, in_.double() * gain.double(), rtol=2e-6, atol=1e-7)


def test_a_last_layer_that_writes_nothing_hides_no_norm(tmp_path: Path) -> None:
    model = build(ARCHITECTURES["olmo2"])
    with torch.no_grad():
        model.base_model.layers[-1].mlp.down_proj.weight.zero_()
    _, gain = read(model, tmp_path, names_and_gains)["unembedding"]
    torch.testing.assert_close(gain, model.base_model.norm.weight.detach())


def test_a_tied_embedding_is_kept_once(tmp_path: Path) -> None:
    model = build(Tiny("llama", {"tie_word_embeddings": True}))
    found = read(model, tmp_path, names_and_gains)
    assert found["embedding"][0].data_ptr() == found["unembedding"][0].data_ptr()


def names_and_gains(facts: ModelFacts, weights: ModelWeights) -> dict[str, tuple[Tensor, Tensor]]:
    return {each.name: (each.rows, each.gain) for each in weights.token_rows()}


@pytest.mark.parametrize("tied", [True, False])
def test_token_rows(tied: bool, tmp_path: Path) -> None:
    model = build(Tiny("gemma3_text", {"head_dim": 8, "tie_word_embeddings": tied}))
    found = read(model, tmp_path, names_and_gains)
    embedding, unembedding = found["embedding"], found["unembedding"]
    assert torch.equal(embedding[0], model.get_input_embeddings().weight)
    assert torch.equal(unembedding[0], model.get_output_embeddings().weight)
    assert torch.equal(embedding[0], unembedding[0]) == tied
    assert torch.equal(embedding[1], torch.ones_like(embedding[1]))
    torch.testing.assert_close(unembedding[1], 1 + model.base_model.norm.weight)


@pytest.mark.parametrize("name", UNEMBEDDING_AS_IT_IS)
def test_the_final_gain_is_that_of_the_last_norm(name: str, tmp_path: Path) -> None:
    model = build(ARCHITECTURES[name])
    rows, gain = read(model, tmp_path, names_and_gains)["unembedding"]
    assert torch.equal(rows, model.get_output_embeddings().weight)
    weight = getattr(model.base_model.norm, "weight", None)  # OLMo's LayerNorm has none
    torch.testing.assert_close(gain, torch.ones(32) if weight is None else weight)


def test_an_unembedding_that_is_in_no_file_is_left_out(tmp_path: Path) -> None:
    model = build(ARCHITECTURES["llama"])
    found = read(model.base_model, tmp_path, names_and_gains)
    assert list(found) == ["embedding"]


def test_vectors_that_do_not_fit_the_residual_stream_are_left_out(tmp_path: Path) -> None:
    assert read(build(UNGATED["opt-projected"]), tmp_path, names_and_gains) == {}


def test_layers_are_limited_and_sizes_known(tmp_path: Path) -> None:
    config = config_of(build(UNGATED["gpt2"]), tmp_path)
    config = ModelConfig(name=config.name, device="cpu", layers=(2, 0))
    with open_weights(config, inspect_model(config, needs_gate=False)) as (facts, weights):
        assert (facts.layers, facts.n_neurons, facts.n_layers) == ((0, 2), (40, 40), 3)
        assert (facts.d_model, facts.d_vocab, facts.dtype) == (32, D_VOCAB, "float32")
        assert weights.n_neurons(1) == 40


def test_weights_stay_on_the_disk(tmp_path: Path) -> None:
    def look(facts: ModelFacts, weights: ModelWeights) -> None:
        weights.mlp_weights(LAYER)
        weights.token_rows()
        for mlp in weights.mlps:
            assert {p.device.type for p in mlp.parameters()} == {"meta"}
        assert weights.embedding.weight.device.type == "meta"

    read(build(ARCHITECTURES["llama"]), tmp_path, look)


def test_a_scan_refuses_what_has_no_gate_and_says_what_can_be_had(tmp_path: Path) -> None:
    config = config_of(build(UNGATED["gpt2"]), tmp_path)
    with pytest.raises(GatescopeError, match=r"not gated \(MLP\).*scan=none") as caught:
        inspect_model(config)
    assert "\n" not in str(caught.value)


def test_mixtures_of_experts_are_refused_without_a_scan_too(tmp_path: Path) -> None:
    model = build(Tiny("mixtral", {"num_local_experts": 2}))
    config = config_of(model, tmp_path)
    with pytest.raises(GatescopeError, match="a mixture of experts"):
        inspect_model(config, needs_gate=False)


def test_weights_that_do_not_give_the_activations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformer_lens.model_bridge.generalized_components.mlp import MLPBridge

    def lie(mlp: Any) -> Tensor:
        return mlp.out.original_component.weight * 1.01

    monkeypatch.setattr(MLPBridge, "W_out", property(lie))
    with pytest.raises(GatescopeError, match=r"W_out \. post and the MLP's output of layer 0"):
        read(build(UNGATED["gpt2"]), tmp_path)


def test_values_that_are_no_numbers(tmp_path: Path) -> None:
    model = build(UNGATED["opt"])
    with torch.no_grad():
        model.base_model.decoder.layers[1].fc2.weight[0, 0] = float("nan")
    with pytest.raises(GatescopeError, match="mlp_out of layer 1 is NaN or infinite") as caught:
        read(model, tmp_path)
    assert "float32" not in str(caught.value)


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = build(UNGATED["gpt2"])
    config = config_of(model, tmp_path)
    capfd.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with open_weights(config, inspect_model(config, needs_gate=False)) as (_, weights):
            weights.token_rows()
    assert capfd.readouterr() == ("", "")


_PRIVATE_MEMORY = """
import sys, threading, time
import psutil
from pipeline.config import compose_config
from pipeline.console import messages
from pipeline.run import run

def held():
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared

def watch():
    global peak
    while True:
        peak = max(peak, held())
        time.sleep(0.002)

def made(model):
    words = ["scan=none", f"model.name={model}", f"output={model}-dataset", "model.device=cpu"]
    run(compose_config(words), messages())

peak = 0
threading.Thread(target=watch, daemon=True).start()
made(sys.argv[1])
few = peak
made(sys.argv[2])
print((peak - few) / 2**20)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="psutil tells shared memory on Linux only")
def test_a_run_holds_one_layer_and_not_the_model(tmp_path: Path) -> None:
    for n_layers in (4, 24):
        sizes = {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": n_layers}
        heads = {"num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 64}
        config = AutoConfig.for_model("llama", **sizes, **heads)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.save_pretrained(tmp_path / str(n_layers))
    mib_of_layer = (3 * 512 * 1024 + 4 * 512 * 512) * 4 / 2**20
    folders = [str(tmp_path / "4"), str(tmp_path / "24")]
    script = [sys.executable, "-c", _PRIVATE_MEMORY, *folders]
    more = float(subprocess.run(script, capture_output=True, text=True, check=True).stdout)
    assert more < 20 * mib_of_layer / 4, f"{more:.0f} MiB more for 20 layers of {mib_of_layer:.0f}"
