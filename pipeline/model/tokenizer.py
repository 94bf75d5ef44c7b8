"""The model's tokenizer, and its vocabulary as people read it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

import transformers
from transformers.utils.hub import has_file

from pipeline.config import ModelConfig
from pipeline.errors import GatescopeError
from pipeline.model.info import ModelInfo, reason
from pipeline.model.quiet import quiet

# Where the tokenizers that transformers knows keep their vocabulary; the first is in most models.
_VOCABULARY_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tekken.json",
    "tiktoken.model",
)
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@dataclass(frozen=True)
class Vocabulary:
    """Every token id's text as a person reads it, and its bytes where the tokenizer tells.

    Bytes that are no UTF-8 by themselves are shown as `<0xE2><0x80>`, and ids that the tokenizer
    does not have (padding of the embedding) as `<unused 50300>`, with bytes None. The bytes of a
    text's ids, joined, are the text; before it stands the space that SentencePiece's way adds.
    """

    tokens: list[str]
    bytes_: list[bytes | None]


def load_tokenizer(config: ModelConfig, info: ModelInfo) -> Any | None:
    """The tokenizer that lies with the model, or None where there is none.

    None is fine for tokenised corpora; corpus/ says so where text is to be read. Raises
    GatescopeError for a tokenizer that is there and cannot be read.
    """
    # Asked first: without a vocabulary transformers makes, for some architectures, a tokenizer out
    # of nothing, to which every text is empty or unknown.
    if not any(_has(info, name) for name in _VOCABULARY_FILES):
        if _has(info, "tokenizer_config.json"):
            raise GatescopeError(
                f"model.name={config.name}: tokenizer_config.json is there, but none of "
                f"{', '.join(_VOCABULARY_FILES)}; put the model's tokenizer.json beside it"
            )
        return None
    try:
        with quiet():
            return transformers.AutoTokenizer.from_pretrained(
                info.location, revision=info.revision, use_fast=True, trust_remote_code=False
            )
    # The libraries raise classes of their own, straight from Exception, for what a file holds.
    except Exception as error:
        raise GatescopeError(
            f"model.name={config.name}: its tokenizer cannot be read ({reason(error)}); put the "
            "model's whole tokenizer.json beside its config.json"
        ) from error


def _has(info: ModelInfo, name: str) -> bool:
    return bool(has_file(info.location, name, info.revision))


def tokenizer_hash(tokenizer: Any | None) -> str | None:
    """SHA-256 of the tokenizer's whole definition, for the manifest."""
    if tokenizer is None:
        return None
    backend = getattr(tokenizer, "backend_tokenizer", None)
    definition = (
        backend.to_str() if backend is not None else str(sorted(tokenizer.get_vocab().items()))
    )
    return hashlib.sha256(definition.encode()).hexdigest()


def vocabulary(tokenizer: Any | None, d_vocab: int) -> Vocabulary:
    """The vocabulary of `d_vocab` ids; without a tokenizer every token is shown as its id."""
    if tokenizer is None:
        return Vocabulary([f"<id {i}>" for i in range(d_vocab)], [None] * d_vocab)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    byte_level = backend is not None and "ByteLevel" in str(backend.decoder)
    pieces = {token_id: piece for piece, token_id in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    tokens: list[str] = []
    bytes_: list[bytes | None] = []
    for token_id in range(d_vocab):
        raw: bytes | None = None
        if byte_level and token_id in added:
            raw = str(added[token_id]).encode(
                "utf-8", "replace"
            )  # stands for itself, not for bytes
        elif token_id in pieces:
            raw = (_byte_level if byte_level else _sentence_piece)(pieces[token_id])
        bytes_.append(raw)
        tokens.append(f"<unused {token_id}>" if raw is None else shown(raw))
    return Vocabulary(tokens, bytes_)


def shown(raw: bytes) -> str:
    """A token's bytes as text, where a byte that is no part of a UTF-8 character is `<0xE2>`."""
    # surrogateescape decodes such a byte as U+DC00 + byte, which no UTF-8 does.
    text = raw.decode("utf-8", "surrogateescape")
    return "".join(f"<0x{ord(c) - 0xDC00:02X}>" if 0xDC80 <= ord(c) <= 0xDCFF else c for c in text)


def _gpt2_bytes() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte, turned round: character -> byte."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    pairs = [(chr(byte), byte) for byte in printable]
    return dict(pairs + [(chr(256 + i), byte) for i, byte in enumerate(others)])


_BYTES_OF = _gpt2_bytes()


def _byte_level(piece: str) -> bytes:
    if all(character in _BYTES_OF for character in piece):
        return bytes(_BYTES_OF[character] for character in piece)
    return piece.encode("utf-8", "replace")


def _sentence_piece(piece: str) -> bytes:
    match = _BYTE_TOKEN.fullmatch(piece)
    if match:
        return bytes([int(match[1], 16)])
    return piece.replace("\u2581", " ").encode("utf-8", "replace")
