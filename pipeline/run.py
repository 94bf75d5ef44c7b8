"""One run, top to bottom: corpus -> scan -> weights -> merge -> card -> manifest.

Each stage (stages.py) leaves whole files in the output place; the same command again goes on from
there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.config import RunConfig, differences, scan_settings, to_dict
from pipeline.errors import GatescopeError
from pipeline.fingerprint import folder_digest
from pipeline.hub import write_card
from pipeline.model import (
    GatedModel,
    inspect_model,
    load_model,
    load_tokenizer,
    tokenizer_hash,
)
from pipeline.provenance import provenance
from pipeline.scan import ScanReport
from pipeline.stages import (
    make_corpus,
    make_tables,
    make_vocab,
    open_texts,
    plan_scan,
    scan_corpus,
    warn_of_context,
)
from pipeline.store import Place, RunRecord, read_manifest


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

    # Whatever can be refused is refused before anything is written.
    info = inspect_model(config.model)
    tokenizer = load_tokenizer(config.model, info)
    model = load_model(config.model, info)
    console.print(
        f"Model {info.name}: {model.architecture}, {len(model.layers)} layers x "
        f"{model.n_neurons(model.layers[0]):,} neurons, {model.act_fn_name}, "
        f"{_dtype_name(model)} on {model.device}, {model.attention} attention",
        highlight=False,
        soft_wrap=True,
    )
    begun = record.settings()
    resolved = (begun or {}).get("scan.resolved_tokens_per_batch")
    plan = plan_scan(model, config, resolved, console)
    settings["model.resolved_revision"] = info.revision
    settings["model.resolved_dtype"] = _dtype_name(model)
    settings["scan.resolved_tokens_per_batch"] = plan.settings.tokens_per_batch
    if begun is not None:
        _refuse_differences(place, begun, settings, "an unfinished run")
    texts = open_texts(config, model, tokenizer) if begun is None else None

    with place.only_writer():
        if read_manifest(place) is not None or record.settings() != begun:
            raise GatescopeError(
                f"output={place}: another run has just written there; run the same command again"
            )
        record.sweep()
        if texts is not None:
            record.begin(settings)
            corpus = make_corpus(place, record, config, texts, console)
        else:
            corpus = record.corpus()
            console.print(f"Resuming {place}: the corpus is written")
        warn_of_context(corpus, info, console)
        report = scan_corpus(place, corpus, model, config, plan, console)
        n_rows = {"corpus": corpus.n_examples}
        n_rows["vocab"] = make_vocab(place, tokenizer, info)
        n_rows |= make_tables(place, corpus, model, config, plan.settings, report, console)
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
                "tokens_per_batch": plan.settings.tokens_per_batch,
                "n_units": len(corpus.units),
                "n_resumed_units": report.n_resumed_units,
                "compiled": report.compiled,
                "n_halved": report.n_halved,
                **_rates(report),
                "wall_s": time.monotonic() - started,
            },
            "tables": n_rows,
            **provenance(),
        }
        write_card(place, manifest)
        record.finish(manifest)
    return RunResult(manifest, already_complete=False)


def _rates(report: ScanReport) -> dict[str, float | None]:
    """Of the process that finished the run; null where it had nothing left to scan."""
    if not report.n_padded:
        return {"padding": None, "scan_s": report.scan_s, "tokens_per_s": None}
    return {
        "padding": 1 - report.n_tokens / report.n_padded,
        "scan_s": report.scan_s,
        "tokens_per_s": report.n_tokens / report.scan_s,
    }


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
    # What a setting resolves to is known only once the model is looked at.
    there = {key: value for key, value in there.items() if key in here or "resolved" not in key}
    found = differences(there, here)
    if found:
        raise GatescopeError(
            f"output={place}: {what} with other settings is there ({'; '.join(found)}); choose "
            "another output, or delete that folder to start anew"
        )


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
