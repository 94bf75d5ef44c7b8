"""One run, top to bottom: corpus -> scan -> weights -> merge -> card -> manifest.

Each stage leaves whole files in the output place; the same command again goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from pipeline.config import RunConfig, differences, scan_settings, to_dict
from pipeline.corpus import Fingerprint, open_corpus, split_units
from pipeline.errors import GatescopeError
from pipeline.fingerprint import folder_digest
from pipeline.hub import write_card
from pipeline.model import (
    GatedModel,
    ModelInfo,
    inspect_model,
    load_model,
    load_tokenizer,
    tokenizer_hash,
    vocabulary,
)
from pipeline.provenance import provenance
from pipeline.scan import ScanReport, ScanSettings, check_fits, scan, state_bytes
from pipeline.store import (
    MAX_EXAMPLES,
    CorpusIndex,
    MergeSettings,
    Place,
    RunRecord,
    TokenIndex,
    merge_layer,
    read_flipped,
    read_manifest,
    write_corpus,
    write_layer_summary,
    write_neurons,
    write_vocab,
)
from pipeline.view.progress import progress
from pipeline.weights import io_classes, neuron_weights, random_cosine_interval

# Padded tokens of a batch where scan.tokens_per_batch is not set.
_TOKENS_PER_BATCH = {"cpu": 4096, "cuda": 16384}


@dataclass(frozen=True)
class RunResult:
    """What `run` gives: the manifest, and whether this call had anything left to do."""

    manifest: dict[str, Any]
    already_complete: bool


def run(config: RunConfig, console: Console) -> RunResult:
    """Make the dataset that `config` describes, or go on where an earlier run stopped.

    Raises GatescopeError for what the user can mend; what is done by then is kept.
    """
    started = time.monotonic()
    assert config.output is not None  # compose_config fills it in
    place = Place(config.output)
    record = RunRecord(place)
    settings = scan_settings(config) | _files_of(config)
    manifest = read_manifest(place)
    if manifest is not None:
        _refuse_differences(place, manifest["settings"], settings, "a finished dataset")
        record.clear()
        return RunResult(manifest, already_complete=True)
    record.refuse_foreign()

    info = inspect_model(config.model)
    settings["model.resolved_revision"] = info.revision
    tokenizer = load_tokenizer(config.model, info)
    begun = record.settings()
    if begun is None:
        corpus = _write_corpus(place, record, config, settings, info, tokenizer, console)
    else:
        _refuse_differences(place, begun, settings, "an unfinished run")
        corpus = record.corpus()
        console.print(f"Resuming {place}: the corpus is written")
    _warn_of_context(corpus, info, console)

    model = load_model(config.model, info)
    console.print(
        f"Model {info.name}: {model.architecture}, {len(model.layers)} layers x "
        f"{model.n_neurons(model.layers[0]):,} neurons, {model.act_fn_name}, "
        f"{_dtype_name(model)} on {model.device}, {model.attention} attention",
        highlight=False,
    )
    report, scan_config = _scan(place, corpus, model, config, console)
    n_rows = {"corpus": corpus.n_examples}
    n_rows["vocab"] = _write_vocab(place, tokenizer, info)
    n_rows |= _write_tables(place, corpus, model, config, scan_config, report, console)
    manifest = {
        "model": _model_facts(model, tokenizer),
        "corpus": {
            "name": config.corpus.name,
            "n_examples": corpus.n_examples,
            "n_tokens": corpus.n_tokens,
            "fingerprint": corpus.fingerprint,
            **corpus.facts,
        },
        "config": to_dict(config),
        "settings": settings,
        "scan": {
            "tokens_per_batch": scan_config.tokens_per_batch,
            "n_units": len(corpus.units),
            "n_resumed_units": report.n_resumed_units,
            "compiled": report.compiled,
            "padding": 1 - report.n_tokens / report.n_padded if report.n_padded else 0.0,
            "scan_s": report.scan_s,
            "tokens_per_s": report.n_tokens / report.scan_s if report.n_tokens else None,
            "wall_s": time.monotonic() - started,
        },
        "tables": n_rows,
        **provenance(),
    }
    write_card(place, manifest)
    record.finish(manifest)
    return RunResult(manifest, already_complete=False)


def _dtype_name(model: GatedModel) -> str:
    return str(model.dtype).removeprefix("torch.")


def _files_of(config: RunConfig) -> dict[str, str]:
    """Digests of the local files that the run reads, so that changed ones are not mixed in."""
    digests: dict[str, str] = {}
    if config.corpus.source == "local" and config.corpus.path is not None:
        path = Path(config.corpus.path).expanduser()
        if path.exists():
            digests["corpus.files"] = folder_digest(path)
    folder = Path(config.model.name).expanduser()
    if folder.is_dir():
        digests["model.files"] = folder_digest(folder, (".safetensors", ".json"))
    return digests


def _refuse_differences(
    place: Place, there: dict[str, Any], here: dict[str, Any], what: str
) -> None:
    # The revision of a Hub model is known only once the model is looked at.
    there = {key: value for key, value in there.items() if key in here or "resolved" not in key}
    found = differences(there, here)
    if found:
        raise GatescopeError(
            f"output={place}: {what} with other settings is there ({'; '.join(found)}); choose "
            "another output, or delete that folder to start anew"
        )


def _write_corpus(
    place: Place,
    record: RunRecord,
    config: RunConfig,
    settings: dict[str, Any],
    info: ModelInfo,
    tokenizer: Any,
    console: Console,
) -> CorpusIndex:
    corpus = open_corpus(config.corpus, tokenizer, info.d_vocab)
    units_of_examples = split_units(corpus, config.scan.unit_tokens)
    # What is wrong with the first texts is said before there is a folder.
    first = next(units_of_examples)
    record.begin(settings)
    fingerprint = Fingerprint()
    longest = 0
    with progress(console, "Tokenising", "tokens", config.corpus.max_tokens) as advance:

        def counted() -> Iterator[list[Any]]:
            nonlocal longest
            for unit in chain([first], units_of_examples):
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


def _warn_of_context(corpus: CorpusIndex, info: ModelInfo, console: Console) -> None:
    longest = corpus.facts["longest"]
    if info.max_positions is not None and longest > info.max_positions:
        console.print(
            f"Note: the longest example has {longest} tokens and {info.name} was made for "
            f"{info.max_positions}; later positions are out of its training. "
            f"corpus.max_length={info.max_positions} leaves them out.",
            highlight=False,
            style="yellow",
        )


def _scan(
    place: Place, corpus: CorpusIndex, model: GatedModel, config: RunConfig, console: Console
) -> tuple[ScanReport, ScanSettings]:
    scan_settings_ = ScanSettings(
        k=config.scan.k,
        spare=config.scan.spare if config.scan.dedupe else 0,
        rankings=config.scan.rankings,
        before=config.scan.window.before,
        after=config.scan.window.after,
        skip_bos=config.scan.skip_bos,
        tokens_per_batch=config.scan.tokens_per_batch or _TOKENS_PER_BATCH[model.device.type],
        seed=config.seed,
    )
    on_cpu = config.scan.state_device == "cpu"
    state_device = torch.device("cpu") if on_cpu else model.device
    n_bytes = state_bytes(model, scan_settings_)
    console.print(
        f"Scan of {corpus.n_tokens:,} tokens in {len(corpus.units)} units; its state takes "
        f"{n_bytes / 2**30:.2f} GiB on {state_device}",
        highlight=False,
    )
    check_fits(n_bytes, state_device)
    with progress(console, "Scanning", "tokens", corpus.n_tokens) as advance:
        report = scan(
            place,
            corpus,
            model,
            scan_settings_,
            state_device=state_device,
            compile_setting=config.scan.compile,
            snapshot_every_s=config.cluster.snapshot_every_s,
            progress=advance,
        )
    return report, scan_settings_


def _write_vocab(place: Place, tokenizer: Any, info: ModelInfo) -> int:
    words = vocabulary(tokenizer, info.d_vocab)
    return write_vocab(place, words.tokens, words.bytes_)


def _write_tables(
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


def _model_facts(model: GatedModel, tokenizer: Any) -> dict[str, Any]:
    return {
        "name": model.name,
        "revision": model.revision,
        "architecture": model.architecture,
        "act_fn": model.act_fn_name,
        "dtype": _dtype_name(model),
        "device": str(model.device),
        "attention": model.attention,
        "n_layers": model.n_layers,
        "layers": list(model.layers),
        "n_neurons": [model.n_neurons(layer) for layer in model.layers],
        "d_model": model.d_model,
        "d_vocab": model.d_vocab,
        "tokenizer_sha256": tokenizer_hash(tokenizer),
    }
