"""Export for Neuronpedia: its columns and types, and numbers counted again by hand."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from hostile import MARKUP, PIECES, write_hostile
from partial import write_gaps, write_imported, write_without_texts
from synthetic import Synthetic, rewrite, write_synthetic
from transformers.activations import ACT2FN

from pipeline.activation import _FUNCTIONS, activation_of
from pipeline.errors import GatescopeError
from pipeline.hub.neuronpedia import model_id, neuronpedia_files
from pipeline.query import open_dataset

# The columns of their dataclasses by type; none may be missing, null unless marked, or another.
_TYPES: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "flag": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, float | int) and not isinstance(value, bool),
}
_SCHEMAS = {
    "release": """
        name:text description:text creatorName:text creatorId:text visibility:text isNewUi:flag
        featured:flag descriptionShort:text? urls:text* creatorEmail:text? creatorNameShort:text?
        defaultSourceSetName:text? defaultSourceId:text? defaultUmapSourceIds:text* createdAt:text
    """,
    "model": """
        id:text instruct:flag creatorId:text displayNameShort:text displayName:text tlensId:text?
        dimension:int? visibility:text defaultSourceSetName:text? defaultSourceId:text?
        inferenceEnabled:flag layers:int neuronsPerLayer:int createdAt:text owner:text
        updatedAt:text website:text?
    """,
    "sourceset": """
        modelId:text name:text creatorId:text hasDashboards:flag visibility:text description:text
        type:text creatorName:text urls:text* creatorEmail:text? releaseName:text?
        defaultOfModelId:text? defaultRange:int defaultShowBreaks:flag showDfa:flag
        showCorrelated:flag showHeadAttribution:flag showUmap:flag createdAt:text
    """,
    "source": """
        id:text modelId:text setName:text creatorId:text hasDashboards:flag inferenceEnabled:flag
        inferenceHosts:text* saelensConfig:text? saelensRelease:text? saelensSaeId:text?
        hfRepoId:text? hfFolderId:text? visibility:text defaultOfModelId:text? hasUmap:flag
        hasUmapLogSparsity:flag hasUmapClusters:flag num_prompts:int? num_tokens_in_prompt:int?
        dataset:text? notes:text? createdAt:text
    """,
    "features": """
        modelId:text layer:text index:text creatorId:text? createdAt:text maxActApprox:float?
        hasVector:flag vector:float* vectorLabel:text? vectorDefaultSteerStrength:float?
        hookName:text? topkCosSimIndices:int* topkCosSimValues:float* neuron_alignment_indices:int*
        neuron_alignment_values:float* neuron_alignment_l1:float* correlated_neurons_indices:int*
        correlated_neurons_pearson:float* correlated_neurons_l1:float*
        correlated_features_indices:int* correlated_features_pearson:float*
        correlated_features_l1:float* neg_str:text* neg_values:float* pos_str:text*
        pos_values:float* frac_nonzero:float freq_hist_data_bar_heights:float*
        freq_hist_data_bar_values:float* logits_hist_data_bar_heights:float*
        logits_hist_data_bar_values:float* decoder_weights_dist:float* sourceSetName:text?
    """,
    "activations": """
        id:text tokens:text* index:text layer:text modelId:text maxValue:float
        maxValueTokenIndex:int minValue:float values:float* creatorId:text dataSource:text?
        dataIndex:text? dfaValues:float* dfaTargetIndex:int? dfaMaxValue:float? createdAt:text
        lossValues:float* logitContributions:text? binMin:float? binMax:float? binContains:float?
        qualifyingTokenIndex:int? zIndices:int*? zValues:float*?
    """,
}
SCHEMAS = {
    kind: dict(column.split(":") for column in columns.split())
    for kind, columns in _SCHEMAS.items()
}
Files = dict[str, list[dict[str, Any]]]


def is_of(value: Any, type_: str) -> bool:
    """Whether a value is of a type: `?` may be null, `*` is a list."""
    if type_.endswith("?"):
        return value is None or is_of(value, type_[:-1])
    if type_.endswith("*"):
        return isinstance(value, list) and all(is_of(one, type_[:-1]) for one in value)
    return _TYPES[type_](value)


def require_valid(files: Files) -> None:
    """What their importer and pages rely on, of every row."""
    ids = []
    for path, rows in files.items():
        model, source, *_ = path.split("/")
        kind = path.split("/")[2].removesuffix(".jsonl")
        for row in rows:
            assert row.keys() == SCHEMAS[kind].keys(), path
            wrong = [name for name, type_ in SCHEMAS[kind].items() if not is_of(row[name], type_)]
            assert not wrong, (path, wrong)
            datetime.fromisoformat(row["createdAt"])
            if kind in ("features", "activations"):
                assert (row["modelId"], row["layer"]) == (model, source)
            if kind == "features":
                assert 0 <= row["frac_nonzero"] <= 1
                assert len(row["pos_str"]) == len(row["pos_values"])
                assert len(row["neg_str"]) == len(row["neg_values"])
            if kind == "activations":
                values = row["values"]
                ids.append(row["id"])
                assert len(row["tokens"]) == len(values) > 0
                assert values[row["maxValueTokenIndex"]] == row["maxValue"] == max(values)
                assert row["minValue"] == min(values) >= 0
    assert len(set(ids)) == len(ids) > 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("np") / "ds", n_neurons=7, seed=4)


def exported(dataset: Path, **options: Any) -> Files:
    """The rows of every file by its path."""
    return {
        path: [
            json.loads(line, parse_constant=pytest.fail)
            for line in (gzip.decompress(data) if path.endswith(".gz") else data).splitlines()
        ]
        for path, data in files_of(dataset, **options).items()
    }


def files_of(dataset: Path, **options: Any) -> dict[str, bytes]:
    with open_dataset(dataset) as opened:
        return dict(neuronpedia_files(opened, **options))


def of(files: Files, kind: str) -> list[dict[str, Any]]:
    """The rows of all files of a kind."""
    return [row for path, rows in files.items() if f"/{kind}" in path for row in rows]


def test_every_row_is_what_the_importer_takes(made: Synthetic) -> None:
    files = exported(made.path, batch=3)
    assert len(files) == 2 * 4 * (4 + 2 * 3)  # layers, combinations, batches
    assert {path.split("/")[0] for path in files} == {"synthetic"}
    require_valid(files)
    n_lists = sum(entry["ranking"] == "post" for entry in made.tables["examples"])
    assert len(of(files, "activations/")) == n_lists
    assert len(of(files, "features/")) == 2 * 4 * 7


def test_the_same_bytes_again_and_the_same_rows_in_other_batches(made: Synthetic) -> None:
    first = files_of(made.path, batch=3)
    assert first == files_of(made.path, batch=3)
    for kind in ("features/", "activations/"):
        split, whole = (
            sorted(of(exported(made.path, batch=n), kind), key=json.dumps) for n in (3, 100)
        )
        assert split == whole


def test_numbers_counted_again(made: Synthetic) -> None:
    files = exported(made.path, neurons=[(1, 5), (1, 2)])
    features = {
        (row["layer"], row["index"]): row
        for path, rows in files.items()
        if "/features/" in path
        for row in rows
    }
    assert {index for _, index in features} == {"2", "5"}
    words = {1: "pos", -1: "neg"}
    vocab = {
        row["token_id"]: row["bytes"].decode() if row["bytes"] else row["token"]
        for row in made.tables["vocab"]
    }
    n_checked = 0
    for stats in made.tables["sign_stats"]:
        if (stats["layer"], stats["neuron"]) not in ((1, 5), (1, 2)):
            continue
        signs = stats["gate_sign"], stats["in_sign"]
        source = f"1-gatescope-gate-{words[signs[0]]}-in-{words[signs[1]]}"
        feature = features[source, str(stats["neuron"])]
        assert feature["frac_nonzero"] == stats["frequency"]
        assert feature["hookName"] == "blocks.1.mlp.hook_post"
        entries = [
            entry
            for entry in made.tables["examples"]
            if (entry["layer"], entry["neuron"], entry["combo"], entry["ranking"])
            == (1, stats["neuron"], stats["combo"], "post")
        ]
        rows = [
            row
            for row in files[f"synthetic/{source}/activations/batch-0.jsonl.gz"]
            if row["index"] == str(stats["neuron"])
        ]
        assert len(rows) == len(entries)
        best = max((entry["score"] for entry in entries), default=0)
        assert feature["maxActApprox"] == pytest.approx(best, rel=1e-5)
        for row, entry in zip(rows, sorted(entries, key=lambda e: e["rank"]), strict=True):
            gate = torch.tensor(entry["gate"], dtype=torch.float64)
            in_ = torch.tensor(entry["in"], dtype=torch.float64)
            post = (torch.nn.functional.silu(gate) * in_).abs()
            inside = (gate.sign() == signs[0]) & (in_.sign() == signs[1])
            inside &= torch.arange(len(gate)) + entry["window_start"] > 0  # the BOS is left out
            assert row["values"] == pytest.approx((post * inside).tolist(), rel=1e-5, abs=1e-9)
            assert row["tokens"] == [vocab[token_id] for token_id in entry["token_ids"]]
            assert row["maxValue"] == pytest.approx(entry["score"], rel=1e-5)
            n_checked += 1
        # Where post is negative the neuron writes against its w_out.
        sign = signs[0] * signs[1]
        sides = ("highest", "lowest") if sign > 0 else ("lowest", "highest")
        for name, side in zip(("pos", "neg"), sides, strict=True):
            logits = [
                (vocab[row["token_id"]], sign * row["score"])
                for row in made.tables["weight_tokens"]
                if (row["layer"], row["neuron"], row["weight"], row["matrix"], row["side"])
                == (1, stats["neuron"], "out", "unembedding", side)
            ]
            assert feature[f"{name}_str"] == [token for token, _ in logits]
            scores = [score for _, score in logits]
            assert feature[f"{name}_values"] == pytest.approx(scores, rel=1e-5)
    assert n_checked > 10


@pytest.mark.parametrize("skip_bos", [True, False])
def test_a_position_that_was_left_out_has_no_activation(tmp_path: Path, skip_bos: bool) -> None:
    made = write_synthetic(tmp_path / "ds", n_neurons=4, skip_bos=skip_bos)
    with open_dataset(made.path) as opened:
        # In the order of the rows of a batch.
        starts = opened.sql(
            "select window_start from examples where ranking = 'post' "
            "order by layer, gate_sign desc, in_sign desc, neuron, rank"
        ).fetchall()
    rows = of(exported(made.path), "activations/")
    at_bos = [row["values"][0] for row, (start,) in zip(rows, starts, strict=True) if start == 0]
    assert len(at_bos) > 10
    assert any(at_bos) != skip_bos


def test_the_sign_of_post_where_act_is_never_negative(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "ds", layers=(0,), n_neurons=2)

    def sigmoid(table: pa.Table) -> pa.Table:
        rows = table.to_pylist()
        for row in rows:
            act = 1 / (1 + math.exp(-row["gate_value"]))
            row["post_value"] = act * row["in_value"]
        return pa.Table.from_pylist(rows, schema=table.schema)

    rewrite(made.path / "examples/layer=0/part-0.parquet", sigmoid)
    change_manifest(made.path, lambda manifest: manifest["model"].update(act_fn="sigmoid"))
    by_source = {(row["layer"], row["index"]): row for row in of(exported(made.path), "features/")}
    highest = [
        row["score"]
        for row in made.tables["weight_tokens"]
        if (row["neuron"], row["weight"], row["matrix"], row["side"])
        == (1, "out", "unembedding", "highest")
    ]
    for gate in ("pos", "neg"):
        of_pos, of_neg = (by_source[f"0-gatescope-gate-{gate}-in-{i}", "1"] for i in ("pos", "neg"))
        assert of_pos["pos_values"] == pytest.approx(highest, rel=1e-5)
        assert of_neg["neg_values"] == pytest.approx([-score for score in highest], rel=1e-5)


def test_hostile_texts_stay_what_they_are(tmp_path: Path) -> None:
    path = write_hostile(tmp_path / "hostile")
    with open_dataset(path) as opened:
        rows = opened.sql("select token_id, token, bytes from vocab").fetchall()
        entries = opened.sql(
            "select token_ids from examples where ranking = 'post' "
            "order by layer, gate_sign desc, in_sign desc, neuron, rank"
        ).fetchall()
    n_pieces = 0
    texts = {}
    for token_id, token, raw in rows:
        texts[token_id] = token
        try:
            texts[token_id] = bytes(raw or b"").decode() or token
        except UnicodeDecodeError:
            n_pieces += 1
    assert n_pieces == len(PIECES)
    files = exported(path)
    require_valid(files)
    found = [row["tokens"] for row in of(files, "activations/")]
    assert found == [[texts[token_id] for token_id in ids] for (ids,) in entries]
    seen = {token for tokens in found for token in tokens}
    assert len(seen & set(MARKUP)) > 15
    assert {path.split("/")[0] for path in files} == {"img-src-x-onerror-window.broken-10"}


def test_whether_it_is_refused_does_not_depend_on_the_neurons(tmp_path: Path) -> None:
    """One with a post that is not that of its gate, among many that have it."""
    path = write_hostile(tmp_path / "hostile")
    whole = of(exported(path), "features/")
    alone = of(exported(path, neurons=[(0, 4)]), "features/")
    assert alone == [r for r in whole if r["index"] == "4" and r["layer"].startswith("0-")]
    assert len(exported(path, batch=1)) == 2 * 4 * (4 + 2 * 12)


def test_what_an_import_could_not_fill_has_no_activation_row(tmp_path: Path) -> None:
    made = write_imported(tmp_path / "ds", corpus=True, n_unfilled=40)
    files = exported(made.path)
    require_valid(files)
    with open_dataset(made.path) as opened:
        ((n_lists, n_windows),) = opened.sql(
            "select count(*), count(token_ids) from examples where ranking = 'post'"
        ).fetchall()
        best = dict(
            opened.sql(
                "select neuron, max(score) from examples "
                "where ranking = 'post' and layer = 0 and combo = 'gate-_in-' group by neuron"
            ).fetchall()
        )
    assert n_windows < n_lists
    assert len(of(files, "activations/")) == n_windows
    # The best score is known, with a window or without: of neuron 0 there is none.
    features = files["synthetic/0-gatescope-gate-neg-in-neg/features/batch-0.jsonl.gz"]
    assert best[0] > 0
    for row in features:
        assert row["maxActApprox"] == pytest.approx(best.get(int(row["index"]), 0), rel=1e-5)


def test_a_frequency_that_is_not_known_is_0(tmp_path: Path) -> None:
    made = write_gaps(tmp_path / "ds", n_gaps=3)
    files = exported(made.path)
    require_valid(files)
    known = {row["index"]: row["frac_nonzero"] > 0 for row in of(files, "features/")}
    assert known == {str(neuron): neuron != 3 for neuron in range(8)}


def test_without_texts_the_windows_are_exported(tmp_path: Path) -> None:
    whole = write_synthetic(tmp_path / "whole")
    without = write_without_texts(tmp_path / "without")
    assert files_of(without.path) == files_of(whole.path)


@pytest.mark.parametrize("name", sorted(_FUNCTIONS))
def test_activation_functions_are_those_of_transformers(name: str) -> None:
    x = torch.linspace(-9, 9, 181, dtype=torch.float64)
    function = activation_of(name)
    assert function is not None
    wanted = torch.relu(x) ** 2 if name == "relu^2" else ACT2FN[name](x)
    assert np.allclose(function(x.numpy()), wanted.numpy(), rtol=1e-6, atol=1e-6)


def test_names_of_models() -> None:
    assert model_id("allenai/OLMo-7B-0424-hf") == "olmo-7b-0424-hf"
    assert model_id("/some/where/a b?/") == "a-b"
    assert model_id(None) == model_id("///") == "model"


def change_manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = path / "manifest.json"
    manifest = json.loads(file.read_text("utf-8"))
    change(manifest)
    file.write_text(json.dumps(manifest), encoding="utf-8")


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    weights = write_synthetic(tmp_path / "weights", n_neurons=3, scan=False)
    with pytest.raises(GatescopeError, match=r"has no examples .*; give a dataset of a scan"):
        exported(weights.path)
    by_in = write_synthetic(tmp_path / "by_in", n_neurons=3, rankings=("in",))
    with pytest.raises(GatescopeError, match=r"has no lists by post; scan with post"):
        exported(by_in.path)
    imported = write_imported(tmp_path / "imported", corpus=True)
    with pytest.raises(GatescopeError, match=r"has no windows .* or import with --model"):
        exported(imported.path)
    other = write_synthetic(tmp_path / "other", n_neurons=3)
    change_manifest(other.path, lambda manifest: manifest["model"].update(act_fn="swoosh"))
    with pytest.raises(GatescopeError, match=r"the activation function swoosh of .* is not known"):
        exported(other.path)


def test_a_post_that_is_not_that_of_the_window(tmp_path: Path) -> None:
    """As where a model scales its gate, which no name of a function tells."""
    made = write_synthetic(tmp_path / "ds", n_neurons=3)
    change_manifest(made.path, lambda manifest: manifest["model"].update(act_fn="gelu"))
    with pytest.raises(GatescopeError, match=r"is not the post that was stored, at \d+% of the pe"):
        exported(made.path)
