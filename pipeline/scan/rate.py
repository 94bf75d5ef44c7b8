"""Tokens a second over the last minute."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

_OVER_S: Final = 60.0


class Rate:
    """Told now and then how many tokens there are in all."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()

    def add(self, n_tokens: int) -> None:
        """So many tokens in all by now."""
        now = time.monotonic()
        self._samples.append((now, n_tokens))
        while self._samples[0][0] < now - _OVER_S:
            self._samples.popleft()

    @property
    def tokens_per_s(self) -> float:
        """Between the oldest and the newest of the last minute; 0 before there are two."""
        if len(self._samples) < 2:
            return 0.0
        (then, few), (now, many) = self._samples[0], self._samples[-1]
        return max(0, many - few) / max(now - then, 1e-9)
