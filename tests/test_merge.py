"""The merge of several workers' snapshots, and how its files are laid out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from synthetic_dataset import Size, make_corpus
from synthetic_dataset import _Example as SourceExample
from tiny_models import ARCHITECTURES, D_MLP, D_VOCAB, build, info_of

from pipeline.model.hook import hook_model
from pipeline.naming import COMBOS, RANKINGS
from pipeline.reduce import LayerState
from pipeline.scan import Scanner, ScanSettings
from pipeline.schema import CORPUS_COLUMNS, EXAMPLES
from pipeline.store import (
    CorpusReader,
    MergeSettings,
    Place,
    TokenIndex,
    commit_snapshot,
    committed_snapshots,
    merge_layer,
    write_corpus,
    write_snapshot,
)
from pipeline.store import merge as merge_module

_K = 3
_SCAN = ScanSettings(_K, 2, RANKINGS, 3, 2, skip_bos=True, tokens_per_batch=64, seed=0)
_NEURONS_A_GROUP = 7


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The tables of one layer, merged from one snapshot and from three of some units each."""
    hf_model = build(ARCHITECTURES["llama"])
    model = hook_model(hf_model, info_of(hf_model))
    size = Size(examples=500, max_length=20, vocabulary=D_VOCAB)
    folders = []
    for n_workers in (1, 3):
        folder = tmp_path_factory.mktemp("merge")
        place = Place(folder)
        corpus = make_corpus(place, size)
        scanners = [Scanner(model, _SCAN, LayerState.update) for _ in range(n_workers)]
        with CorpusReader(place) as reader:
            for unit in corpus.units:
                scanners[unit.unit_id % n_workers].scan(
                    unit.unit_id, reader.read(unit), lambda n_tokens: None
                )
        for number, scanner in enumerate(scanners):
            commit_snapshot(
                place,
                write_snapshot(place, f"worker-{number}", 1, scanner.units, scanner.states),
            )
        flipped = np.arange(D_MLP) % 3 == 0
        settings = MergeSettings(_K, dedupe=True, act_fn=model.act_fns[1])
        with pytest.MonkeyPatch.context() as patch, TokenIndex(place, corpus) as tokens:
            group = _NEURONS_A_GROUP * len(COMBOS) * len(RANKINGS) * _K
            patch.setattr(merge_module, "ENTRIES_PER_GROUP", group)
            snapshots = committed_snapshots(place)
            assert len(snapshots) == n_workers
            state = _SCAN.state(model, 1)
            merge_layer(place, snapshots, 1, state, settings, flipped, tokens)
        folders.append(folder)
    return folders


def _file(folder: Path, table: str) -> pq.ParquetFile:
    return pq.ParquetFile(folder / table / "layer=1" / "part-0.parquet")


def test_any_split_over_workers_gives_the_same_tables(merged: list[Path]) -> None:
    one, three = (_file(folder, "examples").read() for folder in merged)
    assert one.num_rows > D_MLP * _K * len(RANKINGS)
    assert one.equals(three)
    one, three = (_file(folder, "sign_stats").read().to_pandas() for folder in merged)
    assert len(one) == D_MLP * len(COMBOS)
    for column in one.columns:
        if column.startswith("mean_"):
            np.testing.assert_allclose(one[column], three[column], rtol=1e-12, atol=1e-12)
        else:
            assert one[column].equals(three[column]), column


def test_row_groups_hold_whole_neurons(merged: list[Path]) -> None:
    file = _file(merged[0], "examples")
    neurons = [
        set(file.read_row_group(g, columns=["neuron"])["neuron"].to_pylist())
        for g in range(file.num_row_groups)
    ]
    assert sorted(n for group in neurons for n in group) == list(range(D_MLP))
    assert max(map(len, neurons)) == _NEURONS_A_GROUP


@pytest.mark.parametrize("table", ["examples", "sign_stats"])
def test_columns_are_stored_as_the_design_says(merged: list[Path], table: str) -> None:
    group = _file(merged[0], table).metadata.row_group(0)
    for c in range(group.num_columns):
        column = group.column(c)
        assert column.compression == "ZSTD"
        if column.physical_type in ("FLOAT", "DOUBLE"):
            assert "BYTE_STREAM_SPLIT" in column.encodings
        if table == "sign_stats" or column.path_in_schema in ("layer", "neuron"):
            assert column.statistics.has_min_max
        assert column.has_offset_index


@pytest.mark.parametrize("kind", ["string", "int64", "float64", "bool"])
def test_a_source_may_name_its_columns_as_examples_does(tmp_path: Path, kind: str) -> None:
    names = [name for name in EXAMPLES.names if name not in CORPUS_COLUMNS]
    value = {"string": "judge", "int64": 7, "float64": 0.5, "bool": True}[kind]
    example = SourceExample(np.array([1, 2]), "a b", dict.fromkeys(names, value))
    write_corpus(Place(tmp_path), iter([[example]]), dict.fromkeys(names, kind))
    (part,) = (tmp_path / "corpus").iterdir()
    row = pq.read_table(part).to_pylist()[0]
    assert {row[name] for name in names} == {value}
