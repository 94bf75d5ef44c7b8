"""What transformers prints while it reads a model, held back: Gatescope says what matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import ERROR
from typing import Any

from transformers.utils import logging


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no progress bars of transformers inside; as it was before afterwards.

    Downloads keep their bars, and failed connections their notices: both are huggingface_hub's.
    """
    level = logging.get_verbosity()
    hook = logging.set_tqdm_hook(_no_bar)
    logging.set_verbosity(max(level, ERROR))
    try:
        yield
    finally:
        logging.set_verbosity(level)
        logging.set_tqdm_hook(hook)


def _no_bar(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return factory(*args, **(kwargs | {"disable": True}))
