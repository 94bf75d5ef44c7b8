"""A dataset at a URL: what is asked of the server, and that it is little."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest
from browsing import running
from synthetic import Synthetic, rewrite, write_synthetic

from pipeline.errors import GatescopeError
from pipeline.query import check_invariants, open_dataset
from pipeline.query.remote import RemoteFiles
from pipeline.query.source import find_source
from pipeline.view.serve import ServedDataset, viewer_app

_PART = "examples/layer=1/part-0.parquet"


class Counted:
    """An ASGI application that notes what it is asked for and how many bytes it answers."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.asked: list[tuple[str, str]] = []
        self.n_bytes: dict[str, int] = {}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def counted(message: Any) -> None:
            path = scope["path"].removeprefix("/data/ds/")
            self.n_bytes[path] = self.n_bytes.get(path, 0) + len(message.get("body", b""))
            await send(message)

        if scope["type"] == "http":
            self.asked.append((scope["method"], scope["path"].removeprefix("/data/ds/")))
            await self._app(scope, receive, counted)
        else:
            await self._app(scope, receive, send)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("remote") / "ds", n_neurons=100, seed=4)


@pytest.fixture
def server(made: Synthetic) -> Iterator[tuple[str, Counted]]:
    """A web server that lists no folder: `gatescope serve`."""
    app = Counted(viewer_app([ServedDataset("ds", find_source(made.path), None)], "127.0.0.1"))
    with running(app) as url:
        yield f"{url}data/ds/", app


def test_a_web_server_without_listings(made: Synthetic, server: tuple[str, Counted]) -> None:
    url, app = server
    with open_dataset(made.path) as here, open_dataset(url) as there:
        assert there.layers == here.layers
        for table in here.tables:
            if table != "models":
                one, other = (ds.sql(f'select * from "{table}"').fetchall() for ds in (here, there))
                assert sorted(map(repr, one)) == sorted(map(repr, other))
        assert there.neuron(1, 5) == here.neuron(1, 5)
        assert all(check.ok for check in check_invariants(there))
    assert {method for method, _ in app.asked} <= {"GET", "HEAD"}


def test_one_neuron_is_a_small_part(made: Synthetic, tmp_path: Path) -> None:
    shutil.copytree(made.path, tmp_path / "ds")

    # As large as DuckDB no longer takes in one piece.
    def more(table: pa.Table) -> pa.Table:
        place, ids = table.schema.get_field_index("neuron"), table["neuron"].to_numpy()
        return pa.concat_tables(
            [table.set_column(place, "neuron", pa.array(ids + 100 * i)) for i in range(100)]
        )

    for part in (tmp_path / "ds/examples").glob("*/*.parquet"):
        rewrite(part, more, row_group_size=4096)
    whole = (tmp_path / "ds" / _PART).stat().st_size
    app = Counted(
        viewer_app([ServedDataset("ds", find_source(tmp_path / "ds"), None)], "127.0.0.1")
    )
    with running(app) as url, open_dataset(f"{url}data/ds") as dataset:
        app.n_bytes.clear()
        app.asked.clear()
        assert dataset.neuron(1, 5).examples
        assert app.n_bytes[_PART] < whole / 8
        assert not any(path.startswith("examples/layer=0/") for path in app.n_bytes)
        # Each read asks the server once: neither for a size nor for a time before it.
        assert not [path for method, path in app.asked if method == "HEAD"]
        app.asked.clear()
        dataset.sql("select avg(frequency) from sign_stats where layer = 0").fetchall()
        assert {path for _, path in app.asked} <= {"sign_stats/layer=0/part-0.parquet"}


@pytest.mark.parametrize(
    "files", [{"neurons": [{"path": "neurons/layer=0/part-0.parquet"}]}, {"neurons": 3}, [1]]
)
def test_a_manifest_that_lists_what_is_no_file(made: Synthetic, tmp_path: Path, files: Any) -> None:
    shutil.copytree(made.path, tmp_path / "ds")
    with running(
        viewer_app([ServedDataset("ds", find_source(tmp_path / "ds"), None)], "127.0.0.1")
    ) as url:
        manifest = json.loads((made.path / "manifest.json").read_text("utf-8")) | {"files": files}
        (tmp_path / "ds/manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        with pytest.raises(GatescopeError, match="cannot open"):
            open_dataset(f"{url}data/ds")


def test_what_is_not_known_is_asked_for(tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({"/known": b"0123456789", "/other": b"abc"})
    try:
        files = RemoteFiles(memory)
        files.know({"memory://known": 10, "memory://unsaid": None})
        assert files.name == "memory"
        assert files.info("memory://known")["size"] == 10
        assert files.info("memory://other")["size"] == 3
        with pytest.raises(FileNotFoundError):
            files.info("memory://unsaid")
        with files.open("memory://known") as file:
            assert file.seek(-3, 2) == 7
            assert file.read(100) == b"789"
            assert file.read(1) == b""
            file.seek(2)
            assert (file.read(2), file.tell(), file.seek(1, 1)) == (b"23", 4, 5)
            assert file.read() == b"56789"
        # Its time is the same at each look, or what DuckDB remembers of it would be forgotten.
        assert files.modified("memory://known") == files.modified("memory://other")
    finally:
        memory.rm("/known")
        memory.rm("/other")
