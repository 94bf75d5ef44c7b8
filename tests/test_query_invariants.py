"""Every invariant holds for a dataset made by the definitions, and is seen to fail for others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import Synthetic, rewrite, write_synthetic

from pipeline.errors import GatescopeError
from pipeline.query import Check, check_invariants, open_dataset

Damage = Callable[[Path], None]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("invariants") / "ds", layers=(1,))


def checks(path: Path) -> list[Check]:
    with open_dataset(path) as ds:
        return list(check_invariants(ds))


def broken(path: Path) -> dict[str, Check]:
    return {check.name: check for check in checks(path) if not check.ok}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"dedupe": False, "skip_bos": False, "canonical_signs": False, "k": 16, "spare": 0},
        {"dedupe": True, "k": 16, "spare": 16},
        {"layers": (3, 7), "rankings": ("post", "in", "gate"), "seed": 5},
        {"before": 0, "after": 0, "n_examples": 3, "n_neurons": 1},
        {"max_length": 2, "seed": 1},
        {"threshold": 0.3, "seed": 2},
        {"weight_k": 100},
        {"weight_k": 0},
        {"scan": False},
        {"scan": False, "layers": (2, 5), "canonical_signs": False, "matrices": ("embedding",)},
        {"scan": False, "gated": False, "threshold": 0.4, "n_neurons": 40},
        {"matrices": ("unembedding",)},
        {"scan": False, "matrices": ()},
        {"scan": False, "gated": False, "matrices": ("embedding",), "n_neurons": 1},
    ],
)
def test_hold_for_a_dataset_made_by_the_definitions(tmp_path: Path, changes: Any) -> None:
    write_synthetic(tmp_path / "ds", **changes)
    found = checks(tmp_path / "ds")
    assert {check.name: check.violations for check in found if not check.ok} == {}
    empty = {check.name.split(".")[0] for check in found if not check.n_rows}
    has_lists = changes.get("weight_k", 1) and changes.get("matrices", True)
    assert empty - {"row_groups"} == (set() if has_lists else {"weight_tokens"})
    assert len({check.name for check in found}) == len(found)


def cell(
    table: str, column: str, change: Callable[[Any, dict[str, Any]], Any], **where: Any
) -> Damage:
    """Change a column in the first row of layer 1's (or the first) part that has these values."""
    part = f"{table}/part-00000.parquet"
    if table not in ("corpus", "vocab"):
        part = f"{table}/layer=1/part-0.parquet"

    def damage(path: Path) -> None:
        def changed(rows: pa.Table) -> pa.Table:
            values = rows.to_pylist()
            row = next(r for r in values if all(r[key] == v for key, v in where.items()))
            row[column] = change(row[column], row)
            return pa.Table.from_pylist(values, schema=rows.schema)

        rewrite(path / part, changed)

    return damage


def swapped(table: str) -> Damage:
    def damage(path: Path) -> None:
        rewrite(
            path / f"{table}/layer=1/part-0.parquet",
            lambda rows: pa.concat_tables([rows.slice(1, 1), rows.slice(0, 1), rows.slice(2)]),
        )

    return damage


def without_row(part: str) -> Damage:
    return lambda path: rewrite(path / part, lambda rows: rows.slice(1))


def in_manifest(change: Callable[[dict[str, Any]], object]) -> Damage:
    def damage(path: Path) -> None:
        manifest = json.loads((path / "manifest.json").read_text("utf-8"))
        change(manifest)
        (path / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")

    return damage


def cast(part: str, column: str, type_: pa.DataType) -> Damage:
    def changed(rows: pa.Table) -> pa.Table:
        i = rows.schema.get_field_index(column)
        return rows.cast(rows.schema.set(i, rows.schema.field(i).with_type(type_)))

    return lambda path: rewrite(path / part, changed)


def row_groups_of_three(path: Path) -> None:
    part = path / "sign_stats/layer=1/part-0.parquet"
    pq.write_table(pq.ParquetFile(part).read(), part, row_group_size=3)


def stray(path: Path) -> None:
    (path / "examples" / "layer=1" / "extra.parquet").write_bytes(b"")


def same_example(path: Path) -> None:
    """The second entry of the first list is a copy of the first."""

    def changed(rows: pa.Table) -> pa.Table:
        values = rows.to_pylist()
        values[1] = values[0] | {"rank": 1}
        return pa.Table.from_pylist(values, schema=rows.schema)

    rewrite(path / "examples/layer=1/part-0.parquet", changed)


def same_text(path: Path) -> None:
    """The second entry of the first list has its peak in a copy of the first one's text."""
    examples = path / "examples/layer=1/part-0.parquet"
    first, second = pq.ParquetFile(examples).read().to_pylist()[:2]
    parts = [path / f"corpus/part-{i:05d}.parquet" for i in (0, 1)]
    texts = [row for part in parts for row in pq.ParquetFile(part).read().to_pylist()]

    def copied(rows: pa.Table) -> pa.Table:
        values = rows.to_pylist()
        for row in values:
            if row["example_id"] == second["example_id"]:
                row["input_ids"] = texts[first["example_id"]]["input_ids"]
        return pa.Table.from_pylist(values, schema=rows.schema)

    for part in parts:
        rewrite(part, copied)
    same_position = cell("examples", "position", lambda v, _: first["position"], **second)
    same_position(path)


def lowered(path: Path) -> None:
    """The first list of highest tokens lies 100 lower."""

    def changed(rows: pa.Table) -> pa.Table:
        values = rows.to_pylist()
        for row in values[:4]:
            row["score"] -= 100
        return pa.Table.from_pylist(values, schema=rows.schema)

    rewrite(path / "weight_tokens/layer=1/part-0.parquet", changed)


def first_token(path: Path) -> int:
    rows = pq.ParquetFile(path / "weight_tokens/layer=1/part-0.parquet").read()
    return int(rows["token_id"][0].as_py())


def without(table: str, **where: Any) -> Damage:
    """Without the rows of layer 1 that have these values."""

    def changed(rows: pa.Table) -> pa.Table:
        kept = [r for r in rows.to_pylist() if any(r[key] != v for key, v in where.items())]
        return pa.Table.from_pylist(kept, schema=rows.schema)

    return lambda path: rewrite(path / f"{table}/layer=1/part-0.parquet", changed)


PEAK: dict[str, Any] = {"neuron": 1, "ranking": "post", "rank": 0}
# By the name of the check, what breaks it.
DAMAGES: dict[str, Damage] = {
    "manifest": in_manifest(lambda m: m["config"]["scan"]["window"].pop("after")),
    "files": stray,
    "schema": cast("neurons/layer=1/part-0.parquet", "norm_in", pa.float32()),
    "row_counts": in_manifest(lambda m: m["tables"].update(vocab=1)),
    "row_groups": row_groups_of_three,
    "listing": in_manifest(lambda m: m["files"]["vocab"][0].update(bytes=1)),
    "partitions.layer": cell("layers", "layer", lambda v, _: 0),
    "neurons.index": without_row("neurons/layer=1/part-0.parquet"),
    "neurons.gates": cell("neurons", "norm_gate", lambda v, _: None),
    "neurons.cosines": cell("neurons", "cos_gate_out", lambda v, _: float("nan")),
    "neurons.norms": cell("neurons", "norm_out", lambda v, _: -v),
    "neurons.class_name": cell("neurons", "io_class", lambda v, _: "strengthening"),
    "neurons.class": cell("neurons", "io_class", lambda v, _: "atypical enrichment"),
    "neurons.flipped": cell("neurons", "cos_gate_in", lambda v, _: -v),
    "neurons.four": without_row("sign_stats/layer=1/part-0.parquet"),
    "neurons.counts": cell("sign_stats", "count", lambda v, _: v + 1, neuron=2),
    "neurons.totals": cell("sign_stats", "n_zero", lambda v, _: v + 1, neuron=2),
    "sign_stats.combo": cell("sign_stats", "combo", lambda v, _: "gate-_in-"),
    "sign_stats.neuron": cell("sign_stats", "neuron", lambda v, _: 99),
    "sign_stats.n_tokens": cell("sign_stats", "n_tokens", lambda v, _: v - 1),
    "sign_stats.count": cell("sign_stats", "count", lambda v, _: -1),
    "sign_stats.frequency": cell("sign_stats", "frequency", lambda v, _: v + 1e-9, neuron=2),
    "sign_stats.mean_null": cell("sign_stats", "mean_act", lambda v, _: 1.0, count=0),
    "sign_stats.mean_sign": cell("sign_stats", "mean_in", lambda v, _: -v, neuron=2),
    "sign_stats.lists": cell("sign_stats", "count", lambda v, _: 0, neuron=2),
    "examples.combo": cell("examples", "combo", lambda v, _: "gate-_in-", **PEAK),
    "examples.ranking": cell("examples", "ranking", lambda v, _: "act", **PEAK),
    "examples.score": cell("examples", "score", lambda v, _: -v, **PEAK),
    "examples.score_value": cell("examples", "score", lambda v, _: v * 1.001, **PEAK),
    "examples.signs": cell("examples", "post_value", lambda v, _: -v, **PEAK),
    "examples.lengths": cell("examples", "in", lambda v, _: v[:-1], **PEAK),
    "examples.finite": cell("examples", "gate", lambda v, _: [*v[:-1], float("inf")], **PEAK),
    "examples.position": cell("examples", "position", lambda v, _: 0, **PEAK),
    "examples.window": cell("examples", "window_start", lambda v, _: v + 1, **PEAK),
    "examples.token_ids": cell("examples", "token_ids", lambda v, _: [*v[:-1], v[-1] + 1], **PEAK),
    "examples.peak_token": cell("examples", "peak_token", lambda v, _: v + 1, **PEAK),
    "examples.peak_values": cell("examples", "gate_value", lambda v, _: v * 2, **PEAK),
    "examples.n_duplicates": cell("examples", "n_duplicates", lambda v, _: -1, **PEAK),
    "ranks.rank": cell("examples", "rank", lambda v, _: 5, **(PEAK | {"rank": 2})),
    "ranks.order": cell("examples", "score", lambda v, _: 1e6, **(PEAK | {"rank": 1})),
    "lists.examples": same_example,
    "lists.duplicates": same_text,
    "lists.room": cell("examples", "n_duplicates", lambda v, _: 7, **PEAK),
    "lists.short": in_manifest(lambda m: m["config"]["scan"].update(k=4, spare=9)),
    "stored.order": swapped("neurons"),
    "layers.neurons": cell("layers", "n_flipped", lambda v, _: v + 1),
    "layers.classes": cell("layers", "n_depletion", lambda v, _: v + 1),
    "layers.medians": cell("layers", "median_cos_in_out", lambda v, _: v + 1e-6),
    "layers.quartiles": cell("layers", "q3_cos_gate_out", lambda v, _: v + 1e-6),
    "layers.randomness": cell("layers", "randomness_high", lambda v, _: None),
    "layers.mismatched": cell("layers", "mismatched_low_cos_in_out", lambda v, _: 0.5),
    "layers.mismatched_n_pairs": cell("layers", "mismatched_n_pairs", lambda v, _: 0),
    "layers.mismatched_error": cell("layers", "mismatched_error", lambda v, _: -1e-9),
    "weight_tokens.list": cell("weight_tokens", "matrix", lambda v, _: "embedding", weight="out"),
    "weight_tokens.rank": cell("weight_tokens", "rank", lambda v, _: 4, rank=3),
    "weight_tokens.score": cell("weight_tokens", "score", lambda v, _: float("nan"), rank=3),
    "weight_tokens.order": cell("weight_tokens", "score", lambda v, _: 9.0, rank=1, side="highest"),
    "weight_tokens.token_id": cell("weight_tokens", "token_id", lambda v, _: 33),
    "weight_lists.lists": without("weight_tokens", neuron=2, weight="out", side="lowest"),
    "weight_lists.length": without("weight_tokens", neuron=2, weight="out", rank=3),
    "weight_lists.tokens": lambda path: cell(
        "weight_tokens", "token_id", lambda v, row: first_token(path), rank=1
    )(path),
    "weight_lists.ends": lowered,
    "corpus.n_tokens": cell("corpus", "n_tokens", lambda v, _: v + 1),
    "corpus.max_length": in_manifest(lambda m: m["config"]["corpus"].update(max_length=5)),
    "corpus.input_ids": cell("corpus", "input_ids", lambda v, _: [*v[:-1], 10_000]),
    "corpus_ids.example_id": cell("corpus", "example_id", lambda v, _: 1),
    "vocab.token_id": without_row("vocab/part-00000.parquet"),
    "vocab.token": cell("vocab", "token", lambda v, _: None),
}


def test_every_invariant_is_seen_to_fail(made: Synthetic) -> None:
    assert {check.name for check in checks(made.path)} == set(DAMAGES)


@pytest.mark.parametrize("name", DAMAGES)
def test_fails_where_it_should(made: Synthetic, tmp_path: Path, name: str) -> None:
    shutil.copytree(made.path, tmp_path / "ds")
    DAMAGES[name](tmp_path / "ds")
    with open_dataset(tmp_path / "ds") as ds:
        check = next(check for check in check_invariants(ds) if check.name == name)
    assert check.n_violations >= len(check.violations) > 0
    assert all(0 < len(text) < 300 and "\n" not in text for text in check.violations)


UNGATED: dict[str, Any] = {"scan": False, "gated": False, "layers": (1,)}
LOW = cell("weight_tokens", "score", lambda v, _: -9.0, rank=1, side="lowest")
# What is wrong in some datasets only: their changes, the damage, the checks that fail.
OTHERS: dict[str, tuple[dict[str, Any], Damage, set[str]]] = {
    "lowest_fall": ({}, LOW, {"weight_tokens.order"}),
    "lowest_above_all": (
        {"scan": False},
        cell("weight_tokens", "score", lambda v, _: 9.0, rank=3, side="lowest"),
        {"weight_lists.ends"},
    ),
    "rank_is_null": (
        {},
        cell("weight_tokens", "rank", lambda v, _: None, rank=3),
        {"weight_tokens.rank", "stored.order"},
    ),
    "neuron_of_no_row": (
        {"scan": False, "layers": (1,)},
        cell("weight_tokens", "neuron", lambda v, _: 8, neuron=7, weight="out"),
        {"weight_tokens.rank", "weight_lists.lists", "weight_lists.length", "stored.order"},
    ),
    "no_lists_of_a_neuron": (
        {},
        without("weight_tokens", neuron=3),
        {"row_counts", "weight_lists.lists"},
    ),
    "unembedding_of_some": (
        {},
        without("weight_tokens", neuron=3, matrix="unembedding"),
        {"row_counts", "weight_lists.lists"},
    ),
    "unembedding_of_none_but_the_first": (
        {"matrices": ("embedding",)},
        cell("weight_tokens", "matrix", lambda v, _: "unembedding", neuron=0, rank=3),
        {"weight_tokens.rank", "weight_lists.lists", "weight_lists.length", "stored.order"},
    ),
    "embedding_of_some": (
        {},
        without("weight_tokens", neuron=3, matrix="embedding"),
        {"row_counts", "weight_lists.lists"},
    ),
    "embedding_of_all_but_a_layer": (
        {"layers": (0, 1)},
        without("weight_tokens", matrix="embedding"),
        {"row_counts", "weight_lists.lists"},
    ),
    "lists_without_k": (
        {"weight_k": 1},
        in_manifest(lambda m: m["config"]["weights"].update(k=0)),
        {"weight_tokens.rank", "weight_lists.lists", "weight_lists.length"},
    ),
    "another_threshold": (
        {"n_neurons": 40},
        in_manifest(lambda m: m["config"]["weights"].update(threshold=0.3)),
        {"neurons.class"},
    ),
    "gate_of_the_ungated": (
        UNGATED,
        cell("neurons", "cos_gate_in", lambda v, _: 0.3),
        {"neurons.gates"},
    ),
    "class_of_the_gated": (
        UNGATED,
        cell("neurons", "io_class", lambda v, _: "conditional depletion"),
        {"neurons.class_name", "neurons.class", "layers.classes"},
    ),
    "class_of_the_ungated": (
        UNGATED,
        cell("neurons", "cos_in_out", lambda v, _: -v, io_class="enrichment"),
        {"neurons.class", "layers.medians", "layers.quartiles"},
    ),
    "flip_of_the_ungated": (
        UNGATED,
        cell("neurons", "flipped", lambda v, _: True),
        {"neurons.flipped", "layers.neurons"},
    ),
    "median_of_the_ungated": (
        UNGATED,
        cell("layers", "median_cos_gate_in", lambda v, _: 0.1),
        {"layers.medians"},
    ),
    "interval_of_the_ungated": (
        UNGATED,
        cell("layers", "mismatched_high_cos_gate_in", lambda v, _: 0.1),
        {"layers.mismatched"},
    ),
    "lists_of_no_gate": (
        UNGATED,
        cell("weight_tokens", "weight", lambda v, _: "gate", rank=3),
        {"weight_tokens.list", "weight_tokens.rank", "weight_lists.lists", "weight_lists.length",
         "stored.order"},
    ),
    "interval_of_one_neuron": (
        {"n_neurons": 1},
        cell("layers", "mismatched_low_cos_in_out", lambda v, _: -0.1),
        {"layers.mismatched"},
    ),
    "pairs_of_one_neuron": (
        {"n_neurons": 1},
        cell("layers", "mismatched_n_pairs", lambda v, _: 1),
        {"layers.mismatched_n_pairs"},
    ),
    "no_interval": (
        {},
        cell("layers", "mismatched_high_cos_gate_out", lambda v, _: None),
        {"layers.mismatched"},
    ),
    "no_error": (
        {},
        cell("layers", "mismatched_error", lambda v, _: float("nan")),
        {"layers.mismatched_error"},
    ),
    "no_table_in_the_manifest": (
        {},
        in_manifest(lambda m: m["tables"].pop("weight_tokens")),
        {"manifest", "files"},
    ),
    "another_first_example": (
        {},
        in_manifest(lambda m: m["files"]["corpus"][1].update(first_example=1)),
        {"listing"},
    ),
    "no_threshold": (
        UNGATED,
        in_manifest(lambda m: m["config"]["weights"].pop("threshold")),
        {"manifest"},
    ),
    "not_told_whether_gated": ({}, in_manifest(lambda m: m["model"].pop("gated")), {"manifest"}),
    "scanned_tables_of_no_scan": (
        {},
        in_manifest(lambda m: m["config"]["scan"].update(name="none")),
        {"row_counts"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_fails_for_such_datasets(tmp_path: Path, name: str) -> None:
    changes, damage, wanted = OTHERS[name]
    write_synthetic(tmp_path / "ds", **({"layers": (0, 1)} | changes))
    damage(tmp_path / "ds")
    assert set(broken(tmp_path / "ds")) == wanted


def test_a_table_that_the_manifest_does_not_name(tmp_path: Path) -> None:
    path = write_synthetic(tmp_path / "ds", scan=False).path
    scanned = write_synthetic(tmp_path / "scanned").path
    shutil.copytree(scanned / "sign_stats", path / "sign_stats")
    assert broken(path)["files"].violations[0] == "sign_stats is no table that the manifest names"
    shutil.rmtree(path / "sign_stats")
    shutil.rmtree(path / "weight_tokens")
    assert broken(path)["files"].violations[0] == "weight_tokens has no part-*.parquet"


def test_the_tables_of_weights_alone_are_checked(tmp_path: Path) -> None:
    found = checks(write_synthetic(tmp_path / "ds", scan=False).path)
    assert {check.name.split(".")[0] for check in found} == {
        "manifest", "files", "schema", "row_counts", "row_groups", "listing", "partitions",
        "neurons", "stored", "layers", "weight_tokens", "weight_lists", "vocab",
    }  # fmt: skip


def test_violations_name_the_row(made: Synthetic, tmp_path: Path) -> None:
    shutil.copytree(made.path, tmp_path / "ds")
    DAMAGES["examples.peak_token"](tmp_path / "ds")
    assert broken(tmp_path / "ds")["examples.peak_token"].violations[0].startswith("1.1 gate")
    DAMAGES["layers.medians"](tmp_path / "ds")
    assert broken(tmp_path / "ds")["layers.medians"].violations == ("layer 1",)


def test_a_damaged_or_missing_file_is_a_violation(made: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "ds"
    shutil.copytree(made.path, path)
    part = path / "examples/layer=1/part-0.parquet"
    raw = bytearray(part.read_bytes())
    part.write_bytes(raw[:-1])
    with pytest.raises(GatescopeError, match=r"the table examples cannot be read .*; fetch or"):
        open_dataset(path)
    # The footer is whole, pages are not.
    raw[100:2000] = bytes(1900)
    part.write_bytes(raw)
    found = broken(path)
    assert "examples.readable" in found
    assert found["examples.readable"].violations
    part.unlink()
    assert broken(path)["files"].violations == (
        "examples has no part-*.parquet",
        "examples/layer=1/part-0.parquet is not there, and the manifest lists it",
    )
    shutil.move(path / "layers/layer=1", path / "layers/layer=2")
    assert {"layers has no layer=1", "neurons has no layer=2"} < set(
        broken(path)["files"].violations
    )


def test_numbers_of_violations_are_whole(made: Synthetic, tmp_path: Path) -> None:
    shutil.copytree(made.path, tmp_path / "ds")
    in_manifest(lambda m: m["config"]["scan"]["window"].update(before=2))(tmp_path / "ds")
    check = broken(tmp_path / "ds")["examples.window"]
    late = [e for e in made.tables["examples"] if e["position"] > 2]
    assert check.n_violations == len(late)
    assert len(check.violations) == 5
