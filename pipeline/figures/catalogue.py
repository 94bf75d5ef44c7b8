"""The figures: what each shows, the queries that it draws, and what a dataset needs for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pipeline.errors import GatescopeError
from pipeline.figures import classes, cosines, depth, frequencies, gate_frequency
from pipeline.figures.canvas import Drawing
from pipeline.figures.numbers import NothingToDraw, ask
from pipeline.figures.style import styled
from pipeline.figures.subject import Subject, subject_of
from pipeline.query import Dataset, Datasets
from pipeline.query.readonly import unknown


@dataclass(frozen=True)
class FigureKind:
    """A figure; `queries` are the named queries that give its numbers, the main one first.

    `paint` takes the subject and the queries' results; of a figure `of_models`, which is about
    all datasets together, the results alone.
    """

    name: str
    shows: str
    queries: tuple[str, ...]
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


_ALL: Final = (
    FigureKind(
        "gate_frequency",
        "cos(w_in, w_out) against the share of tokens with gate > 0, all neurons",
        ("cosine_and_gate_frequency", "cosine_vs_gate_frequency"),
        gate_frequency.over_all,
        needs_scan=True,
    ),
    FigureKind(
        "gate_frequency_by_layer",
        "the same, a panel for each layer",
        ("cosine_and_gate_frequency", "cosine_vs_gate_frequency"),
        gate_frequency.by_layer,
        needs_scan=True,
    ),
    FigureKind(
        "class_shares",
        "share of each input-output class in each layer",
        ("io_classes_by_layer",),
        classes.shares_by_layer,
    ),
    FigureKind(
        "median_cosine_by_depth",
        "median cos(w_in, w_out) by relative depth, a line for each model",
        ("compare_models",),
        depth.median_by_depth,
        of_models=True,
    ),
    FigureKind(
        "cosine_scatter",
        "cos(w_gate, w_out) against cos(w_in, w_out), coloured by cos(w_gate, w_in)",
        ("cosines", "randomness_by_layer"),
        cosines.scatter_by_layer,
        needs_gate=True,
    ),
    FigureKind(
        "cosine_boxen",
        "letter values of the three cosines in each layer",
        ("cosine_quantiles_by_layer", "randomness_by_layer"),
        cosines.boxen_by_layer,
    ),
    FigureKind(
        "sign_frequencies",
        "how often the four sign combinations occur, over all neurons and by layer",
        ("frequency_distribution", "sign_frequencies"),
        frequencies.distribution,
        needs_scan=True,
    ),
    FigureKind(
        "output_norm",
        "frequency of a sign combination against the mean norm of what is written in it",
        ("frequency_and_output_norm",),
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
    if not all(map(len, numbers.values())):
        raise NothingToDraw(name, "neurons with such numbers")
    with styled():
        drawing = kind.paint(*subjects, *numbers.values())
    drawing.numbers = numbers
    return drawing
