"""What the tests of pipeline/corpus share: a tokenizer of bytes, a way to read a file."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import CorpusConfig
from pipeline.corpus import Corpus, Example, open_corpus
from pipeline.errors import GatescopeError

SHARED = Path(__file__).parents[2] / "shared"
STORIES = SHARED / "data" / "stories260K"


def need_shared(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path} is absent: it lies beside the checkout, not in it")
    return path


class ByteTokenizer:
    """Ids 0, 1, 2 are special (1 is BOS, 2 is EOS), 3 + b stands for the byte b."""

    d_vocab = 259

    def __init__(self, bos: int | None = 1, eos: int | None = 2) -> None:
        self.bos_token_id = bos
        self.eos_token_id = eos
        self.batches: list[tuple[int, int]] = []  # texts, characters of each call

    def __call__(
        self,
        text: list[str],
        *,
        add_special_tokens: bool,
        return_attention_mask: bool,
        verbose: bool,
    ) -> dict[str, list[list[int]]]:
        assert text, "a tokenizer is never called for nothing"
        assert not add_special_tokens
        assert not return_attention_mask
        assert not verbose
        self.batches.append((len(text), sum(map(len, text))))
        return {"input_ids": [[byte + 3 for byte in one.encode()] for one in text]}

    def decode(self, token_ids: Sequence[int]) -> str:
        return bytes(i - 3 for i in token_ids if i >= 3).decode(errors="replace")


def opened(path: Path | str | None, tokenizer: Any = None, **settings: Any) -> Corpus:
    """The corpus of a local path, read with the tokenizer of bytes unless told otherwise."""
    defaults: dict[str, Any] = {"source": "local", "add_bos": False, "max_length": 10_000}
    path = None if path is None else str(path)
    config = CorpusConfig(**(defaults | {"path": path} | settings))
    return open_corpus(config, tokenizer or ByteTokenizer(), ByteTokenizer.d_vocab)


def examples(path: Path | str, tokenizer: Any = None, **settings: Any) -> list[Example]:
    return list(opened(path, tokenizer, **settings))


def texts(path: Path | str, **settings: Any) -> list[str]:
    return [example.text for example in opened(path, **settings)]


def refusal(path: Path | str | None, **settings: Any) -> str:
    """The message of the error that reading the path gives: one line."""
    with pytest.raises(GatescopeError) as caught:
        list(opened(path, **settings))
    message = str(caught.value)
    assert "\n" not in message
    return message


def written(path: Path, content: bytes | str) -> Path:
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path
