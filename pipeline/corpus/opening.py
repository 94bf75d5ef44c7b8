"""Which sources a configuration names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, Final, Protocol, runtime_checkable

from pipeline.config import CorpusConfig
from pipeline.corpus.columns import Kind, Row
from pipeline.corpus.csv_rows import CsvFile
from pipeline.corpus.files import find_files, suffix_of
from pipeline.corpus.json_rows import JsonFile, JsonLinesFile
from pipeline.corpus.paragraphs import ParagraphFile
from pipeline.corpus.source import Source
from pipeline.corpus.stream import IDS, Corpus
from pipeline.corpus.tables import HubDataset, ParquetFile
from pipeline.corpus.tokens import Tokenizer
from pipeline.errors import GatescopeError

_TEXT_FILES: Final[dict[str, Callable[[Any, str, str, int, str], Source]]] = {
    ".txt": ParagraphFile,
    ".json": JsonFile,
    ".jsonl": JsonLinesFile,
    ".csv": CsvFile,
}


@runtime_checkable
class DemoText(Protocol):
    """What is needed of a text of the demo corpus."""

    @property
    def id(self) -> str:
        """Where it comes from."""

    @property
    def text(self) -> str:
        """The text."""


class _DemoSource(Source):
    def __init__(self, texts: Iterable[DemoText], text_column: str) -> None:
        super().__init__("the demo corpus")
        self._texts = texts
        self._text_column = text_column

    def kinds(self, n_sources: int) -> dict[str, Kind]:
        return {"id": "string", self._text_column: "string"}

    def rows(self, columns: Collection[str] | None = None) -> Iterator[tuple[int, Row]]:
        for number, item in enumerate(self._texts):
            yield number, {"id": item.id, self._text_column: item.text}


def open_corpus(
    config: CorpusConfig,
    tokenizer: Tokenizer | None,
    d_vocab: int,
    demo_texts: Iterable[DemoText] | None = None,
) -> Corpus:
    """Open what `config` names; `demo_texts` stands in for the built-in demo corpus.

    The tokenizer may be missing where the source is tokenised. Ids are checked against `d_vocab`.

    Errors: GatescopeError for a path that does not exist, an unknown kind of file, a missing
    column, a Hub data set that cannot be reached, a tokenizer that is missing or has no BOS.
    """
    if config.source == "demo":
        sources, location = _demo(config, demo_texts)
    elif config.path is None:
        raise GatescopeError(f"corpus.source={config.source} needs corpus.path=...")
    elif config.source == "hub":
        dataset = HubDataset(config)
        sources, location = [dataset], dataset.location
    elif config.source == "local":
        location, files = find_files(config.path)
        sources = [_file_source(config, *file) for file in files]
    else:
        raise GatescopeError(f"corpus.source={config.source} is none of demo, local, hub")
    return Corpus(config, tokenizer, d_vocab, sources, location)


def has_token_ids(config: CorpusConfig) -> bool:
    """Whether what `config` names, files or a data set, has a column of token ids.

    Errors: GatescopeError as `open_corpus`.
    """
    if config.source == "hub":
        return IDS in HubDataset(config).kinds(1)
    _, files = find_files(str(config.path))
    return IDS in _file_source(config, *files[0]).kinds(1)


def _demo(config: CorpusConfig, texts: Iterable[DemoText] | None) -> tuple[list[Source], str]:
    if texts is None:
        from pipeline.demo.corpus import demo_texts as built_in

        texts = built_in()
    return [_DemoSource(texts, config.text_column)], "the documentation in the Python installation"


def _file_source(config: CorpusConfig, filesystem: Any, path: str, name: str, size: int) -> Source:
    suffix = suffix_of(path)
    if suffix == ".parquet":
        return ParquetFile(name, size)
    return _TEXT_FILES[suffix](filesystem, path, name, size, config.text_column)
