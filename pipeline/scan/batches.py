"""How a unit's examples are put into batches: fixed by the unit and the size of a batch."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int64

from pipeline.reduce import Batch

# Tokens of a unit and padded tokens of a batch by type of device, where they are not set. On a CPU
# larger batches are no faster (measured); on CUDA 16384 tokens fill the device by arithmetic. The
# more batches a unit has, the less of them is padding; the fewer, the less is redone after a crash.
UNIT_TOKENS: Final = {"cpu": 1 << 16, "cuda": 1 << 18}
MOST_TOKENS: Final = {"cpu": 1 << 11, "cuda": 1 << 14}

# So many batches, whatever is in them, cost as much as the tokens of a full one do: what a batch
# may cost to save padding. Chosen by the padding that it leaves (log of benchmarks/README.md).
_BATCHES_WORTH_A_FULL_ONE: Final = 64
_MASK64 = (1 << 64) - 1


def length_sorted_batches(
    lengths: Int64[np.ndarray, " example"], tokens_per_batch: int
) -> list[np.ndarray]:
    """Indices of the examples of each batch, longest first, at most `tokens_per_batch` padded.

    Of all ways to cut the sorted examples, the one that costs least: a batch costs its padded
    tokens and a share of a full one beside. An example longer than that has a batch to itself.
    """
    order = np.argsort(-lengths, kind="stable")
    longest = lengths[order]
    of_a_batch = tokens_per_batch / _BATCHES_WORTH_A_FULL_ONE
    # From the last example on: the least cost of those from `start` on, and where to cut next.
    cost = np.zeros(len(order) + 1)
    cut = np.zeros(len(order), dtype=np.int64)
    for start in range(len(order) - 1, -1, -1):
        widest = max(1, tokens_per_batch // max(1, int(longest[start])))
        width = np.arange(1, min(widest, len(order) - start) + 1)
        costs = of_a_batch + width * longest[start] + cost[start + width]
        best = int(costs.argmin())
        cost[start], cut[start] = costs[best], start + width[best]
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        batches.append(order[start : cut[start]])
        start = int(cut[start])
    return batches


def _mix(x: np.ndarray) -> np.ndarray:
    """One round of splitmix64 (Steele, Lea and Flood, 2014), elementwise on uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def random_scores(
    seed: int, example_ids: Int64[np.ndarray, " batch"], n_positions: int
) -> Float[np.ndarray, "batch pos"]:
    """The fixed score of each (seed, example_id, position) for the `random` ranking, float32.

    -log(u) of a uniform u: the largest scores stay distinct in float32 however long the corpus,
    which u itself, rounded to 24 bits below 1, would not.
    """
    golden = np.uint64(0x9E3779B97F4A7C15)
    # An array of one: arrays wrap around at 2**64 in silence, as scalars do not.
    start = _mix(np.array([seed & _MASK64], dtype=np.uint64) * golden + golden)
    examples = _mix(start ^ (example_ids.astype(np.uint64) + np.uint64(1)) * golden)
    positions = (np.arange(n_positions, dtype=np.uint64) + np.uint64(1)) * golden
    bits = _mix(examples[:, None] + positions[None, :])
    uniform = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return (-np.log(uniform)).astype(np.float32)


def padded_batch(
    input_ids: list[np.ndarray], example_ids: Int64[np.ndarray, " batch"], seed: int, skip: int
) -> tuple[Int64[torch.Tensor, "batch pos"], Batch]:
    """Token ids padded on the right, and what goes with them.

    The first `skip` positions of each example are not counted. The pad id need not be special:
    the model is causal, and a padded position is never counted. It is the example's own last one,
    for a token whose activations are no numbers spoils its whole row: 0 times NaN is NaN.
    """
    lengths = torch.tensor([len(ids) for ids in input_ids])
    longest = int(lengths.max())
    padded = torch.zeros((len(input_ids), longest), dtype=torch.int64)
    for row, ids in enumerate(input_ids):
        padded[row] = int(ids[-1])
        padded[row, : len(ids)] = torch.from_numpy(ids.astype(np.int64))
    return padded, Batch(
        example_ids=torch.from_numpy(example_ids.astype(np.int64)),
        lengths=lengths,
        random=torch.from_numpy(random_scores(seed, example_ids, longest)),
        skip=skip,
    )
