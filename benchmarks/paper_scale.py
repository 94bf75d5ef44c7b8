"""A model of 70B and one of 7B parameters over 1B tokens: time, state, disk, network, failures.

    python benchmarks/paper_scale.py                      # small tables
    python benchmarks/paper_scale.py --utilisation 0.3
    python benchmarks/paper_scale.py --json               # the same as lines of JSON

Nothing here is a measurement: the first tables are arithmetic, the last ones a simulation of
failures with fixed seeds. What is assumed is an option or a constant below, with its source. The
state is what the package says (`StateSettings.n_bytes`), the snapshot interval that of its driver.

GiB are 2**30 bytes; names end in their unit: `_s` seconds, `_h` hours, `_gib` GiB.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch

from pipeline.config.settings import ScanConfig
from pipeline.naming import COMBOS
from pipeline.provenance import provenance
from pipeline.reduce import StateSettings
from pipeline.scan.batches import MOST_TOKENS, UNIT_TOKENS
from pipeline.scan.driver import _SNAPSHOT_EVERY_S, _SNAPSHOT_SHARE

_GIB: Final = 1 << 30
_BF16_BYTES: Final = 2

N_TOKENS: Final = 1_000_000_000
EXAMPLE_TOKENS: Final = 1024
GPUS: Final = (1, 8, 64)
GPUS_OF_A_NODE: Final = 8

# NVIDIA's data sheet of the H100 SXM: dense bfloat16.
H100_FLOPS: Final = 989e12

# Measured on two CPU cores. The log of benchmarks/README.md: SHA-256 of 2.1 GiB in 1.6 s; bytes of
# a row of `examples`; ns a (token, neuron) pair of an update on the CPU with two threads.
# write_merge.py --neurons 1024: rows that a worker merges and writes in a second, and seconds that
# each GiB of another worker's states adds.
HASH_GIB_S: Final = 2.1 / 1.6
ROW_BYTES: Final = 267
HOST_NS_A_PAIR: Final = 2.1
MERGE_ROWS_PER_S: Final = 106_000
MERGE_S_A_GIB: Final = 1.07

# Estimates: ids and text in the `corpus` table, compressed; a process that starts and imports.
CORPUS_BYTES_A_TOKEN: Final = 6
START_S: Final = 60.0
# A worker that merges looks tokens up in a file of int32.
INDEX_BYTES_A_TOKEN: Final = 4


@dataclass(frozen=True)
class Assumptions:
    """What cannot be known here.

    `gpu_gib` is what CUDA leaves free of an 80 GB H100; `utilisation` the part of `H100_FLOPS` that
    a GPU at work reaches; `store_gib_s` what each worker writes to the output, and reads from it.
    """

    gpu_gib: float = 78.0
    utilisation: float = 0.4
    store_gib_s: float = 2.0


@dataclass(frozen=True)
class Shape:
    """A model's shape, from its config.json on the Hub. The unembedding is a matrix of its own."""

    name: str
    n_layers: int
    d_model: int
    d_mlp: int
    n_heads: int
    n_kv_heads: int
    d_vocab: int

    @property
    def layer_parameters(self) -> int:
        """Of a layer: query and output, key and value, three MLP matrices.

        The gains of norms, 0.002% of a model, are left out.
        """
        d_kv = self.d_model // self.n_heads * self.n_kv_heads
        return self.d_model * (2 * self.d_model + 2 * d_kv + 3 * self.d_mlp)

    @property
    def embedding_parameters(self) -> int:
        """Of the embedding; the unembedding has as many."""
        return self.d_vocab * self.d_model

    @property
    def parameters(self) -> int:
        """Of the whole model."""
        return self.n_layers * self.layer_parameters + 2 * self.embedding_parameters

    @property
    def n_neurons(self) -> int:
        """MLP neurons of all layers."""
        return self.n_layers * self.d_mlp


LLAMA_70B: Final = Shape("Llama-3.1-70B", 80, 8192, 28672, 64, 8, 128256)
OLMO_7B: Final = Shape("OLMo-7B", 32, 4096, 11008, 32, 32, 50304)
MODELS: Final = (LLAMA_70B, OLMO_7B)

DEFAULTS: Final = ScanConfig()
# By what a user would type.
SCANS: Final = {
    "the defaults": DEFAULTS,
    "scan.spare=4": ScanConfig(spare=4),
    "experiment=gluscope": ScanConfig(
        rankings=("post", "in", "gate"), skip_bos=False, dedupe=False
    ),
    "scan.rankings=[post]": ScanConfig(rankings=("post",)),
    "scan.state_device=cpu": ScanConfig(state_device="cpu"),
}


# One model.


def layer_state_gib(shape: Shape, scan: ScanConfig = DEFAULTS) -> float:
    """GiB of a layer's state, with windows in bfloat16."""
    settings = StateSettings(
        n_neurons=shape.d_mlp,
        rankings=scan.rankings,
        size=scan.k + (scan.spare if scan.dedupe else 0),
        before=scan.window.before,
        after=scan.window.after,
        dtype=torch.bfloat16,
    )
    return settings.n_bytes / _GIB


def state_gib(shape: Shape, scan: ScanConfig = DEFAULTS) -> float:
    """GiB of a worker's state, all layers; a snapshot has the same."""
    return shape.n_layers * layer_state_gib(shape, scan)


def weights_gib(shape: Shape) -> float:
    """GiB of the weights in bfloat16. All are loaded, whichever layers are scanned."""
    return shape.parameters * _BF16_BYTES / _GIB


def flops_per_token(shape: Shape) -> float:
    """Floating point operations of a forward of the layers, for one token of an example.

    Two a parameter (Kaplan et al., 2020, arXiv 2001.08361). Attention: two a value of d_model for
    the scores and two for the mix, over half the example on average. Nothing is unembedded.
    """
    attention = 4 * shape.d_model * EXAMPLE_TOKENS / 2
    return shape.n_layers * (2 * shape.layer_parameters + attention)


def example_rows(shape: Shape, scan: ScanConfig = DEFAULTS) -> int:
    """Rows of `examples` where every list of every neuron is full."""
    return shape.n_neurons * len(COMBOS) * len(scan.rankings) * scan.k


def corpus_gib() -> float:
    """GiB of the `corpus` table."""
    return N_TOKENS * CORPUS_BYTES_A_TOKEN / _GIB


def dataset_gib(shape: Shape, scan: ScanConfig = DEFAULTS) -> float:
    """GiB of `examples` and `corpus`; the other tables are small beside them."""
    return example_rows(shape, scan) * ROW_BYTES / _GIB + corpus_gib()


def pairs_h(shape: Shape, ns_a_pair: float) -> float:
    """Hours for every (token, neuron) pair once, at so many ns each."""
    return N_TOKENS * shape.n_neurons * ns_a_pair * 1e-9 / 3600


# What fits on the GPUs of a node.


def layers_by_gpu(shape: Shape, n_gpus: int) -> list[int]:
    """How many layers each GPU of a worker gets by transformers' `device_map="balanced"`.

    Not equally many: each takes what fits in an even share and 1.25 of the largest module, the
    first keeps room for one module more, and the last takes what is left.
    """
    if n_gpus == 1:
        return [shape.n_layers]
    largest = max(shape.layer_parameters, shape.embedding_parameters)
    share = shape.parameters // n_gpus + 1.25 * largest
    layers: list[int] = []
    for room in [share - largest - shape.embedding_parameters, *[share] * (n_gpus - 2)]:
        fits = max(0, int(room // shape.layer_parameters))
        layers.append(min(fits, shape.n_layers - sum(layers)))
    return [*layers, shape.n_layers - sum(layers)]


def weights_by_gpu(shape: Shape, n_gpus: int) -> list[float]:
    """GiB of weights on each GPU: the embedding beside the first layers, the unembedding last."""
    layers = layers_by_gpu(shape, n_gpus)
    parameters = [n * shape.layer_parameters for n in layers]
    parameters[0] += shape.embedding_parameters
    parameters[max(gpu for gpu, n in enumerate(layers) if n)] += shape.embedding_parameters
    return [n * _BF16_BYTES / _GIB for n in parameters]


def batch_gib(shape: Shape, n_tokens: int) -> float:
    """GiB that a batch takes beside weights and state, as pipeline/scan/memory.py estimates it."""
    values = (8 * shape.d_model + 4 * shape.d_mlp) * _BF16_BYTES + 16 * shape.d_mlp
    return n_tokens * values / _GIB


def tokens_per_batch(shape: Shape, room_gib: float) -> int:
    """The padded tokens of a batch that a scan chooses; 0 where that is less than an example.

    As in memory.py: a power of two whose batch takes at most half of what is left.
    """
    n_tokens = MOST_TOKENS["cuda"]
    while n_tokens >= EXAMPLE_TOKENS:
        if batch_gib(shape, n_tokens) <= room_gib / 2:
            return n_tokens
        n_tokens //= 2
    return 0


@dataclass(frozen=True)
class Fit:
    """A worker on some GPUs: layers, and GiB of weights and state, of the fullest one.

    `batch` is the padded tokens of a batch, 0 where it does not fit; `n_scanned` how many layers
    one scan can have there (`model.layers`).
    """

    n_gpus: int
    layers: int
    gib: float
    batch: int
    n_scanned: int


def fit(shape: Shape, n_gpus: int, scan: ScanConfig, given: Assumptions) -> Fit:
    """How a worker lies on so many GPUs."""
    layers, weights = layers_by_gpu(shape, n_gpus), weights_by_gpu(shape, n_gpus)
    a_layer = 0.0 if scan.state_device == "cpu" else layer_state_gib(shape, scan)
    held = [n * a_layer + gib for n, gib in zip(layers, weights, strict=True)]
    fullest = held.index(max(held))
    rooms = [given.gpu_gib - gib - 2 * batch_gib(shape, EXAMPLE_TOKENS) for gib in weights]
    n_scanned = 0
    if min(rooms) >= 0:
        n_scanned = sum(
            min(n, int(room // a_layer)) if a_layer else n
            for n, room in zip(layers, rooms, strict=True)
        )
    batch = tokens_per_batch(shape, given.gpu_gib - held[fullest])
    return Fit(n_gpus, layers[fullest], held[fullest], batch, n_scanned)


def gpus_needed(shape: Shape, scan: ScanConfig, given: Assumptions) -> int | None:
    """The fewest GPUs of a node that a worker fits on; None where all of them are too few."""
    fits = (n for n in range(1, GPUS_OF_A_NODE + 1) if fit(shape, n, scan, given).batch)
    return next(fits, None)


# A scan on a cluster.


def every_s(snapshot_s: float) -> float:
    """The driver's rule: seconds to the next snapshot, where the last one took `snapshot_s`."""
    return max(_SNAPSHOT_EVERY_S, snapshot_s / _SNAPSHOT_SHARE)


def whole_units(interval_s: float, unit_s: float) -> float:
    """A snapshot waits for the end of the unit during which it falls due."""
    return math.ceil(interval_s / unit_s) * unit_s


def n_snapshots(scan_s: float, unit_s: float, snapshot_s: float) -> int:
    """Snapshots of a worker that nothing happens to, by the driver's rule and at the end."""
    n, left = 1, scan_s - whole_units(every_s(0), unit_s)
    while left > 0:
        n, left = n + 1, left - whole_units(every_s(snapshot_s), unit_s)
    return n


@dataclass(frozen=True)
class Scan:
    """All tokens on some GPUs, nothing fails: hours; GiB at once on disk; GiB moved in all."""

    model: str
    n_gpus: int
    gpus_a_worker: int
    n_workers: int
    unit_s: float
    scan_h: float
    snapshot_s: float
    restart_s: float
    every_s: float
    n_snapshots: int
    merge_h: float
    total_h: float
    state_gib: float
    snapshots_gib: float
    dataset_gib: float
    indexes_gib: float
    written_gib: float
    corpus_read_gib: float
    merge_read_gib: float


def scan_on(
    shape: Shape, n_gpus: int, given: Assumptions, scan: ScanConfig = DEFAULTS
) -> Scan | None:
    """A scan on so many GPUs, in nodes of eight; None where no worker fits.

    A worker has one batch at work, which passes from GPU to GPU, as at each layer the host waits
    for what enters the lists: it is as fast as one GPU, however many it has. A snapshot is written
    and then read for its SHA-256; the copy from the GPU is left out, and so is loading the model.
    """
    node = min(n_gpus, GPUS_OF_A_NODE)
    needed = gpus_needed(shape, scan, given)
    if needed is None or needed > node:
        return None
    n_workers = node // needed * (n_gpus // node)
    unit_s = UNIT_TOKENS["cuda"] * flops_per_token(shape) / (H100_FLOPS * given.utilisation)
    scan_s = math.ceil(math.ceil(N_TOKENS / UNIT_TOKENS["cuda"]) / n_workers) * unit_s
    own, a_layer = state_gib(shape, scan), layer_state_gib(shape, scan)
    snapshot_s = own / given.store_gib_s + own / HASH_GIB_S
    n = n_snapshots(scan_s, unit_s, snapshot_s)
    # Each layer is merged by one worker, from the states of all.
    rows_s = example_rows(shape, scan) / shape.n_layers / MERGE_ROWS_PER_S
    states_s = n_workers * a_layer * (MERGE_S_A_GIB + 1 / given.store_gib_s)
    merge_s = math.ceil(shape.n_layers / n_workers) * (rows_s + states_s)
    n_merging = min(n_workers, shape.n_layers)
    return Scan(
        model=shape.name,
        n_gpus=n_gpus,
        gpus_a_worker=node // (node // needed),
        n_workers=n_workers,
        unit_s=unit_s,
        scan_h=scan_s / 3600,
        snapshot_s=snapshot_s,
        restart_s=START_S + weights_gib(shape) / given.store_gib_s + snapshot_s,
        every_s=every_s(snapshot_s),
        n_snapshots=n,
        merge_h=merge_s / 3600,
        total_h=(scan_s + n * snapshot_s + merge_s) / 3600,
        state_gib=n_workers * own,
        # The next one is whole before the one that it replaces goes.
        snapshots_gib=2 * n_workers * own,
        dataset_gib=dataset_gib(shape, scan),
        indexes_gib=n_merging * N_TOKENS * INDEX_BYTES_A_TOKEN / _GIB,
        written_gib=n * n_workers * own,
        # By the scan once in all, and by each worker that merges once for its index.
        corpus_read_gib=(1 + n_merging) * corpus_gib(),
        merge_read_gib=n_workers * own,
    )


# Failures.

# Mean time between failures of one worker, and seconds of a snapshot.
MTBF_S: Final = {"1 h": 3600.0, "6 h": 21600.0, "24 h": 86400.0, "7 d": 604800.0}
SNAPSHOT_S: Final = (1.0, 5.0, 15.0, 60.0, 160.0)
# Half a minute to two hours, and beyond, where the best one for the rarest failures lies.
INTERVALS_S: Final = (
    *(30, 45, 60, 90, 120, 150, 180, 240, 300, 420, 600, 900, 1200, 1500, 1800, 2400, 3600),
    *(5400, 7200, 10800, 14400, 21600),
)
_N_LIVES: Final = 40_000
_LOOK_S: Final = 5.0


@dataclass(frozen=True)
class Failing:
    """A worker: mean seconds between its failures; seconds of a snapshot, a restart, a unit."""

    mtbf_s: float
    snapshot_s: float
    restart_s: float
    unit_s: float


def failing(mtbf_s: float, snapshot_s: float, unit_s: float = 10.0) -> Failing:
    """One whose snapshot is read as fast as it was written."""
    return Failing(mtbf_s, snapshot_s, START_S + snapshot_s, unit_s)


def lost_share(worker: Failing, first_s: float, next_s: float, seed: int = 0) -> float:
    """The share of a worker's time that brings nothing, by simulation of many of its lives.

    A life begins with the restart and ends, after an exponential time, with whatever no snapshot
    has by then. `first_s` is the interval before its first snapshot, `next_s` between the others.
    """
    lives = np.random.default_rng(seed).exponential(worker.mtbf_s, _N_LIVES)
    first, later = (whole_units(s, worker.unit_s) for s in (first_s, next_s))
    left = lives - worker.restart_s - first - worker.snapshot_s
    kept = np.where(left >= 0, first + later * (left // (later + worker.snapshot_s)), 0)
    return float(1 - kept.sum() / lives.sum())


def lost_by(worker: Failing, rule: Callable[[float], float] = every_s) -> float:
    """By a rule such as the driver's: a new worker does not know how long a snapshot takes."""
    return lost_share(worker, rule(0.0), rule(worker.snapshot_s))


def best_interval(worker: Failing) -> tuple[int, float]:
    """Of `INTERVALS_S` the one at which least is lost, and what is lost."""
    lost = {s: lost_share(worker, s, s) for s in INTERVALS_S}
    best = min(lost, key=lambda s: lost[s])
    return best, lost[best]


def young(mtbf_s: float, snapshot_s: float) -> float:
    """The best interval in theory, where snapshots are short beside the time between failures.

    Young, 1974 (doi 10.1145/361147.361115); Daly, 2006 (doi 10.1016/j.future.2004.11.016).
    """
    return math.sqrt(2 * snapshot_s * mtbf_s)


@dataclass(frozen=True)
class Outcome:
    """What became of a scan: seconds until all is kept, failures, units that were done again."""

    wall_s: float
    n_failures: int
    n_again: int


def scan_with_failures(worker: Failing, n_workers: int, n_units: int, seed: int = 0) -> Outcome:
    """A whole scan event by event: who takes, saves and loses what, as the driver has it.

    All begin at 0 with the model loaded; it ends when snapshots cover every unit.
    """
    rng = np.random.default_rng(seed)
    dies = rng.exponential(worker.mtbf_s, n_workers)
    events = [(0.0, w, "begun") for w in range(n_workers)]
    doing = ["begun"] * n_workers
    held, saved_at, last_s = [0] * n_workers, [0.0] * n_workers, [0.0] * n_workers
    waiting, n_kept, n_failures, n_again, now = n_units, 0, 0, 0, 0.0
    while n_kept < n_units:
        now, w, what = heapq.heappop(events)
        if what == "failed":
            again = held[w] + (doing[w] == "counted")
            n_failures, n_again, waiting = n_failures + 1, n_again + again, waiting + again
            held[w], dies[w] = 0, now + rng.exponential(worker.mtbf_s)
            doing[w], took_s = "begun", worker.restart_s
        else:
            if what == "counted":
                held[w] += 1
            elif what in ("begun", "saved"):
                n_kept, held[w] = n_kept + held[w], 0
                saved_at[w], last_s[w] = now, worker.snapshot_s if what == "saved" else 0.0
            is_due = held[w] and now - saved_at[w] >= every_s(last_s[w])
            if waiting and not is_due:
                waiting -= 1
                doing[w], took_s = "counted", worker.unit_s
            elif held[w]:
                doing[w], took_s = "saved", worker.snapshot_s
            else:
                doing[w], took_s = "idle", _LOOK_S
        ends = now + took_s
        heapq.heappush(events, (dies[w], w, "failed") if dies[w] < ends else (ends, w, doing[w]))
    return Outcome(now, n_failures, n_again)


# What is printed: records for --json, and tables of them.

Record = dict[str, Any]

# Other rules than the driver's: other constants, and some by Young, with a guess at how often
# workers fail.
OTHER_RULES: Final[dict[str, Callable[[float], float]]] = {
    "the default": every_s,
    "300 s or a share of 0.02": lambda s: max(300, s / 0.02),
    "300 s or a share of 0.03": lambda s: max(300, s / 0.03),
    "300 s or a share of 0.1": lambda s: max(300, s / 0.1),
    "60 s or a share of 0.05": lambda s: max(60, s / 0.05),
    "600 s or a share of 0.05": lambda s: max(600, s / 0.05),
    "Young for 6 h": lambda s: young(21600, s) if s else 300,
    "Young for 6 h or a share of 0.05": lambda s: max(young(21600, s), s / 0.05) if s else 300,
    "Young for 12 h": lambda s: young(43200, s) if s else 300,
}

_DAY_S: Final = 86400.0
# Of the view of a whole cluster: 12 hours of work a worker, in units of a minute.
_CLUSTER_WORKERS: Final = (1, 8, 64)
_CLUSTER: Final = failing(_DAY_S, 15.0, unit_s=60.0)
_CLUSTER_UNITS: Final = 720
# So many workers in all the scans that are averaged.
_CLUSTER_RUNS: Final = 128


def model_records(given: Assumptions) -> Iterator[Record]:
    """What each model takes, what a worker takes by its settings, and how it fits on GPUs."""
    for shape in MODELS:
        yield {
            "what": "model",
            "model": shape.name,
            "parameters_e9": shape.parameters / 1e9,
            "weights_gib": weights_gib(shape),
            "gflop_per_token": flops_per_token(shape) / 1e9,
            "layer_state_gib": layer_state_gib(shape),
            "state_gib": state_gib(shape),
            "example_rows_e6": example_rows(shape) / 1e6,
            "dataset_gib": dataset_gib(shape),
            "h_a_hundredth_ns_a_pair": pairs_h(shape, 0.01),
            "h_on_the_host": pairs_h(shape, HOST_NS_A_PAIR),
        }
    for name, scan in SCANS.items():
        on_node = scan_on(LLAMA_70B, GPUS_OF_A_NODE, given, scan)
        on_gpu = scan.state_device != "cpu"
        yield {
            "what": "settings",
            "model": LLAMA_70B.name,
            "settings": name,
            "state_gib": state_gib(LLAMA_70B, scan),
            "gpus_needed": gpus_needed(LLAMA_70B, scan, given),
            "workers_of_a_node": on_node.n_workers if on_node else None,
            # The forward does not say how long states on the CPU take.
            "scan_h_on_a_node": on_node.scan_h if on_node and on_gpu else None,
        }
    for n_gpus in range(1, GPUS_OF_A_NODE + 1):
        there = fit(LLAMA_70B, n_gpus, DEFAULTS, given)
        yield {"what": "fit", "model": LLAMA_70B.name, **asdict(there)}


def scan_records(given: Assumptions) -> Iterator[Record]:
    """Every model on every number of GPUs."""
    for shape in MODELS:
        for n_gpus in GPUS:
            scan = scan_on(shape, n_gpus, given)
            if scan is None:
                yield {"what": "scan", "model": shape.name, "n_gpus": n_gpus}
            else:
                worker = Failing(_DAY_S, scan.snapshot_s, scan.restart_s, scan.unit_s)
                yield {"what": "scan", **asdict(scan), "lost_failing_daily": lost_by(worker)}


def rule_records() -> Iterator[Record]:
    """The driver's rule and others against the best interval; percentages and points of them.

    `lost` to `young_s` have an entry for each mean time between failures; those of other rules
    stand apart for a worker that fails each hour, and for all that fail less often.
    """
    grid = {(s, name): failing(mtbf_s, s) for s in SNAPSHOT_S for name, mtbf_s in MTBF_S.items()}
    best = {cell: best_interval(worker) for cell, worker in grid.items()}
    for s in SNAPSHOT_S:
        lost = {name: 100 * lost_by(grid[s, name]) for name in MTBF_S}
        least = {name: 100 * best[s, name][1] for name in MTBF_S}
        yield {
            "what": "rule",
            "snapshot_s": s,
            "every_s": every_s(s),
            "lost": lost,
            "best_lost": least,
            "points": {name: lost[name] - least[name] for name in MTBF_S},
            "best_s": {name: best[s, name][0] for name in MTBF_S},
            "young_s": {name: young(mtbf_s, s) for name, mtbf_s in MTBF_S.items()},
        }
    hourly = next(iter(MTBF_S))
    for rule_name, rule in OTHER_RULES.items():
        points = {cell: 100 * (lost_by(grid[cell], rule) - best[cell][1]) for cell in grid}
        often = [p for (_, name), p in points.items() if name == hourly]
        seldom = [p for (_, name), p in points.items() if name != hourly]
        yield {
            "what": "other_rule",
            "rule": rule_name,
            "mean": sum(points.values()) / len(points),
            "mean_hourly": sum(often) / len(often),
            "most_hourly": max(often),
            "mean_seldom": sum(seldom) / len(seldom),
            "most_seldom": max(seldom),
        }


def cluster_records() -> Iterator[Record]:
    """Whole scans whose workers fail; `if_all_stop`: if each failure took all workers back."""
    for n_workers in _CLUSTER_WORKERS:
        n_runs, n_units = _CLUSTER_RUNS // n_workers, _CLUSTER_UNITS * n_workers
        runs = [scan_with_failures(_CLUSTER, n_workers, n_units, seed) for seed in range(n_runs)]
        wall_s = sum(run.wall_s for run in runs) / n_runs
        all_at_once = failing(_DAY_S / n_workers, _CLUSTER.snapshot_s, _CLUSTER.unit_s)
        yield {
            "what": "cluster",
            "n_workers": n_workers,
            "failures": sum(run.n_failures for run in runs) / n_runs,
            "again": sum(run.n_again for run in runs) / n_runs / n_units,
            "lost": 1 - _CLUSTER_UNITS * _CLUSTER.unit_s / wall_s,
            "if_all_stop": lost_by(all_at_once),
        }


# By kind of record: title, and the columns with how a record is shown in them.
_TABLES: Final[tuple[tuple[str, str, dict[str, str]], ...]] = (
    (
        "model",
        "By arithmetic, GiB",
        {
            "model": "{model}",
            "parameters": "{parameters_e9:.2f}e9",
            "weights": "{weights_gib:.1f}",
            "FLOP a token": "{gflop_per_token:.1f}e9",
            "state a layer": "{layer_state_gib:.2f}",
            "state": "{state_gib:.1f}",
            "examples": "{example_rows_e6:.0f}e6",
            "dataset": "{dataset_gib:.0f}",
        },
    ),
    (
        "model",
        "Hours on top, by ns of the reduction a (token, neuron) pair: on CUDA; on two threads",
        {
            "model": "{model}",
            "each 0.01 ns": "{h_a_hundredth_ns_a_pair:.1f}",
            f"{HOST_NS_A_PAIR} ns": "{h_on_the_host:,.0f}",
        },
    ),
    (
        "settings",
        "A worker of Llama-3.1-70B: its state, the GPUs it needs, how many there are on 8 GPUs",
        {
            "settings": "{settings}",
            "state": "{state_gib:.1f} GiB",
            "GPUs": "{gpus_needed:d}",
            "workers": "{workers_of_a_node:d}",
            "scan": "{scan_h_on_a_node:.1f} h",
        },
    ),
    (
        "fit",
        "Llama-3.1-70B on the GPUs of a node (a batch of 0: it does not fit)",
        {
            "GPUs": "{n_gpus}",
            "layers of the fullest": "{layers}",
            "weights and state": "{gib:.1f} GiB",
            "batch": "{batch}",
            "layers of a scan": "{n_scanned}",
        },
    ),
    (
        "scan",
        "Time",
        {
            "model": "{model}",
            "GPUs": "{n_gpus}",
            "workers": "{n_workers} x {gpus_a_worker}",
            "scan": "{scan_h:.2f} h",
            "snapshots": "{n_snapshots} x {snapshot_s:.0f} s",
            "every": "{every_s:.0f} s",
            "merge": "{merge_h:.2f} h",
            "in all": "{total_h:.2f} h",
            "failing daily": "{lost_failing_daily:.1%} lost",
        },
    ),
    (
        "scan",
        "GiB at once in memory and on disk; GiB moved in all",
        {
            "model": "{model}",
            "GPUs": "{n_gpus}",
            "state": "{state_gib:,.0f}",
            "snapshots": "{snapshots_gib:,.0f}",
            "dataset": "{dataset_gib:,.0f}",
            "indexes": "{indexes_gib:,.0f}",
            "snapshots written": "{written_gib:,.0f}",
            "corpus read": "{corpus_read_gib:,.0f}",
            "merge reads": "{merge_read_gib:,.0f}",
        },
    ),
    (
        "rule",
        "% lost by the rule - by the best interval, where a worker fails every",
        {
            "snapshot": "{snapshot_s:.0f} s",
            "interval": "{every_s:.0f} s",
            **{
                name: f"{{lost[{name}]:.1f}} - {{best_lost[{name}]:.1f}} = {{points[{name}]:.1f}}"
                for name in MTBF_S
            },
        },
    ),
    (
        "rule",
        "The best interval: simulated, and by Young",
        {
            "snapshot": "{snapshot_s:.0f} s",
            **{name: f"{{best_s[{name}]}} {{young_s[{name}]:.0f}}" for name in MTBF_S},
        },
    ),
    (
        "other_rule",
        "Points lost beyond the best interval, where a worker fails hourly and less often",
        {
            "rule": "{rule}",
            "mean": "{mean:.1f}",
            "hourly, mean": "{mean_hourly:.1f}",
            "most": "{most_hourly:.1f}",
            "less often, mean": "{mean_seldom:.1f}",
            "the most": "{most_seldom:.1f}",
        },
    ),
    (
        "cluster",
        "12 h of work a worker, a failure of each every 24 h",
        {
            "workers": "{n_workers}",
            "failures": "{failures:.1f}",
            "units again": "{again:.1%}",
            "lost": "{lost:.1%}",
            "if all stopped": "{if_all_stop:.1%}",
        },
    ),
)


def records(given: Assumptions) -> list[Record]:
    """Everything, each with its kind at `what`."""
    found = [*model_records(given), *scan_records(given), *rule_records(), *cluster_records()]
    return [{**record, "what": f"paper_scale_{record['what']}"} for record in found]


def table(title: str, columns: Mapping[str, str], rows: Sequence[Record]) -> str:
    """Aligned text; `-` where a record has no such value."""

    def shown(template: str, record: Record) -> str:
        try:
            return template.format(**record)
        except (KeyError, TypeError):
            return "-"

    cells = [list(columns), *([shown(text, row) for text in columns.values()] for row in rows)]
    # Words to the left, numbers to the right.
    aligns = [
        str.ljust if column[1][:1].isalpha() else str.rjust for column in zip(*cells, strict=True)
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            align(text, width) for align, text, width in zip(aligns, row, widths, strict=True)
        )
        for row in cells
    ]
    return "\n".join([title, *(line.rstrip() for line in lines)])


def text(found: Sequence[Record]) -> str:
    """All tables."""
    return "\n\n".join(
        table(
            title, columns, [record for record in found if record["what"] == f"paper_scale_{kind}"]
        )
        for kind, title, columns in _TABLES
    )


def main(arguments: list[str] | None = None) -> None:
    """Work it out and print it."""
    parser = argparse.ArgumentParser(
        description="A model of 70B parameters over 1B tokens, by arithmetic.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    assumed = Assumptions()
    for name, about in (
        ("utilisation", "part of 989 TFLOP/s that a GPU at work reaches"),
        ("gpu_gib", "GiB that are free on a GPU"),
        ("store_gib_s", "GiB that a worker writes to the output, or reads from it, in a second"),
    ):
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=float, default=getattr(assumed, name), help=about)
    parser.add_argument("--json", action="store_true", help="lines of JSON")
    options = parser.parse_args(arguments)
    given = Assumptions(options.gpu_gib, options.utilisation, options.store_gib_s)
    found = records(given)
    if options.json:
        made = provenance()
        facts = {"assumed": asdict(given), "hardware": made["hardware"]}
        for record in found:
            print(json.dumps({**record, **facts, "versions": made["packages"]}))
        return
    print(text(found))


if __name__ == "__main__":
    main()
