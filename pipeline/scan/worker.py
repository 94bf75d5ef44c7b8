"""The worker: a model, its scanner, and the output place. One process and a hundred use this class.

It is told what to do one thing at a time, from one thread; `pulse`, `leave` and `stop` may be
called meanwhile from others. Whatever is large it reads and writes itself.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import torch

from pipeline.config import RunConfig
from pipeline.errors import GatescopeError
from pipeline.layer import table_settings, token_matrices, write_layer
from pipeline.model import GatedModel, inspect_model, load_model, model_facts
from pipeline.reduce import LayerState
from pipeline.scan.compiled import choose_update
from pipeline.scan.memory import check_fits, choose_tokens_per_batch, state_bytes
from pipeline.scan.messages import Begun, Loaded, Pulse, ScannedUnit, ScanPlan, Stopped
from pipeline.scan.scanner import Scanner, ScanSettings
from pipeline.store import (
    CorpusIndex,
    CorpusReader,
    DamagedSnapshot,
    Place,
    RunRecord,
    Snapshot,
    TokenIndex,
    Unit,
    UnitExamples,
    open_layer,
    write_snapshot,
)
from pipeline.weights import TokenMatrix


class Worker:
    """Scans units, writes snapshots, and writes the tables of layers.

    After `load` it may `merge`; after `begin` it may `scan` and `snapshot` until it merges, which
    drops its states. `n_threads` limits the cores; None leaves them as they are.
    """

    def __init__(
        self, name: str, output: str, config: RunConfig, n_threads: int | None = None
    ) -> None:
        self._name = name
        self._place = Place(output)
        self._config = config
        self._n_threads = n_threads
        self._model: GatedModel | None = None
        self._scanner: Scanner | None = None
        self._settings: ScanSettings | None = None
        self._tokens: TokenIndex | None = None
        self._matrices: list[TokenMatrix] | None = None
        self._reader = CorpusReader(self._place)
        self._reads = ThreadPoolExecutor(1, thread_name_prefix="read")
        self._ahead: tuple[int, Future[UnitExamples]] | None = None
        self._notes: list[str] = []
        self._n_tokens = self._n_steps = 0
        self._scanned: float | None = None
        self._leaving = threading.Event()
        self._stopped = threading.Event()

    # What is asked from other threads while something else runs.

    def pulse(self) -> Pulse:
        """How far the worker is; its answer says that the process lives."""
        return Pulse(self._n_tokens, self._n_steps, tuple(self._notes), self._leaving.is_set())

    def leave(self) -> None:
        """Ask to be let go: the next pulse says so."""
        self._leaving.set()

    def stop(self) -> None:
        """Give up whatever is being done, at its next step."""
        self._stopped.set()

    def _step(self, n_tokens: int = 0) -> None:
        if self._stopped.is_set():
            raise Stopped
        self._n_tokens += n_tokens
        self._n_steps += 1

    # What is asked one at a time.

    def load(self) -> Loaded:
        """Load the model and probe it. Raises GatescopeError as `load_model` does."""
        if self._n_threads is not None:
            torch.set_num_threads(self._n_threads)
        config = self._config
        n_gpus = config.cluster.gpus_per_worker or 1
        self._model = load_model(config.model, inspect_model(config.model), n_gpus)
        facts = model_facts(self._model)
        return Loaded(facts, socket.gethostname(), os.getpid(), str(self._model.device))

    def plan(self, tokens_per_batch: int | None) -> ScanPlan:
        """The settings of the scan; raises GatescopeError where its states do not fit here.

        `tokens_per_batch` is what an unfinished run began with, which decides the rounding of its
        results; what the configuration sets comes first.
        """
        scan = self._config.scan
        settings = ScanSettings(
            k=scan.k,
            spare=scan.spare if scan.dedupe else 0,
            rankings=scan.rankings,
            before=scan.window.before,
            after=scan.window.after,
            skip_bos=scan.skip_bos,
            tokens_per_batch=scan.tokens_per_batch or tokens_per_batch or 0,
            seed=self._config.seed,
        )
        n_bytes = state_bytes(self._loaded, settings, on_cpu=self._states_on_cpu)
        check_fits(n_bytes)
        if not settings.tokens_per_batch:
            chosen = choose_tokens_per_batch(self._loaded, n_bytes)
            settings = replace(settings, tokens_per_batch=chosen)
        return ScanPlan(settings, {str(device): n for device, n in n_bytes.items()})

    def begin(self, settings: ScanSettings, fingerprint: str, own: Snapshot | None) -> Begun:
        """Make ready to scan the corpus of that fingerprint, going on from the snapshot `own`.

        Raises GatescopeError where the output place is not the one that the run writes to, and
        where the states do not fit.
        """
        model, self._settings = self._loaded, settings
        corpus = self._corpus(fingerprint)
        states: dict[int, LayerState] = {}
        damaged = None
        try:
            if own is not None:
                for layer in model.layers:
                    whole = settings.state(model, layer)
                    with open_layer(self._place, own, layer, whole) as stored:
                        state = stored.neurons(0, whole.n_neurons)
                        device = "cpu" if self._states_on_cpu else model.layer_device(layer)
                        states[layer] = _moved(state, torch.device(device))
                    self._step()
        except DamagedSnapshot as error:
            states, own, damaged = {}, None, error.file
        if not states:
            check_fits(state_bytes(model, settings, on_cpu=self._states_on_cpu))
        n_neurons = sum(model.n_neurons(layer) for layer in model.layers)
        first = model.layers[0]
        # By the whole corpus, not by what is left: a resumed run must reduce as an undisturbed one.
        update, compiled = choose_update(
            self._config.scan.compile,
            corpus.n_tokens * n_neurons,
            torch.device("cpu") if self._states_on_cpu else model.layer_device(first),
            settings.state(model, first),
            self._notes.append,
        )
        self._scanner = Scanner(
            model,
            settings,
            update,
            states_on_cpu=self._states_on_cpu,
            states=states,
            units=own.units if own is not None else (),
        )
        return Begun(compiled, damaged)

    def scan(self, unit: Unit, ahead: Unit | None) -> ScannedUnit:
        """Count a unit; the one `ahead` is read meanwhile. Raises as `Scanner.scan` does."""
        assert self._scanner is not None
        started = time.monotonic()
        waited_s = 0.0 if self._scanned is None else started - self._scanned
        examples = self._read(unit).result()
        self._ahead = None if ahead is None else (ahead.unit_id, self._read(ahead))
        halved = self._scanner.n_halved
        n_padded = self._scanner.scan(unit.unit_id, examples, self._step)
        self._scanned = time.monotonic()
        return ScannedUnit(
            n_tokens=unit.n_tokens,
            n_padded=n_padded,
            seconds=self._scanned - started,
            waited_s=waited_s,
            n_halved=self._scanner.n_halved - halved,
        )

    def snapshot(self, number: int) -> Snapshot:
        """Write the files of a snapshot of all units so far; the driver commits it."""
        assert self._scanner is not None
        self._scanned = None
        return write_snapshot(
            self._place,
            self._name,
            number,
            self._scanner.units,
            self._scanner.states,
            self._step,
        )

    def merge(
        self, layer: int, settings: ScanSettings, snapshots: Sequence[Snapshot], fingerprint: str
    ) -> dict[str, int]:
        """Write all tables of a layer from snapshots that cover every unit; rows a table.

        Raises DamagedSnapshot where one is not what was committed.
        """
        # Room for the merge: all that was counted is in the snapshots.
        self._scanner = None
        tables = table_settings(self._config)
        if self._tokens is None:
            self._tokens = TokenIndex(self._place, self._corpus(fingerprint), self._step)
        if self._matrices is None:
            self._matrices = token_matrices(self._loaded.weights, tables)
            self._step()
        return write_layer(
            self._place,
            self._loaded,
            layer,
            snapshots,
            settings.state(self._loaded, layer),
            tables,
            self._matrices,
            self._tokens,
            self._step,
        )

    def close(self) -> None:
        """Let go of files and threads."""
        self._reads.shutdown(cancel_futures=True)
        self._reader.__exit__()
        if self._tokens is not None:
            self._tokens.close()
            self._tokens = None

    @property
    def _loaded(self) -> GatedModel:
        assert self._model is not None
        return self._model

    @property
    def _states_on_cpu(self) -> bool:
        return self._config.scan.state_device == "cpu"

    def _corpus(self, fingerprint: str) -> CorpusIndex:
        record = RunRecord(self._place)
        corpus = record.corpus() if record.settings() is not None else None
        if corpus is None or corpus.fingerprint != fingerprint:
            raise GatescopeError(
                f"output={self._place}: {socket.gethostname()} does not see there what the run "
                "has written; give a folder that all machines share, or a URL such as s3://..."
            )
        return corpus

    def _read(self, unit: Unit) -> Future[UnitExamples]:
        if self._ahead is not None and self._ahead[0] == unit.unit_id:
            return self._ahead[1]
        return self._reads.submit(self._reader.read, unit)


def _moved(state: LayerState, device: torch.device) -> LayerState:
    # Copied on a CPU too: a snapshot's tensors are the pages of its file, which is soon removed.
    moved = {name: tensor.to(device, copy=True) for name, tensor in state.tensors().items()}
    return LayerState.from_tensors(state.settings, moved)
