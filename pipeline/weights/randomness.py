"""How large a cosine two unrelated vectors have by chance."""

from __future__ import annotations

from typing import Final

import numpy as np

# Points of the integral; at d_model = 16384 some 2,600 of them lie within a standard deviation.
_POINTS: Final = (1 << 20) + 1


def random_cosine_interval(d_model: int, p: float = 0.05) -> tuple[float, float]:
    """The interval that holds the cosine of two random directions with probability 1 - p.

    (1 + cos) / 2 of two independent uniform directions in d_model dimensions is distributed as
    Beta((d_model - 1) / 2, (d_model - 1) / 2) (arXiv 2505.17936); +-0.031 at d_model = 4096. Their
    angle then has the density sin(angle) ** (d_model - 2), which is summed up here: SciPy, which
    inverts the Beta distribution too, is not where a bare accelerator scans.
    """
    angle = np.linspace(0, np.pi, _POINTS)
    density = np.sin(angle) ** (d_model - 2)
    up_to = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    high = float(np.cos(np.interp(p / 2, up_to / up_to[-1], angle)))
    return -high, high
