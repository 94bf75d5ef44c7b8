"""What an export for Neuronpedia reads of a dataset: a question for some neurons of a layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

import numpy as np

from pipeline.activation import Activation, activation_of
from pipeline.errors import GatescopeError
from pipeline.query import Dataset, fetch

EXAMPLES: Final = """
    select neuron, "rank", score, example_id, window_start, token_ids, gate, "in"
    from examples
    where layer = $layer and list_contains($neurons, neuron) and combo = $combo
        and ranking = 'post'
    order by neuron, "rank"
"""
_PEAKS: Final = """
    select gate_value, in_value, post_value
    from examples
    where layer = $layer and ranking = 'post' and isfinite(gate_value) and isfinite(in_value)
        and isfinite(post_value)
"""
STATS: Final = """
    select neuron, combo, frequency
    from sign_stats
    where layer = $layer and list_contains($neurons, neuron)
"""
LOGITS: Final = """
    select neuron, side, token_id, score
    from weight_tokens
    where layer = $layer and list_contains($neurons, neuron) and weight = 'out'
        and matrix = 'unembedding'
    order by neuron, side, "rank"
"""

Row = Mapping[str, Any]

# How far act_fn(gate) * in may be from the stored post: activations have the model's dtype.
_TOLERANCE: Final = 0.03
# The share of a layer's peaks that may be farther off.
_MOST_OFF: Final = 0.25


def known_activation(dataset: Dataset) -> Activation:
    """The activation function; GatescopeError where lists, windows or the function are lacking."""
    name, model = dataset.source.name, dataset.manifest["model"]
    if "examples" not in dataset.tables:
        raise GatescopeError(
            f"export: {name} has no examples (it was made without a scan); give a dataset of a scan"
        )
    by_post = "exists(from examples where ranking = 'post'"
    found = f"select {by_post}), {by_post} and token_ids is not null)"
    ((has_lists, has_windows),) = dataset.sql(found).fetchall()
    if not has_windows:
        why = "no windows in its lists" if has_lists else "no lists by post"
        raise GatescopeError(
            f"export: {name} has {why}; scan with post among scan.rankings, or import with --model"
        )
    act = activation_of(model["act_fn"])
    if act is None:
        raise GatescopeError(
            f"export: the activation function {model['act_fn']} of {name} is not known here, and "
            "Neuronpedia shows post at every token; export to another format"
        )
    return act


def require_stored_post(dataset: Dataset, layer: int, act: Activation) -> None:
    """Raise GatescopeError where act_fn(gate) * in is not the stored post at the layer's peaks.

    Of the whole layer, so that it does not depend on the neurons that are exported.
    """
    peaks = dataset.sql(_PEAKS, layer=layer).fetchnumpy()
    gate, in_, stored = (
        np.asarray(peaks[name], np.float64) for name in ("gate_value", "in_value", "post_value")
    )
    off = np.abs(act(gate) * in_ - stored) > _TOLERANCE * np.abs(stored) + 1e-4
    if len(off) and off.mean() > _MOST_OFF:
        raise GatescopeError(
            f"export: in layer {layer} act_fn(gate) * in is not the post that was stored, at "
            f"{off.mean():.0%} of the peaks, as where a model scales its gate; such a dataset "
            "cannot be exported to Neuronpedia"
        )


def neurons_of(
    dataset: Dataset, layer: int, neurons: Sequence[tuple[int, int]] | None
) -> list[int]:
    """The neurons of a layer, those that are wanted or all, in their order."""
    if neurons is not None:
        return sorted({neuron for of_layer, neuron in neurons if of_layer == layer})
    found = dataset.sql("select neuron from neurons where layer = $layer", layer=layer).fetchall()
    return sorted(neuron for (neuron,) in found)


def token_texts(dataset: Dataset) -> dict[int, str]:
    """What each token is in a text; of a part of a character, how it is shown."""
    texts = {}
    for token_id, token, raw in dataset.sql("select token_id, token, bytes from vocab").fetchall():
        try:
            texts[token_id] = bytes(raw).decode("utf-8") if raw else str(token)
        except UnicodeDecodeError:
            texts[token_id] = str(token)
    return texts


def rows_of(dataset: Dataset, statement: str, values: dict[str, Any]) -> list[Row]:
    """What a question gives, a mapping a row."""
    names, rows = fetch(dataset.sql(statement, **values))
    return [dict(zip(names, row, strict=True)) for row in rows]


def grouped(rows: Iterable[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    """Rows that are sorted by `keys`, by them."""
    found = groupby(rows, key=lambda row: tuple(row[key] for key in keys))
    return {key: list(of_key) for key, of_key in found}
