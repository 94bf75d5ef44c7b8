"""Weights that lie on a disk: fetched for a while, and their memory given back."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from transformer_lens.model_bridge.generalized_components.base import align_offloaded_subtree


@contextmanager
def fetched(module: nn.Module) -> Iterator[None]:
    """The weights of a module and of what is inside of it are in memory, wherever they lie."""
    is_away = any(parameter.is_meta for parameter in module.parameters())
    with align_offloaded_subtree(module):
        yield
    if is_away:
        give_back_memory()


def give_back_memory() -> None:
    """Give freed memory back to the system.

    The C library keeps it for what may come next, but what is small and stays, such as a trace, is
    put where large weights were, so that the next layer's do not fit there any more: the whole
    model would be held after all. Does nothing where the C library is not glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
