"""The restated original of the benchmark gives what Gatescope gives: it does the same work."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import against_the_original as benchmark
import pytest
import torch
from datasets_compared import table_of
from rich.console import Console
from tiny_models import ARCHITECTURES, D_MLP, D_VOCAB, N_LAYERS, build, save

from pipeline.config import compose_config
from pipeline.naming import COMBO_NAMES
from pipeline.run import run

_N_TEXTS = 24


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path, int]:
    """(the original's result, Gatescope's dataset, the tokens of their texts)."""
    folder = tmp_path_factory.mktemp("original")
    hf_model = build(ARCHITECTURES["llama"])
    save(hf_model, folder / "model")
    draw = torch.Generator().manual_seed(1)
    lengths = torch.randint(1, 30, (_N_TEXTS,), generator=draw).tolist()
    rows = [torch.randint(3, D_VOCAB, (n,), generator=draw).tolist() for n in lengths]
    corpus = folder / "ids.jsonl"
    corpus.write_text("".join(json.dumps({"input_ids": ids}) + "\n" for ids in rows))
    settings = ["experiment=gluscope", "scan.canonical_signs=false", "corpus=tokenized"]
    settings += [f"model.name={folder / 'model'}", f"corpus.path={corpus}"]
    config = compose_config([*settings, f"output={folder / 'dataset'}"])
    run(config, Console(file=io.StringIO()))

    model, act_fn = benchmark.hook(hf_model)
    original = benchmark.Original()
    for example_id, ids in enumerate(rows):
        original.add(model, act_fn, torch.tensor([ids]), example_id)
    return original, folder / "dataset", sum(lengths)


def test_counts_and_sums(both: tuple[Any, Path, int]) -> None:
    original, dataset, n_tokens = both
    rows = table_of(dataset, "sign_stats").to_pylist()
    assert len(rows) == N_LAYERS * D_MLP * len(COMBO_NAMES)
    for row in rows:
        at = row["layer"], row["neuron"]
        assert row["n_tokens"] == n_tokens
        assert row["count"] == original.counts[row["combo"]][at]
        for quantity in benchmark.QUANTITIES:
            total = float(original.sums[row["combo"], quantity][at])
            mean = row[f"mean_{quantity}"] or 0.0
            assert total == pytest.approx(mean * row["count"], rel=1e-4, abs=1e-4)


def test_best_examples(both: tuple[Any, Path, int]) -> None:
    original, dataset, _ = both
    lists: dict[tuple[Any, ...], list[tuple[float, int]]] = {}
    for row in table_of(dataset, "examples").to_pylist():
        key = row["layer"], row["neuron"], row["combo"], row["ranking"]
        lists.setdefault(key, []).append((row["score"], row["example_id"]))
    assert max(map(len, lists.values())) == benchmark.K  # some lists are cut
    assert min(map(len, lists.values())) < benchmark.K
    for layer in range(N_LAYERS):
        for neuron in range(D_MLP):
            for combo in COMBO_NAMES:
                for ranking in ("post", "in", "gate"):
                    scores, ids = original.best[combo, ranking]
                    pairs = zip(
                        scores[:, layer, neuron].tolist(),
                        ids[:, layer, neuron].tolist(),
                        strict=True,
                    )
                    got = [pair for pair in pairs if pair[0] > 0]
                    wanted = lists.get((layer, neuron, combo, ranking), [])
                    assert [s for s, _ in got] == pytest.approx([s for s, _ in wanted], abs=1e-4)
                    clear = [s for s, _ in wanted]
                    for place, (score, example_id) in enumerate(wanted):
                        others = [abs(score - s) for i, s in enumerate(clear) if i != place]
                        # The last of a full list may tie with what is not on it.
                        last = place == benchmark.K - 1
                        if not last and min(others, default=1.0) > 1e-4:
                            assert got[place][1] == example_id


def test_one_json_line(capsys: pytest.CaptureFixture[str]) -> None:
    shape = ["--random-llama", "32", "2", "40", "4"]
    assert benchmark.main([*shape, "--max-examples", "2", "--only-original"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    original = found["original"]
    assert original["examples"] == 2
    assert 512 <= original["tokens"] <= 1024
    assert original["seconds"] == pytest.approx(sum(original["parts_s"].values()), abs=0.01)
    assert original["bare_forward_tokens_per_s"] > 0
    assert "gatescope" not in found


def test_what_is_absent_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        benchmark.main([str(tmp_path / "nowhere"), "random"])
    assert ended.value.code == 2
    assert "nowhere" in capsys.readouterr().err
