"""`gatescope serve`: datasets opened, a model loaded where it is asked for, and what is printed."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from pipeline.console import results, say
from pipeline.errors import GatescopeError
from pipeline.query import open_dataset
from pipeline.query.source import Source, dataset_url, find_source
from pipeline.view.export import export_site
from pipeline.view.listen import DEFAULT_HOST, DEFAULT_PORT, address_of, listen, run_server
from pipeline.view.live import LiveModel
from pipeline.view.serve import ServedDataset, dataset_names, is_loopback, viewer_app


def serve_datasets(
    places: Sequence[str],
    host: str | None,
    port: int | None,
    model: str | None,
    console: Console,
) -> None:
    """Serve datasets until SIGINT or SIGTERM.

    With `model` the model of each runs beside it: the one that its manifest names where the text is
    empty. Raises GatescopeError before anything is served.
    """
    if model and len(places) > 1:
        raise GatescopeError(
            f"serve: --model {model} would be the model of {len(places)} datasets; give --model "
            "without a name for each its own, or serve one dataset"
        )
    host = DEFAULT_HOST if host is None else host
    sources = [find_source(place) for place in places]
    names = dataset_names([dataset_url(place) for place in places])
    # Refused at once, and not after a model is loaded.
    with listen(host, DEFAULT_PORT if port is None else port) as listener:
        models = [_live_model(source, model, console) for source in sources]
        datasets = [
            ServedDataset(name, source, live)
            for name, source, live in zip(names, sources, models, strict=True)
        ]
        app = viewer_app(datasets, host)
        run_server(app, listener, lambda: _announce(datasets, listener, host, console))


def _announce(
    datasets: Sequence[ServedDataset], listener: socket.socket, host: str, console: Console
) -> None:
    if not is_loopback(host):
        live = any(dataset.model is not None for dataset in datasets)
        also = " and run texts through the model" if live else ""
        say(
            console,
            f"Warning: --host {host}: everyone on the network can read these datasets{also}",
            "bold yellow",
        )
    out = results()
    for dataset in datasets:
        say(out, f"{dataset.name}: {dataset.source.name}")
    say(out, f"Open {address_of(listener, host)}  (Ctrl-C ends it)", "bold")


def _live_model(source: Source, model: str | None, console: Console) -> LiveModel | None:
    if model is None:
        return None
    # Here and not above: torch takes seconds, and files are served without it.
    from pipeline.dataset_model import load_live_model

    with console.status(f"Loading the model of {source.name}"), open_dataset(source.name) as opened:
        return load_live_model(opened, model or None)


def export(places: Sequence[str], folder: str) -> None:
    """Write the viewer into a folder and say what is there."""
    if not folder.strip():
        raise GatescopeError("serve: --export is empty: give a folder")
    if "://" in folder:
        raise GatescopeError(f"serve: --export {folder} is a URL: give a folder, and copy that")
    out = results()
    for dataset in export_site(places, Path(folder).expanduser()):
        say(out, f"{dataset['name']}: {dataset['url']}")
    say(out, f"The viewer is in {folder}; it finds datasets by these addresses, seen from there.")
    say(
        out,
        "Next: copy both to a web server that answers byte ranges (most do; Python's http.server "
        f"does not), and open {Path(folder).name}/index.html there",
    )
