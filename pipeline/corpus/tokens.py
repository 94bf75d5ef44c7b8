"""Text to token ids: the beginning-of-sequence token once, and no more than `max_length` ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, runtime_checkable

from pipeline.errors import GatescopeError

# A text is cut before it is tokenised where it has more characters than this for each id wanted
# (English has about 4), the margin counted in.
_CHARS_A_TOKEN: Final = 16
_MARGIN_TOKENS: Final = 256


@runtime_checkable
class Tokenizer(Protocol):
    """What is needed of a tokenizer; the fast ones of `transformers` have it."""

    @property
    def bos_token_id(self) -> int | None:
        """The id that begins a sequence, if there is one."""

    @property
    def eos_token_id(self) -> int | None:
        """The id that ends a sequence, if there is one."""

    def __call__(
        self,
        text: list[str],
        *,
        add_special_tokens: bool,
        return_attention_mask: bool,
        verbose: bool,
    ) -> Mapping[str, Any]:
        """`input_ids`: a list of ids for each text."""

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of the ids."""


class TextEncoder:
    """Turns batches of texts into ids, as many texts at a time as the tokenizer has threads."""

    def __init__(self, tokenizer: Tokenizer, max_length: int, add_bos: bool) -> None:
        self._tokenizer = tokenizer
        self._bos = beginning_id(tokenizer) if add_bos else None
        self._max_length = max_length

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """At most `max_length` ids for each text; none for a text without tokens."""
        return [
            self._with_bos(ids)[: self._max_length] if ids else []
            for ids in first_ids(self._tokenizer, texts, self._max_length)
        ]

    def _with_bos(self, ids: list[int]) -> list[int]:
        if self._bos is None or ids[0] == self._bos:
            return ids
        return [self._bos, *ids]


def beginning_id(tokenizer: Tokenizer) -> int:
    """The BOS id, or the EOS id of a tokenizer without one, as GLUScope does it."""
    for token_id in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if token_id is not None:
            return token_id
    raise GatescopeError(
        "corpus.add_bos=true, but the tokenizer has neither a BOS nor an EOS token: "
        "set corpus.add_bos=false"
    )


def first_ids(tokenizer: Tokenizer, texts: Sequence[str], n_ids: int) -> list[list[int]]:
    """The first `n_ids` ids of each text, as if the whole of it were tokenised.

    Tokenising 10 million characters takes more than 10 s, so a long text is cut first. No bound
    in characters alone is safe (a normaliser may swallow any number of them), so the cut is
    checked: it stands before white space that follows something else, where pre-tokenisers split
    and words end, and `_MARGIN_TOKENS` ids must lie between the ids that are kept and the cut;
    where they do not, or there is no such place (a long run without spaces), twice as much is
    taken, up to the whole text.
    """
    found: list[list[int]] = [[] for _ in texts]
    n_needed = n_ids + _MARGIN_TOKENS
    n_chars = n_needed * _CHARS_A_TOKEN
    waiting = list(range(len(texts)))
    while waiting:
        ends = {i: _cut(texts[i], n_chars) for i in waiting}
        ready = [i for i, end in ends.items() if end is not None]
        cut = [texts[i][: ends[i]] for i in ready]
        for i, ids in zip(ready, _all_ids(tokenizer, cut), strict=True):
            if len(ids) >= n_needed or ends[i] == len(texts[i]):
                found[i] = ids[:n_ids]
                waiting.remove(i)
        n_chars *= 2
    return found


def _cut(text: str, n_chars: int) -> int | None:
    """Where to cut a text to at most `n_chars`: its length where it is no longer, None: nowhere."""
    if len(text) <= n_chars:
        return len(text)
    for end in range(n_chars, n_chars // 2, -1):
        if text[end].isspace() and not text[end - 1].isspace():
            return end
    return None


def _all_ids(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    encoded = tokenizer(
        texts,
        add_special_tokens=False,
        return_attention_mask=False,
        verbose=False,  # no warning of texts longer than the model takes: they are cut
    )
    ids: list[list[int]] = encoded["input_ids"]
    return ids
