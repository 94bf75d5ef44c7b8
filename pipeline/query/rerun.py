"""Stored examples against a fresh forward of the model, which the caller runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float

from pipeline.errors import GatescopeError
from pipeline.query.dataset import Dataset
from pipeline.query.invariants import Check
from pipeline.query.rules.rule import TOLERANCE, Lacks

# Violations that are spelled out.
_SHOWN: Final = 5


class Activations(NamedTuple):
    """A neuron's gate, in and post over the positions of one example, in the model's own signs."""

    gate: Float[np.ndarray, " pos"]
    in_: Float[np.ndarray, " pos"]
    post: Float[np.ndarray, " pos"]


# (token ids of an example, [(layer, neuron), ...]) -> the activations of each of these neurons.
Forward = Callable[[list[int], list[tuple[int, int]]], list[Activations]]


def check_rerun(dataset: Dataset, n_rows: int, forward: Forward, seed: int = 0) -> Check:
    """Compare `n_rows` rows of `examples`, drawn at random, with a fresh forward of their texts.

    Each row's window must hold the fresh gate and in, whose signs at the peak must be the
    combination's; and its score must be the largest of its example in that combination (of
    `random`, whose scores are no activations, and of `act` only window and signs are compared).
    """
    refuse_rerun(dataset)
    rows = _sample(dataset, n_rows, seed)
    skip = 1 if dataset.manifest["config"]["scan"]["skip_bos"] else 0
    tolerance = TOLERANCE[dataset.manifest["model"]["dtype"]]
    if dataset.manifest.get("imported"):
        # A published score is within that of one forward, and this is another.
        tolerance *= 2
    by_example: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        by_example[row["example_id"]].append(row)
    violations = []
    for of_example in by_example.values():
        neurons = [(row["layer"], row["neuron"]) for row in of_example]
        fresh = forward(list(of_example[0]["input_ids"]), neurons)
        for row, activations in zip(of_example, fresh, strict=True):
            problem = _difference(row, activations, skip, tolerance)
            if problem:
                violations.append(f"{_name(row)}: {problem}")
    return Check(
        name="rerun",
        sentence=f"{len(rows)} stored examples equal a fresh forward",
        n_rows=len(rows),
        n_violations=len(violations),
        violations=tuple(violations[:_SHOWN]),
    )


def refuse_rerun(dataset: Dataset) -> None:
    """Raise GatescopeError where a dataset has nothing that a fresh forward could be compared with.

    Not every row of an import has its position, but some do.
    """
    lacks = Lacks.of(dataset.manifest)
    name = dataset.source.name
    imported = dataset.manifest.get("imported") or {}
    unfilled = "n_filled" in imported and not imported["n_filled"]
    if "examples" in dataset.source.absent:
        why = "no examples"
    elif lacks.table("corpus"):
        why = "no texts"
    elif unfilled:
        why = "no positions of its examples, which need --model when it is imported,"
    else:
        return
    raise GatescopeError(f"verify: {name} has {why} to run again; leave --rerun out")


def _sample(dataset: Dataset, n_rows: int, seed: int) -> list[dict[str, Any]]:
    # Ordered by a hash, so that the same seed draws the same rows whatever the threads.
    relation = dataset.sql(
        """
        with drawn as (
            select * from examples
            where "position" is not null
            order by hash(layer, neuron, combo, ranking, "rank", $seed) limit $n_rows
        )
        select drawn.*, neurons.flipped, corpus.input_ids
        from drawn
        join neurons using (layer, neuron)
        join corpus using (example_id)
        order by example_id
        """,
        seed=seed,
        n_rows=n_rows,
    )
    names = relation.columns
    return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]


def _name(row: dict[str, Any]) -> str:
    return (
        f"{row['layer']}.{row['neuron']} {row['combo']} {row['ranking']} rank {row['rank']} "
        f"(example {row['example_id']})"
    )


def _difference(row: dict[str, Any], fresh: Activations, skip: int, tolerance: float) -> str | None:
    sign = -1.0 if row["flipped"] else 1.0
    gate, in_, post = fresh.gate, fresh.in_ * sign, fresh.post * sign
    start, position = row["window_start"], row["position"]
    window = slice(start, start + len(row["gate"]))
    for name, stored, again in (
        ("gate", row["gate"], gate),
        ("in", row["in"], in_),
        ("post_value", [row["post_value"]], post[position : position + 1]),
    ):
        part = again if name == "post_value" else again[window]
        error = _largest(np.asarray(stored) - part)
        if error > tolerance * max(1e-6, _largest(again)):
            return f"{name} differs from a fresh forward by {error:.3g}"
    for name, value, wanted in (
        ("gate", gate, row["gate_sign"]),
        ("in", in_, row["in_sign"]),
    ):
        # Within rounding of 0 another forward may have the other sign.
        if value[position] * wanted < -tolerance * max(1e-6, _largest(value)):
            return f"{name} at the peak is {value[position]:.3g}, of the other sign"
    if row["ranking"] in ("random", "act"):
        return None
    quantity = np.abs({"gate": gate, "in": in_, "post": post}[row["ranking"]])
    inside = (np.sign(gate) == row["gate_sign"]) & (np.sign(in_) == row["in_sign"])
    inside[:skip] = False
    # A position whose sign is within rounding of zero may fall out of the combination.
    best = max((float(q) for q in quantity[inside]), default=0.0)
    if abs(best - row["score"]) > tolerance * max(1e-6, _largest(quantity)):
        return f"score {row['score']:.6g} is not the example's best, {best:.6g}"
    return None


def _largest(values: Float[np.ndarray, ...]) -> float:
    return float(np.max(np.abs(values), initial=0.0))
