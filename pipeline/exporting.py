"""`gatescope export`: a dataset, or neurons of it, as other tools read them."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from pipeline.console import results, say, say_next
from pipeline.errors import GatescopeError
from pipeline.query import Dataset, open_dataset
from pipeline.view.progress import progress

# More than anybody reads, and than a browser likes of one page.
_MOST_ON_A_PAGE = 100


def export_dataset(
    dataset: str, out: str, *, format: str, neurons: Sequence[tuple[int, int]], console: Console
) -> None:
    """Write `out`, a file or for Neuronpedia a folder, and print what is in it.

    Raises GatescopeError where `out` is there already, and for what cannot be exported.
    """
    path = _new_path(out)
    with open_dataset(dataset) as opened:
        if format == "gluscope":
            _export_gluscope(opened, path, neurons, console)
        elif format == "neuronpedia":
            _export_neuronpedia(opened, path, neurons, console)
        else:
            _export_page(opened, path, neurons)


def _export_gluscope(
    dataset: Dataset, path: Path, neurons: Sequence[tuple[int, int]], console: Console
) -> None:
    from pipeline.hub.gluscope.export import (
        differing_definitions,
        exported_columns,
        exported_layers,
        exported_names,
    )
    from pipeline.store.published.writer import write_published

    if neurons:
        raise GatescopeError(
            "export: --neurons: GLUScope's schema holds all neurons, a row each; leave it out"
        )
    columns = exported_columns(dataset)
    names = exported_names(columns)
    with (
        progress(console, "Exporting", "neurons", _n_neurons(dataset)) as advance,
        _whole(path) as temporary,
    ):
        layers = exported_layers(dataset, columns)
        n_rows = write_published(temporary, layers, columns, names, advance)
    out = results()
    for line in differing_definitions(dataset, columns):
        say(console, f"Note: {line}")
    say(out, f"{path}: {n_rows:,} neurons, {len(names)} columns, {path.stat().st_size:,} bytes")
    say_next(out, [["import", str(path), "DATASET"]])


def _export_neuronpedia(
    dataset: Dataset, path: Path, neurons: Sequence[tuple[int, int]], console: Console
) -> None:
    from pipeline.hub.neuronpedia import neuronpedia_files

    chosen = _checked(dataset, neurons) or None
    n_files = n_bytes = 0
    with progress(console, "Exporting", "files", None) as advance, _whole(path) as temporary:
        for name, data in neuronpedia_files(dataset, chosen):
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
            n_files, n_bytes = n_files + 1, n_bytes + len(data)
            advance(1)
    say(
        results(), f"{path}: {n_files:,} files, {n_bytes:,} bytes, a source a combination and layer"
    )


def _export_page(dataset: Dataset, path: Path, neurons: Sequence[tuple[int, int]]) -> None:
    from pipeline.view.page import render_page

    if not neurons:
        raise GatescopeError(
            "export: --format html shows chosen neurons: name them, as --neurons 31.9634 0.17"
        )
    if len(neurons) > _MOST_ON_A_PAGE:
        raise GatescopeError(
            f"export: {len(neurons)} neurons are too many for a page: name at most "
            f"{_MOST_ON_A_PAGE}, or `gatescope serve` for all"
        )
    found = [dataset.neuron(*neuron) for neuron in _checked(dataset, neurons)]
    with _whole(path) as temporary:
        temporary.write_text(render_page(dataset, found), encoding="utf-8")
    say(results(), f"{path}: {len(found)} neurons, {path.stat().st_size:,} bytes")


def _checked(dataset: Dataset, neurons: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The neurons, each once; GatescopeError for one that there is not."""
    for layer, neuron in neurons:
        dataset.require({"layer": layer, "neuron": neuron})
    return list(dict.fromkeys(neurons))


def _n_neurons(dataset: Dataset) -> int:
    ((n,),) = dataset.sql("select count(*) from neurons").fetchall()
    return int(n)


def _new_path(out: str) -> Path:
    if not out.strip():
        raise GatescopeError("export: OUT is empty: give a file, or a folder for neuronpedia")
    if "://" in out:
        raise GatescopeError(f"export: {out} is a URL: give a path of this machine, and copy that")
    path = Path(out).expanduser()
    if path.exists() or path.is_symlink():
        raise GatescopeError(f"export: {out} is there already; give another name, or remove it")
    return path


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A path beside, whose file or folder takes the name `path` once it is whole."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        temporary.rename(path)
    except OSError as error:
        raise GatescopeError(
            f"export: {path} cannot be written ({error.strerror or error}); free space, check "
            "permissions, or give another name"
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        elif temporary.exists():
            temporary.unlink()
