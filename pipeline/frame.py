"""The frame of a run, with a scan or without: one writer first, the manifest last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from pipeline.config import RunConfig, differences, to_dict
from pipeline.console import say
from pipeline.errors import GatescopeError
from pipeline.fingerprint import folder_digest
from pipeline.hub import write_card
from pipeline.model import ModelFacts, tokenizer_hash
from pipeline.provenance import provenance
from pipeline.store import EventLog, Place, RunRecord, only_writer, read_manifest


@contextmanager
def sole_writer(
    place: Place, record: RunRecord, begun: dict[str, Any] | None, console: Console
) -> Iterator[Callable[[], None]]:
    """Hold a place whose unfinished run, if there is one, began with the settings `begun`.

    Gives a function that raises GatescopeError where the right to write was lost. Raises it too
    where another run has written there since `begun` was read.
    """
    with only_writer(place, lambda text: say(console, text)) as guard:
        if read_manifest(place) is not None or record.settings() != begun:
            raise GatescopeError(
                f"output={place}: another run has just written there; run the same command again"
            )
        record.sweep()
        yield guard


def total_rows(of_layers: Mapping[int, Mapping[str, int]]) -> dict[str, int]:
    """The rows of each table, of all layers whose tables are written."""
    total: Counter[str] = Counter()
    for n_rows in of_layers.values():
        total.update(n_rows)
    return dict(total)


def finish(
    place: Place,
    record: RunRecord,
    events: EventLog,
    guard: Callable[[], None],
    config: RunConfig,
    settings: dict[str, Any],
    facts: ModelFacts,
    tokenizer: Any,
    said: dict[str, Any],
) -> dict[str, Any]:
    """Write the card and, last of all, the manifest, which is given: the dataset is complete.

    `said` is what the run alone can say: `tables`, `scan` and, where there is one, `corpus`.
    """
    manifest = {
        "model": facts.to_json() | {"tokenizer_sha256": tokenizer_hash(tokenizer)},
        "config": to_dict(config),
        "settings": settings,
        **said,
        **provenance(),
    }
    conclude(place, record, events, guard, manifest)
    return manifest


def conclude(
    place: Place,
    record: RunRecord,
    events: EventLog,
    guard: Callable[[], None],
    manifest: dict[str, Any],
) -> None:
    """Write the card and, last of all, the manifest."""
    write_card(place, manifest)
    events.write("finished")
    events.flush()
    guard()
    record.finish(manifest)


def files_of(config: RunConfig) -> dict[str, str]:
    """Digests of the local files that the run reads, so that changed ones are not mixed in."""
    digests: dict[str, str] = {}
    scanned = config.scan.name != "none"
    if scanned and config.corpus.source == "local" and config.corpus.path is not None:
        path = Path(config.corpus.path).expanduser()
        if path.exists():
            digests["corpus.files"] = folder_digest(path)
    folder = Path(config.model.name).expanduser()
    if folder.is_dir():
        digests["model.files"] = folder_digest(folder, (".safetensors", ".json"))
    return digests


def refuse_differences(
    place: Place, there: dict[str, Any], here: dict[str, Any], what: str
) -> None:
    """Raise GatescopeError where `what` is there was made with other settings than these."""
    # What a setting resolves to is known only once the model is looked at.
    there = {key: value for key, value in there.items() if key in here or "resolved" not in key}
    found = differences(there, here)
    if found:
        raise GatescopeError(
            f"output={place}: {what} with other settings is there ({'; '.join(found)}); choose "
            "another output, or delete that folder to start anew"
        )
