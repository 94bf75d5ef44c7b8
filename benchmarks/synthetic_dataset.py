"""A dataset of random activations, of any size, written by the package's own writers.

    python benchmarks/synthetic_dataset.py /tmp/olmo7b
    python benchmarks/synthetic_dataset.py /tmp/small --layers 2 --neurons 64 --examples 400

The defaults are OLMo-7B's: 32 layers of 11,008 neurons, the lists of four layers. Every layer goes
through a snapshot and the merge of a real run, so files, row groups and encodings are the true
ones. Values are bfloat16, as a model's in bfloat16, windows are drawn each for itself and tokens
after Zipf's law: real texts repeat more and compress better.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.naming import COMBOS, MATRICES, QUANTITIES, RANKINGS, SIDES, WEIGHTS
from pipeline.provenance import provenance
from pipeline.reduce import LayerState, StateSettings
from pipeline.reduce.keys import EMPTY, pack
from pipeline.schema import COSINES, TABLES
from pipeline.store import (
    CorpusIndex,
    MergeSettings,
    Place,
    RunRecord,
    TokenIndex,
    merge_layer,
    write_corpus,
    write_layer_summary,
    write_neurons,
    write_snapshot,
    write_vocab,
    write_weight_tokens,
)
from pipeline.store.place import WORK
from pipeline.weights import io_classes, random_cosine_interval

_SHORTEST = 16
_EXAMPLES_OF_A_UNIT = 128
_D_MODEL = 4096
_THRESHOLD, _TOKEN_K = 0.5, 10
# Of the neurons of a layer, those that never have their gate and in negative together.
_DEAD_SHARE = 0.01
_ACT_FN = torch.nn.functional.silu


@dataclass(frozen=True)
class Size:
    """How large a dataset is; `example_layers` of the layers have lists of examples."""

    layers: int = 32
    neurons: int = 11_008
    example_layers: int = 4
    examples: int = 20_000
    max_length: int = 1024
    vocabulary: int = 50_304
    k: int = 16
    spare: int = 2
    before: int = 48
    after: int = 15
    seed: int = 0

    def state(self, *, with_lists: bool = True) -> StateSettings:
        """The settings of a layer's state."""
        return StateSettings(
            n_neurons=self.neurons,
            rankings=RANKINGS,
            size=self.k + self.spare if with_lists else 1,
            before=self.before if with_lists else 0,
            after=self.after if with_lists else 0,
            dtype=torch.bfloat16,
        )

    def merge(self) -> MergeSettings:
        """How its layers are written."""
        return MergeSettings(self.k, dedupe=True, act_fn=_ACT_FN)


@dataclass(frozen=True)
class _Example:
    input_ids: np.ndarray
    text: str
    source: Mapping[str, object]


def word(token_id: int) -> str:
    """A token as the vocabulary of a synthetic dataset has it: ` ba`, ` be`, ..."""
    if token_id == 0:
        return "<s>"
    letters, n = "", token_id
    while n:
        n, syllable = divmod(n, 70)
        letters = "bdfgklmnprstvz"[syllable // 5] + "aeiou"[syllable % 5] + letters
    return f" {letters}"


def make_corpus(place: Place, size: Size) -> CorpusIndex:
    """Write the corpus: texts of random length, their tokens after Zipf's law."""
    rng = np.random.default_rng(size.seed)
    words = np.array([word(i) for i in range(size.vocabulary)], dtype=object)
    likely = np.cumsum(1 / np.arange(2, size.vocabulary + 1))

    def units() -> Iterator[list[_Example]]:
        for first in range(0, size.examples, _EXAMPLES_OF_A_UNIT):
            examples = []
            for i in range(first, min(first + _EXAMPLES_OF_A_UNIT, size.examples)):
                length = rng.integers(_SHORTEST, size.max_length, endpoint=True)
                ids = 1 + np.searchsorted(likely, rng.random(length) * likely[-1])
                ids[0] = 0
                text = "".join(words[ids[1:]])
                examples.append(_Example(ids, text, {"url": f"https://example.org/{i}"}))
            yield examples

    written = write_corpus(place, units(), {"url": "string"})
    return CorpusIndex(written, fingerprint="synthetic", facts={})


def make_state(
    settings: StateSettings,
    lengths: np.ndarray,
    seed: tuple[int, ...],
    *,
    first_example: int = 0,
) -> LayerState:
    """A state as a scan of examples of these lengths could have left it, but for the values.

    The examples have the ids from `first_example` on. With windows of one position there are no
    entries in the lists. Raises ValueError where there are fewer examples than entries in a list.
    """
    rng = np.random.default_rng(seed)
    torch_rng = torch.Generator().manual_seed(int(rng.integers(2**63)))
    n = settings.n_neurons
    dead = rng.random(n) < _DEAD_SHARE
    state = LayerState.empty(settings, torch.device("cpu"))
    _draw_totals(state, int((lengths - 1).sum()), dead, rng)
    if settings.window == 1:
        return state
    if len(lengths) < settings.size:
        raise ValueError(f"{len(lengths)} examples are too few for lists of {settings.size}")
    shape = (n, settings.size)
    stride = len(lengths) // settings.size
    for list_ in range(settings.n_lists):
        combo, ranking = divmod(list_, len(settings.rankings))
        # Each entry of a list in a stretch of the corpus of its own: no example comes twice.
        within = rng.integers(0, stride, shape) + stride * np.arange(settings.size)
        example = (within + rng.integers(0, len(lengths), (n, 1))) % len(lengths)
        position = 1 + (rng.random(shape) * (lengths[example] - 1)).astype(np.int64)
        peaks = []
        for windows, sign in zip((state.gate, state.in_), COMBOS[combo], strict=True):
            values = torch.randn((*shape, settings.window), generator=torch_rng)
            values[..., settings.before] = sign * (3 + values[..., settings.before].abs() * 2)
            windows[list_] = values.to(settings.dtype)
            peaks.append(windows[list_, :, :, settings.before].float())
        gate, in_ = peaks
        scores = {
            "post": (_ACT_FN(gate) * in_).abs(),
            "in": in_.abs(),
            "gate": gate.abs(),
            "random": torch.rand(shape, generator=torch_rng),
        }
        ids = torch.from_numpy(example + first_example)
        state.keys[list_] = pack(scores[settings.rankings[ranking]], ids)
        state.positions[list_] = torch.from_numpy(position).to(torch.int32)
        if combo == len(COMBOS) - 1:
            state.keys[list_, dead] = EMPTY
    state.worst.copy_(state.keys.amin(-1))
    return state


def _draw_totals(
    state: LayerState, n_tokens: int, dead: np.ndarray, rng: np.random.Generator
) -> None:
    shares = rng.gamma(1.0, size=(len(COMBOS), len(dead)))
    shares[-1, dead] = 0
    counts = np.floor(shares / shares.sum(0) * (n_tokens - 8)).astype(np.int64)
    counts[:, ~dead] += 1
    counts[:-1, dead] += 1
    state.n_tokens.fill_(n_tokens)
    state.counts.copy_(torch.from_numpy(counts))
    state.n_zero.copy_(torch.from_numpy(n_tokens - counts.sum(0)))
    for c, combo in enumerate(COMBOS):
        for q, quantity in enumerate(QUANTITIES):
            sign = {"in": combo.in_sign, "post": combo.gate_sign * combo.in_sign}
            magnitude = rng.gamma(2.0, 0.3, len(dead)) + 1e-3
            sums = counts[c] * magnitude * sign.get(quantity, combo.gate_sign)
            state.sums[q, c] = torch.from_numpy(sums)


def make_weights(place: Place, layer: int, size: Size) -> tuple[dict[str, int], np.ndarray]:
    """Write a layer's tables of weights, like a trained model's. Rows, and who is flipped."""
    rng = np.random.default_rng((size.seed, layer, 1))
    cosines = np.tanh(rng.normal(0, [[0.3], [0.25], [0.4]], (3, size.neurons)))
    flipped = cosines[0] < 0
    cosines[:2, flipped] *= -1
    gate_in, gate_out, in_out = cosines
    columns = {
        "flipped": flipped,
        "cos_gate_in": gate_in,
        "cos_gate_out": gate_out,
        "cos_in_out": in_out,
        **{f"norm_{w}": rng.gamma(20, 0.05, size.neurons) for w in ("gate", "in", "out")},
        "io_class": io_classes(*map(torch.from_numpy, cosines), _THRESHOLD),
    }
    low, high = random_cosine_interval(_D_MODEL)
    random = {"randomness_low": low, "randomness_high": high}
    for cosine in COSINES:
        random |= {f"mismatched_low_{cosine}": 1.1 * low, f"mismatched_high_{cosine}": 1.1 * high}
    random |= {"mismatched_n_pairs": size.neurons * (size.neurons - 1), "mismatched_error": 0.0}
    lists = {}
    for weight, matrix, side in product(WEIGHTS, MATRICES, SIDES):
        if (weight, matrix) != ("out", "embedding"):
            scores = np.sort(rng.gamma(9, 0.1, (size.neurons, _TOKEN_K)))[:, ::-1]
            ids = rng.integers(0, size.vocabulary, scores.shape)
            lists[weight, matrix, side] = (ids, scores if side == "highest" else -scores)
    n_rows = {
        "neurons": write_neurons(place, layer, columns),
        "layers": write_layer_summary(place, layer, columns, random),
        "weight_tokens": write_weight_tokens(place, layer, size.neurons, lists),
    }
    return n_rows, flipped


def write_dataset(path: Path, size: Size) -> dict[str, Any]:
    """Write a complete dataset into an empty or missing folder; gives its manifest."""
    started = time.monotonic()
    place = Place(path)
    corpus = make_corpus(place, size)
    n_rows = dict.fromkeys(TABLES, 0) | {"corpus": corpus.n_examples}
    words = [word(i) for i in range(size.vocabulary)]
    n_rows["vocab"] = write_vocab(place, words, [w.encode() for w in words])
    unit_ids = tuple(unit.unit_id for unit in corpus.units)
    with TokenIndex(place, corpus) as tokens:
        for layer in range(size.layers):
            with_lists = layer < size.example_layers
            settings = size.state(with_lists=with_lists)
            state = make_state(settings, tokens.lengths, (size.seed, layer))
            snapshot = write_snapshot(place, "worker-0", 1, unit_ids, {layer: state})
            del state
            written, flipped = make_weights(place, layer, size)
            written |= merge_layer(
                place, [snapshot], layer, settings, size.merge(), flipped, tokens
            )
            for table, n in written.items():
                n_rows[table] += n
            if not with_lists:
                place.remove(f"examples/layer={layer}")
    place.remove(f"{WORK}/snapshots")
    manifest = {
        "model": {
            "name": "synthetic",
            "revision": "0",
            "act_fn": "silu",
            "gated": True,
            "dtype": "bfloat16",
            "n_layers": size.layers,
            "layers": list(range(size.layers)),
            "n_neurons": [size.neurons] * size.layers,
            "d_model": _D_MODEL,
            "d_vocab": size.vocabulary,
        },
        "corpus": {
            "name": "synthetic",
            "n_examples": corpus.n_examples,
            "n_tokens": corpus.n_tokens,
        },
        "config": {
            "weights": {"threshold": _THRESHOLD, "k": _TOKEN_K},
            "scan": {
                "name": "default",
                "k": size.k,
                "spare": size.spare,
                "rankings": list(RANKINGS),
                "window": {"before": size.before, "after": size.after},
                "skip_bos": True,
                "canonical_signs": True,
                "dedupe": True,
            },
            "corpus": {"max_length": size.max_length},
            "seed": size.seed,
        },
        "tables": n_rows,
        "wall_s": time.monotonic() - started,
        **provenance(),
    }
    record = RunRecord(place)
    record.keep_corpus(corpus)
    record.finish(manifest)
    record.clear()
    return manifest


def add_size_options(parser: argparse.ArgumentParser) -> None:
    """An option for every field of Size."""
    for field in fields(Size):
        name = f"--{field.name.replace('_', '-')}"
        parser.add_argument(name, type=int, default=field.default, metavar="N")


def chosen_size(options: argparse.Namespace) -> Size:
    """The size that the options of `add_size_options` say."""
    return Size(**{field.name: getattr(options, field.name) for field in fields(Size)})


def main(arguments: list[str] | None = None) -> None:
    """Write one and say how long it took."""
    parser = argparse.ArgumentParser(
        description="Write a synthetic dataset.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("path", type=Path, help="an empty or missing folder")
    add_size_options(parser)
    options = parser.parse_args(arguments)
    manifest = write_dataset(options.path, chosen_size(options))
    print(f"{options.path}: {manifest['tables']} in {manifest['wall_s']:.0f} s")


if __name__ == "__main__":
    main()
