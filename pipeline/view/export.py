"""The viewer as a folder for any web server that answers byte ranges: no process of ours there."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from pipeline.errors import GatescopeError
from pipeline.query.source import dataset_url, find_source
from pipeline.view.serve import SITE, dataset_names

LIST: Final = "datasets.json"
_OF_HUB: Final = re.compile(r"hf://datasets/([^/@]+/[^/@]+)(?:@(.+?))?/?")


def export_site(places: Sequence[str], folder: Path, site: Path = SITE) -> list[dict[str, Any]]:
    """Write the site into `folder`, with a list of the datasets, which is given.

    Local datasets are named by their way from `folder` and stay where they are; URLs and Hub ids as
    a browser reads them, unseen: a dataset may be published after its viewer. Raises GatescopeError
    for a local one that is not complete, for a URL that no browser reads, and for a folder with
    something else in it.
    """
    listed = _listed(places, folder)
    _refuse_foreign(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # First, as it is what an export is known by.
        text = json.dumps(listed, indent=2) + "\n"
        (folder / LIST).write_text(text, encoding="utf-8")
        shutil.copytree(site, folder, dirs_exist_ok=True)
    except OSError as error:
        raise GatescopeError(
            f"serve: --export {folder}: cannot be written ({error.strerror or error}); free space, "
            "check permissions, or give another folder"
        ) from error
    return listed


def _listed(places: Sequence[str], folder: Path) -> list[dict[str, Any]]:
    urls = [_browser_url(place, folder) for place in places]
    names = dataset_names([dataset_url(place) for place in places])
    return [
        {"name": name, "url": url, "live": False} for name, url in zip(names, urls, strict=True)
    ]


def _browser_url(place: str, folder: Path) -> str:
    url = dataset_url(place)
    hub = _OF_HUB.fullmatch(url)
    if hub is not None:
        revision = quote(unquote(hub[2] or "main"), safe="")
        return f"https://huggingface.co/datasets/{hub[1]}/resolve/{revision}/"
    if url.startswith(("https://", "http://")):
        return url.rstrip("/") + "/"
    if "://" in url:
        raise GatescopeError(
            f"serve: --export: no browser reads {place}; give the https:// address of its files"
        )
    source = find_source(place)
    way = os.path.relpath(os.path.realpath(source.root), os.path.realpath(folder))
    return quote(Path(way).as_posix(), errors="surrogateescape") + "/"


def _refuse_foreign(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise GatescopeError(f"serve: --export {folder} is a file; give a new or empty folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / LIST).is_file():
        raise GatescopeError(
            f"serve: --export {folder} holds something else than an earlier export; give a new or "
            "empty folder"
        )
