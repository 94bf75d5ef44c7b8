"""The stages of a run: the corpus table, the scan, the tables; each says what it does."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from pipeline.config import RunConfig
from pipeline.console import say
from pipeline.corpus import Corpus, Fingerprint, open_corpus, split_units
from pipeline.errors import GatescopeError, Interrupted
from pipeline.model import ModelFacts, ModelInfo, vocabulary
from pipeline.scan import (
    UNIT_TOKENS,
    Driver,
    Member,
    OwnProcess,
    Reporter,
    ScanPlan,
    Team,
)
from pipeline.store import (
    MAX_EXAMPLES,
    CorpusIndex,
    EventLog,
    Place,
    RunRecord,
    write_corpus,
    write_vocab,
)
from pipeline.view.progress import progress
from pipeline.view.run_status import run_display

# Seconds after which a person is told what is waited for.
_LONG_S: Final = 20.0


@dataclass(frozen=True)
class Texts:
    """An opened corpus whose first unit is read, so that what is wrong with it has been said."""

    corpus: Corpus
    units: Iterator[list[Any]]


def open_texts(config: RunConfig, tokenizer: Any, d_vocab: int, device: str = "cpu") -> Texts:
    """Open the corpus of a model with these token ids, on such a device; reads its first unit."""
    corpus = open_corpus(config.corpus, tokenizer, d_vocab)
    by_device = UNIT_TOKENS.get(device, UNIT_TOKENS["cpu"])
    units = split_units(corpus, config.scan.unit_tokens or by_device)
    return Texts(corpus, chain([next(units)], units))


def make_corpus(
    place: Place,
    record: RunRecord,
    config: RunConfig,
    texts: Texts,
    leave: threading.Event,
    console: Console,
) -> CorpusIndex:
    """Tokenise the corpus into its table, unit by unit; from then on the run can be resumed.

    Raises Interrupted where `leave` is set before, and what was written is done again.
    """
    corpus = texts.corpus
    fingerprint = Fingerprint()
    longest = 0
    with progress(console, "Tokenising", "tokens", config.corpus.max_tokens) as advance:

        def counted() -> Iterator[list[Any]]:
            nonlocal longest
            for unit in texts.units:
                if leave.is_set():
                    raise Interrupted
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
    say(
        console,
        f"Corpus {config.corpus.name}: {index.n_examples:,} examples, {index.n_tokens:,} tokens"
        f"{skipped}",
    )
    return index


def warn_of_context(corpus: CorpusIndex, info: ModelInfo, console: Console) -> None:
    """Say where examples are longer than the model was made for."""
    longest = corpus.facts["longest"]
    if info.max_positions is not None and longest > info.max_positions:
        note(
            console,
            f"the longest example has {longest} tokens and {info.name} was made for "
            f"{info.max_positions}; later positions are out of its training. "
            f"corpus.max_length={info.max_positions} leaves them out.",
        )


def note(console: Console, text: str) -> None:
    """Tell a person something that they may want to know."""
    say(console, f"Note: {text}", "yellow")


def workers_config(config: RunConfig, info: ModelInfo, place: Place) -> RunConfig:
    """The configuration as workers take it: with no path that depends on the working folder."""
    folder = Path(config.model.name).expanduser()
    # Not that of the built-in model, which lies elsewhere on each machine.
    is_folder = config.model.name != "demo" and folder.is_dir()
    name = str(folder.absolute()) if is_folder else config.model.name
    return replace(
        config,
        model=replace(config.model, name=name, revision=info.revision),
        output=place.address,
    )


def hire(config: RunConfig, console: Console) -> Team:
    """The workers that `cluster` asks for; they begin to load the model when the team is polled."""
    assert config.output is not None
    cluster = config.cluster

    def tell(text: str) -> None:
        note(console, text)

    if cluster.name == "inprocess":
        # Who hangs is this very process: nobody is left to replace it.
        return Team(OwnProcess(config.output, config), math.inf, tell)
    # Here and not above: the scan of one process runs where Ray is not installed.
    from pipeline.scan.ray_crew import RayCrew

    return Team(RayCrew(config.output, config), cluster.hang_after_s, tell)


def plan_scan(
    team: Team,
    info: ModelInfo,
    tokens_per_batch: int | None,
    leave: threading.Event,
    console: Console,
) -> tuple[ModelFacts, ScanPlan]:
    """What the first worker says of the model and of the states of its scan.

    `tokens_per_batch` is what an unfinished run began with. Raises GatescopeError where the model
    cannot be loaded or the states cannot fit.
    """
    with console.status("Loading the model"):
        plan, member = _first_plan(team, tokens_per_batch, leave, console)
    assert member.loaded is not None
    facts = replace(member.loaded.facts, name=info.name)
    say(
        console,
        f"Model {facts.name}: {facts.architecture}, {len(facts.layers)} layers x "
        f"{facts.n_neurons[0]:,} neurons, {facts.act_fn}, {facts.dtype} on {member.loaded.device}, "
        f"{facts.attention} attention",
    )
    said = ", ".join(f"{n / 2**30:.2f} GiB on {device}" for device, n in plan.state_bytes.items())
    each = " for each worker" if team.n_wanted > 1 else ""
    say(console, f"State of the scan: {said}{each}")
    return facts, plan


def _first_plan(
    team: Team, tokens_per_batch: int | None, leave: threading.Event, console: Console
) -> tuple[ScanPlan, Member]:
    """The plan of the first worker that makes one, whoever is lost before."""
    said_at = time.monotonic() + _LONG_S
    while True:
        loaded = [m for m in team.members.values() if m.loaded is not None and m.job is None]
        if loaded and not team.at_work("plan"):
            team.ask(loaded[0], "plan", None, tokens_per_batch)
        if leave.is_set():
            raise Interrupted
        outcomes = team.poll()
        for outcome in outcomes:
            if outcome.lost:
                note(console, f"a worker was lost at {outcome.method} ({outcome.error})")
            elif isinstance(outcome.error, GatescopeError):
                raise outcome.error
            elif outcome.error is not None:
                raise GatescopeError(
                    f"a worker failed at {outcome.method}: {outcome.error}"
                ) from outcome.error
        planned = [outcome for outcome in outcomes if outcome.method == "plan" and not outcome.lost]
        if planned:
            return planned[0].answer, planned[0].member
        team.check()
        if time.monotonic() > said_at and not any(m.pulse for m in team.members.values()):
            said_at = math.inf
            note(
                console,
                f"none of the {len(team.members)} workers has a place on the cluster yet; waiting "
                "(`ray status` there tells what it has and what was asked for)",
            )


def scan_and_merge(
    place: Place,
    corpus: CorpusIndex,
    facts: ModelFacts,
    config: RunConfig,
    plan: ScanPlan,
    team: Team,
    events: EventLog,
    guard: Callable[[], None],
    leave: threading.Event,
    console: Console,
) -> Driver:
    """Scan what no snapshot covers and write the tables of all layers; gives what was done.

    Raises Interrupted after a SIGTERM, once what was counted is kept.
    """
    with run_display(console) as show, Reporter(place, corpus, team, show) as reporter:
        driver = Driver(
            place,
            corpus,
            facts,
            plan.settings,
            team,
            events,
            snapshot_every_s=config.cluster.snapshot_every_s,
            leave=leave,
            guard=guard,
            note=lambda text: note(console, text),
            tick=reporter.tick,
        )
        driver.run()
        reporter.show(driver)
    return driver


@contextmanager
def told_to_leave() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, as machines that are taken away send it some time before."""
    leave = threading.Event()
    # Only the main thread may ask for signals; elsewhere someone else decides what they do.
    if threading.current_thread() is not threading.main_thread():
        yield leave
        return
    before = signal.signal(signal.SIGTERM, lambda *_: leave.set())
    try:
        yield leave
    finally:
        signal.signal(signal.SIGTERM, before)


def make_vocab(place: Place, tokenizer: Any, info: ModelInfo) -> int:
    """Write the `vocab` table; gives its rows."""
    words = vocabulary(tokenizer, info.d_vocab)
    return write_vocab(place, words.tokens, words.bytes_)
