"""The arithmetic and the simulation of benchmarks/paper_scale.py, and the page about them."""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import paper_scale
import pytest
import torch
from paper_scale import DEFAULTS, LLAMA_70B, MODELS, OLMO_7B, Assumptions, Failing, Shape, failing
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.integrations import accelerate as spreading

from pipeline.config import compose_config
from pipeline.model import GatedModel, ModelWeights
from pipeline.scan import memory
from pipeline.scan.driver import Driver, _Desk

PAGE = Path(__file__).parents[1] / "benchmarks" / "paper_scale.md"
GIVEN = Assumptions()
NEVER_S = 1e15


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    return paper_scale.records(GIVEN)


@pytest.fixture(scope="module")
def rule(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if record["what"] == "paper_scale_rule"]


def readme() -> str:
    whole = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    return whole.split("\n### At the papers' scale\n")[1].split("\n## ")[0]


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


# One model, by hand.


def test_parameters_and_weights() -> None:
    layer = 2 * 8192 * 8192 + 2 * 8192 * 1024 + 3 * 8192 * 28672
    assert LLAMA_70B.layer_parameters == layer == 855_638_016
    assert LLAMA_70B.parameters == 80 * layer + 2 * 128256 * 8192 == 70_552_387_584
    assert paper_scale.weights_gib(LLAMA_70B) == pytest.approx(141.105e9 / 2**30, rel=1e-4)
    assert OLMO_7B.parameters == pytest.approx(6.888e9, rel=1e-3)


def test_state() -> None:
    # 16 lists of 32 entries: a key of 8 bytes, a position of 4, two windows of 64 values of 2.
    a_neuron = 16 * (32 * (8 + 4 + 2 * 64 * 2) + 8) + 168
    assert a_neuron == 137_512
    gib = (28672 * a_neuron + 8) / 2**30
    assert paper_scale.layer_state_gib(LLAMA_70B) == gib
    assert paper_scale.state_gib(LLAMA_70B) == pytest.approx(80 * gib)
    no_spare = (28672 * (12 * (16 * 268 + 8) + 168) + 8) / 2**30
    gluscope = paper_scale.SCANS["experiment=gluscope"]
    assert paper_scale.layer_state_gib(LLAMA_70B, gluscope) == no_spare


def test_flops() -> None:
    by_hand = 80 * (2 * 855_638_016 + 4 * 8192 * 512)
    assert paper_scale.flops_per_token(LLAMA_70B) == by_hand == 138_244_259_840


def test_rows_and_bytes() -> None:
    assert paper_scale.example_rows(OLMO_7B) == 352_256 * 16 * 16
    gib = (352_256 * 256 * 267 + 1e9 * 6) / 2**30
    assert paper_scale.dataset_gib(OLMO_7B) == pytest.approx(gib)


def test_settings_are_those_of_the_package() -> None:
    assert compose_config([]).scan == DEFAULTS
    composed = compose_config(["experiment=gluscope"]).scan
    assert paper_scale.SCANS["experiment=gluscope"] == composed


# What fits.


@pytest.mark.parametrize("shape", MODELS, ids=lambda shape: shape.name)
def test_layers_lie_where_transformers_puts_them(
    shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = LlamaConfig(
        hidden_size=shape.d_model,
        num_hidden_layers=shape.n_layers,
        intermediate_size=shape.d_mlp,
        num_attention_heads=shape.n_heads,
        num_key_value_heads=shape.n_kv_heads,
        vocab_size=shape.d_vocab,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    # It would ask the devices, which are not here.
    monkeypatch.setattr(spreading, "get_max_memory", dict)
    for n_gpus in (2, 4, 7, 8):
        free: dict[int | str, int] = dict.fromkeys(range(n_gpus), 78 * 2**30)
        blocks = model._no_split_modules
        free = spreading.get_balanced_memory(model, {**free, "cpu": 2**40}, blocks)
        placed = spreading.infer_auto_device_map(model, free, blocks)
        layers = Counter(gpu for name, gpu in placed.items() if name.startswith("model.layers."))
        expected = [layers[gpu] for gpu in range(n_gpus)]
        assert paper_scale.layers_by_gpu(shape, n_gpus) == expected
        assert sum(paper_scale.weights_by_gpu(shape, n_gpus)) == pytest.approx(
            paper_scale.weights_gib(shape)
        )


def stand_in(shape: Shape) -> GatedModel:
    """A model of that shape, as far as memory is concerned."""
    hook = SimpleNamespace(add_hook=lambda hook: None)
    down = torch.nn.Linear(shape.d_mlp, shape.d_model, bias=False, device="meta")
    out = SimpleNamespace(original_component=down)
    mlp = SimpleNamespace(out=out, W_out=down.weight, hook_pre=hook, hook_pre_linear=hook)
    nothing = torch.nn.Module()
    return GatedModel(
        name=shape.name,
        revision=None,
        body=torch.nn.Module(),
        weights=ModelWeights([mlp], gated=True, embedding=nothing, unembedding=None),
        layers=(0,),
        act_fns=[],
        act_fn_name="silu",
        architecture="",
        attention="sdpa",
        d_vocab=shape.d_vocab,
        max_positions=None,
        dtype=torch.bfloat16,
        device=torch.device("cuda"),
    )


@pytest.mark.parametrize("shape", MODELS, ids=lambda shape: shape.name)
def test_batches_are_those_of_the_package(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    model = stand_in(shape)
    assert paper_scale.batch_gib(shape, 4096) == memory.batch_bytes(model, 4096) / 2**30
    for room_gib in (0.0, 1.0, 3.0, 9.0, 20.0, 70.0):
        monkeypatch.setattr(memory, "free_bytes", lambda device, gib=room_gib: int(gib * 2**30))
        chosen = memory.choose_tokens_per_batch(model, Counter())
        expected = chosen if chosen >= paper_scale.EXAMPLE_TOKENS else 0
        assert paper_scale.tokens_per_batch(shape, room_gib) == expected


def test_what_fits() -> None:
    on_8 = paper_scale.fit(LLAMA_70B, 8, DEFAULTS, GIVEN)
    assert on_8.layers == 11
    a_layer = 855_638_016 * 2 / 2**30 + paper_scale.layer_state_gib(LLAMA_70B)
    assert on_8.gib == pytest.approx(11 * a_layer)
    assert on_8.n_scanned == 80
    # No setting helps a single GPU: the weights are larger than it is.
    for scan in paper_scale.SCANS.values():
        alone = paper_scale.fit(LLAMA_70B, 1, scan, GIVEN)
        assert (alone.batch, alone.n_scanned) == (0, 0)
    assert paper_scale.scan_on(LLAMA_70B, 1, GIVEN) is None
    assert paper_scale.gpus_needed(LLAMA_70B, DEFAULTS, GIVEN) == 7
    assert paper_scale.gpus_needed(OLMO_7B, DEFAULTS, GIVEN) == 1
    assert paper_scale.gpus_needed(LLAMA_70B, DEFAULTS, Assumptions(gpu_gib=16)) is None


# A scan.


def test_scan_on_64_gpus() -> None:
    on_8, on_64 = (paper_scale.scan_on(LLAMA_70B, n, GIVEN) for n in (8, 64))
    assert on_8 is not None
    assert on_64 is not None
    assert (on_8.n_workers, on_64.n_workers, on_64.gpus_a_worker) == (1, 8, 8)
    by_hand = 1e9 * 138_244_259_840 / (0.4 * 989e12) / 3600
    assert on_8.scan_h == pytest.approx(by_hand, rel=1e-3)
    assert on_64.scan_h == pytest.approx(by_hand / 8, rel=1e-2)
    state = paper_scale.state_gib(LLAMA_70B)
    assert on_8.snapshot_s == pytest.approx(state / 2 + state * 1.6 / 2.1)
    assert on_64.snapshots_gib == pytest.approx(2 * 8 * state)
    assert on_64.written_gib == pytest.approx(on_64.n_snapshots * 8 * state)
    assert on_64.merge_read_gib == pytest.approx(8 * state)
    assert on_64.corpus_read_gib == pytest.approx(9 * 6e9 / 2**30)


def test_snapshots_of_a_scan() -> None:
    # After 300 s and from then on every 20 x 30 s: at 300, 900, 1500 and the end.
    assert paper_scale.n_snapshots(2000, 10, 30) == 4
    assert paper_scale.n_snapshots(250, 10, 30) == 1
    # Units of 400 s: the first falls due within the first, the next ones within each second.
    assert paper_scale.n_snapshots(2000, 400, 30) == 3


@pytest.mark.parametrize("snapshot_s", [0.0, 1.0, 14.0, 16.0, 160.0])
def test_interval_is_that_of_the_driver(snapshot_s: float) -> None:
    driver: Any = SimpleNamespace(_every_s=None)
    every_s = paper_scale.every_s(snapshot_s)
    for part, is_due in ((0.97, False), (1.03, True)):
        last = time.monotonic() - part * every_s
        assert Driver._is_due(driver, _Desk(last_snapshot=last, snapshot_s=snapshot_s)) is is_due


# Failures.


def lost_exactly(worker: Failing, first_s: float, next_s: float) -> float:
    """The expectation of what `lost_share` simulates: lives are exponential, cycles a series."""
    first, later = (paper_scale.whole_units(s, worker.unit_s) for s in (first_s, next_s))
    reaches_first = math.exp(-(worker.restart_s + first + worker.snapshot_s) / worker.mtbf_s)
    others = 1 / math.expm1((later + worker.snapshot_s) / worker.mtbf_s)
    return 1 - reaches_first * (first + later * others) / worker.mtbf_s


@pytest.mark.parametrize("snapshot_s", paper_scale.SNAPSHOT_S)
@pytest.mark.parametrize("mtbf_s", paper_scale.MTBF_S.values())
def test_simulation_agrees_with_its_expectation(mtbf_s: float, snapshot_s: float) -> None:
    worker = failing(mtbf_s, snapshot_s)
    for first_s, next_s in ((30, 30), (300, 1234), (300, 7200)):
        lost = paper_scale.lost_share(worker, first_s, next_s)
        assert lost == pytest.approx(lost_exactly(worker, first_s, next_s), abs=0.006)


@pytest.mark.parametrize(("mtbf_s", "snapshot_s"), [(21600, 1), (86400, 5), (604800, 15)])
def test_simulation_agrees_with_young(mtbf_s: float, snapshot_s: float) -> None:
    worker = failing(mtbf_s, snapshot_s)
    young = paper_scale.young(mtbf_s, snapshot_s)
    assert young == math.sqrt(2 * mtbf_s * snapshot_s)
    best_s, best_lost = paper_scale.best_interval(worker)
    assert 0.7 < best_s / young < 1.4
    assert paper_scale.lost_share(worker, young, young) == pytest.approx(best_lost, abs=5e-4)
    # What is lost there: as much by snapshots as by failures, and the restarts.
    in_theory = 2 * snapshot_s / young + (worker.restart_s + worker.unit_s / 2) / mtbf_s
    assert best_lost == pytest.approx(in_theory, rel=0.1)


def test_scan_that_nothing_happens_to() -> None:
    worker = Failing(NEVER_S, 30.0, 60.0, 10.0)
    outcome = paper_scale.scan_with_failures(worker, 1, 200)
    n = paper_scale.n_snapshots(200 * 10, 10, 30)
    assert outcome == paper_scale.Outcome(200 * 10 + n * 30, 0, 0)
    four = paper_scale.scan_with_failures(worker, 4, 200)
    assert four.wall_s == 50 * 10 + 2 * 30


def test_scan_with_failures_agrees_with_lives() -> None:
    worker = failing(7200, 20)
    lost = paper_scale.lost_by(worker)
    n_workers, n_units = 16, 16 * 4000
    outcome = paper_scale.scan_with_failures(worker, n_workers, n_units, seed=3)
    assert 1 - n_units * worker.unit_s / (n_workers * outcome.wall_s) == pytest.approx(
        lost, abs=0.01
    )
    assert outcome.n_failures == pytest.approx(n_workers * outcome.wall_s / 7200, rel=0.2)
    assert 0 < outcome.n_again < outcome.n_failures * (paper_scale.every_s(20) / 10 + 2)


def test_failures_cost_their_own_worker_alone(records: list[dict[str, Any]]) -> None:
    one, eight, many = (r for r in records if r["what"] == "paper_scale_cluster")
    assert many["failures"] == pytest.approx(64 * one["failures"], rel=0.2)
    assert abs(many["lost"] - one["lost"]) < 0.01
    assert one["if_all_stop"] < eight["if_all_stop"] < many["if_all_stop"]
    assert many["if_all_stop"] > 3 * many["lost"]


# What is printed, and what the page makes of it.


def test_prints_tables_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    paper_scale.main([])
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    for what in ("Llama-3.1-70B", "OLMo-7B", "experiment=gluscope", "Young for 6 h"):
        assert what in printed
    paper_scale.main(["--json", "--utilisation", "0.2"])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = ("model", "settings", "fit", "scan", "rule", "other_rule", "cluster")
    assert {record["what"] for record in found} == {f"paper_scale_{kind}" for kind in kinds}
    assert all(record["assumed"]["utilisation"] == 0.2 for record in found)
    (on_8,) = [r for r in found if r["what"] == "paper_scale_scan" and r.get("scan_h", 0) > 100]
    assert on_8["scan_h"] == pytest.approx(2 * 97.08, rel=1e-3)


def is_same(said: str, printed: str) -> bool:
    """Whether two lines agree, simulated percentages but for their last digit."""
    words, others = said.split(), printed.split()
    return len(words) == len(others) and all(map(is_same_word, words, others))


def is_same_word(said: str, printed: str) -> bool:
    try:
        a, b = (float(word.rstrip("%").replace(",", "")) for word in (said, printed))
    except ValueError:
        return said == printed
    return abs(a - b) < 0.15


@pytest.mark.parametrize(("text", "n_lines"), [(page(), 30), (readme(), 7)])
def test_the_tables_are_those_that_are_printed(
    records: list[dict[str, Any]], text: str, n_lines: int
) -> None:
    printed = paper_scale.text(records).splitlines()
    blocks = re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
    said = [line for block in blocks for line in block.splitlines()]
    assert len(said) > n_lines
    for line in said:
        assert any(is_same(line, other) for other in printed), line


def test_the_page_says_how_far_the_default_is_from_the_best(rule: list[dict[str, Any]]) -> None:
    points = {(r["snapshot_s"], name): p for r in rule for name, p in r["points"].items()}
    within = [sum(p <= most for p in points.values()) for most in (1, 2)]
    rare = max(p for (_, name), p in points.items() if name != "1 h")
    text = " ".join(page().split())
    assert (
        f"In {within[0]} of these {len(points)} cases the default is within 1 percentage point of "
        f"the best interval, in {within[1]} within 2."
    ) in text
    assert f"up to {rare:.1f} points more than is needed" in text
    assert f"({points[60.0, '1 h']:.1f} and {points[160.0, '1 h']:.1f} points)" in text
    # By the expectation too, without chance.
    for (snapshot_s, name), p in points.items():
        worker = failing(paper_scale.MTBF_S[name], snapshot_s)
        best = min(lost_exactly(worker, s, s) for s in paper_scale.INTERVALS_S)
        lost = lost_exactly(worker, 300, paper_scale.every_s(snapshot_s))
        assert 100 * (lost - best) == pytest.approx(p, abs=0.4)


def test_the_page_has_the_other_numbers() -> None:
    text = " ".join(page().split())
    on_4 = paper_scale.fit(LLAMA_70B, 4, DEFAULTS, GIVEN)
    on_host = paper_scale.pairs_h(LLAMA_70B, paper_scale.HOST_NS_A_PAIR)
    more = [paper_scale.pairs_h(shape, 0.01) for shape in MODELS]
    for sentence in (
        f"its weights alone take {paper_scale.weights_gib(LLAMA_70B):.0f} GiB",
        f"On 4 GPUs {on_4.n_scanned} of the 80 layers fit",
        f"a worker needs {paper_scale.state_gib(LLAMA_70B):.0f} GiB of the host's memory",
        f"would take {on_host:,.0f} hours on two threads",
        f"add {more[0]:.1f} hours of one worker to the 70B model, {more[1]:.1f} to OLMo-7B",
        f"64 of them would need {64 * GIVEN.store_gib_s:.0f} GiB/s",
        f"one in {54 * 16384 / 419 / 8:.0f} days for every 8",
    ):
        assert sentence in text
