"""GLUScope's `summary*.pt`: a dictionary of tensors, loaded without pickle's dangers.

Its keys are (combination, hook, reduction), with tensors [layer neuron] and [k layer neuron]; or,
in files of a newer version, (combination, `blocks.L.mlp.hook`, reduction), with tensors [neuron]
and [k neuron]. `freq` is by (combination, "freq") in both. What is called a sum is a mean.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from fsspec.implementations.local import LocalFileSystem
from torch import Tensor

from pipeline.errors import GatescopeError
from pipeline.store.published.rows import Published, PublishedRows

# Neurons of a slice, as many as of other sources.
_ROWS: Final = 1 << 11
_BLOCK: Final = re.compile(r"blocks\.(\d+)\.(.+)")


class TensorFile(Published):
    """The tensors of a file, mapped into memory and read a layer at a time."""

    def __init__(self, filesystem: Any, path: str, name: str, digest: str) -> None:
        self._name = name
        self.digests = {name: digest}
        # A copy of a remote file lasts as long as this object.
        self._copy = ExitStack()
        if not isinstance(filesystem, LocalFileSystem):
            folder = self._copy.enter_context(tempfile.TemporaryDirectory(prefix="gatescope-"))
            local = str(Path(folder) / name)
            filesystem.get_file(path, local)
            path = local
        try:
            self._read(path)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Remove the copy of a remote file."""
        self._copy.close()

    def _read(self, path: str) -> None:
        name = self._name
        summary = _loaded(path, name)
        # By column: the tensors of all layers in one, or of each layer.
        self._whole: dict[str, Tensor] = {}
        self._of_layer: dict[str, dict[int, Tensor]] = {}
        unknown = [str(key) for key, value in summary.items() if not self._take(key, value)]
        self.columns = ("layer", "neuron", *self._whole, *self._of_layer, *unknown)
        shapes = {tuple(t.shape) for c, t in self._whole.items() if c.endswith("_freq")}
        if len(shapes) != 1 or len(shape := shapes.pop()) != 2:
            raise GatescopeError(
                f"{name}: has no frequencies [layer neuron] under keys such as ('gate+_in+', "
                "'freq'); give a summary*.pt of GLUScope"
            )
        self._n_layers, self._n_neurons = shape
        self._refuse_shapes()

    def _take(self, key: object, value: object) -> bool:
        """Put a tensor under its column's name; False for what is none of a summary."""
        if not isinstance(key, tuple) or not all(isinstance(part, str) for part in key):
            return False
        parts = list(key)
        layer = None
        if len(parts) == 3 and (match := _BLOCK.fullmatch(parts[1])):
            layer, parts[1] = int(match[1]), match[2]
        stem = "_".join(["mean" if part == "sum" else part for part in parts])
        tensors: Mapping[Any, Any] = value if isinstance(value, dict) else {"": value}
        if not tensors or not all(isinstance(tensor, Tensor) for tensor in tensors.values()):
            return False
        for suffix, tensor in tensors.items():
            column = f"{stem}_{suffix}" if suffix else stem
            if layer is not None:
                self._of_layer.setdefault(column, {})[layer] = tensor
            elif not suffix and tensor.ndim == 3 and tensor.shape[0] == 1:
                self._whole[column] = tensor[0]
            else:
                self._whole[column] = tensor
        return True

    def _refuse_shapes(self) -> None:
        layers, size = self._n_layers, (self._n_layers, self._n_neurons)
        for column, tensor in self._whole.items():
            if tuple(tensor.shape[-2:]) != size or tensor.ndim > 3:
                raise self._odd(column, tensor)
        for column, tensors in self._of_layer.items():
            if lacking := set(range(layers)) - tensors.keys():
                raise GatescopeError(
                    f"{self._name}: {column} has no tensor of layer {min(lacking)} of {layers}; "
                    "write the file again"
                )
            for tensor in tensors.values():
                if tensor.shape[-1] != self._n_neurons or tensor.ndim > 2:
                    raise self._odd(column, tensor)

    def _odd(self, column: str, tensor: Tensor) -> GatescopeError:
        return GatescopeError(
            f"{self._name}: {column} has the shape {list(tensor.shape)}, and the frequencies "
            f"[{self._n_layers}, {self._n_neurons}]; give a summary*.pt of one model"
        )

    def neurons(self) -> Iterator[PublishedRows]:
        """The numbers of all neurons."""
        yield from self.rows((), (), frozenset())

    def rows(
        self, numbers: Sequence[str], lists: Sequence[str], skipped: frozenset[int]
    ) -> Iterator[PublishedRows]:
        """These columns of all neurons, but of those of the layers `skipped`."""
        for layer in range(self._n_layers):
            if layer in skipped:
                continue
            for start in range(0, self._n_neurons, _ROWS):
                neuron = np.arange(start, min(start + _ROWS, self._n_neurons))
                inside = slice(start, start + _ROWS)
                found = {column: self._part(column, layer, inside) for column in numbers}
                padded = {}
                for column in lists:
                    values = np.ascontiguousarray(self._part(column, layer, inside).T)
                    padded[column] = (values, np.full(len(neuron), values.shape[1]))
                yield PublishedRows(self._name, np.full(len(neuron), layer), neuron, found, padded)

    def _part(self, column: str, layer: int, inside: slice) -> np.ndarray:
        whole = self._whole.get(column)
        tensor = self._of_layer[column][layer] if whole is None else whole[..., layer, :]
        part = tensor[..., inside]
        # NumPy has no bfloat16.
        part = part.float() if part.dtype == torch.bfloat16 else part
        return part.numpy()


def _loaded(path: str, name: str) -> dict[Any, Any]:
    # Whatever a file holds that is no tensor, and torch raises for it what it likes.
    try:
        summary = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise GatescopeError(
            f"{name}: is not loaded, as it holds more than tensors or is damaged ({reason}); give "
            "a file that GLUScope's b_activations.py has written with torch.save"
        ) from error
    if not isinstance(summary, dict):
        raise GatescopeError(
            f"{name}: holds a {type(summary).__name__}, not the dictionary of a summary; give a "
            "summary*.pt of GLUScope"
        )
    return summary
