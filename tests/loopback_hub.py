"""A Hugging Face Hub on loopback: what huggingface_hub, datasets and browsers ask of the real one.

Repositories of datasets and Spaces with an immutable history, large files by git-LFS (no Xet), and
answers, codes and headers as the real Hub gives them. It notes each request and its bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import uvicorn
import yaml
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pipeline.view.listen import listen
from pipeline.view.served_file import Unsatisfiable, wanted_range

_TYPES = {"datasets": "dataset", "spaces": "space", "models": "model"}
_DATE = "2026-01-01T00:00:00.000Z"
_EXPOSED = (
    "X-Repo-Commit,X-Request-Id,X-Error-Code,X-Error-Message,X-Total-Count,ETag,Link,"
    "Accept-Ranges,Content-Range,X-Linked-Size,X-Linked-ETag,X-Xet-Hash"
)
# Files of a page of a tree, so few that there are several.
_PAGE = 20
_SIZES = re.compile(
    r"n<1K|1K<n<10K|10K<n<100K|100K<n<1M|1M<n<10M|10M<n<100M|100M<n<1B|n>1T|\d+.<n<\d+."
)
_LICENSES = {"other", "mit", "apache-2.0", "cc-by-4.0", "cc0-1.0", "odc-by"}


@dataclass(frozen=True)
class Blob:
    """A file of a commit; `sha256` of one that git-LFS holds."""

    oid: str
    size: int
    sha256: str | None

    @property
    def etag(self) -> str:
        return self.sha256 or self.oid


@dataclass
class Repo:
    """A repository; `commits` has the files of each commit, by its sha."""

    kind: str
    id: str
    private: bool
    sdk: str | None
    commits: dict[str, dict[str, Blob]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, branch: str, files: dict[str, Blob], title: str) -> str:
        """Make `files` the content of a branch."""
        said = f"{self.branches.get(branch)}{title}{len(self.commits)}{sorted(files)}"
        sha = hashlib.sha1(f"{self.id}{said}".encode()).hexdigest()
        self.commits[sha], self.titles[sha], self.branches[branch] = files, title, sha
        return sha

    def sha(self, revision: str) -> str | None:
        """The commit of a branch, a tag or a sha."""
        found = self.branches.get(revision) or self.tags.get(revision)
        return found or (revision if revision in self.commits else None)

    @property
    def files(self) -> dict[str, Blob]:
        """What main holds."""
        return self.commits[self.branches["main"]]


@dataclass(frozen=True)
class Asked:
    """A request: its path without the query, the Range, bytes of its body and of the answer."""

    method: str
    path: str
    range: str | None
    n_received: int
    n_sent: int
    status: int


class Refusal(Exception):
    """An answer that is an error, with the code by which clients tell them apart."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


class LoopbackHub:
    """The Hub's state, and its address. `token` may write for `tester` and `org`."""

    token, read_token = "hf_loopback_secret_write", "hf_loopback_secret_read"

    def __init__(self, folder: Path) -> None:
        self.url = ""
        self.repos: dict[tuple[str, str], Repo] = {}
        self.asked: list[Asked] = []
        self.on_upload: Callable[[int], None] = lambda n: None
        self.on_request: Callable[[str], None] = lambda path: None
        self.refuses_commits = False
        self._blobs = folder / "blobs"
        self._blobs.mkdir()
        self._home = folder / "home"
        self._n_uploads = 0
        self._lock = threading.Lock()

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that takes this for the Hub, with no cache of others."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
        return kept | {
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.token,
            "HF_HOME": str(self._home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def repo(self, id_: str, kind: str = "dataset") -> Repo:
        """A repository that there is."""
        return self.repos[kind, id_]

    def read(self, repo: Repo, path: str, revision: str = "main") -> bytes:
        """The content of a file."""
        sha = repo.sha(revision)
        assert sha is not None
        return self._content(repo.commits[sha][path])

    def put(self, id_: str, files: dict[str, bytes], kind: str = "dataset") -> Repo:
        """A public repository with these files."""
        repo = self.repos[kind, id_] = Repo(kind, id_, False, None)
        repo.commit("main", {path: self._keep(data, False) for path, data in files.items()}, "put")
        return repo

    def n_sent(self, part: str = "") -> int:
        """Bytes sent for all paths that hold `part`."""
        return sum(one.n_sent for one in self.asked if part in one.path)

    @property
    def uploads(self) -> list[Asked]:
        """The requests that sent a large file."""
        return [one for one in self.asked if one.path.startswith("/lfs/")]

    def _content(self, blob: Blob) -> bytes:
        return (self._blobs / blob.etag).read_bytes()

    def _keep(self, data: bytes, is_large: bool) -> Blob:
        sha1 = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        sha256 = hashlib.sha256(data).hexdigest() if is_large else None
        blob = Blob(sha1, len(data), sha256)
        (self._blobs / blob.etag).write_bytes(data)
        return blob

    # --- the application ---

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        self.on_request(request.url.path)
        body = await request.body()
        try:
            response = self._answer(request, body)
        except Refusal as refusal:
            headers = {"X-Error-Message": refusal.message}
            headers |= {"X-Error-Code": refusal.code} if refusal.code else {}
            response = JSONResponse({"error": refusal.message}, refusal.status, headers)
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = _EXPOSED
        n_sent = 0 if request.method == "HEAD" else len(response.body)
        asked = Asked(
            request.method,
            request.url.path,
            request.headers.get("range"),
            len(body),
            n_sent,
            response.status_code,
        )
        with self._lock:
            self.asked.append(asked)
        await response(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Response:
        parts = [unquote(p) for p in request.scope["raw_path"].decode().strip("/").split("/")]
        if request.method == "OPTIONS":
            return Response(None, 204, {"Access-Control-Allow-Headers": "*"})
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token and token not in (self.token, self.read_token):
            raise Refusal(401, "Invalid credentials in Authorization header")
        match parts:
            case ["publish"]:
                return Response("done")
            case ["api", "whoami-v2"]:
                self._require_token(token)
                orgs = [{"type": "org", "name": "org"}]
                return JSONResponse({"type": "user", "name": "tester", "orgs": orgs})
            case ["api", "validate-yaml"]:
                return self._validated(json.loads(body))
            case ["api", "repos", "create"]:
                return self._create(json.loads(body), token)
            case ["cdn", sha256]:
                data = (self._blobs / sha256).read_bytes()
                return _ranged(request, data, {"etag": f'"{sha256}"'})
            case ["lfs", oid]:
                return self._uploaded(oid, body)
            case ["api", kinds, org, name, *rest] if kinds in _TYPES:
                repo = self._repo(_TYPES[kinds], f"{org}/{name}", token)
                return self._of_repo(repo, rest, request, body, token)
            case [kinds, org, name, "info", "lfs", "objects", "batch"] if kinds in _TYPES:
                repo = self._repo(_TYPES[kinds], f"{org}/{name.removesuffix('.git')}", token)
                self._require_write(repo.id, token)
                return self._batch(json.loads(body))
            case [kinds, org, name, "resolve", revision, *path] if kinds in _TYPES:
                repo = self._repo(_TYPES[kinds], f"{org}/{name}", token)
                return self._resolve(repo, revision, "/".join(path), request)
        raise Refusal(404, "Not Found")

    def _require_token(self, token: str) -> None:
        if not token:
            raise Refusal(401, "Invalid username or password.")

    def _require_write(self, id_: str, token: str) -> None:
        self._require_token(token)
        if token != self.token or id_.partition("/")[0] not in ("tester", "org"):
            raise Refusal(403, "You don't have the rights to write here with this token")

    def _repo(self, kind: str, id_: str, token: str) -> Repo:
        repo = self.repos.get((kind, id_))
        if repo is None or (repo.private and not token):
            if not token:
                raise Refusal(401, "Invalid username or password.", "RepoNotFound")
            raise Refusal(404, "Repository not found", "RepoNotFound")
        return repo

    def _validated(self, asked: dict[str, Any]) -> Response:
        head = re.match(r"\s*---[\r\n]+([\S\s]*?)[\r\n]+---([\r\n]|$)", asked["content"])
        errors = metadata_errors(head[1] if head else "", asked["repoType"])
        said = {"errors": [{"message": message} for message in errors], "warnings": []}
        return JSONResponse(said, 400 if errors else 200)

    def _create(self, asked: dict[str, Any], token: str) -> Response:
        kind, owner = asked.get("type", "model"), asked.get("organization") or "tester"
        id_ = f"{owner}/{asked['name']}"
        self._require_write(id_, token)
        url = f"{self.url}/{kind}s/{id_}"
        if (kind, id_) in self.repos:
            return JSONResponse({"error": "You already created this repo", "url": url}, 409)
        private = asked.get("private") or asked.get("visibility") == "private"
        repo = self.repos[kind, id_] = Repo(kind, id_, bool(private), asked.get("sdk"))
        first = {".gitattributes": self._keep(b"*.parquet filter=lfs\n", False)}
        repo.commit("main", first, "initial commit")
        return JSONResponse({"url": url, "id": id_})

    def _uploaded(self, oid: str, body: bytes) -> Response:
        if hashlib.sha256(body).hexdigest() != oid:
            raise Refusal(400, "the content is not that of the oid")
        (self._blobs / oid).write_bytes(body)
        with self._lock:
            self._n_uploads += 1
        self.on_upload(self._n_uploads)
        return Response(None, 200)

    def _batch(self, asked: dict[str, Any]) -> Response:
        objects = []
        for one in asked["objects"]:
            href = {"upload": {"href": f"{self.url}/lfs/{one['oid']}"}}
            there = (self._blobs / one["oid"]).exists()
            objects.append(dict(one) if there else {**one, "actions": href})
        return JSONResponse({"transfer": "basic", "objects": objects})

    def _of_repo(
        self, repo: Repo, rest: list[str], request: Request, body: bytes, token: str
    ) -> Response:
        if request.method in ("POST", "PUT", "DELETE") and rest[:1] != ["paths-info"]:
            self._require_write(repo.id, token)
        match rest:
            case [] | ["revision", _]:
                return self._info(repo, rest[1] if rest else "main")
            case ["refs"]:
                refs = {
                    kind: [
                        {"name": name, "ref": f"refs/{of}/{name}", "targetCommit": sha}
                        for name, sha in found.items()
                    ]
                    for kind, of, found in (
                        ("branches", "heads", repo.branches),
                        ("tags", "tags", repo.tags),
                    )
                }
                return JSONResponse({**refs, "converts": []})
            case ["settings"]:
                asked = json.loads(body)
                repo.private = asked.get("private", asked.get("visibility") == "private")
                return JSONResponse({})
            case ["tag", revision]:
                return self._tag(repo, revision, request.method, body)
            case ["preupload", revision]:
                return self._preupload(repo, revision, json.loads(body))
            case ["commit", branch]:
                return self._commit(repo, branch, body)
            case ["tree", revision, *path]:
                return self._tree(repo, revision, "/".join(path), request)
            case ["paths-info", revision]:
                return self._paths_info(repo, revision, request, body)
            case ["commits", revision]:
                sha = self._sha(repo, revision)
                return JSONResponse([{"id": sha, "title": repo.titles[sha], "date": _DATE}])
        raise Refusal(404, "Not Found")

    def _sha(self, repo: Repo, revision: str) -> str:
        sha = repo.sha(revision)
        if sha is None:
            raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return sha

    def _info(self, repo: Repo, revision: str) -> Response:
        sha = self._sha(repo, revision)
        said = {
            "_id": "0",
            "id": repo.id,
            "private": repo.private,
            "sha": sha,
            "tags": [],
            "downloads": 0,
            "likes": 0,
            "disabled": False,
            "gated": False,
            "lastModified": _DATE,
            "createdAt": _DATE,
            "siblings": [{"rfilename": path} for path in repo.commits[sha]],
        }
        return JSONResponse(said | ({"sdk": repo.sdk} if repo.sdk else {}))

    def _tag(self, repo: Repo, revision: str, method: str, body: bytes) -> Response:
        if method == "DELETE":
            repo.tags.pop(revision)
            return JSONResponse({})
        tag = json.loads(body)["tag"]
        if tag in repo.tags:
            raise Refusal(409, "Tag reference exists already")
        repo.tags[tag] = self._sha(repo, revision)
        return JSONResponse({})

    def _preupload(self, repo: Repo, revision: str, asked: dict[str, Any]) -> Response:
        there = repo.commits[self._sha(repo, revision)]
        files = [
            {
                "path": one["path"],
                "uploadMode": "lfs" if one["path"].endswith(".parquet") else "regular",
                "shouldIgnore": False,
                **({"oid": there[one["path"]].etag} if one["path"] in there else {}),
            }
            for one in asked["files"]
        ]
        return JSONResponse({"files": files})

    def _commit(self, repo: Repo, branch: str, body: bytes) -> Response:
        if self.refuses_commits:
            raise Refusal(400, "the commit was refused")
        lines = [json.loads(line) for line in body.splitlines() if line]
        head = lines[0]["value"]
        if head.get("parentCommit") not in (None, self._sha(repo, branch)):
            raise Refusal(412, "A commit has happened since. Please refresh and try again.")
        files = dict(repo.commits[self._sha(repo, branch)])
        for line in lines[1:]:
            kind, value = line["key"], line["value"]
            if kind == "file":
                files[value["path"]] = self._keep(base64.b64decode(value["content"]), False)
            elif kind == "lfsFile":
                stored = self._blobs / value["oid"]
                if not stored.exists() or stored.stat().st_size != value["size"]:
                    raise Refusal(400, f"{value['path']} points at a file that was not uploaded")
                pointer = hashlib.sha1(value["oid"].encode()).hexdigest()
                files[value["path"]] = Blob(pointer, value["size"], value["oid"])
            elif kind == "deletedFile":
                del files[value["path"]]
        sha = repo.commit(branch, files, head["summary"])
        url = f"{self.url}/{repo.kind}s/{repo.id}/commit/{sha}"
        return JSONResponse({"success": True, "commitOid": sha, "commitUrl": url})

    def _tree(self, repo: Repo, revision: str, folder: str, request: Request) -> Response:
        files = repo.commits[self._sha(repo, revision)]
        prefix = f"{folder}/" if folder else ""
        entries: dict[str, dict[str, Any]] = {}
        for path, blob in sorted(files.items()):
            if not path.startswith(prefix):
                continue
            inside = path.removeprefix(prefix).split("/")
            for depth in range(1, len(inside)):
                above = prefix + "/".join(inside[:depth])
                if depth == 1 or request.query_params.get("recursive") in ("true", "True", "1"):
                    entries[above] = {"type": "directory", "path": above, "oid": "0", "size": 0}
            if len(inside) == 1 or request.query_params.get("recursive") in ("true", "True", "1"):
                entries[path] = self._entry(path, blob)
        if not entries and folder:
            raise Refusal(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        start = int(request.query_params.get("cursor", 0))
        page = list(entries.values())[start : start + _PAGE]
        response = JSONResponse(page)
        if start + _PAGE < len(entries):
            following = request.url.include_query_params(cursor=start + _PAGE)
            response.headers["Link"] = f'<{following}>; rel="next"'
        return response

    def _entry(self, path: str, blob: Blob) -> dict[str, Any]:
        entry: dict[str, Any] = {"type": "file", "path": path, "oid": blob.oid, "size": blob.size}
        if blob.sha256:
            entry["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": 130}
        return entry | {"lastCommit": {"id": "0", "title": "put", "date": _DATE}}

    def _paths_info(self, repo: Repo, revision: str, request: Request, body: bytes) -> Response:
        files = repo.commits[self._sha(repo, revision)]
        if request.headers["content-type"].startswith("application/json"):
            asked = json.loads(body)["paths"]
        else:
            fields = [pair.partition("=") for pair in body.decode().split("&")]
            asked = [unquote(v.replace("+", " ")) for k, _, v in fields if k == "paths"]
        found = []
        for path in [asked] if isinstance(asked, str) else asked:
            if path in files:
                found.append(self._entry(path, files[path]))
            elif any(name.startswith(f"{path}/") for name in files):
                found.append({"type": "directory", "path": path, "oid": "0", "size": 0})
        return JSONResponse(found)

    def _resolve(self, repo: Repo, revision: str, path: str, request: Request) -> Response:
        sha = self._sha(repo, revision)
        blob = repo.commits[sha].get(path)
        if blob is None:
            raise Refusal(404, "Entry not found", "EntryNotFound")
        headers = {"X-Repo-Commit": sha, "etag": f'"{blob.etag}"'}
        if blob.sha256 is None:
            return _ranged(request, self._content(blob), headers)
        headers |= {"X-Linked-Size": str(blob.size), "X-Linked-Etag": f'"{blob.sha256}"'}
        # Another host: clients do not follow there when they ask for the headers alone.
        headers["Location"] = f"{self.url.replace('127.0.0.1', 'localhost')}/cdn/{blob.sha256}"
        return Response(None, 302, headers)


def _ranged(request: Request, data: bytes, headers: dict[str, str]) -> Response:
    headers |= {"Accept-Ranges": "bytes"}
    try:
        wanted = wanted_range(request.headers.get("range", ""), len(data))
    except Unsatisfiable:
        return Response(None, 416, headers | {"Content-Range": f"bytes */{len(data)}"})
    if wanted is None:
        return Response(data, 200, headers, "application/octet-stream")
    start, end = wanted
    headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
    return Response(data[start:end], 206, headers, "application/octet-stream")


def metadata_errors(text: str, kind: str) -> list[str]:
    """What the Hub documents of a card's metadata and this one does not keep."""
    try:
        said = yaml.safe_load(text) or {}
    except yaml.YAMLError as error:
        return [f"the metadata is no YAML: {error}"]
    errors = []
    if said.get("license") not in (None, *_LICENSES):
        errors.append(f'"license" must be one of {sorted(_LICENSES)}')
    if not all(isinstance(tag, str) for tag in said.get("tags", [])):
        errors.append('"tags" must be strings')
    if not isinstance(said.get("pretty_name", ""), str):
        errors.append('"pretty_name" must be a string')
    errors += [
        f'"size_categories" has {size}'
        for size in said.get("size_categories", [])
        if not _SIZES.fullmatch(size)
    ]
    if kind == "space":
        if said.get("sdk") not in ("gradio", "docker", "static"):
            errors.append('"sdk" must be one of [gradio, docker, static]')
        if said.get("colorFrom") not in (None, "red", "yellow", "green", "blue", "indigo", "gray"):
            errors.append('"colorFrom" is no colour of the Hub')
        if len(said.get("short_description", "")) > 60:
            errors.append('"short_description" must be at most 60 characters')
    configs = said.get("configs", [])
    names = [config.get("config_name") for config in configs]
    if len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        errors.append('"configs" must have names, each its own')
    if sum(config.get("default", False) for config in configs) > 1:
        errors.append('"configs" has several defaults')
    if not all(isinstance(config.get("data_files"), str | list) for config in configs):
        errors.append('"configs" must have data_files')
    return errors


@contextmanager
def loopback_hub() -> Iterator[LoopbackHub]:
    """A Hub with no repositories, in a thread of this process."""
    with (
        tempfile.TemporaryDirectory(prefix="gatescope-hub-") as folder,
        listen("127.0.0.1", 0) as listener,
    ):
        hub = LoopbackHub(Path(folder))
        hub.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(hub, http="h11", ws="none", lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield hub
        finally:
            server.should_exit = True
            thread.join()
