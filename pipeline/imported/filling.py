"""What a model adds to published lists: its weights, and where each entry has its peak.

The model reads each example that a list names once, and no other. What is found for a layer waits
in files until all examples were read; an entry is filled in where the model gives its score.
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Int64
from rich.console import Console
from torch import Tensor

from pipeline.config import RunConfig
from pipeline.console import say
from pipeline.errors import GatescopeError, Interrupted
from pipeline.imported.fitting import Fit
from pipeline.imported.task import Import
from pipeline.layer import table_settings, token_matrices, write_weights
from pipeline.model import (
    GatedModel,
    ModelFacts,
    ModelInfo,
    inspect_model,
    load_model,
    load_tokenizer,
    model_facts,
    tokenizer_hash,
)
from pipeline.naming import COMBO_NAMES, COMBOS, QUANTITIES
from pipeline.query.rules.rule import TOLERANCE
from pipeline.reduce.peaks import Wanted, find_peaks
from pipeline.scan.batches import MOST_TOKENS, length_sorted_batches
from pipeline.stages import make_vocab
from pipeline.store import CorpusIndex, EventLog, TokenIndex
from pipeline.store.published.partial_tables import write_published_examples
from pipeline.store.published.waiting import WaitingLayer, waiting_bytes
from pipeline.view.progress import progress

# Values (entry, pos) that are looked at together.
_AT_ONCE: Final = 1 << 22
# Entries after which it is asked whether the model fits, so that a mistake does not cost a whole
# pass.
_LOOKED_AT: Final = 20_000


class Filler:
    """A loaded model, for one import."""

    def __init__(
        self, config: RunConfig, info: ModelInfo, model: GatedModel, tokenizer: Any
    ) -> None:
        self._config, self._info, self._model = config, info, model
        self.tokenizer = tokenizer
        self.facts: ModelFacts = replace(model_facts(model), name=info.name)
        scan = config.scan
        self._width = scan.window.before + scan.window.after + 1
        self._tolerance = TOLERANCE[self.facts.dtype]
        self._fit = Fit(np.zeros(2, np.int64), np.zeros(2, np.int64))

    def described(self) -> dict[str, Any]:
        """The model as the manifest holds it."""
        return self.facts.to_json() | {"tokenizer_sha256": tokenizer_hash(self.tokenizer)}

    def write(
        self,
        task: Import,
        texts: CorpusIndex,
        events: EventLog,
        leave: threading.Event,
        console: Console,
    ) -> tuple[dict[str, int], int]:
        """Write the tables of all layers; rows a table, and the entries that were filled in."""
        n_rows: Counter[str] = Counter(vocab=make_vocab(task.place, self.tokenizer, self._info))
        with task.place.scratch() as folder, TokenIndex(task.place, texts) as tokens:
            waiting = self._read(task, texts, folder, n_rows, leave, console)
            n_filled = 0
            if task.lists:
                self._find(task, waiting, tokens, folder, leave, console)
                with progress(console, "Writing", "layers", len(waiting)) as advance:
                    for layer in waiting:
                        found = layer.found(self._config.scan.window.before)
                        n_rows["examples"] += write_published_examples(
                            task.place, layer.layer, *layer.published(), task.lists, found, tokens
                        )
                        n_filled += int((found.position >= 0).sum())
                        events.write("layer_written", layer=layer.layer)
                        advance(1)
        return dict(n_rows), n_filled

    def _read(
        self,
        task: Import,
        texts: CorpusIndex,
        folder: Path,
        n_rows: Counter[str],
        leave: threading.Event,
        console: Console,
    ) -> list[WaitingLayer]:
        """Write what needs no forward, layer by layer; the lists wait in `folder`."""
        sizes = task.neurons.sizes
        tables = table_settings(self._config)
        matrices = token_matrices(self._model.weights, tables)
        waiting = []
        with progress(console, "Importing", "neurons", sum(sizes.values())) as advance:
            for published in task.layers(texts, frozenset(), folder):
                if leave.is_set():
                    raise Interrupted
                layer = published.layer
                written, flipped = write_weights(
                    task.place, self._model.weights, layer, tables, matrices, lambda: None
                )
                n_rows.update(written)
                n_rows["sign_stats"] += task.write_stats(published, texts)
                waiting.append(WaitingLayer(folder, published, flipped))
                advance(sizes[layer])
        return sorted(waiting, key=lambda layer: layer.layer)

    def _find(
        self,
        task: Import,
        waiting: Sequence[WaitingLayer],
        tokens: TokenIndex,
        folder: Path,
        leave: threading.Event,
        console: Console,
    ) -> None:
        """Run the model on every example that is named, and find the entries' peaks."""
        needed = waiting_bytes(sum(layer.n_entries for layer in waiting), self._width)
        free = shutil.disk_usage(folder).free
        if needed > free:
            raise GatescopeError(
                f"import: what is found takes {needed / 2**30:.1f} GiB of files in {folder} until "
                f"it is written, and {free / 2**30:.1f} GiB are free; give it room"
            )
        named = np.unique(np.concatenate([layer.examples() for layer in waiting]))
        at_once = self._config.scan.tokens_per_batch or MOST_TOKENS.get(
            self.facts.device, MOST_TOKENS["cpu"]
        )
        batches = length_sorted_batches(tokens.lengths[named], at_once)
        order = np.concatenate(batches)
        turns = np.full(len(tokens.lengths), -1)
        turns[named[order]] = np.arange(len(named))
        starts = np.cumsum([0, *map(len, batches)])
        for layer in waiting:
            layer.arrange(turns, starts, self._width)
        by_layer = {layer.layer: layer for layer in waiting}
        with progress(console, "Finding peaks", "examples", len(named)) as advance:
            for number, batch in enumerate(batches):
                if leave.is_set():
                    raise Interrupted
                self._run(task, by_layer, number, int(starts[number]), named[batch], tokens)
                if self._fit.looked_at.sum() >= _LOOKED_AT:
                    self._fit.refuse_others(self._config)
                advance(len(batch))
        self._fit.refuse_others(self._config)

    def _run(
        self,
        task: Import,
        by_layer: dict[int, WaitingLayer],
        number: int,
        start: int,
        examples: Int64[np.ndarray, " example"],
        tokens: TokenIndex,
    ) -> None:
        lengths = tokens.lengths[examples]
        ids = tokens.at(examples[:, None], np.arange(lengths.max())[None, :])
        lists = _Lists(task.lists)

        def consume(layer: int, gate: Tensor, in_: Tensor) -> None:
            waiting = by_layer[layer]
            first, last = waiting.offsets[number : number + 2].tolist()
            step = max(1, _AT_ONCE // gate.shape[1])
            for begin in range(first, last, step):
                part = slice(begin, min(begin + step, last))
                self._take(waiting, part, start, gate, in_, torch.from_numpy(lengths), lists)

        # Any id does where there is no token.
        self._model.run(torch.from_numpy(np.maximum(ids, 0)).long(), consume)

    def _take(
        self,
        waiting: WaitingLayer,
        part: slice,
        start: int,
        gate: Tensor,
        in_: Tensor,
        lengths: Tensor,
        lists: _Lists,
    ) -> None:
        """Find some entries of a layer, and keep those that have the published score."""
        neuron, of_list = (np.array(a[part], np.int64) for a in (waiting.neuron, waiting.list))
        flipped = waiting.flipped[neuron]

        def on_device(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values.astype(np.int64)).to(gate.device)

        scan = self._config.scan
        peaks = find_peaks(
            gate,
            in_,
            self._model.act_fns[waiting.layer],
            lengths.to(gate.device),
            Wanted(
                row=on_device(waiting.turn[part] - start),
                neuron=on_device(neuron),
                flip=on_device(np.where(flipped, -1, 1)),
                gate_sign=on_device(lists.gate_sign[of_list]),
                in_sign=on_device(lists.in_sign[of_list]),
                quantity=on_device(lists.quantity[of_list]),
            ),
            int(scan.skip_bos),
            scan.window.before,
            scan.window.after,
        )
        position, score, largest = (
            values.cpu().numpy() for values in (peaks.position, peaks.score, peaks.largest)
        )
        error = np.abs(score - np.abs(waiting.value[part]))
        fits = (position >= 0) & (error <= self._tolerance * np.maximum(largest, 1e-6))
        self._fit.add(flipped, fits)
        waiting.position[part] = np.where(fits, position, -1)
        waiting.gate[part] = peaks.gate.cpu().numpy()
        waiting.in_[part] = peaks.in_.cpu().numpy()
        waiting.post[part] = peaks.post.cpu().numpy()


class _Lists:
    """Signs and quantity of each list, to be looked up by its number."""

    def __init__(self, lists: Sequence[tuple[str, str]]) -> None:
        combos = [COMBOS[COMBO_NAMES.index(combo)] for combo, _ in lists]
        self.gate_sign = np.array([combo.gate_sign for combo in combos])
        self.in_sign = np.array([combo.in_sign for combo in combos])
        self.quantity = np.array([QUANTITIES.index(ranking) for _, ranking in lists])


def open_filler(config: RunConfig, sizes: Mapping[int, int], console: Console) -> Filler:
    """Load the model that was measured; `sizes` are the neurons of each layer of the source.

    Raises GatescopeError as `load_model` does, and for a model of other layers.
    """
    with console.status("Loading the model"):
        info = inspect_model(config.model)
        odd = [layer for layer in sizes if layer >= info.n_layers]
        if odd:
            raise GatescopeError(
                f"import: the source has layer {odd[0]}, and --model {info.name} has layers 0 to "
                f"{info.n_layers - 1}; give the model that was measured"
            )
        tokenizer = load_tokenizer(config.model, info)
        model = load_model(replace(config.model, layers=tuple(sizes)), info)
    for layer, size in sizes.items():
        if model.n_neurons(layer) != size:
            raise GatescopeError(
                f"import: layer {layer} has {size:,} neurons in the source, and "
                f"{model.n_neurons(layer):,} in --model {info.name}; give the model that was "
                "measured, and all files of the source"
            )
    filler = Filler(config, info, model, tokenizer)
    facts = filler.facts
    say(
        console,
        f"Model {facts.name}: {facts.architecture}, {facts.act_fn}, {facts.dtype} on "
        f"{facts.device}, {facts.attention} attention",
    )
    return filler
