"""What an import is told, as a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pipeline.config import CorpusConfig, ModelConfig, RunConfig, choices, compose_config, override
from pipeline.corpus import has_token_ids
from pipeline.errors import GatescopeError
from pipeline.hub.gluscope.schema import Layout
from pipeline.naming import HUB_ID, RANKINGS

# What a model or a corpus is called that is not given.
UNKNOWN: Final = "unknown"


def import_config(
    output: str, corpus: str | None, model: str | None, overrides: Sequence[str], layout: Layout
) -> RunConfig:
    """The configuration of experiment=gluscope with what the user gave, checked.

    What is measured is measured: the rankings are those that are published. Raises GatescopeError
    for a setting that an import cannot have, and as `compose_config`.
    """
    if model is not None and corpus is None:
        raise GatescopeError(
            f"import: --model {model} is run on the texts that were measured; give --corpus too"
        )
    for words, option in (("model", "--model"), ("corpus", "--corpus")):
        odd = [word for word in overrides if word.split("=")[0] in (words, f"{words}.path")]
        if odd:
            raise GatescopeError(f"import: {odd[0]} is said with {option}; give it there")
    config = compose_config(
        [
            "experiment=gluscope",
            # What GLUScope's own code computes in, on any device.
            "model.dtype=float32",
            *([] if corpus is None else _corpus_words(corpus)),
            *([] if model is None else _model_words(model)),
            *overrides,
            override("output", output),
        ]
    )
    scan = config.scan
    for name, value in (("scan", scan.name == "none"), ("scan.dedupe", scan.dedupe)):
        if value:
            raise GatescopeError(
                f"import: {name}={'none' if name == 'scan' else 'true'} is not what GLUScope "
                "measures; leave it out"
            )
    rankings = tuple(name for name in RANKINGS if name in layout.rankings) or scan.rankings
    config = replace(config, scan=replace(scan, rankings=rankings))
    if corpus is None:
        lengths = CorpusConfig(max_length=config.corpus.max_length)
        config = replace(config, corpus=replace(lengths, name=UNKNOWN, source="local"))
    if model is None:
        name = _named(overrides) or UNKNOWN
        config = replace(config, model=ModelConfig(name=name, layers=config.model.layers))
    return config


def _named(overrides: Sequence[str]) -> str | None:
    """The model that a user names without running it."""
    named = [word.partition("=")[2] for word in overrides if word.startswith("model.name=")]
    return named[-1] if named else None


def _model_words(name: str) -> list[str]:
    return [f"model={name}" if name in choices("model") else override("model.name", name)]


def _corpus_words(place: str) -> list[str]:
    """The settings of a corpus: one of conf/corpus, files, or a Hub data set."""
    if place in choices("corpus"):
        return [f"corpus={place}"]
    is_hub = (
        "://" not in place
        and HUB_ID.fullmatch(place) is not None
        and not Path(place).expanduser().exists()
    )
    path, _, revision = place.partition("@") if is_hub else (place, "", "")
    if not is_hub and "://" not in place and not Path(place).expanduser().exists():
        raise GatescopeError(
            f"import: --corpus {place}: no such file or folder, Hub id or name in conf/corpus "
            f"({', '.join(choices('corpus'))})"
        )
    source = "hub" if is_hub else "local"
    probed = CorpusConfig(source=source, path=path, revision=revision or None)
    kind = "tokenized" if has_token_ids(probed) else "local"
    words = [f"corpus={kind}", f"corpus.source={source}", override("corpus.path", path)]
    return words + ([override("corpus.revision", revision)] if revision else [])
