"""Batches side by side: on a CPU several forward passes at once use the cores better than one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final

import torch

from pipeline.model import GatedModel

# Each holds the activations of its batch.
_MOST_STREAMS: Final = 4


def n_streams(model: GatedModel) -> int:
    """How many batches are scanned at once: one on an accelerator, up to four on a CPU's cores.

    As many as leave the fewest cores idle; all have equally many, so that results do not depend on
    which of them takes a batch.
    """
    if model.device.type != "cpu" or not model.is_reentrant:
        return 1
    n_threads = torch.get_num_threads()
    return max(range(1, _MOST_STREAMS + 1), key=lambda n: (n_threads // n * n, n))


@contextmanager
def streams(model: GatedModel) -> Iterator[ThreadPoolExecutor]:
    """A thread for each batch at once; the cores are shared out evenly meanwhile.

    What has not begun is given up where the body raises.
    """
    n_threads, n = torch.get_num_threads(), n_streams(model)
    torch.set_num_threads(max(1, n_threads // n))
    pool = ThreadPoolExecutor(n, thread_name_prefix="scan")
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(n_threads)
