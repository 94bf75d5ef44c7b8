"""The cosines of weights that do not belong together: one neuron's input, another one's output.

What a cosine of a neuron's own weights is compared with, beside that of random vectors: such pairs
share the layer's geometry, and no neuron (arXiv 2505.17936, randomness regions).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

# All pairs of a layer with at most so many neurons are looked at: 67 million cosines.
_EXACT_UP_TO: Final = 8192
# Neurons of a group of a sample, each of which is paired with the others, and how often all neurons
# are put into groups: 15 million pairs of 14,336 neurons.
_GROUP: Final = 256
_DRAWS: Final = 4
_QUANTILES: Final = (0.025, 0.975)


@dataclass(frozen=True)
class Mismatched:
    """The 2.5% and 97.5% quantiles of a cosine over pairs of different neurons.

    Of `n_pairs` ordered pairs; `error` is the larger one's standard error, 0 for all pairs. With no
    pair, in a layer of one neuron, the quantiles are None.
    """

    low: float | None
    high: float | None
    n_pairs: int
    error: float


def mismatched_cosines(
    one: Float[Tensor, "neuron d_model"],
    other: Float[Tensor, "neuron d_model"],
) -> Mismatched:
    """The quantiles of cos(one[n1], other[n2]) over n1 != n2, linear between the nearest two.

    A larger layer is sampled: four times its neurons are put into groups of 256 at random, and each
    is paired with the others of its group (fewer than 256 neurons are left over). The groups are
    samples of their own, so that the spread of their quantiles gives the standard error.
    """
    n = len(one)
    if n < 2:
        return Mismatched(None, None, 0, 0.0)
    one, other = _unit(one), _unit(other)
    if n <= _EXACT_UP_TO:
        cosines = _off_diagonal(one @ other.T)
        low, high = np.quantile(cosines, _QUANTILES, overwrite_input=True)
        return Mismatched(float(low), float(high), n * (n - 1), 0.0)
    rng = np.random.default_rng(0)
    n_grouped = n - n % _GROUP
    drawn = np.concatenate([rng.permutation(n)[:n_grouped] for _ in range(_DRAWS)])
    groups = torch.from_numpy(drawn).to(one.device).view(-1, _GROUP)
    sampled = np.stack([_off_diagonal(one[g] @ other[g].T) for g in groups])
    low, high = np.quantile(sampled, _QUANTILES)
    spread = np.quantile(sampled, _QUANTILES, axis=1).std(axis=1, ddof=1)
    error = float(spread.max()) / len(groups) ** 0.5
    return Mismatched(float(low), float(high), sampled.size, error)


def _off_diagonal(square: Float[Tensor, "n n"]) -> Float[np.ndarray, " pair"]:
    """What is not on the diagonal: after each element of it come n others, in rows or across."""
    n = len(square)
    found: np.ndarray = square.flatten()[1:].view(n - 1, n + 1)[:, :n].reshape(-1).cpu().numpy()
    return found


def _unit(vectors: Float[Tensor, "neuron d_model"]) -> Float[Tensor, "neuron d_model"]:
    norms = vectors.norm(dim=1, keepdim=True)
    return vectors.div(torch.where(norms > 0, norms, 1.0)).float()
