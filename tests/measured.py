"""A tiny model measured by the slow reference, as GLUScope publishes it; sources in its forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from by_hand import folded_by_hand
from reference import ACTIVATIONS, Combination, Definition, Example, reference
from tiny_models import ARCHITECTURES, D_MLP, D_VOCAB, N_LAYERS, Tiny, build, plain_activations

HOOKS = {"post": "hook_post", "in": "hook_pre_linear", "gate": "hook_pre", "act": "swish"}
K = 4
N_EXAMPLES = 14
Row = dict[str, Any]


@dataclass(frozen=True)
class Measured:
    """The model's folder, its texts as a file, the published rows, and where each entry peaks.

    `positions` has the earliest position of each (layer, neuron, combo, ranking, example_id).
    """

    tiny: Tiny
    model: Path
    corpus: Path
    rows: list[Row]
    positions: dict[tuple[int, int, str, str, int], int]
    n_tokens: int


def measure(folder: Path, name: str = "llama", *, flips: bool = True, seed: int = 0) -> Measured:
    """Build a tiny model and random texts, and measure it as GLUScope does."""
    tiny = ARCHITECTURES[name]
    model = build(tiny, seed)
    model.save_pretrained(folder / "model")
    rng = np.random.default_rng(seed)
    texts = [rng.integers(0, D_VOCAB, rng.integers(2, 18)).tolist() for _ in range(N_EXAMPLES)]
    corpus = folder / "texts.parquet"
    pq.write_table(
        pa.table({"input_ids": texts, "text": [f"text {i}" for i in range(N_EXAMPLES)]}), corpus
    )
    seen = [plain_activations(tiny, model, torch.tensor([ids])) for ids in texts]
    act = ACTIVATIONS["gelu_tanh" if name.startswith("gemma") else "silu"]
    n_tokens = sum(map(len, texts))
    rows, positions = [], {}
    for layer in range(N_LAYERS):
        gate, in_, _ = folded_by_hand(tiny, model, layer)
        flipped = np.flatnonzero(((gate * in_).sum(1) < 0).numpy()) if flips else []
        examples = [
            Example(i, ids, *(values[0].float().numpy() for values in seen[i][layer][:2]))
            for i, ids in enumerate(texts)
        ]
        definition = Definition(
            act, tuple(HOOKS), k=K, dedupe=False, skip_bos=False, flipped=set(flipped)
        )
        for number, neuron in enumerate(reference(examples, definition)):
            row: Row = {"layer": layer, "neuron": number}
            for signs, found in neuron.combos.items():
                combo = _name(signs)
                row |= _columns(combo, signs, found, n_tokens)
                for ranking, entries in found.lists.items():
                    for entry in entries:
                        key = (layer, number, combo, ranking, entry.example_id)
                        positions[key] = entry.position
            rows.append(row)
    return Measured(tiny, folder / "model", corpus, rows, positions, n_tokens)


def _name(signs: tuple[int, int]) -> str:
    return "gate{}_in{}".format(*("+" if sign > 0 else "-" for sign in signs))


def _columns(combo: str, signs: tuple[int, int], found: Combination, n_tokens: int) -> Row:
    row: Row = {f"{combo}_freq": np.float32(found.count) / np.float32(n_tokens)}
    sign = {"gate": signs[0], "in": signs[1], "post": signs[0] * signs[1], "act": signs[0]}
    for quantity, hook in HOOKS.items():
        with np.errstate(invalid="ignore"):
            mean = np.float32(found.sums[quantity]) / np.float32(found.count)
        row[f"{combo}_{hook}_mean"] = mean
        if quantity == "act" and signs[0] > 0:
            continue
        entries = found.lists[quantity]
        values = [np.float32(sign[quantity] * entry.score) for entry in entries]
        ids = [entry.example_id for entry in entries]
        # What fills a list up: 0, signed as the rest, and examples that do not have it.
        others = [i for i in range(N_EXAMPLES) if i not in ids][: K - len(ids)]
        row[f"{combo}_{hook}_max_values"] = values + [np.float32(0.0 * sign[quantity])] * len(
            others
        )
        row[f"{combo}_{hook}_max_indices"] = ids + others
    return row


def as_table(rows: Sequence[Row], integers: pa.DataType | None = None) -> pa.Table:
    """Rows as GLUScope's Parquet files have them."""
    whole = integers or pa.int64()

    def kind(name: str) -> pa.DataType:
        if name in ("layer", "neuron"):
            return whole
        if name.endswith("_indices"):
            return pa.list_(whole)
        return pa.list_(pa.float32()) if name.endswith("_values") else pa.float32()

    schema = pa.schema([(name, kind(name)) for name in rows[0]])
    return pa.Table.from_pylist(list(rows), schema=schema)


def one_file(rows: Sequence[Row], folder: Path) -> Path:
    """A Parquet file with one row group."""
    pq.write_table(as_table(rows), folder / "published.parquet")
    return folder / "published.parquet"


def mixed_files(rows: Sequence[Row], folder: Path) -> Path:
    """Files of a folder, the rows in any order, int32, small row groups."""
    order = np.random.default_rng(1).permutation(len(rows))
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(np.array_split(order, 3)):
        table = as_table([rows[i] for i in part], pa.int32())
        pq.write_table(table, folder / f"data/train-{number}.parquet", row_group_size=7)
    return folder


def layers_apart(rows: Sequence[Row], folder: Path) -> Path:
    """Files of a folder, one a layer, the last layer first."""
    folder.mkdir(exist_ok=True)
    for layer in range(N_LAYERS):
        table = as_table([row for row in rows if row["layer"] == layer])
        pq.write_table(table, folder / f"{N_LAYERS - layer}.parquet", row_group_size=9)
    return folder


def saved_to_disk(rows: Sequence[Row], folder: Path) -> Path:
    """What `datasets.Dataset.save_to_disk` writes."""
    import datasets

    dataset = datasets.Dataset(as_table(rows))
    dataset.save_to_disk(str(folder / "saved"), num_shards=2)
    return folder / "saved"


def summary(rows: Sequence[Row]) -> dict[Any, Any]:
    """GLUScope's dictionary of tensors [layer neuron] and [k layer neuron]."""

    def tensor(column: str) -> torch.Tensor:
        values = torch.tensor(np.array([row[column] for row in rows]))
        return values.reshape(N_LAYERS, D_MLP, *values.shape[1:])

    found: dict[Any, Any] = {}
    for column in rows[0]:
        combo, _, rest = column.partition("_hook" if "_hook" in column else "_swish")
        hook = ("hook" if "_hook" in column else "swish") + rest
        if column.endswith("_freq"):
            found[column.removesuffix("_freq"), "freq"] = tensor(column)
        elif column.endswith("_mean"):
            found[combo, hook.removesuffix("_mean"), "sum"] = tensor(column)
        elif column.endswith("_max_values"):
            stem = column.removesuffix("_values")
            found[combo, hook.removesuffix("_max_values"), "max"] = {
                part: tensor(f"{stem}_{part}").permute(2, 0, 1).contiguous()
                for part in ("values", "indices")
            }
    return found


def tensor_file(rows: Sequence[Row], folder: Path) -> Path:
    """GLUScope's summary.pt."""
    torch.save(summary(rows), folder / "summary.pt")
    return folder / "summary.pt"


def newer_tensor_file(rows: Sequence[Row], folder: Path) -> Path:
    """GLUScope's summary.pt with tensors of each layer, under the names of its hooks."""
    found: dict[Any, Any] = {}
    for key, value in summary(rows).items():
        if key[1] == "freq":
            found[key] = value
            continue
        for layer in range(N_LAYERS):
            part = (
                {name: tensor[:, layer].clone() for name, tensor in value.items()}
                if isinstance(value, dict)
                else value[layer].clone()
            )
            found[key[0], f"blocks.{layer}.mlp.{key[1]}", key[2]] = part
    torch.save(found, folder / "summary_refactored.pt")
    return folder / "summary_refactored.pt"


SOURCES: dict[str, Callable[[Sequence[Row], Path], Path]] = {
    "one file": one_file,
    "mixed files": mixed_files,
    "a file a layer": layers_apart,
    "save_to_disk": saved_to_disk,
    "summary.pt": tensor_file,
    "newer summary.pt": newer_tensor_file,
}
