"""Gatescope: for every neuron of a gated language model, its four sign combinations.

    text -> corpus/ tokenise, number, fingerprint -> units
              |
              v      for each unit, on each worker
         model/ hooked forward: (layer, gate, in) as each MLP runs, nothing kept
              v
         reduce/ counts, sums, per-example maxima -> running state (top-k lists with windows)
              v      snapshots: state + the units that it covers (scan/ drives, store/ writes)
         store/ merge the last snapshot of every worker, layer by layer -> the Parquet tables
              v
         weights/ -> neurons, layers, weight_tokens (alone, of any dense MLP, where scan=none)
              |
              v
         hub/ card, publish query/ DuckDB views + queries/*.sql -> figures/, notebooks/, view/
                            view/site/ every neuron in the browser, straight from the tables' files

    imported/ what GLUScope's authors published -> the same tables, as far as they are known

The words: gate g = w_gate . x; in i = w_in . x; act a = act_fn(g); post p = a * i; a sign
combination is the pair of strict signs of gate and in, written `gate+_in-`; a ranking orders a
list of examples (post, in, gate, random); a window is the stretch around an example's peak; a
neuron is flipped when w_in and w_out were negated so that cos(w_gate, w_in) >= 0.

    import pipeline
    dataset = pipeline.open("outputs/demo")     # a folder, URL or Hub id
    dataset.sql("select * from neuron_summary limit 5").show()
    dataset.query("cosine_vs_gate_frequency").show()
    dataset.neuron(3, 17)
    dataset.table("neurons").df()
    both = pipeline.open(["outputs/demo", "outputs/other"])     # every table with a column `model`
    both.query("compare_models").show()
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, overload

from pipeline.errors import GatescopeError

if TYPE_CHECKING:
    from pipeline.query import Dataset, Datasets

__all__ = ["GatescopeError", "open"]


Place = str | os.PathLike[str]


@overload
def open(source: Place) -> Dataset: ...  # type: ignore[overload-overlap]  # text is a sequence


@overload
def open(source: Sequence[Place]) -> Datasets: ...


def open(source: Place | Sequence[Place]) -> Dataset | Datasets:
    """Open a finished dataset: a folder, any URL that fsspec opens, or a Hub id `org/name`.

    A list of them opens all at once, and every table then has a column `model` before its own.
    Raises GatescopeError where there is no complete dataset.
    """
    # Here and not above: the scan runs where DuckDB is not installed.
    from pipeline.query import open_dataset

    return open_dataset(source)
