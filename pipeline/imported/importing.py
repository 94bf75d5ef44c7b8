"""What GLUScope has measured becomes a dataset: source -> corpus -> tables -> card -> manifest.

Only what is published is taken over; the texts are joined where they are given, and positions,
windows and weights are filled in where the model is (filling.py). Memory holds a layer at a time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any, Final

from rich.console import Console

from pipeline.config import scan_settings
from pipeline.console import results, say, say_next
from pipeline.errors import GatescopeError, Interrupted
from pipeline.frame import conclude, files_of, refuse_differences, sole_writer, total_rows
from pipeline.hub.gluscope.schema import Layout
from pipeline.imported.manifest import import_manifest
from pipeline.imported.settings import import_config
from pipeline.imported.task import Import
from pipeline.query.source import dataset_url
from pipeline.stages import make_corpus, note, open_texts, told_to_leave
from pipeline.store import WORK, CorpusIndex, EventLog, Place, RunRecord, only_writer, read_manifest
from pipeline.store.published.layers import find_neurons
from pipeline.store.published.partial_tables import write_bare_weights, write_published_examples
from pipeline.store.published.rows import Published
from pipeline.store.published.source import open_published
from pipeline.view.progress import progress
from pipeline.view.summary import render_import

# Token ids are not checked where there is no model to say which there are.
_ANY_TOKEN: Final = 2**31 - 1


def import_dataset(
    source: str,
    output: str,
    *,
    corpus: str | None,
    model: str | None,
    overrides: Sequence[str],
    console: Console,
) -> None:
    """Make a dataset of a published one, and print what came of it.

    Raises GatescopeError for what the user can mend, Interrupted after a SIGTERM.
    """
    with console.status("Reading which neurons there are"):
        published = open_published(dataset_url(source))
    with closing(published):
        with console.status("Reading which neurons there are"):
            task = _prepared(source, published, output, corpus, model, overrides)
        _import(task, console)


def _import(task: Import, console: Console) -> None:
    """Make the dataset, unless it is there."""
    manifest = read_manifest(task.place)
    if manifest is not None:
        refuse_differences(task.place, manifest["settings"], task.settings, "a finished dataset")
        _clear(task, console)
    else:
        task.record.refuse_foreign()
        if task.layout.unknown or task.layout.odd:
            names = (*task.layout.unknown, *task.layout.odd)
            note(console, f"columns that say nothing here are left out: {', '.join(names)}")
        with told_to_leave() as leave:
            made = _make(task, leave, console)
        _clear(task, console)
    _tell(task, manifest or made, manifest is not None)


def _prepared(
    source: str,
    published: Published,
    output: str,
    corpus: str | None,
    model: str | None,
    overrides: Sequence[str],
) -> Import:
    """All that can be refused before anything is written."""
    layout = Layout.of(published.columns)
    layout.refuse_others(source, published.columns)
    config = import_config(output, corpus, model, overrides, layout)
    neurons = find_neurons(published)
    if model is None:
        neurons.refuse_uneven(source)
    neurons = neurons.of_layers(config.model.layers, source)
    assert config.output is not None
    place = Place(config.output)
    settings = scan_settings(config) | files_of(config)
    settings |= {f"import.{name}": digest for name, digest in published.digests.items()}
    return Import(
        source,
        published,
        layout,
        neurons,
        config,
        place,
        RunRecord(place),
        settings,
        corpus is not None,
        model is not None,
    )


def _make(task: Import, leave: threading.Event, console: Console) -> dict[str, Any]:
    """Write the dataset, or go on with it after the layers that are whole; gives the manifest."""
    started = time.monotonic()
    begun = task.record.settings()
    if begun is not None and not any(key.startswith("import.") for key in begun):
        refuse_differences(task.place, begun, task.settings, "an unfinished run")
    with ExitStack() as stack:
        filler = None
        if task.has_model:
            # Here and not above: it loads what only a model needs.
            from pipeline.imported.filling import open_filler

            filler = open_filler(task.config, task.neurons.sizes, console)
        guard = stack.enter_context(sole_writer(task.place, task.record, begun, console))
        # One that was told otherwise has nothing to go on with.
        resumed = begun == task.settings
        if not resumed:
            task.record.begin(task.settings)
        events = EventLog(task.place)
        events.write("resumed" if resumed else "started")
        texts = None
        if task.has_corpus:
            d_vocab = _ANY_TOKEN if filler is None else filler.facts.d_vocab
            tokenizer = None if filler is None else filler.tokenizer
            texts = _texts(task, resumed, tokenizer, d_vocab, leave, console)
        n_filled = None
        try:
            if filler is None:
                n_rows = _write_layers(task, texts, events, leave, console)
            else:
                assert texts is not None
                n_rows, n_filled = filler.write(task, texts, events, leave, console)
        finally:
            events.flush()
        if texts is not None:
            n_rows = {"corpus": texts.n_examples, **n_rows}
        model = None if filler is None else filler.described()
        wall_s = time.monotonic() - started
        manifest = import_manifest(task, texts, model, n_rows, n_filled, wall_s)
        conclude(task.place, task.record, events, guard, manifest)
    return manifest


def _texts(
    task: Import,
    resumed: bool,
    tokenizer: Any,
    d_vocab: int,
    leave: threading.Event,
    console: Console,
) -> CorpusIndex:
    """The corpus table, written or found; the examples are numbered as the source numbers them."""
    config = task.config
    if resumed:
        say(console, f"Resuming {task.place}: the corpus is written")
        index = task.record.corpus()
    else:
        if tokenizer is None and not config.corpus.tokenized:
            raise GatescopeError(
                f"import: corpus {config.corpus.path or config.corpus.name} has no column "
                "input_ids; give --model, whose tokenizer makes them"
            )
        opened = open_texts(config, tokenizer, d_vocab)
        index = make_corpus(task.place, task.record, config, opened, leave, console)
    skipped = sum(index.facts["skipped"].values())
    if skipped:
        raise GatescopeError(
            f"import: {skipped} texts of corpus {config.corpus.path or config.corpus.name} give no "
            "tokens, so that the examples after them would have other numbers than those that "
            "were measured; give --corpus the texts as they were measured"
        )
    return index


def _write_layers(
    task: Import,
    texts: CorpusIndex | None,
    events: EventLog,
    leave: threading.Event,
    console: Console,
) -> dict[str, int]:
    """Write the tables of every layer that is not there yet; rows a table, of all layers."""
    tables = ["neurons", "sign_stats", "layers"] + (["examples"] if task.lists else [])
    written = {
        layer: n_rows
        for layer, n_rows in task.record.layers(tables).items()
        if layer in task.neurons.sizes
    }
    sizes = task.neurons.sizes
    done = sum(sizes[layer] for layer in written)
    with (
        task.place.scratch() as scratch,
        progress(console, "Importing", "neurons", sum(sizes.values()), done) as advance,
    ):
        for published in task.layers(texts, frozenset(written), scratch):
            if leave.is_set():
                raise Interrupted
            layer = published.layer
            n_rows = write_bare_weights(task.place, layer, sizes[layer])
            n_rows["sign_stats"] = task.write_stats(published, texts)
            if task.lists:
                n_rows["examples"] = write_published_examples(
                    task.place, layer, published.values, published.indices, task.lists
                )
            written[layer] = n_rows
            task.record.keep_layer(layer, n_rows)
            events.write("layer_written", layer=layer)
            advance(sizes[layer])
    return total_rows(written)


def _clear(task: Import, console: Console) -> None:
    """Remove the work folder of a dataset that is complete whatever comes of this."""
    if task.place.exists(WORK):
        try:
            with only_writer(task.place):
                task.record.clear()
        except GatescopeError as error:
            note(console, str(error))


def _tell(task: Import, manifest: dict[str, Any], already: bool) -> None:
    out, place = results(), str(task.config.output)
    out.print(render_import(manifest))
    if already:
        say(out, f"{place} is already complete: nothing was done.")
    layer = manifest["model"]["layers"][0]
    rerun = ["--rerun", "100"] if manifest["imported"]["n_filled"] else []
    commands = [["query", place], ["serve", place], ["show", place, f"{layer}.0"]]
    say_next(out, [*commands, ["verify", place, *rerun]])
