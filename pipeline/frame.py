"""The frame of a run, with a scan or without: one writer first, the manifest last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console

from pipeline.config import RunConfig, to_dict
from pipeline.console import say
from pipeline.errors import GatescopeError
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
    write_card(place, manifest)
    events.write("finished")
    events.flush()
    guard()
    record.finish(manifest)
    return manifest
