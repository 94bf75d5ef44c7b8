"""What an import is told, as a configuration; and what its manifest says was not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pipeline.config import CorpusConfig, ModelConfig, RunConfig, choices, compose_config
from pipeline.corpus import has_token_ids
from pipeline.errors import GatescopeError
from pipeline.hub.gluscope import Layout
from pipeline.naming import COMBO_NAMES, HUB_ID, QUANTITIES, RANKINGS
from pipeline.schema import LAYERS, NEURONS

_UNKNOWN: Final = "unknown"
NO_CORPUS: Final = "imported without --corpus"
NO_MODEL: Final = "imported without --model"
_COUNTS: Final = ["n_tokens", "n_zero", "count"]
_VALUES: Final = ["gate_value", "in_value", "post_value"]
_WINDOW: Final = ["position", "peak_token", "window_start", "token_ids", "gate", "in"]


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
            f"output={output}",
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
        config = replace(config, corpus=replace(lengths, name=_UNKNOWN, source="local"))
    if model is None:
        name = _named(overrides) or _UNKNOWN
        config = replace(config, model=ModelConfig(name=name, layers=config.model.layers))
    return config


def _named(overrides: Sequence[str]) -> str | None:
    """The model that a user names without running it."""
    named = [word.partition("=")[2] for word in overrides if word.startswith("model.name=")]
    return named[-1] if named else None


def _model_words(name: str) -> list[str]:
    return [f"model={name}" if name in choices("model") else f"model.name={name}"]


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
    words = [f"corpus={kind}", f"corpus.source={source}", f"corpus.path={path}"]
    return words + ([f"corpus.revision={revision}"] if revision else [])


def lacking(
    layout: Layout, *, corpus: bool, model: bool, n_entries: int, n_filled: int | None
) -> list[dict[str, Any]]:
    """The manifest's `missing`: what the source does not tell, and what was not given."""
    found: list[dict[str, Any]] = []

    def lacks(table: str, columns: Sequence[str] | None, why: str) -> None:
        found.append({"table": table, "columns": columns and list(columns), "why": why})

    if not corpus:
        lacks("sign_stats", _COUNTS, NO_CORPUS)
    for quantity in QUANTITIES:
        combos = [c for c in COMBO_NAMES if (c, quantity) not in layout.means]
        if combos:
            of = "" if len(combos) == len(COMBO_NAMES) else f" of {', '.join(combos)}"
            lacks("sign_stats", [f"mean_{quantity}"], f"the source has none{of}")
    if not layout.lists:
        lacks("examples", None, "the source has no lists")
    else:
        absent = [
            f"{combo} by {ranking}"
            for combo in COMBO_NAMES
            for ranking in ("post", "in", "gate")
            if (combo, ranking) not in layout.lists
        ]
        if absent:
            lacks("examples", [], f"the source has no lists of {', '.join(absent)}")
        if not model:
            lacks("examples", [*_VALUES, *_WINDOW], NO_MODEL)
        elif n_filled is not None and n_filled < n_entries:
            lacks(
                "examples",
                [*_VALUES, *_WINDOW],
                f"{n_entries - n_filled:,} of {n_entries:,} entries do not have the published "
                "score in this model",
            )
    if not model:
        lacks("neurons", NEURONS.names[2:], NO_MODEL)
        lacks("layers", LAYERS.names[2:], NO_MODEL)
    if not corpus:
        lacks("corpus", None, NO_CORPUS)
    if not model:
        lacks("vocab", None, NO_MODEL)
        lacks("weight_tokens", None, NO_MODEL)
    return found
