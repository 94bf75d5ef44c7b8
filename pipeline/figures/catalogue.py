"""The figures: what each shows, the queries that it draws, and what a dataset needs for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from pipeline.errors import GatescopeError
from pipeline.figures import classes, cosines, depth, frequencies, gate_frequency
from pipeline.figures.canvas import Drawing
from pipeline.figures.numbers import NothingToDraw, Numbers, ask
from pipeline.figures.style import styled
from pipeline.figures.subject import Subject, subject_of
from pipeline.query import Dataset, Datasets
from pipeline.query.readonly import unknown
from pipeline.schema import COSINES


@dataclass(frozen=True)
class Drawn:
    """What a figure draws: `what` in words, and the column of the dataset that has it.

    `result` is its column in the main query, without which a row is not drawn.
    """

    what: str
    table: str
    column: str
    result: str

    def lack(self, dataset: Dataset) -> str | None:
        """Why the dataset lacks it, as its manifest says."""
        for lack in dataset.manifest.get("missing") or ():
            columns = lack.get("columns")
            if lack["table"] == self.table and (columns is None or self.column in columns):
                return f"{self.what} ({lack['why']})"
        return None


@dataclass(frozen=True)
class FigureKind:
    """A figure; `queries` are the named queries that give its numbers, the main one first.

    `draws` are the columns that each row has to have; `paint` takes the subject and the queries'
    results; of a figure `of_models`, which is about all datasets together, the results alone.
    """

    name: str
    shows: str
    queries: tuple[str, ...]
    draws: tuple[Drawn, ...]
    paint: Callable[..., Drawing]
    needs_scan: bool = False
    needs_gate: bool = False
    of_models: bool = False

    def missing(self, subject: Subject) -> str | None:
        """What this figure needs and the subject has not, in words."""
        if self.needs_scan and not subject.scanned:
            return "a scan"
        if self.needs_gate and not subject.gated:
            return "a model with a gate"
        return None

    def is_drawn(self, numbers: Mapping[str, Numbers]) -> bool:
        """Whether the results of the queries have something to draw."""
        known = numbers[self.queries[0]].known(*(drawn.result for drawn in self.draws))
        return len(known) > 0 and all(map(len, numbers.values()))

    def lacks(self, datasets: Iterable[Dataset]) -> str:
        """What it needs and the datasets have not, in words, with the reason where it is known."""
        reasons = (drawn.lack(dataset) for drawn in self.draws for dataset in datasets)
        return next(filter(None, reasons), "neurons with such numbers")


def _cosines(*names: str) -> tuple[Drawn, ...]:
    return tuple(Drawn("cosines of the weights", "neurons", name, name) for name in names)


_IN_OUT: Final = _cosines("cos_in_out")
_GATE_FREQUENCY: Final = (
    *_IN_OUT,
    Drawn("frequencies", "sign_stats", "frequency", "gate_positive_frequency"),
)
_ALL: Final = (
    FigureKind(
        "gate_frequency",
        "cos(w_in, w_out) against the share of tokens with gate > 0, all neurons",
        ("cosine_and_gate_frequency", "cosine_vs_gate_frequency"),
        _GATE_FREQUENCY,
        gate_frequency.over_all,
        needs_scan=True,
    ),
    FigureKind(
        "gate_frequency_by_layer",
        "the same, a panel for each layer",
        ("cosine_and_gate_frequency", "cosine_vs_gate_frequency"),
        _GATE_FREQUENCY,
        gate_frequency.by_layer,
        needs_scan=True,
    ),
    FigureKind(
        "class_shares",
        "share of each input-output class in each layer",
        ("io_classes_by_layer",),
        (Drawn("classes of the neurons", "neurons", "io_class", "io_class"),),
        classes.shares_by_layer,
    ),
    FigureKind(
        "median_cosine_by_depth",
        "median cos(w_in, w_out) by relative depth, a line for each model",
        ("compare_models",),
        (Drawn("cosines of the weights", "neurons", "cos_in_out", "median_cos_in_out"),),
        depth.median_by_depth,
        of_models=True,
    ),
    FigureKind(
        "cosine_scatter",
        "cos(w_gate, w_out) against cos(w_in, w_out), coloured by cos(w_gate, w_in)",
        ("cosines", "randomness_by_layer"),
        _cosines(*COSINES),
        cosines.scatter_by_layer,
        needs_gate=True,
    ),
    FigureKind(
        "cosine_boxen",
        "letter values of the three cosines in each layer",
        ("cosine_quantiles_by_layer", "randomness_by_layer"),
        (Drawn("cosines of the weights", "neurons", "cos_in_out", "quantile"),),
        cosines.boxen_by_layer,
    ),
    FigureKind(
        "sign_frequencies",
        "how often the four sign combinations occur, over all neurons and by layer",
        ("frequency_distribution", "sign_frequencies"),
        (Drawn("frequencies", "sign_stats", "frequency", "share"),),
        frequencies.distribution,
        needs_scan=True,
    ),
    FigureKind(
        "output_norm",
        "frequency of a sign combination against the mean norm of what is written in it",
        ("frequency_and_output_norm",),
        (Drawn("norms of the weights", "neurons", "norm_out", "mean_output_norm"),),
        frequencies.output_norm,
        needs_scan=True,
    ),
)
FIGURES: Final = {kind.name: kind for kind in _ALL}


def draw(dataset: Dataset | Datasets, name: str) -> Drawing:
    """A figure of an open dataset; `median_cosine_by_depth` of several that are open together too.

    Gives a Matplotlib figure, whose `numbers` are the queries' results. Raises GatescopeError for
    an unknown name, NothingToDraw where the dataset lacks what the figure shows.
    """
    if name not in FIGURES:
        raise GatescopeError(unknown("figure", name, FIGURES))
    kind = FIGURES[name]
    subjects = []
    if not kind.of_models:
        if isinstance(dataset, Datasets):
            raise GatescopeError(
                f"figure {name} is of one dataset and several are open: draw that of one of "
                "their `datasets`"
            )
        subjects = [subject_of(dataset)]
        needs = kind.missing(subjects[0])
        if needs is not None:
            raise NothingToDraw(name, needs)
    numbers = {query: ask(dataset, query) for query in kind.queries}
    if not kind.is_drawn(numbers):
        alone = dataset.datasets.values() if isinstance(dataset, Datasets) else [dataset]
        raise NothingToDraw(name, kind.lacks(alone))
    with styled():
        drawing = kind.paint(*subjects, *numbers.values())
    drawing.numbers = numbers
    return drawing
