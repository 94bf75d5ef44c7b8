"""Activation functions by the names of transformers: post from gate and in of a window.

What pages do is in view/site/activation.js; both are tested against transformers' own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from jaxtyping import Float64

Values = Float64[np.ndarray, "..."]
Activation = Callable[[np.ndarray], np.ndarray]

_ROOT_2_OVER_PI: Final = math.sqrt(2 / math.pi)
_ERFC: Final = np.frompyfunc(math.erfc, 1, 1)


def _sigmoid(x: Values) -> Values:
    # Of large negative numbers exp overflows to infinity, and the result is 0 as it should be.
    with np.errstate(over="ignore"):
        result: Values = 1 / (1 + np.exp(-x))
    return result


def _silu(x: Values) -> Values:
    result: Values = x * _sigmoid(x)
    return result


def _gelu(x: Values) -> Values:
    erfc = np.asarray(_ERFC(-x / math.sqrt(2)), np.float64)
    result: Values = 0.5 * x * erfc
    return result


def _gelu_tanh(x: Values) -> Values:
    result: Values = x * _sigmoid(2 * _ROOT_2_OVER_PI * (x + 0.044715 * x**3))
    return result


def _quick_gelu(x: Values) -> Values:
    result: Values = x * _sigmoid(1.702 * x)
    return result


def _relu(x: Values) -> Values:
    result: Values = np.where(x > 0, x, x * 0)
    return result


def _relu2(x: Values) -> Values:
    result: Values = _relu(x) ** 2
    return result


def _tanh(x: Values) -> Values:
    result: Values = np.tanh(x)
    return result


def _linear(x: Values) -> Values:
    return x


_FUNCTIONS: Final[dict[str, Activation]] = {
    "silu": _silu,
    "swish": _silu,
    "gelu": _gelu,
    "gelu_python": _gelu,
    "gelu_new": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_accurate": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "gelu_python_tanh": _gelu_tanh,
    "quick_gelu": _quick_gelu,
    "relu": _relu,
    "relu2": _relu2,
    "relu^2": _relu2,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "linear": _linear,
}


def activation_of(name: str | None) -> Activation | None:
    """The activation function of a name, of any shape to the same; None for an unknown one."""
    return _FUNCTIONS.get(name or "")
