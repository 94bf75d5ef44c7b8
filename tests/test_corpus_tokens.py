"""Text to ids: BOS once, the first ids of a long text exactly, nothing printed."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest
from corpus_standins import STORIES, ByteTokenizer, need_shared
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pipeline.corpus.tokens import TextEncoder, first_ids
from pipeline.errors import GatescopeError

TRAINING = [
    "the cat sat on the mat, and the dog did not; it's 2024!\n\n  indented\tcode = call(x)",
    "ein Satz mit Umlauten: schön, größer. 一个没有空格的句子。 emoji 🎉🎉 e\u0301 ---- ==== aaaa",
] * 20


def trained(model: Any, trainer: Any, pre: Any, normalizer: Any = None) -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(TRAINING, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<e>", unk_token="<u>", model_max_length=8
    )


def byte_level() -> PreTrainedTokenizerFast:
    """As of GPT-2, Llama 3, Qwen, OLMo: words and the space before them, then byte pairs."""
    return trained(
        models.BPE(),
        trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=["<e>", "<u>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        normalizers.NFC(),
    )


def unigram() -> PreTrainedTokenizerFast:
    """As of T5: the likeliest pieces of each word."""
    return trained(
        models.Unigram(),
        trainers.UnigramTrainer(
            vocab_size=120, special_tokens=["<e>", "<u>"], unk_token="<u>", show_progress=False
        ),
        pre_tokenizers.Metaspace(),
    )


def wordpiece() -> PreTrainedTokenizerFast:
    """As of BERT: white space and accents vanish on the way."""
    return trained(
        models.WordPiece(unk_token="<u>"),
        trainers.WordPieceTrainer(
            vocab_size=300, special_tokens=["<e>", "<u>"], show_progress=False
        ),
        pre_tokenizers.BertPreTokenizer(),
        normalizers.BertNormalizer(),
    )


def sentencepiece() -> PreTrainedTokenizerFast:
    """As of Llama 2 and Mistral: the whole text is one word of byte pairs."""
    file = need_shared(STORIES / "tokenizer.json")
    return PreTrainedTokenizerFast(
        tokenizer_file=str(file), bos_token="<s>", eos_token="</s>", model_max_length=512
    )


KINDS = {f.__name__: f for f in (byte_level, unigram, wordpiece, sentencepiece)}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    return KINDS[request.param]()


def whole(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


PIECE = st.one_of(
    st.sampled_from(TRAINING[0].split(" ") + TRAINING[1].split(" ")),
    st.sampled_from([" ", "\n", "  ", "\t\t", "\n\n\n", "\u00a0", "\u3000", "<e>", "\u0301"]),
    st.builds(lambda c, n: c * n, st.sampled_from("a -=\n一🎉e\u0301"), st.integers(1, 3000)),
    st.text(max_size=12),
)


@given(pieces=st.lists(PIECE, min_size=1, max_size=12), n_ids=st.integers(1, 40), data=st.data())
@settings(deadline=None, max_examples=60)
def test_the_first_ids_of_a_cut_text_are_those_of_the_whole(
    tokenizer: PreTrainedTokenizerFast, pieces: list[str], n_ids: int, data: st.DataObject
) -> None:
    text = data.draw(st.sampled_from(["", " "])).join(pieces)
    text = (text * (12_000 // len(text) + 1)) if text else text
    assert first_ids(tokenizer, [text], n_ids) == [whole(tokenizer, text)[:n_ids]]


@pytest.mark.parametrize(
    "text",
    [
        "the cat sat " * 3_000,
        "a" * 25_000,
        " " * 25_000 + "the cat",
        "the" + " " * 25_000 + "cat " * 5_000,
        "一个没有空格的句子。" * 2_000,
        "aaa" * 5_000 + " the cat" * 3_000,
        "\u0301" * 20_000 + " cat",
    ],
)
def test_texts_that_a_bound_in_characters_would_get_wrong(
    tokenizer: PreTrainedTokenizerFast, text: str
) -> None:
    for n_ids in (1, 7, 512):
        assert first_ids(tokenizer, [text, "cat", text], n_ids) == [
            whole(tokenizer, one)[:n_ids] for one in (text, "cat", text)
        ]


def test_a_book_of_ten_million_characters_is_quick() -> None:
    tokenizer = byte_level()
    paragraph = "the cat sat on the mat, and the dog did not. " * 40 + "\n"
    text = paragraph * (10_000_000 // len(paragraph))
    first_ids(tokenizer, ["warm up"], 1)
    begun = time.perf_counter()
    (ids,) = first_ids(tokenizer, [text], 1024)
    assert time.perf_counter() - begun < 0.5  # the whole takes more than 5 s
    assert ids == whole(tokenizer, text[:20_000])[:1024]


def test_bos_stands_once_at_the_front() -> None:
    encoder = TextEncoder(ByteTokenizer(), max_length=4, add_bos=True)
    assert encoder.encode(["ab", "", "abcdef"]) == [[1, 100, 101], [], [1, 100, 101, 102]]
    encoder = TextEncoder(ByteTokenizer(bos=None), max_length=4, add_bos=True)
    assert encoder.encode(["ab"]) == [[2, 100, 101]]  # EOS in its stead
    encoder = TextEncoder(ByteTokenizer(bos=0), max_length=4, add_bos=True)
    assert encoder.encode(["ab"]) == [[0, 100, 101]]  # an id of 0 is an id
    encoder = TextEncoder(ByteTokenizer(), max_length=4, add_bos=False)
    assert encoder.encode(["ab", "abcdef"]) == [[100, 101], [100, 101, 102, 103]]
    neither = ByteTokenizer(bos=None, eos=None)
    assert TextEncoder(neither, max_length=4, add_bos=False).encode(["a"]) == [[100]]
    with pytest.raises(GatescopeError, match=r"neither a BOS nor an EOS.*corpus\.add_bos=false"):
        TextEncoder(neither, max_length=4, add_bos=True)


def test_bos_of_a_real_tokenizer_that_adds_it_by_itself() -> None:
    tokenizer = sentencepiece()
    assert tokenizer("Once upon")["input_ids"][0] == 1
    (ids, doubled) = TextEncoder(tokenizer, 512, add_bos=True).encode(
        ["Once upon a time", "<s>Once upon a time"]
    )
    assert ids == tokenizer("Once upon a time")["input_ids"]
    assert doubled[0] == 1
    assert doubled.count(1) == 1


def test_long_texts_are_not_complained_about(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    tokenizer = byte_level()
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    level = logger.level
    logger.setLevel(logging.WARNING)  # TransformerLens, where it is imported, has lowered it
    try:
        (ids,) = TextEncoder(tokenizer, 1024, add_bos=True).encode(["the cat " * 400])
        assert len(ids) > tokenizer.model_max_length
        assert not caplog.records
        tokenizer("the cat " * 400)  # it does complain when asked otherwise
        assert "longer than the specified maximum" in caplog.text
    finally:
        logger.setLevel(level)
        logger.removeHandler(caplog.handler)
    assert "longer" not in capfd.readouterr().out
