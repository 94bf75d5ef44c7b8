"""The stages of a run: the corpus table, the scan, the tables; each says what it does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import torch
from rich.console import Console

from pipeline.config import RunConfig
from pipeline.corpus import Corpus, Fingerprint, open_corpus, split_units
from pipeline.errors import GatescopeError
from pipeline.model import GatedModel, ModelInfo, vocabulary
from pipeline.scan import (
    UNIT_TOKENS,
    ScanReport,
    ScanSettings,
    check_fits,
    choose_tokens_per_batch,
    scan,
    state_bytes,
)
from pipeline.store import (
    MAX_EXAMPLES,
    CorpusIndex,
    MergeSettings,
    Place,
    RunRecord,
    TokenIndex,
    load_snapshots,
    merge_layer,
    read_flipped,
    write_corpus,
    write_layer_summary,
    write_neurons,
    write_vocab,
)
from pipeline.view.progress import progress
from pipeline.weights import io_classes, neuron_weights, random_cosine_interval


@dataclass(frozen=True)
class Texts:
    """An opened corpus whose first unit is read, so that what is wrong with it has been said."""

    corpus: Corpus
    units: Iterator[list[Any]]


def open_texts(config: RunConfig, model: GatedModel, tokenizer: Any) -> Texts:
    """Open the corpus and read its first unit."""
    corpus = open_corpus(config.corpus, tokenizer, model.d_vocab)
    by_device = UNIT_TOKENS.get(model.device.type, UNIT_TOKENS["cpu"])
    units = split_units(corpus, config.scan.unit_tokens or by_device)
    return Texts(corpus, chain([next(units)], units))


def make_corpus(
    place: Place, record: RunRecord, config: RunConfig, texts: Texts, console: Console
) -> CorpusIndex:
    """Tokenise the corpus into its table, unit by unit; from then on the run can be resumed."""
    corpus = texts.corpus
    fingerprint = Fingerprint()
    longest = 0
    with progress(console, "Tokenising", "tokens", config.corpus.max_tokens) as advance:

        def counted() -> Iterator[list[Any]]:
            nonlocal longest
            for unit in texts.units:
                for example in unit:
                    fingerprint.update(example.input_ids)
                lengths = [len(example.input_ids) for example in unit]
                longest = max(longest, *lengths)
                yield unit
                advance(sum(lengths))

        units = write_corpus(place, counted(), corpus.source_columns)
    index = CorpusIndex(
        units=units,
        fingerprint=fingerprint.hexdigest(),
        facts={
            "location": corpus.location,
            "skipped": dict(corpus.skipped),
            "nulled": dict(corpus.nulled),
            "dropped_columns": list(corpus.dropped_columns),
            "longest": longest,
        },
    )
    if index.n_examples > MAX_EXAMPLES:
        raise GatescopeError(
            f"corpus.path={config.corpus.path}: {index.n_examples} examples are more than the "
            f"{MAX_EXAMPLES} that a dataset numbers; set corpus.max_tokens"
        )
    record.keep_corpus(index)
    skipped = "".join(f", {n:,} skipped ({why})" for why, n in corpus.skipped.items())
    console.print(
        f"Corpus {config.corpus.name}: {index.n_examples:,} examples, {index.n_tokens:,} tokens"
        f"{skipped}",
        highlight=False,
    )
    return index


def warn_of_context(corpus: CorpusIndex, info: ModelInfo, console: Console) -> None:
    """Say where examples are longer than the model was made for."""
    longest = corpus.facts["longest"]
    if info.max_positions is not None and longest > info.max_positions:
        _note(
            console,
            f"the longest example has {longest} tokens and {info.name} was made for "
            f"{info.max_positions}; later positions are out of its training. "
            f"corpus.max_length={info.max_positions} leaves them out.",
        )


def _note(console: Console, text: str) -> None:
    console.print(f"Note: {text}", highlight=False, markup=False, soft_wrap=True, style="yellow")


@dataclass(frozen=True)
class ScanPlan:
    """The settings of a scan whose state fits, and where that state lives."""

    settings: ScanSettings
    state_device: torch.device


def plan_scan(
    model: GatedModel, config: RunConfig, tokens_per_batch: int | None, console: Console
) -> ScanPlan:
    """Settle a scan's settings and say how large its state is.

    `tokens_per_batch` is what an unfinished run began with, which decides the rounding of its
    results. Raises GatescopeError where the state cannot fit.
    """
    settings = ScanSettings(
        k=config.scan.k,
        spare=config.scan.spare if config.scan.dedupe else 0,
        rankings=config.scan.rankings,
        before=config.scan.window.before,
        after=config.scan.window.after,
        skip_bos=config.scan.skip_bos,
        tokens_per_batch=config.scan.tokens_per_batch or tokens_per_batch or 0,
        seed=config.seed,
    )
    on_cpu = config.scan.state_device == "cpu"
    state_device = torch.device("cpu") if on_cpu else model.device
    n_bytes = state_bytes(model, settings)
    console.print(
        f"State of the scan: {n_bytes / 2**30:.2f} GiB on {state_device}", highlight=False
    )
    check_fits(n_bytes, state_device)
    if not settings.tokens_per_batch:
        on_model = n_bytes if state_device == model.device else 0
        settings = replace(settings, tokens_per_batch=choose_tokens_per_batch(model, on_model))
    return ScanPlan(settings, state_device)


def scan_corpus(
    place: Place,
    corpus: CorpusIndex,
    model: GatedModel,
    config: RunConfig,
    plan: ScanPlan,
    console: Console,
) -> ScanReport:
    """Scan what no snapshot covers."""
    snapshots = load_snapshots(place)
    covered = {unit for snapshot in snapshots for unit in snapshot.units}
    done = sum(unit.n_tokens for unit in corpus.units if unit.unit_id in covered)
    with progress(console, "Scanning", "tokens", corpus.n_tokens, done) as advance:
        return scan(
            place,
            corpus,
            model,
            plan.settings,
            snapshots,
            state_device=plan.state_device,
            compile_setting=config.scan.compile,
            snapshot_every_s=config.cluster.snapshot_every_s,
            progress=advance,
            note=lambda text: _note(console, text),
        )


def make_vocab(place: Place, tokenizer: Any, info: ModelInfo) -> int:
    """Write the `vocab` table; gives its rows."""
    words = vocabulary(tokenizer, info.d_vocab)
    return write_vocab(place, words.tokens, words.bytes_)


def make_tables(
    place: Place,
    corpus: CorpusIndex,
    model: GatedModel,
    config: RunConfig,
    settings: ScanSettings,
    report: ScanReport,
    console: Console,
) -> dict[str, int]:
    """Write the partitioned tables layer by layer; gives their rows."""
    n_rows = {"neurons": 0, "sign_stats": 0, "examples": 0, "layers": 0}
    randomness = random_cosine_interval(model.d_model)
    with (
        TokenIndex(place, corpus) as tokens,
        progress(console, "Merging", "layers", len(model.layers)) as advance,
    ):
        for layer in model.layers:
            weights = model.mlp_weights(layer)
            said = neuron_weights(
                weights.gate, weights.in_, weights.out, canonical_signs=config.scan.canonical_signs
            )
            columns: dict[str, Any] = {k: v.cpu().numpy() for k, v in vars(said).items()}
            columns["io_class"] = io_classes(said.cos_gate_in, said.cos_gate_out, said.cos_in_out)
            n_rows["neurons"] += write_neurons(place, layer, columns)
            n_rows["layers"] += write_layer_summary(place, layer, randomness)
            merged = merge_layer(
                place,
                report.snapshots,
                layer,
                settings.state(model, layer),
                MergeSettings(config.scan.k, config.scan.dedupe, model.act_fns[layer]),
                read_flipped(place, layer),
                tokens,
            )
            for table, n in merged.items():
                n_rows[table] += n
            advance(1)
    return n_rows
