"""The viewer's server: what may be read, in which pieces, by whom, and what is printed."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem
from starlette.testclient import TestClient

from pipeline.cli import main
from pipeline.errors import GatescopeError
from pipeline.query.source import find_source
from pipeline.view.listen import address_of, listen
from pipeline.view.serve import (
    SITE,
    ServedDataset,
    dataset_files,
    dataset_names,
    is_loopback,
    viewer_app,
)
from pipeline.view.served_file import Unsatisfiable, wanted_range

PART = "neurons/layer=0/part-0.parquet"
BYTES = bytes(i % 251 for i in range(1000))
OWN = "http://127.0.0.1"


def make_dataset(folder: Path) -> Path:
    """Files by the names of a dataset's: a server does not look into them."""
    for name in (PART, "examples/layer=3/part-0.parquet", "corpus/part-00000.parquet"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_bytes(BYTES)
    (folder / "manifest.json").write_text('{"tables": {"neurons": 1}}')
    (folder / "README.md").write_text("# A card\n")
    (folder / "events.jsonl").write_text("{}\n")
    (folder / "neurons/layer=0/notes.txt").write_text("mine")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.txt").write_text("secret")
    return make_dataset(tmp_path / "demo")


def client_of(*places: Path | str, host: str = "127.0.0.1", base_url: str = OWN) -> TestClient:
    sources = [find_source(place) for place in places]
    names = dataset_names([source.root for source in sources])
    datasets = [ServedDataset(*pair) for pair in zip(names, sources, strict=True)]
    return TestClient(viewer_app(datasets, host), base_url=base_url)


@pytest.fixture
def client(folder: Path) -> TestClient:
    return client_of(folder)


# Byte ranges.


@pytest.mark.parametrize(
    ("header", "size", "expected"),
    [
        ("bytes=0-0", 10, (0, 1)),
        ("bytes=2-5", 10, (2, 6)),
        ("Bytes=2-", 10, (2, 10)),
        ("bytes=9-99", 10, (9, 10)),
        ("bytes=0-9999999999999999999", 10, (0, 10)),
        ("bytes=-3", 10, (7, 10)),
        ("bytes=-30", 10, (0, 10)),
        # What makes no sense, and what is more than one, is answered with the whole.
        ("", 10, None),
        ("bytes=-", 10, None),
        ("bytes=5-2", 10, None),
        ("bytes=a-b", 10, None),
        ("bytes=1-2,4-5", 10, None),
        ("bytes=--3", 10, None),
        ("bytes=\u0661-\u0662", 10, None),
        ("items=0-1", 10, None),
        ("bytes=" + "9" * 5000 + "-", 10, None),
    ],
)
def test_a_range(header: str, size: int, expected: tuple[int, int] | None) -> None:
    assert wanted_range(header, size) == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=10-", 10), ("bytes=10-20", 10), ("bytes=-0", 10), ("bytes=-1", 0)]
)
def test_a_range_past_the_end(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        wanted_range(header, size)


def test_whole_files_and_pieces(client: TestClient) -> None:
    url = f"/data/demo/{PART}"
    whole = client.get(url)
    assert whole.status_code == 200
    assert whole.content == BYTES
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["content-type"] == "application/vnd.apache.parquet"
    assert whole.headers["cache-control"] == "no-store"
    piece = client.get(url, headers={"range": "bytes=100-199"})
    assert piece.status_code == 206
    assert piece.content == BYTES[100:200]
    assert piece.headers["content-range"] == "bytes 100-199/1000"
    assert piece.headers["content-length"] == "100"
    assert piece.headers["etag"] == whole.headers["etag"]
    assert client.get(url, headers={"range": "bytes=-8"}).content == BYTES[-8:]
    several = client.get(url, headers={"range": "bytes=0-1,5-6"})
    assert (several.status_code, several.content) == (200, BYTES)
    beyond = client.get(url, headers={"range": "bytes=1000-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == "bytes */1000"


def test_a_file_longer_than_is_read_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.view.served_file._CHUNK", 7)
    found = client_of(folder).get(f"/data/demo/{PART}", headers={"range": "bytes=3-990"})
    assert found.content == BYTES[3:991]


def test_head(client: TestClient) -> None:
    url = f"/data/demo/{PART}"
    head = client.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == "1000"
    piece = client.head(url, headers={"range": "bytes=0-3"})
    assert (piece.status_code, piece.content) == (206, b"")
    assert piece.headers["content-length"] == "4"


def test_a_piece_of_another_file_is_not_given(folder: Path, client: TestClient) -> None:
    url = f"/data/demo/{PART}"
    first = client.head(url).headers
    for tag in (first["etag"], first["last-modified"]):
        asked = {"range": "bytes=0-3", "if-range": tag}
        assert client.get(url, headers=asked).status_code == 206
    assert client.get(url, headers={"if-none-match": first["etag"]}).status_code == 304
    # Made again at the same place, of the same length and at the same second.
    kept = (folder / PART).stat()
    (folder / "new").write_bytes(BYTES[::-1])
    (folder / "new").replace(folder / PART)
    os.utime(folder / PART, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    found = client.get(url, headers={"range": "bytes=0-3", "if-range": first["etag"]})
    assert (found.status_code, found.content) == (200, BYTES[::-1])
    assert client.get(url, headers={"if-none-match": first["etag"]}).status_code == 200


def test_a_file_that_has_gone(folder: Path, client: TestClient) -> None:
    (folder / PART).unlink()
    assert client.get(f"/data/demo/{PART}").status_code == 404
    (folder / PART).mkdir()
    assert client.get(f"/data/demo/{PART}").status_code == 404


# What may be read.


def test_only_what_a_dataset_is_made_of(client: TestClient) -> None:
    for name in ("manifest.json", "README.md", PART, "neurons/layer%3D0/part-0.parquet"):
        assert client.get(f"/data/demo/{name}").status_code == 200
    for name in ("", "events.jsonl", "neurons", "neurons/layer=0/notes.txt", "live", "../demo"):
        assert client.get(f"/data/demo/{name}").status_code == 404
    assert client.get("/data/other/manifest.json").status_code == 404
    assert client.post("/data/demo/live", json={}).status_code == 404
    assert client.post(f"/data/demo/{PART}").status_code == 405


def test_a_link_out_of_the_dataset(folder: Path) -> None:
    (folder / "neurons/layer=0/part-1.parquet").symlink_to(folder.parent / "secret.txt")
    with pytest.raises(GatescopeError, match=r"part-1\.parquet is a link to .*secret\.txt"):
        dataset_files(find_source(folder))


def test_the_cache_of_the_hub(folder: Path, tmp_path: Path) -> None:
    """Its folders are links to blobs beside them."""
    snapshot = tmp_path / "datasets--org--name/snapshots/0123"
    shutil.copytree(folder, snapshot)
    blob = snapshot.parents[1] / "blobs/4567"
    blob.parent.mkdir()
    (snapshot / PART).rename(blob)
    (snapshot / PART).symlink_to(blob)
    found = client_of(snapshot).get(f"/data/0123/{PART}")
    assert found.content == BYTES
    assert found.headers["content-type"] == "application/vnd.apache.parquet"


def test_datasets_are_listed(folder: Path, tmp_path: Path) -> None:
    other = make_dataset(tmp_path / "elsewhere/demo")
    client = client_of(folder, other)
    (other / PART).write_bytes(b"other")
    assert client.get("/datasets.json").json() == [
        {"name": "demo", "url": "data/demo/", "live": False},
        {"name": "demo-2", "url": "data/demo-2/", "live": False},
    ]
    assert client.get(f"/data/demo-2/{PART}").content == b"other"


def test_names() -> None:
    places = ["/a/demo", "/b/demo", "/c/demo-2", "s3://bucket/x/", "hf://datasets/org/name@v1.0"]
    names = ["demo", "demo-2", "demo-2-2", "x", "name-v1.0"]
    assert dataset_names(places) == names
    hub = "https://hub.example/datasets/org/name/resolve"
    places = [f"{hub}/main/", f"{hub}/refs%2Fpr%2F1/", "hf://datasets/org/name@refs/pr/1"]
    names = ["name", "name-refs-pr-1", "name-refs-pr-1-2", "datasets"]
    assert dataset_names([*places, "https://host.example/datasets/"]) == names
    assert dataset_names(["/", "/..", "/a/.hidden", "/日本", "/" + "x" * 300]) == [
        "dataset",
        "dataset-2",
        "hidden",
        "dataset-3",
        "x" * 80,
    ]


@pytest.mark.parametrize(
    "name",
    [
        "a b#c?d%2e",
        "<img src=x onerror=alert(1)>",
        "日本\u202e",
        "new\nline",
        "%2e%2e",
        "back\\slash",
    ],
)
def test_a_hostile_folder(name: str, tmp_path: Path) -> None:
    client = client_of(make_dataset(tmp_path / name))
    (listed,) = client.get("/datasets.json").json()
    assert re.fullmatch(r"[A-Za-z0-9._-]+", listed["name"])
    assert client.get(f"/{listed['url']}{PART}").content == BYTES


def test_the_site(client: TestClient) -> None:
    index = client.get("/")
    assert index.content == (SITE / "index.html").read_bytes()
    assert index.headers["content-type"] == "text/html; charset=utf-8"
    assert index.headers["cache-control"] == "no-cache"
    assert client.get("/", headers={"if-none-match": index.headers["etag"]}).status_code == 304
    for path in SITE.rglob("*"):
        if path.is_file():
            found = client.get(f"/{path.relative_to(SITE).as_posix()}")
            assert found.content == path.read_bytes()
            if path.suffix == ".js":
                assert found.headers["content-type"] == "text/javascript; charset=utf-8"


# By whom.


def test_headers_of_every_answer(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(folder)

    def broken(*_: object) -> None:
        raise ValueError("broken")

    answers = [
        client.get("/"),
        client.get("/datasets.json"),
        client.get(f"/data/demo/{PART}", headers={"range": "bytes=0-1"}),
        client.get(f"/data/demo/{PART}", headers={"range": "bytes=5000-"}),
        client.get("/nothing"),
        client.post("/"),
        client.get("/", headers={"host": "evil.example"}),
    ]
    monkeypatch.setattr("pipeline.view.serve.FileAnswer", broken)
    silent = TestClient(client.app, base_url=OWN, raise_server_exceptions=False)
    answers.append(silent.get("/"))
    statuses = [answer.status_code for answer in answers]
    assert statuses == [200, 200, 206, 416, 404, 405, 400, 500]
    for answer in answers:
        assert "script-src 'self';" in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers


def test_other_names_of_this_machine(folder: Path) -> None:
    client = client_of(folder)
    for host, status in [
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("[::1]:8000", 200),
        ("evil.example:8000", 400),
        ("127.0.0.1.evil.example", 400),
    ]:
        assert client.get("/datasets.json", headers={"host": host}).status_code == status
    everyone = client_of(folder, host="0.0.0.0")
    assert everyone.get("/datasets.json", headers={"host": "node17"}).status_code == 200


def test_loopback() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.1.2.3", "::1", "localhost"]))
    assert not any(map(is_loopback, ["0.0.0.0", "::", "10.0.0.1", "node17", ""]))


# Elsewhere than in a folder.


class Bucket(AbstractFileSystem):
    """A place whose files are read by ranges, and which keeps what was asked of it."""

    protocol = "bucket"
    root = Path()
    asked: ClassVar[list[tuple[str, int, int]]] = []

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        here = self.root / self._strip_protocol(path)
        if not here.exists():
            raise FileNotFoundError(path)
        found = sorted(here.iterdir()) if here.is_dir() else [here]
        return [self._said(p) for p in found] if detail else [self._said(p)["name"] for p in found]

    def _said(self, path: Path) -> dict[str, Any]:
        kind = "directory" if path.is_dir() else "file"
        status = path.stat()
        return {
            "name": path.relative_to(self.root).as_posix(),
            "size": status.st_size,
            "type": kind,
            "changed": status.st_mtime_ns,
        }

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> BucketFile:
        return BucketFile(self, path, mode, cache_type=kwargs.get("cache_type", "readahead"))


class BucketFile(AbstractBufferedFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        self.fs.asked.append((self.path, start, end))
        return bytes((self.fs.root / self.path).read_bytes()[start:end])


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    monkeypatch.setattr(Bucket, "root", tmp_path)
    monkeypatch.setattr(Bucket, "asked", [])
    fsspec.register_implementation("bucket", Bucket, clobber=True)
    yield Bucket
    Bucket.clear_instance_cache()


def test_a_dataset_elsewhere(folder: Path, bucket: type[Bucket]) -> None:
    client = client_of("bucket://demo")
    bucket.asked.clear()
    found = client.get(f"/data/demo/{PART}", headers={"range": "bytes=100-109"})
    assert (found.status_code, found.content) == (206, BYTES[100:110])
    assert found.headers["content-range"] == "bytes 100-109/1000"
    assert bucket.asked == [(f"demo/{PART}", 100, 110)]
    assert client.get("/data/demo/manifest.json").json() == {"tables": {"neurons": 1}}
    bucket.asked.clear()
    assert client.head(f"/data/demo/{PART}").headers["content-length"] == "1000"
    assert not bucket.asked
    assert client.get("/data/demo/events.jsonl").status_code == 404
    # What is there now, not what was listed.
    (folder / PART).write_bytes(b"longer" * 1000)
    again = client.get(f"/data/demo/{PART}", headers={"range": "bytes=5999-"})
    assert again.content == b"r"
    assert again.headers["etag"] != found.headers["etag"]


def test_a_place_that_does_not_answer(
    folder: Path,
    bucket: type[Bucket],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = client_of("bucket://demo")

    def away(*_: object, **__: object) -> None:
        raise ConnectionError("the bucket is away")

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "_open", away)
        found = client.get(f"/data/demo/{PART}")
    assert found.status_code == 502
    assert "ConnectionError" in found.text
    assert "the bucket is away" in caplog.text
    (folder / PART).unlink()
    assert client.get(f"/data/demo/{PART}").status_code == 404


def test_memory(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), "/served/demo", recursive=True)
    try:
        found = client_of("memory://served/demo").get(
            f"/data/demo/{PART}", headers={"range": "bytes=-10"}
        )
    finally:
        memory.rm("/served", recursive=True)
    assert found.content == BYTES[-10:]


# The command.


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["serve", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.strip().splitlines()
    return line


def test_mistakes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not exist" in refusal(capsys, str(folder), str(tmp_path / "nowhere"))
    (tmp_path / "begun/_work").mkdir(parents=True)
    assert "unfinished" in refusal(capsys, str(tmp_path / "begun"))
    assert "--port 70000" in refusal(capsys, str(folder), "--port", "70000")
    assert "--host is empty" in refusal(capsys, str(folder), "--host", "")
    assert "--host 192.0.2.1" in refusal(capsys, str(folder), "--host", "192.0.2.1")
    assert "2 datasets" in refusal(capsys, str(folder), str(folder), "--model", "demo")
    assert "--port, --model out" in refusal(
        capsys, str(folder), "--export", "x", "--port", "1", "--model"
    )


def test_a_port_that_is_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        message = refusal(capsys, str(folder), "--port", str(port))
    assert f"port {port} is taken" in message
    assert "--port" in message


def test_addresses() -> None:
    with listen("localhost", 0) as listener:
        port = listener.getsockname()[1]
        assert listener.family == socket.AF_INET
        assert address_of(listener, "localhost") == f"http://localhost:{port}/"
        assert address_of(listener, "::1") == f"http://[::1]:{port}/"
        assert address_of(listener, "0.0.0.0") == f"http://{socket.gethostname()}:{port}/"


class Server:
    """`gatescope serve` as a process of its own."""

    def __init__(self, *words: str) -> None:
        command = [sys.executable, "-m", "pipeline", "serve", *words, "--port", "0"]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.printed: list[str] = []
        for line in self.process.stdout:
            self.printed.append(line.strip())
            if line.startswith("Open "):
                break
        (self.url,) = re.findall(r"http://\S+/", self.printed[-1])

    def end(self, number: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(number)
        out, error = self.process.communicate(timeout=30)
        return self.process.returncode, out + error


@pytest.fixture
def started() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*words: str) -> Server:
        servers.append(Server(*words))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.communicate()


def curl(url: str, *options: str) -> str:
    if shutil.which("curl") is None:
        pytest.skip("curl is absent: it sends paths as they are")
    command = ["curl", "-s", "--path-as-is", "--max-time", "20", *options, url]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout


def status_of(url: str, *options: str) -> int:
    return int(curl(url, "-o", os.devnull, "-w", "%{http_code}", *options))


_SECRET = "secret.txt"
TRAVERSALS = [
    f"data/demo/../../{_SECRET}",
    f"data/demo/../{_SECRET}",
    f"../{_SECRET}",
    f"data/demo/%2e%2e/{_SECRET}",
    f"data/demo/..%2f{_SECRET}",
    f"data/demo/%252e%252e%252f{_SECRET}",
    f"data/demo/..%5c{_SECRET}",
    f"data/demo/..\\{_SECRET}",
    "data/demo/manifest.json%00",
    f"data/demo/%00/../{_SECRET}",
    "data/demo/%ff%fe",
    "data/demo/%c0%ae%c0%ae/manifest.json",
    "data/demo/./manifest.json",
    "data//demo/manifest.json",
    "data/demo/manifest.json/",
    "data/demo//manifest.json",
    "data/demo/neurons/../manifest.json",
    "%0a",
    "data/demo/manifest.json%0d%0aSet-Cookie:x=1",
    "/etc/passwd",
    "//etc/passwd",
    "..//..//..//..//etc/passwd",
    "file:///etc/passwd",
    "%2fetc%2fpasswd",
    "../serve.py",
    "x" * 5000,
]


def test_paths_as_they_are_sent(folder: Path, started: Callable[..., Server]) -> None:
    server = started(str(folder))
    assert server.printed[0] == f"demo: {folder}"
    absolute = [f"data/demo/{folder}/manifest.json", f"{folder.parent}/{_SECRET}"]
    for path in [*TRAVERSALS, *absolute]:
        assert status_of(f"{server.url}{path}") == 404, path
    for target in ("http://evil.example/etc/passwd", "*", "etc/passwd"):
        assert status_of(server.url, "--request-target", target) in (400, 404), target
    # Sound ones, on the same way.
    assert curl(f"{server.url}data/demo/README.md") == "# A card\n"
    found = curl(f"{server.url}data/demo/{PART}", "-r", "0-3", "-i", "-o", "-")
    assert found.startswith("HTTP/1.1 206")
    assert "content-range: bytes 0-3/1000" in found
    assert "server:" not in found
    assert server.end(signal.SIGINT) == (0, "")


def test_told_to_end(folder: Path, started: Callable[..., Server]) -> None:
    server = started(str(folder), "--host", "0.0.0.0")
    code, printed = server.end(signal.SIGTERM)
    assert code == 0
    assert printed.startswith("Warning: --host 0.0.0.0: everyone on the network")
    assert len(printed.splitlines()) == 1


# As a folder.


def test_export(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = make_dataset(tmp_path / "a b#<日>")
    out = tmp_path / "www/viewer"
    places = [str(folder), str(odd), "org/name", "org/name@v1/x", "https://host.example/data/x"]
    places.append("hf://datasets/org/name@refs%2Fpr%2F1")
    assert main(["serve", *places, "--export", str(out)]) == 0
    assert json.loads((out / "datasets.json").read_text()) == [
        {"name": "demo", "url": "../../demo/", "live": False},
        {"name": "a-b", "url": "../../a%20b%23%3C%E6%97%A5%3E/", "live": False},
        {
            "name": "name",
            "url": "https://huggingface.co/datasets/org/name/resolve/main/",
            "live": False,
        },
        {
            "name": "name-v1-x",
            "url": "https://huggingface.co/datasets/org/name/resolve/v1%2Fx/",
            "live": False,
        },
        {"name": "x", "url": "https://host.example/data/x/", "live": False},
        {
            "name": "name-refs-pr-1",
            "url": "https://huggingface.co/datasets/org/name/resolve/refs%2Fpr%2F1/",
            "live": False,
        },
    ]
    files = {p.relative_to(SITE) for p in SITE.rglob("*") if p.is_file()}
    copied = {p.relative_to(out) for p in out.rglob("*") if p.is_file()}
    assert copied == files | {Path("datasets.json")}
    assert "../../demo/" in capsys.readouterr().out
    # Again, with another dataset, over the earlier one.
    assert main(["serve", str(odd), "--export", str(out)]) == 0
    assert len(json.loads((out / "datasets.json").read_text())) == 1


def test_export_mistakes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "something else" in refusal(capsys, str(folder), "--export", str(folder))
    assert "is a file" in refusal(capsys, str(folder), "--export", str(folder / "README.md"))
    out = str(tmp_path / "new")
    assert "no browser reads s3://" in refusal(capsys, "s3://bucket/x", "--export", out)
    assert "does not exist" in refusal(capsys, str(tmp_path / "nowhere"), "--export", out)
    assert "is a URL" in refusal(capsys, str(folder), "--export", "s3://bucket/site")
    assert "is empty" in refusal(capsys, str(folder), "--export", " ")
    assert not Path(out).exists()
