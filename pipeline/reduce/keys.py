"""The total order of a list's entries as one int64: score descending, then example_id ascending.

The bits of a non-negative float32 order as an integer does. They stand above the example_id,
counted down, so that the best entry has the largest key.
"""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Float, Int64
from torch import Tensor

# The key of an empty slot, below every entry's.
EMPTY: Final = -1
_LAST_ID: Final = 2**32 - 1


def pack(
    score: Float[Tensor, "*shape"], example_id: Int64[Tensor, "*#shape"]
) -> Int64[Tensor, "*shape"]:
    """Keys of scores >= 0 and example ids < 2**32."""
    bits = score.contiguous().view(torch.int32).to(torch.int64)
    return (bits << 32) | (_LAST_ID - example_id)


def unpack_score(key: Int64[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The scores of keys; of an empty slot, no number."""
    return (key >> 32).to(torch.int32).view(torch.float32)


def unpack_example_id(key: Int64[Tensor, "*shape"]) -> Int64[Tensor, "*shape"]:
    """The example ids of keys."""
    return _LAST_ID - (key & _LAST_ID)


def best_of(
    old: Int64[Tensor, "row k"], new: Int64[Tensor, "row entry"]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of old and new keys the best k stay: (row, slot, entry) of each new one, the worst of a row.

    The new ones take the slots of the old ones that leave.
    """
    k = old.shape[1]
    best = torch.cat([old, new], dim=1).topk(k, dim=1)
    stays = torch.zeros((len(new), k + new.shape[1]), dtype=torch.bool, device=new.device)
    stays.scatter_(1, best.indices, True)
    # Row by row as many new entries stay as old ones leave, so the two index lists pair up.
    row, entry = stays[:, k:].nonzero(as_tuple=True)
    _, slot = (~stays[:, :k]).nonzero(as_tuple=True)
    return row, slot, entry, best.values[:, -1]
