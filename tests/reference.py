"""The definitions of a scan's results, in plain float64 loops: slow, and easy to read.

One position of one neuron at a time, with no batches, no padding and no merging. What the engine
gives is compared with this; nothing here comes from the engine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

SIGNS = (1, -1)
QUANTITIES = ("gate", "in", "act", "post")
CONTEXT = 10  # tokens before the peak that duplicates have in common, the peak's besides


@dataclass(frozen=True)
class Example:
    """One document: its tokens, and the activations of every neuron at each of them."""

    example_id: int
    token_ids: Sequence[int]
    gate: np.ndarray  # [pos, neuron]
    in_: np.ndarray  # [pos, neuron]


@dataclass(frozen=True)
class Entry:
    """One place of a list: an example, where it peaks, and what stands around the peak."""

    score: float
    example_id: int
    position: int
    window_start: int
    token_ids: list[int]
    gate: list[float]
    in_: list[float]
    context: tuple[int, ...] = field(repr=False)
    n_duplicates: int = 0


@dataclass
class Combination:
    """What is known of one neuron in one sign combination."""

    count: int
    sums: dict[str, float]
    lists: dict[str, list[Entry]]  # by ranking


@dataclass
class Neuron:
    """What is known of one neuron; `combos` by (gate sign, in sign)."""

    n_tokens: int
    n_zero: int
    combos: dict[tuple[int, int], Combination]


@dataclass(frozen=True)
class Definition:
    """The settings of a scan that its results depend on.

    `act` is the activation function; `random_score` gives the number that ranks a position of an
    example, from its example_id and position; `flipped` holds the neurons whose in is negated.
    """

    act: Callable[[float], float]
    rankings: Sequence[str]
    random_score: Callable[[int, int], float] = lambda example_id, position: math.nan
    k: int = 16
    spare: int = 16
    dedupe: bool = True
    skip_bos: bool = True
    before: int = 48
    after: int = 15
    flipped: Collection[int] = ()


def reference(examples: Sequence[Example], definition: Definition) -> list[Neuron]:
    """Every neuron's counts, sums and lists over the examples."""
    n_neurons = examples[0].gate.shape[1]
    return [_neuron(examples, neuron, definition) for neuron in range(n_neurons)]


def _neuron(examples: Sequence[Example], neuron: int, definition: Definition) -> Neuron:
    combos = {
        (gate_sign, in_sign): _combination(examples, neuron, gate_sign, in_sign, definition)
        for gate_sign in SIGNS
        for in_sign in SIGNS
    }
    n_tokens = n_zero = 0
    for example in examples:
        for position in _counted(example, definition):
            n_tokens += 1
            n_zero += example.gate[position, neuron] == 0 or example.in_[position, neuron] == 0
    return Neuron(n_tokens, int(n_zero), combos)


def _counted(example: Example, definition: Definition) -> range:
    return range(1 if definition.skip_bos else 0, len(example.token_ids))


def _quantities(
    example: Example, position: int, neuron: int, definition: Definition
) -> dict[str, float]:
    gate = float(example.gate[position, neuron])
    in_ = float(example.in_[position, neuron])
    if neuron in definition.flipped:
        in_ = -in_
    act = definition.act(gate)
    return {"gate": gate, "in": in_, "act": act, "post": act * in_}


def _combination(
    examples: Sequence[Example], neuron: int, gate_sign: int, in_sign: int, definition: Definition
) -> Combination:
    count = 0
    terms: dict[str, list[float]] = {quantity: [] for quantity in QUANTITIES}
    lists: dict[str, list[Entry]] = {ranking: [] for ranking in definition.rankings}
    for example in examples:
        peaks: dict[str, tuple[float, int]] = {}  # by ranking: score and position
        for position in _counted(example, definition):
            values = _quantities(example, position, neuron, definition)
            if not (values["gate"] * gate_sign > 0 and values["in"] * in_sign > 0):
                continue
            count += 1
            for quantity in QUANTITIES:
                terms[quantity].append(values[quantity])
            for ranking in definition.rankings:
                if ranking == "random":
                    score = definition.random_score(example.example_id, position)
                else:
                    score = abs(values[ranking])
                # Only what is strictly better replaces: the earliest position stays.
                if ranking not in peaks or score > peaks[ranking][0]:
                    peaks[ranking] = (score, position)
        for ranking, (score, position) in peaks.items():
            lists[ranking].append(_entry(example, neuron, score, position, definition))
    return Combination(
        count,
        {quantity: math.fsum(terms[quantity]) for quantity in QUANTITIES},
        {ranking: _best(entries, definition) for ranking, entries in lists.items()},
    )


def _entry(example: Example, neuron: int, score: float, peak: int, definition: Definition) -> Entry:
    start = max(0, peak - definition.before)
    stop = min(len(example.token_ids), peak + definition.after + 1)
    values = [_quantities(example, p, neuron, definition) for p in range(start, stop)]
    return Entry(
        score=score,
        example_id=example.example_id,
        position=peak,
        window_start=start,
        token_ids=list(example.token_ids[start:stop]),
        gate=[value["gate"] for value in values],
        in_=[value["in"] for value in values],
        context=tuple(example.token_ids[max(0, peak - CONTEXT) : peak + 1]),
    )


def _best(entries: list[Entry], definition: Definition) -> list[Entry]:
    ordered = sorted(entries, key=lambda entry: (-entry.score, entry.example_id))
    ordered = ordered[: definition.k + definition.spare]
    if not definition.dedupe:
        return ordered[: definition.k]
    kept: list[Entry] = []
    for entry in ordered:
        for place, better in enumerate(kept):
            if better.context == entry.context:
                kept[place] = replace(better, n_duplicates=better.n_duplicates + 1)
                break
        else:
            kept.append(entry)
    return kept[: definition.k]


def silu(x: float) -> float:
    return x / (1 + math.exp(-x))


def gelu_tanh(x: float) -> float:
    return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))


def relu(x: float) -> float:
    return max(x, 0.0)


ACTIVATIONS: dict[str, Callable[[float], float]] = {
    "silu": silu,
    "gelu_tanh": gelu_tanh,
    "relu": relu,
}


def random_examples(
    rng: np.random.Generator,
    *,
    n_examples: int,
    max_length: int,
    n_neurons: int,
    n_words: int = 3,
    on_grid: bool = True,
) -> list[Example]:
    """Examples of 1 to `max_length` tokens, with activations that float32 holds exactly.

    On the grid of quarters from -2 to 2 ties and zeros are common, and products of two values exact
    in float32; off it, they are normal numbers.
    """
    examples = []
    example_ids = rng.choice(2**32, n_examples, replace=False)
    for example_id in example_ids.tolist():
        length = int(rng.integers(1, max_length + 1))
        shape = (2, length, n_neurons)
        values = rng.integers(-8, 9, shape) / 4 if on_grid else rng.standard_normal(shape)
        gate, in_ = values.astype(np.float32)
        tokens = rng.integers(0, n_words, length).tolist()
        examples.append(Example(example_id, tokens, gate, in_))
    return examples


def padded(values: Sequence[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Arrays [pos, neuron] of several lengths as one [batch, pos, neuron], float32.

    What fills the end of the shorter ones must not matter: numbers, infinities and NaN.
    """
    longest = max(len(value) for value in values)
    shape = (len(values), longest, values[0].shape[1])
    batch = rng.choice([math.nan, math.inf, -math.inf, 3e38, -7.0, 0.0], shape).astype(np.float32)
    for row, value in zip(batch, values, strict=True):
        row[: len(value)] = value
    return batch
