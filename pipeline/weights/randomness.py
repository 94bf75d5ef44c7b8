"""How large a cosine two unrelated vectors have by chance."""

from __future__ import annotations

from scipy.special import betaincinv


def random_cosine_interval(d_model: int, p: float = 0.05) -> tuple[float, float]:
    """The interval that holds the cosine of two random directions with probability 1 - p.

    (1 + cos) / 2 of two independent uniform directions in d_model dimensions is distributed as
    Beta((d_model - 1) / 2, (d_model - 1) / 2) (arXiv 2505.17936); +-0.031 at d_model = 4096.
    """
    a = (d_model - 1) / 2
    low = 2 * float(betaincinv(a, a, p / 2)) - 1
    return low, -low
