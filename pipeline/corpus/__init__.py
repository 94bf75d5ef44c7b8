"""Text or token ids -> numbered, tokenised, fingerprinted examples -> units.

    source (demo, files, Hub) -> rows -> text -> token ids -> Example -> Fingerprint, units

`open_corpus` checks what can be checked without reading everything (paths, columns, types) and
returns a `Corpus`, which streams: memory does not grow with the source.
"""

from __future__ import annotations

from pipeline.corpus.example import Example, Fingerprint, split_units
from pipeline.corpus.opening import has_token_ids, open_corpus
from pipeline.corpus.stream import Corpus
from pipeline.corpus.tokens import Tokenizer

__all__ = [
    "Corpus",
    "Example",
    "Fingerprint",
    "Tokenizer",
    "has_token_ids",
    "open_corpus",
    "split_units",
]
