"""A corpus as a stream of examples: rows checked, tokenised in batches, cut at the limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from pipeline.config import CorpusConfig
from pipeline.corpus.columns import Row, SourceColumns, is_well_formed
from pipeline.corpus.example import Example
from pipeline.corpus.source import Source, describe
from pipeline.corpus.tokens import TextEncoder, Tokenizer
from pipeline.errors import GatescopeError

IDS: Final = "input_ids"  # the column of a tokenised source
_BATCH_TEXTS: Final = 1024
_BATCH_CHARS: Final = 1_000_000
_CHARS_A_TOKEN: Final = 8  # more than texts have: what is read beyond `max_tokens` stays small


class Corpus:
    """Examples as a stream, to be iterated once; errors name file and row.

    Attributes:
        location: what is read: an absolute path or URL, a Hub id with its revision.
        source_columns: the source's own columns: name -> string, int64, float64 or bool.
        dropped_columns: its nested columns, which are not carried along.
        n_bytes_total: the size of the files (compressed ones as they lie there), None if unknown.
        skipped: while iterating: reason -> rows that gave no example.
        nulled: while iterating: column -> values made null because they did not fit its type.
        n_examples, n_tokens: while iterating: what was given out.
    """

    def __init__(
        self,
        config: CorpusConfig,
        tokenizer: Tokenizer | None,
        d_vocab: int,
        sources: list[Source],
        location: str,
    ) -> None:
        self.location = location
        self.skipped: dict[str, int] = {}
        self.n_examples = 0
        self.n_tokens = 0
        self._config = config
        self._tokenizer = tokenizer
        self._encoder = _encoder(config, tokenizer)
        self._d_vocab = d_vocab
        kinds = {source: source.kinds(len(sources)) for source in sources}
        # A file without a row has no columns either, and is no mistake among others.
        self._sources = {source: list(found) for source, found in kinds.items() if found}
        _check_columns(config, self._sources)
        consumed = [config.text_column, *([IDS] if config.tokenized else [])]
        self._columns = SourceColumns(kinds.values(), consumed)
        self._read = {*self._columns.originals, *consumed}
        self.source_columns = self._columns.types
        self.dropped_columns = self._columns.dropped
        self.nulled = self._columns.nulled
        sizes = [source.size for source in sources]
        self.n_bytes_total = None if None in sizes else sum(size or 0 for size in sizes)
        for source in sources:
            source.bytes_read = 0  # the first rows may have been read for their columns
        self._begun = False

    @property
    def fraction_read(self) -> float | None:
        """How much of the source, or of `max_tokens`, is done, from 0 to 1; None if unknown."""
        shares = []
        if self._config.max_tokens:
            shares.append(self.n_tokens / self._config.max_tokens)
        if self.n_bytes_total:
            shares.append(sum(source.bytes_read for source in self._sources) / self.n_bytes_total)
        return min(max(shares), 1.0) if shares else None

    def __iter__(self) -> Iterator[Example]:
        if self._begun:
            raise RuntimeError("a Corpus is iterated once: open it again")
        self._begun = True
        limit = self._config.max_tokens
        for ids, text, row in self._tokenized() if self._config.tokenized else self._encoded():
            room = len(ids) if limit is None else limit - self.n_tokens
            if room < len(ids) and room == 1 and self._config.add_bos:
                break  # no use in a BOS alone
            example = Example(np.array(ids[:room], dtype=np.int32), text, self._columns.carry(row))
            self.n_examples += 1
            self.n_tokens += len(example.input_ids)
            yield example
            if self.n_tokens == limit:
                break
        if not self.n_examples:
            skipped = ", ".join(f"{n} x {reason}" for reason, n in self.skipped.items())
            raise GatescopeError(
                f"{self.location} gives no example ({skipped or 'it holds no row'}"
                + ("" if limit is None else f"; corpus.max_tokens={limit}")
                + "): check corpus.path and corpus.text_column"
            )

    def _rows(self) -> Iterator[tuple[Source, int, Row]]:
        for source, names in self._sources.items():
            for number, row in source.rows([name for name in names if name in self._read]):
                yield source, number, row

    def _skip(self, reason: str) -> None:
        self.skipped[reason] = self.skipped.get(reason, 0) + 1

    def _tokenized(self) -> Iterator[tuple[list[int], str, Row]]:
        for source, number, row in self._rows():
            ids = row.get(IDS)
            if ids is None or ids == []:
                self._skip(f"empty {IDS}")
                continue
            kept = self._checked(ids, source, number)[: self._config.max_length]
            text = row.get(self._config.text_column)
            if text is None:
                text = self._tokenizer.decode(kept) if self._tokenizer is not None else ""
            elif not isinstance(text, str):
                raise self._no_text(text, source, number)
            elif not is_well_formed(text):
                self._skip("lone surrogate in the text")
                continue
            yield kept, text, row

    def _checked(self, ids: object, source: Source, number: int) -> list[int]:
        if not isinstance(ids, list) or not {*map(type, ids)} <= {int}:
            wrong = next((i for i in ids if type(i) is not int), None) if type(ids) is list else ids
            raise GatescopeError(
                f"{source.place(number)}: {IDS} must be a list of integers, not {describe(wrong)}"
            )
        for value in (min(ids), max(ids)):
            if not 0 <= value < self._d_vocab:
                raise GatescopeError(
                    f"{source.place(number)}: token id {value} is not in [0, {self._d_vocab}), the "
                    "model's d_vocab: read a corpus that was tokenised for this model"
                )
        return ids

    def _encoded(self) -> Iterator[tuple[list[int], str, Row]]:
        assert self._encoder is not None
        for batch in self._batches():
            encoded = iter(self._encoder.encode([text for text, _ in batch if text.strip()]))
            for text, row in batch:
                if not text.strip():
                    self._skip("empty text")
                    continue
                ids = next(encoded)
                if not ids:
                    self._skip("no tokens")
                    continue
                if max(ids) >= self._d_vocab:
                    raise GatescopeError(
                        f"the tokenizer gives token id {max(ids)}, the model has d_vocab="
                        f"{self._d_vocab}: take the tokenizer that belongs to the model"
                    )
                yield ids, text, row

    def _batches(self) -> Iterator[list[tuple[str, Row]]]:
        """Texts in batches for the tokenizer's threads, small ones close to `max_tokens`."""
        batch: list[tuple[str, Row]] = []
        n_chars = 0
        for source, number, row in self._rows():
            text = row.get(self._config.text_column)
            if text is None:
                text = ""
            elif not isinstance(text, str):
                raise self._no_text(text, source, number)
            elif not is_well_formed(text):
                self._skip("lone surrogate in the text")
                continue
            batch.append((text, row))
            n_chars += len(text)
            most = _BATCH_CHARS
            if self._config.max_tokens is not None:
                left = self._config.max_tokens - self.n_tokens
                most = min(most, left * _CHARS_A_TOKEN)
            if len(batch) == _BATCH_TEXTS or n_chars >= most:
                yield batch
                batch, n_chars = [], 0
        if batch:
            yield batch

    def _no_text(self, value: object, source: Source, number: int) -> GatescopeError:
        column = self._config.text_column
        return GatescopeError(
            f"{source.place(number)}: column {column!r} holds {describe(value)}, not text: "
            "set corpus.text_column to the column of the texts"
        )


def _encoder(config: CorpusConfig, tokenizer: Tokenizer | None) -> TextEncoder | None:
    if config.tokenized:
        return None
    if tokenizer is None:
        raise GatescopeError(
            "the model has no tokenizer: corpus.tokenized=true reads token ids instead of text"
        )
    return TextEncoder(tokenizer, config.max_length, config.add_bos)


def _check_columns(config: CorpusConfig, sources: dict[Source, list[str]]) -> None:
    wanted = IDS if config.tokenized else config.text_column
    for source, names in sources.items():
        if wanted not in names:
            remedy = "tokenized=false to read text" if config.tokenized else "text_column=..."
            raise GatescopeError(
                f"{source.name} has no column {wanted!r}, only {', '.join(names)}: "
                f"set corpus.{remedy}"
            )
