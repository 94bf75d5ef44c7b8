"""Figures as files: PNG, PDF, and the numbers that they show as CSV."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.errors import GatescopeError
from pipeline.figures.canvas import Drawing
from pipeline.figures.catalogue import FIGURES, FigureKind, draw
from pipeline.figures.lettering import folder_names
from pipeline.figures.numbers import NothingToDraw
from pipeline.figures.style import CLOUD_DPI, PNG_DPI, styled
from pipeline.query import Dataset, Datasets, open_dataset

# No dates in the files: the same figure is the same bytes.
_FORMATS: Final[dict[str, dict[str, Any]]] = {
    "png": {"dpi": PNG_DPI, "metadata": {"Software": "Gatescope"}},
    "pdf": {"dpi": CLOUD_DPI, "metadata": {"Creator": "Gatescope", "CreationDate": None}},
}


@dataclass(frozen=True)
class Written:
    """A figure of the datasets at `sources`: its files, or what it `needs` and they have not.

    Then `older` is the folder where one lies that was drawn before, of another dataset.
    """

    kind: FigureKind
    sources: tuple[str, ...]
    files: tuple[Path, ...]
    needs: str | None = None
    older: Path | None = None


def count_figures(sources: Sequence[str]) -> int:
    """How many figures `write_figures` gives, those left out among them."""
    n_alone = sum(not kind.of_models for kind in FIGURES.values())
    return n_alone * len(sources) + len(FIGURES) - n_alone


def write_figures(sources: Sequence[str], out: Path) -> Iterator[Written]:
    """Draw all figures of the datasets; gives each when it is on disk, or why it is not.

    Those of one dataset go to `out/<model>`, those of all together to `out`. Raises GatescopeError
    where a dataset cannot be opened or `out` not be written.
    """
    with open_dataset(list(sources)) as together:
        folders = folder_names(list(together.datasets))
        for source, folder, dataset in zip(
            sources, folders, together.datasets.values(), strict=True
        ):
            for kind in FIGURES.values():
                if not kind.of_models:
                    yield _written(dataset, kind, (source,), out / folder)
        for kind in FIGURES.values():
            if kind.of_models:
                yield _written(together, kind, tuple(sources), out)


def _written(
    dataset: Dataset | Datasets, kind: FigureKind, sources: tuple[str, ...], folder: Path
) -> Written:
    try:
        drawing = draw(dataset, kind.name)
    except NothingToDraw as error:
        there = (folder / f"{kind.name}.png").exists()
        return Written(kind, sources, (), error.needs, folder if there else None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return Written(kind, sources, tuple(_save(drawing, folder / kind.name)))
    except OSError as error:
        raise GatescopeError(
            f"--out: {folder} cannot be written ({error.strerror or error}); give another folder"
        ) from error


def _save(drawing: Drawing, base: Path) -> Iterator[Path]:
    """`base.png`, `base.pdf`, and `base.csv`, with `base.<query>.csv` for each further query."""
    with styled():
        for suffix, options in _FORMATS.items():
            path = base.with_name(f"{base.name}.{suffix}")
            drawing.savefig(path, format=suffix, **options)
            yield path
    for place, (query, numbers) in enumerate(drawing.numbers.items()):
        middle = f".{query}" if place else ""
        path = base.with_name(f"{base.name}{middle}.csv")
        numbers.write_csv(path)
        yield path
