"""The demo corpus and the demo model that travels with the package."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM
from transformers import PreTrainedTokenizerFast as Tokenizer

from pipeline.demo import corpus
from pipeline.demo.card import Loss
from pipeline.demo.corpus import DemoText, demo_texts
from pipeline.demo.train import CONTEXT, TRAINING_MIN_CHARS, batches, held_out_loss, unigram_loss
from pipeline.shipped import DEMO_MODEL, PACKAGE

N_LOSS_TEXTS = 20
NEAR_NATS, NEAR_BITS = 0.4, 0.2


@pytest.fixture(scope="module")
def texts() -> list[DemoText]:
    return list(demo_texts())


@pytest.fixture(scope="module")
def tokenizer() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield AutoTokenizer.from_pretrained(DEMO_MODEL)


@pytest.fixture(scope="module")
def model() -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        loaded = AutoModelForCausalLM.from_pretrained(DEMO_MODEL, dtype=torch.float32)
        loaded.train(False)
        yield loaded


@pytest.fixture(scope="module")
def held_out(texts: list[DemoText]) -> list[str]:
    some = [text.text for text in texts if text.held_out][:N_LOSS_TEXTS]
    assert len(some) == N_LOSS_TEXTS
    return some


@pytest.fixture(scope="module")
def measured(model: LlamaForCausalLM, tokenizer: Tokenizer, held_out: list[str]) -> Loss:
    return held_out_loss(model, tokenizer, held_out)


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty standard library without help topics, for `demo_texts` to read."""
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    return tmp_path


def sentence(word: str, chars: int) -> str:
    return (f"{word} " * chars)[:chars].strip()


# --- the corpus ---


def test_the_corpus_is_real_and_large_enough(texts: list[DemoText]) -> None:
    assert len(texts) > 1000
    assert sum(len(text.text) for text in texts) > 500_000
    assert "textwrap.TextWrapper" in {text.id.split("#")[0] for text in texts}
    assert any(text.id.startswith("topics/") for text in texts)


def test_the_corpus_is_the_same_in_every_process(texts: list[DemoText]) -> None:
    program = (
        "import sys; from pipeline.demo.corpus import demo_texts\n"
        "sys.stdout.buffer.write(repr(list(demo_texts())).encode())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(PACKAGE.parent)}
    again = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True
    )
    assert again.stdout.decode() == repr(texts)


def test_ids_and_texts_are_unique(texts: list[DemoText]) -> None:
    assert len({text.id for text in texts}) == len(texts)
    assert len({text.text for text in texts}) == len(texts)


def test_no_text_is_short_or_odd(texts: list[DemoText]) -> None:
    for text in texts:
        assert len(text.text) >= corpus.MIN_CHARS, text.id
        assert text.text.encode("utf-8").decode("utf-8") == text.text


def test_held_out_texts_come_first_and_are_about_a_tenth(texts: list[DemoText]) -> None:
    n_held_out = sum(text.held_out for text in texts)
    assert [text.held_out for text in texts[:n_held_out]] == [True] * n_held_out
    assert 0.05 < n_held_out / len(texts) < 0.2


def test_a_prefix_is_a_mix(texts: list[DemoText]) -> None:
    # Sorted by name, the first 50 texts would come from a handful of modules.
    assert len({text.id.split(".")[0] for text in texts[:50]}) > 20


def test_nothing_held_out_is_trained_on(texts: list[DemoText]) -> None:
    def paragraphs(some: list[DemoText]) -> set[str]:
        found = {" ".join(p.split()) for t in some for p in t.text.split("\n\n")}
        return {paragraph for paragraph in found if len(paragraph) >= 80}

    trained_on = [text for text in demo_texts(TRAINING_MIN_CHARS) if not text.held_out]
    held_out = [text for text in texts if text.held_out]
    assert {text.id for text in texts} - {text.id for text in trained_on} == {
        text.id for text in held_out
    }
    sources = {text.id.split("#")[0] for text in trained_on}
    assert sources.isdisjoint(text.id.split("#")[0] for text in held_out)
    assert paragraphs(trained_on).isdisjoint(paragraphs(held_out))


def test_an_installation_without_sources_or_topics_has_no_texts(library: Path) -> None:
    assert list(demo_texts()) == []


def test_what_is_read_and_what_is_not(library: Path) -> None:
    (library / "good.py").write_text(
        f'"""{sentence("module", 300)}"""\n'
        "if True:\n"
        f'    class Thing:\n        """{sentence("class", 300)}"""\n'
        f'        async def do(self):\n            r"""{sentence("method", 300)}"""\n'
        f'            """{sentence("later", 300)}"""\n'
        f'def brief():\n    """{sentence("brief", 100)}"""\n'
        f'def lone():\n    """\\ud800 {sentence("surrogate", 300)}"""\n'
        f'raise SystemExit("""imported!""")\n'
    )
    (library / "broken.py").write_text(f'"""{sentence("broken", 300)}"""\ndef (')
    (library / "notes.txt").write_text(f'"""{sentence("notes", 300)}"""')
    (library / "test").mkdir()
    (library / "test" / "test_good.py").write_text(f'"""{sentence("testing", 300)}"""')
    (library / "package").mkdir()
    (library / "package" / "__init__.py").write_text(f'"""{sentence("package", 300)}"""')
    (library / "package" / "copy.py").write_text(f'"""{sentence("PACKAGE", 300)}"""')
    found = {text.id: text.text for text in demo_texts()}
    assert sorted(found) == ["good", "good.Thing", "good.Thing.do", "good.lone", "package"]
    assert found["good.Thing.do"] == sentence("method", 300)
    assert found["good.lone"].startswith("? surrogate")


def test_a_long_text_comes_in_parts_between_paragraphs(library: Path) -> None:
    paragraphs = [sentence(f"w{number}", 700) for number in range(5)]
    (library / "long.py").write_text('"""' + "\n\n".join(paragraphs) + '\n\nShort end."""')
    found = {text.id: text.text for text in demo_texts()}
    assert found == {
        "long#1": "\n\n".join(paragraphs[:2]),
        "long#2": "\n\n".join(paragraphs[2:4]),
        "long#3": "\n\n".join([paragraphs[4], "Short end."]),
    }
    assert len({text.held_out for text in demo_texts()}) == 1


# --- the tokenizer ---


@settings(max_examples=200, deadline=None)
@given(text=st.text())
def test_any_text_survives_the_tokenizer_with_one_bos(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer(text, verbose=False).input_ids
    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_a_special_token_spelt_out_in_a_text_is_text(tokenizer: Tokenizer) -> None:
    text = "<|bos|>a<|eos|> b <|pad|>"
    ids = tokenizer(text).input_ids
    assert set(tokenizer.all_special_ids) & set(ids[1:]) == set()
    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_the_tokenizer_cuts_nothing(tokenizer: Tokenizer) -> None:
    assert len(tokenizer("word " * CONTEXT, verbose=False).input_ids) > CONTEXT


def test_special_tokens_are_three_different_ones(tokenizer: Tokenizer) -> None:
    assert len(set(tokenizer.all_special_ids)) == 3
    assert tokenizer.padding_side == "right"


# --- the model ---


def test_the_model_is_trained(
    model: LlamaForCausalLM,
    tokenizer: Tokenizer,
    texts: list[DemoText],
    held_out: list[str],
    measured: Loss,
) -> None:
    documents = tokenizer([text.text for text in texts if not text.held_out][:500]).input_ids
    unigram = unigram_loss(documents, tokenizer, held_out).nats_per_token
    assert measured.nats_per_token < unigram - 2
    torch.manual_seed(0)
    untrained = LlamaForCausalLM(LlamaConfig(**model.config.to_dict())).train(False)
    assert held_out_loss(untrained, tokenizer, held_out).nats_per_token > unigram


def test_loss_is_that_of_the_tokens_after_bos(
    model: LlamaForCausalLM, tokenizer: Tokenizer
) -> None:
    text = "Return the name of the é file."
    ids = torch.tensor([tokenizer(text).input_ids])
    with torch.no_grad():
        logprobs = model(input_ids=ids).logits[0].double().log_softmax(-1)
    by_hand = -sum(logprobs[i, ids[0, i + 1]].item() for i in range(ids.shape[1] - 1))
    loss = held_out_loss(model, tokenizer, [text, text])
    assert loss.n_tokens == 2 * (ids.shape[1] - 1)
    assert loss.n_bytes == 2 * len(text.encode())
    assert math.isclose(loss.nats, 2 * by_hand, rel_tol=1e-5)


def test_batches_are_all_documents_in_a_new_order_each_epoch() -> None:
    documents = [[0, *range(10 * n, 10 * n + n)] for n in range(3, 40)]
    stream = torch.cat(list(batches(documents, steps=4, eos=1))).flatten().tolist()
    assert len(stream) == 4 * len(next(iter(batches(documents, 1, 1))).flatten())
    n_epoch = sum(len(document) + 1 for document in documents)
    expected = sorted(token for document in documents for token in [*document, 1])
    assert sorted(stream[:n_epoch]) == sorted(stream[n_epoch : 2 * n_epoch]) == expected
    assert stream[:n_epoch] != stream[n_epoch : 2 * n_epoch]


# --- the folder and its card ---


def test_the_folder_is_small_and_has_no_pickle() -> None:
    files = [path for path in DEMO_MODEL.iterdir() if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6_000_000
    assert {path.suffix for path in files} == {".json", ".md", ".safetensors"}


def test_the_card_agrees_with_the_model(model: LlamaForCausalLM, tokenizer: Tokenizer) -> None:
    card = (DEMO_MODEL / "README.md").read_text(encoding="utf-8")
    config = json.loads((DEMO_MODEL / "config.json").read_text())

    def figure(row: str) -> list[int]:
        line = re.search(rf"^\| {re.escape(row)} \| ([^|]*) \|$", card, re.MULTILINE)
        assert line, f"no row {row!r}"
        return [int(n.replace(",", "")) for n in re.findall(r"\b\d[\d,]*\b", line[1])]

    assert figure("parameters") == [model.num_parameters()]
    assert config["dtype"] == "bfloat16"
    assert figure("layers") == [config["num_hidden_layers"]]
    assert figure("d_model") == [config["hidden_size"]]
    assert figure("d_mlp (neurons a layer)") == [config["intermediate_size"]]
    assert figure("attention heads / key-value heads") == [
        config["num_attention_heads"],
        config["num_key_value_heads"],
    ]
    assert figure("vocabulary") == [config["vocab_size"]] == [len(tokenizer)]
    assert figure("context") == [config["max_position_embeddings"]] == [CONTEXT]


def test_the_card_reports_the_loss_of_the_weights_beside_it(measured: Loss) -> None:
    card = (DEMO_MODEL / "README.md").read_text(encoding="utf-8")
    line = re.search(r"^\| this model \| ([\d.]+) \| ([\d.]+) \|$", card, re.MULTILINE)
    assert line
    # A part of the texts, of perhaps another Python version: near, not equal.
    assert abs(measured.nats_per_token - float(line[1])) < NEAR_NATS
    assert abs(measured.bits_per_byte - float(line[2])) < NEAR_BITS
