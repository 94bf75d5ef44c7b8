"""What transformers and accelerate print as a model is read, held back: what matters is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import ERROR, NOTSET, getLogger
from typing import Any

from transformers.utils import logging


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings and no progress bars of theirs inside; as it was before afterwards.

    Downloads keep their bars, and failed connections their notices: both are huggingface_hub's.
    """
    level = logging.get_verbosity()
    offloading = getLogger("accelerate.big_modeling")
    hook = logging.set_tqdm_hook(_no_bar)
    logging.set_verbosity(max(level, ERROR))
    offloading.setLevel(ERROR)
    try:
        yield
    finally:
        offloading.setLevel(NOTSET)
        logging.set_verbosity(level)
        logging.set_tqdm_hook(hook)


def _no_bar(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return factory(*args, **(kwargs | {"disable": True}))
