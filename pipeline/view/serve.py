"""The viewer as a web application: the static site, the files of datasets, and live texts.

What may be read is listed before the first request, so that no path leads anywhere else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import fsspec
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.errors import GatescopeError
from pipeline.query.source import MANIFEST, Source
from pipeline.view.live import LiveModel, LiveTexts
from pipeline.view.served_file import FileAnswer, ServedFile

SITE: Final = Path(__file__).parent / "site"

# On every answer. A page may fetch data from elsewhere (?data=URL) and nothing else from there.
_HEADERS: Final = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self' https: http:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
# A dataset may be made again at the same place: a browser keeps none of it. The site it may keep,
# and asks each time whether that is still the same.
_OF_DATA: Final = "no-store"
_OF_SITE: Final = "no-cache"
_CARD: Final = "README.md"
_OWN_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_LONGEST_NAME: Final = 80
# A dataset on the Hub, or on a host that is one; the name is followed by a revision.
_OF_HUB: Final = re.compile(
    r"(?:hf://datasets/|https?://.+/datasets/)(?:[^/@]+/)?([^/@]+)(?:(?:@|/resolve/)(.+?))?/?"
)


@dataclass(frozen=True)
class ServedDataset:
    """A dataset, its name in addresses, and the model beside it, if one runs."""

    name: str
    source: Source
    model: LiveModel | None = None


def viewer_app(datasets: Sequence[ServedDataset], host: str, site: Path = SITE) -> ASGIApp:
    """The application. On a loopback `host` it answers to the names of this machine alone.

    Raises GatescopeError as `dataset_files` does.
    """
    files = _site_files(site)
    for dataset in datasets:
        for name, file in dataset_files(dataset.source).items():
            files[f"/data/{dataset.name}/{name}"] = file
    listed = [
        {"name": d.name, "url": f"data/{d.name}/", "live": d.model is not None} for d in datasets
    ]
    live = LiveTexts({d.name: d.model for d in datasets if d.model is not None})

    async def list_datasets(request: Request) -> Response:
        return JSONResponse(listed, headers={"cache-control": _OF_DATA})

    async def read_file(request: Request) -> Response:
        # The path as the address means it: decoded once, and otherwise as it came.
        file = files.get(request.scope["path"])
        return PlainTextResponse("not found\n", 404) if file is None else FileAnswer(file)

    # A name of somebody else's that leads here (DNS rebinding) would let his page read all.
    hosts = [*_OWN_NAMES, url_host(host)] if is_loopback(host) else ["*"]
    app = Starlette(
        routes=[
            Route("/datasets.json", list_datasets),
            Route("/data/{name}/live", live.answer, methods=["POST"]),
            Route("/{path:path}", read_file),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)],
        exception_handlers={Exception: _say_failed},
    )
    app.router.redirect_slashes = False
    return _WithHeaders(app)


def dataset_names(roots: Sequence[str]) -> list[str]:
    """A name for each dataset by the place of its files: its last part, as an address can hold it.

    On the Hub the name there, with the revision where one is named. No two are the same: `demo`,
    `demo-2`.
    """
    names: list[str] = []
    for root in roots:
        last = _hub_name(root) or os.path.normpath(root).rpartition("/")[2]
        safe = re.sub(r"[^A-Za-z0-9._-]+", "-", last)[:_LONGEST_NAME].strip("-.") or "dataset"
        name, n = safe, 1
        while name in names:
            n += 1
            name = f"{safe}-{n}"
        names.append(name)
    return names


def _hub_name(root: str) -> str | None:
    match = _OF_HUB.fullmatch(root)
    if match is None:
        return None
    revision = unquote(match[2] or "main")
    return match[1] if revision == "main" else f"{match[1]}-{revision}"


def dataset_files(source: Source) -> dict[str, ServedFile]:
    """The files that a dataset is made of, by their names below its folder.

    Raises GatescopeError for one that is a link to somewhere outside of that folder.
    """
    parts = [path for paths in source.files.values() for path in paths]
    names = [MANIFEST, _CARD, *(path.removeprefix(f"{source.root}/") for path in parts)]
    if source.filesystem is None:
        paths = {name: _real_path(source, name) for name in names}
        return {name: ServedFile(name, paths[name], None, _OF_DATA) for name in names}
    # Without a memory of what was there: a part may have been written anew.
    filesystem, root = fsspec.core.url_to_fs(source.root, use_listings_cache=False)
    return {
        name: ServedFile(name, f"{root.rstrip('/')}/{name}", filesystem, _OF_DATA) for name in names
    }


def _real_path(source: Source, name: str) -> str:
    root, path = Path(source.root).resolve(), Path(source.root, name).resolve()
    # The Hub's own cache keeps what its folders link to beside them.
    homes = [root, root.parents[1] / "blobs"] if root.parent.name == "snapshots" else [root]
    if not any(path.is_relative_to(home) for home in homes):
        raise GatescopeError(
            f"{source.name}: {name} is a link to {path}, and nothing outside of the dataset is "
            "served; put the file itself there"
        )
    return str(path)


def _site_files(site: Path) -> dict[str, ServedFile]:
    found = {path.relative_to(site).as_posix(): path for path in site.rglob("*") if path.is_file()}
    files = {
        f"/{name}": ServedFile(name, str(path), None, _OF_SITE) for name, path in found.items()
    }
    if "/index.html" in files:
        files["/"] = files["/index.html"]
    return files


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def url_host(host: str) -> str:
    """A host as a URL has it: an address of IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


async def _say_failed(request: Request, error: Exception) -> Response:
    # Starlette raises it again, and the terminal has it all.
    said = {"error": f"the server failed ({type(error).__name__}); its terminal says why"}
    return JSONResponse(said, 500)


class _WithHeaders:
    """Around the whole application, so that failures have the headers too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
