"""The notebooks run from top to bottom, and what is committed of their outputs reads well."""

from __future__ import annotations

import ast
import base64
import io
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from PIL import Image

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
# What a notebook may import of the package: what the README shows.
PUBLIC = {"pipeline", "pipeline.figures"}
_OF_A_MACHINE = re.compile(
    r"/(?:home|root|Users|tmp|private|mnt|work)/|site-packages|[A-Z]:\\\\?Users|\x1b\["
)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures(cell: Any) -> list[bytes]:
    found = [output.get("data", {}).get("image/png") for output in cell.outputs]
    return [base64.b64decode(png) for png in found if png]


def printed(cell: Any) -> str:
    """All that the cell's outputs say, pictures left out."""
    parts = []
    for output in cell.outputs:
        parts.append(output.get("text", ""))
        parts += [text for kind, text in output.get("data", {}).items() if kind != "image/png"]
    return "\n".join(parts)


def sources(notebook: Any) -> str:
    """The Python of a notebook, without what is for a shell."""
    lines = "\n".join(cell.source for cell in code_cells(notebook)).split("\n")
    return "\n".join(re.sub(r"^(\s*)!.*", r"\1pass", line) for line in lines)


def test_there_are_four() -> None:
    assert NAMES == [
        "1-tour.ipynb",
        "2-gluscope.ipynb",
        "3-io-functionality.ipynb",
        "4-your-own-model.ipynb",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_committed_outputs_read_well(name: str) -> None:
    path = NOTEBOOKS / name
    assert path.stat().st_size < 1_000_000
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert all(output.output_type != "error" for output in cell.outputs), cell.source
        assert all(output.get("name") != "stderr" for output in cell.outputs), cell.source
        found = _OF_A_MACHINE.search(printed(cell))
        assert found is None, f"{name} shows {found}: {cell.source}"
        assert len(pictures(cell)) == cell.source.count("draw(")
        for png in pictures(cell):
            with Image.open(io.BytesIO(png)) as picture:
                assert picture.width <= 800
    assert sum(len(cell.outputs) for cell in cells) >= len(cells) / 2


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_use_what_the_readme_shows(name: str) -> None:
    for node in ast.walk(ast.parse(sources(nbformat.read(NOTEBOOKS / name, as_version=4)))):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        else:
            continue
        ours = {module for module in modules if module.split(".")[0] == "pipeline"}
        assert ours <= PUBLIC


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `make demo` leaves a checkout: `notebooks/`, and `outputs/demo` beside it."""
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(NOTEBOOKS, folder / "notebooks")
    subprocess.run([sys.executable, "-m", "pipeline", "run"], cwd=folder, check=True)
    assert (folder / "outputs/demo/manifest.json").exists()
    return folder


@pytest.mark.parametrize(
    "name", [*NAMES[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[2:])]
)
def test_notebooks_run(name: str, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    for variable in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"):
        monkeypatch.setenv(variable, str(workplace / variable.lower()))
    notebook = nbformat.read(workplace / "notebooks" / name, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs = []
    client = NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(workplace / "notebooks")}}
    )
    client.execute()  # raises where a cell does
    committed = nbformat.read(NOTEBOOKS / name, as_version=4)
    for again, before in zip(code_cells(notebook), code_cells(committed), strict=True):
        assert len(pictures(again)) == len(pictures(before))
        assert bool(again.outputs) == bool(before.outputs), again.source
        assert _OF_A_MACHINE.search(printed(again)) is None, again.source
