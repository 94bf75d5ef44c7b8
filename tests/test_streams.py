"""How many batches run side by side on how many threads."""

from __future__ import annotations

import pytest
import torch
from tiny_models import ARCHITECTURES, build, info_of

from pipeline.model.hook import hook_model
from pipeline.scan.streams import n_streams, streams


@pytest.mark.parametrize(
    ("n_threads", "n", "each"),
    [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 4, 1), (5, 1, 5), (6, 3, 2), (7, 1, 7), (16, 4, 4)],
)
def test_no_core_is_idle_and_the_threads_come_back(n_threads: int, n: int, each: int) -> None:
    hf_model = build(ARCHITECTURES["llama"])
    model = hook_model(hf_model, info_of(hf_model))
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n_threads)
        assert n_streams(model) == n
        with streams(model) as pool:
            assert list(pool.map(lambda _: torch.get_num_threads(), range(6))) == [each] * 6
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
