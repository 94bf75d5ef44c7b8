"""The tokenizer of a model, and its vocabulary as people read it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tiny_models import SPECIAL_TOKENS, byte_fallback_tokenizer, byte_level_tokenizer
from transformers import AddedToken, AutoConfig, AutoTokenizer

from pipeline.config import ModelConfig
from pipeline.errors import GatescopeError
from pipeline.model import (
    Vocabulary,
    inspect_model,
    load_tokenizer,
    tokenizer_hash,
    vocabulary,
)
from pipeline.model.tokenizer import shown
from pipeline.shipped import DEMO_MODEL

BYTE_LEVEL = byte_level_tokenizer()
BYTE_FALLBACK = byte_fallback_tokenizer()
DEMO = AutoTokenizer.from_pretrained(DEMO_MODEL)

# Whatever a corpus may hold, but for lone surrogates, which are no text, and ▁, which stands for a
# space where it is used.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="▁"), min_size=1)


def ids_of(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


@functools.cache
def whole_vocabulary(tokenizer: Any) -> Vocabulary:
    return vocabulary(tokenizer, len(tokenizer))


def joined(tokenizer: Any, text: str) -> bytes:
    words = whole_vocabulary(tokenizer)
    return b"".join(words.bytes_[i] or b"" for i in ids_of(tokenizer, text))


def token(words: Vocabulary, tokenizer: Any, text: str) -> str:
    (token_id,) = ids_of(tokenizer, text)
    return words.tokens[token_id]


@given(TEXTS)
@example("the cat\n sat  日本 é\x00\r\n\t🙂<s>")
def test_byte_level_ids_give_the_text_back(text: str) -> None:
    assert joined(BYTE_LEVEL, text) == text.encode()


@given(TEXTS)
@example("<|bos|> the demo's own special token, in a text")
def test_the_ids_of_the_built_in_model_give_the_text_back(text: str) -> None:
    assert joined(DEMO, text).removeprefix(b" ") == text.encode().removeprefix(b" ")


@given(TEXTS)
@example("the cat\n sat  日本 é\x00")
@example(" the")
def test_sentencepiece_ids_give_the_text_back_after_a_space(text: str) -> None:
    prefix = b"" if text.startswith(" ") else b" "
    assert joined(BYTE_FALLBACK, text) == prefix + text.encode()


def test_a_real_sentencepiece_vocabulary_gives_real_texts_back(shared: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(shared / "data" / "stories260K")
    stories = json.loads((shared / "data" / "tinystories_1000.json").read_text(encoding="utf-8"))
    texts = [story if isinstance(story, str) else story["text"] for story in stories[:30]]
    for text in [*texts, "é\n日本🙂"]:
        assert joined(tokenizer, text) == b" " + text.encode()
    words = vocabulary(tokenizer, 512)
    assert words.tokens[:3] == ["<unk>", "<s>", "</s>"]
    assert words.tokens[3 + 0x41] == "A"
    assert words.tokens[3 + 0xE2] == "<0xE2>"
    assert words.bytes_[3 + 0xE2] == b"\xe2"
    assert " the" in words.tokens
    assert not any("▁" in word for word in words.tokens)


def test_byte_level_tokens_are_shown_as_text() -> None:
    words = vocabulary(BYTE_LEVEL, len(BYTE_LEVEL))
    assert token(words, BYTE_LEVEL, "\n") == "\n"
    assert token(words, BYTE_LEVEL, " the") == " the"
    assert token(words, BYTE_LEVEL, " ") == " "
    fragments = [words.tokens[i] for i in ids_of(BYTE_LEVEL, "😀")]
    assert fragments == ["<0xF0>", "<0x9F>", "<0x98>", "<0x80>"]
    assert not any("Ġ" in word or "Ċ" in word for word in words.tokens)


def test_sentencepiece_tokens_are_shown_as_text() -> None:
    words = vocabulary(BYTE_FALLBACK, len(BYTE_FALLBACK))
    assert [words.tokens[i] for i in ids_of(BYTE_FALLBACK, "the cat\n日")] == [
        " the",
        " ",
        "cat",
        "\n",
        "<0xE6>",
        "<0x97>",
        "<0xA5>",
    ]


def test_only_the_bytes_outside_characters_are_shown_as_bytes() -> None:
    assert shown("é ".encode() + b"\xe2\x80") == "é <0xE2><0x80>"
    assert shown(b"\x80a") == "<0x80>a"
    assert shown(b"\xed\xb2\x80") == "<0xED><0xB2><0x80>"  # what a surrogate would be
    assert shown("日本\n".encode()) == "日本\n"


@pytest.mark.parametrize("make", [byte_level_tokenizer, byte_fallback_tokenizer])
def test_special_and_added_tokens_stand_for_themselves(make: Any) -> None:
    tokenizer = make()
    # "é" among them: as a piece of a byte-level vocabulary it would be the byte 0xE9.
    tokenizer.add_tokens([AddedToken("   "), AddedToken("<table>"), AddedToken("é")])
    words = vocabulary(tokenizer, len(tokenizer))
    assert words.tokens[:4] == SPECIAL_TOKENS
    for text in ("   ", "<table>", "é", "<s>"):
        token_id = tokenizer.convert_tokens_to_ids(text)
        assert words.tokens[token_id] == text
        assert words.bytes_[token_id] == text.encode()


def test_an_added_run_of_sentencepiece_spaces_is_spaces() -> None:
    tokenizer = byte_fallback_tokenizer()
    tokenizer.add_tokens([AddedToken("▁▁", normalized=False)])
    words = vocabulary(tokenizer, len(tokenizer))
    assert words.tokens[tokenizer.convert_tokens_to_ids("▁▁")] == "  "


def test_ids_beyond_the_tokenizer_are_unused() -> None:
    n = len(BYTE_LEVEL)
    words = vocabulary(BYTE_LEVEL, n + 3)
    assert words.tokens[n:] == [f"<unused {i}>" for i in range(n, n + 3)]
    assert words.bytes_[n:] == [None] * 3
    assert None not in words.bytes_[:n]


def test_a_model_may_have_fewer_ids_than_its_tokenizer() -> None:
    words = vocabulary(BYTE_LEVEL, 10)
    assert words.tokens == vocabulary(BYTE_LEVEL, len(BYTE_LEVEL)).tokens[:10]
    assert len(words.bytes_) == 10


def test_ids_after_a_hole_are_not_lost(tmp_path: Path) -> None:
    tokenizer = byte_fallback_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    file = tmp_path / "tokenizer.json"
    definition = json.loads(file.read_text(encoding="utf-8"))
    pieces = definition["model"]["vocab"]
    last = max(pieces.values())
    moved = next(piece for piece, i in pieces.items() if i == last)
    pieces[moved] = last + 2
    file.write_text(json.dumps(definition), encoding="utf-8")
    words = vocabulary(AutoTokenizer.from_pretrained(tmp_path), last + 3)
    assert words.tokens[last : last + 2] == [f"<unused {last}>", f"<unused {last + 1}>"]
    assert words.tokens[last + 2] == moved.replace("▁", " ")


def test_without_a_tokenizer_tokens_are_their_ids() -> None:
    assert vocabulary(None, 3) == Vocabulary(["<id 0>", "<id 1>", "<id 2>"], [None] * 3)
    assert tokenizer_hash(None) is None


def test_the_hash_is_of_the_whole_tokenizer() -> None:
    assert tokenizer_hash(byte_level_tokenizer()) == tokenizer_hash(BYTE_LEVEL)
    other = byte_level_tokenizer()
    other.add_tokens(["<table>"])
    assert len({tokenizer_hash(t) for t in (BYTE_LEVEL, BYTE_FALLBACK, other)}) == 3


# The tokenizer that lies with a model.


def loaded(folder: Path, model_type: str = "llama") -> Any:
    AutoConfig.for_model(model_type).save_pretrained(folder)
    config = ModelConfig(name=str(folder))
    return load_tokenizer(config, inspect_model(config))


@pytest.mark.parametrize("make", [byte_level_tokenizer, byte_fallback_tokenizer])
def test_a_tokenizer_is_loaded_from_the_folder_of_its_model(make: Any, tmp_path: Path) -> None:
    make().save_pretrained(tmp_path)
    found = loaded(tmp_path)
    assert found.get_vocab() == make().get_vocab()
    assert ids_of(found, "the cat\n日") == ids_of(make(), "the cat\n日")
    # tokenizer.json is enough.
    (tmp_path / "tokenizer_config.json").unlink()
    assert ids_of(loaded(tmp_path), "the cat\n日") == ids_of(make(), "the cat\n日")


@pytest.mark.parametrize("model_type", ["llama", "qwen2", "gemma", "olmo", "cohere"])
def test_a_model_without_a_tokenizer_has_none(model_type: str, tmp_path: Path) -> None:
    # For some of these transformers makes a tokenizer out of nothing, to which no text has words.
    assert loaded(tmp_path, model_type) is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("tokenizer.json", '{"version":'),
        ("tokenizer.json", '{"version": "1.0"}'),
        ("tokenizer.model", "nonsense"),
        ("tokenizer_config.json", '{"tokenizer_class":'),
        (
            "tokenizer_config.json",
            '{"tokenizer_class": "Wibble", "auto_map": {"AutoTokenizer": ["w.Wibble", null]}}',
        ),
    ],
)
def test_a_tokenizer_that_cannot_be_read_is_an_error(
    file: str, content: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    byte_level_tokenizer().save_pretrained(tmp_path)
    if file == "tokenizer.model":
        (tmp_path / "tokenizer.json").unlink()
    (tmp_path / file).write_text(content)
    capfd.readouterr()
    with pytest.raises(
        GatescopeError, match=r"its tokenizer cannot be read \(.*tokenizer\.json"
    ) as e:
        loaded(tmp_path)
    assert str(e.value).startswith(f"model.name={tmp_path}: ")
    assert "\n" not in str(e.value)
    assert capfd.readouterr() == ("", "")


def test_a_tokenizer_without_its_vocabulary_is_an_error(tmp_path: Path) -> None:
    byte_level_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(GatescopeError, match=r"tokenizer_config\.json is there, but none of "):
        loaded(tmp_path)
    # A tokenizer that transformers would make up.
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    with pytest.raises(GatescopeError, match=r"tokenizer_config\.json is there, but none of "):
        loaded(tmp_path)


def test_a_sentencepiece_model_alone_is_a_tokenizer(tmp_path: Path) -> None:
    sentencepiece = pytest.importorskip("sentencepiece")
    (tmp_path / "text").write_text("the cat sat on the mat\nand the dog sat on it\n" * 20)
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"),
        model_prefix=str(tmp_path / "tokenizer"),
        model_type="bpe",
        vocab_size=290,
        byte_fallback=True,
        minloglevel=9,
    )
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "LlamaTokenizer"}')
    found = loaded(tmp_path)
    for text in ("the cat sat", "é\n日本 the"):
        assert joined(found, text) == b" " + text.encode()
