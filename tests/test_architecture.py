"""The rules of the house, enforced by reading the package's sources without importing them."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "pipeline"

# Who may import a library: paths below the package, folders with a slash at their end.
OWNERS = {
    "datasets": ("corpus/",),
    "transformer_lens": ("model/",),
    "transformers": ("model/", "demo/train.py"),
    "ray": ("scan/",),
    "pyarrow": ("store/", "schema.py"),
    "duckdb": ("query/",),
    "huggingface_hub": ("hub/",),
    "hydra": ("config/", "cli.py"),
    "omegaconf": ("config/", "cli.py"),
    "matplotlib": ("figures/",),
    "starlette": ("view/",),
    "uvicorn": ("view/",),
}
WITHOUT_TORCH = ("view/", "query/", "hub/", "figures/")
REDUCE_MAY_IMPORT = ("torch", "jaxtyping", "pipeline.reduce", "pipeline.naming", "pipeline.errors")
SCAN_RUNS_WITHOUT = ("ray", "hydra", "omegaconf", "duckdb", "datasets", "scipy", "tenacity")
# What is loaded for runs on a cluster alone.
_ON_A_CLUSTER = "pipeline.scan.ray_crew"
PICKLES = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
VAGUE = ("util", "utils", "helper", "helpers", "common", "misc", "shared", "tools")
MAX_LINES = 300


@dataclass(frozen=True)
class Import:
    """One imported module, as an absolute name; `on_load` where importing the file imports it."""

    name: str
    line: int
    on_load: bool


@dataclass(frozen=True)
class Source:
    path: str  # below the package, with forward slashes
    text: str
    tree: ast.Module

    @property
    def module(self) -> str:
        parts = ["pipeline", *self.path.removesuffix(".py").split("/")]
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def imports(self) -> Iterator[Import]:
        yield from self._imports(self.tree.body, on_load=True)

    def _imports(self, nodes: list[ast.stmt] | list[ast.AST], on_load: bool) -> Iterator[Import]:
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, node.lineno, on_load)
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    package = self.module if self.path.endswith("__init__.py") else ""
                    parents = (package or self.module.rpartition(".")[0]).split(".")
                    parents = parents[: len(parents) - node.level + 1]
                    base = ".".join([*parents, *filter(None, [node.module])])
                yield Import(base, node.lineno, on_load)
                # `from pipeline import schema` imports pipeline.schema.
                for alias in node.names:
                    yield Import(f"{base}.{alias.name}", node.lineno, on_load)
            elif isinstance(node, ast.Call) and _called(node).endswith(
                ("import_module", "__import__")
            ):
                for argument in node.args[:1]:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield Import(argument.value, node.lineno, on_load)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from self._imports(list(node.body), on_load=False)
                yield from self._imports(list(node.orelse), on_load)
            else:
                in_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from self._imports(
                    list(ast.iter_child_nodes(node)), on_load and not in_function
                )


def _called(node: ast.Call) -> str:
    return ast.unparse(node.func)


def _below(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


Tree = dict[str, Source]


def read_tree(package: Path) -> Tree:
    sources = {}
    for path in sorted(package.rglob("*.py")):
        name, text = path.relative_to(package).as_posix(), path.read_text(encoding="utf-8")
        sources[name] = Source(name, text, ast.parse(text))
    return sources


def one_owner_a_library(tree: Tree) -> Iterator[str]:
    for source in tree.values():
        for found in source.imports():
            owners = OWNERS.get(found.name.partition(".")[0])
            if owners is not None and not source.path.startswith(owners):
                yield f"{source.path}:{found.line} imports {found.name}; it belongs to {owners}"


def no_torch_in_view_query_hub(tree: Tree) -> Iterator[str]:
    for source in tree.values():
        for found in source.imports():
            if source.path.startswith(WITHOUT_TORCH) and _below(found.name, ("torch",)):
                yield f"{source.path}:{found.line} imports torch"


def reduce_is_pure(tree: Tree) -> Iterator[str]:
    for source in tree.values():
        for found in source.imports():
            allowed = (
                found.name.partition(".")[0] in sys.stdlib_module_names
                or found.name == "pipeline"
                or _below(found.name, REDUCE_MAY_IMPORT)
            )
            if source.path.startswith("reduce/") and not allowed:
                yield f"{source.path}:{found.line} imports {found.name}"


def nothing_imports_cli(tree: Tree) -> Iterator[str]:
    for source in tree.values():
        for found in source.imports():
            if _below(found.name, ("pipeline.cli",)) and source.path not in (
                "__main__.py",
                "cli.py",
            ):
                yield f"{source.path}:{found.line} imports {found.name}"


def the_scan_runs_on_a_bare_machine(tree: Tree) -> Iterator[str]:
    modules = {source.module: source for source in tree.values()}
    chains = {
        m: ""
        for m in modules
        if _below(m, ("pipeline.scan", "pipeline.model", "pipeline.run")) and m != _ON_A_CLUSTER
    }
    waiting = list(chains)
    while waiting:
        module = waiting.pop()
        source, chain = modules[module], chains[module]
        # A module's package is loaded before it.
        loaded = [Import(module.rpartition(".")[0], 1, on_load=True), *source.imports()]
        for found in loaded:
            if not found.on_load:
                continue
            here = f"{chain}{source.path}:{found.line}"
            if _below(found.name, SCAN_RUNS_WITHOUT):
                yield f"{here} imports {found.name}"
            if found.name in modules and found.name not in chains:
                chains[found.name] = f"{here} -> "
                waiting.append(found.name)


def no_pickle(tree: Tree) -> Iterator[str]:
    for source in tree.values():
        for found in source.imports():
            if PICKLES & set(found.name.split(".")) or found.name in ("torch.load", "torch.save"):
                yield f"{source.path}:{found.line} imports {found.name}"
        for node in ast.walk(source.tree):
            if not isinstance(node, ast.Call):
                continue
            called = _called(node)
            if called == "torch.load":
                if not _loads_weights_only(node):
                    yield f"{source.path}:{node.lineno} calls torch.load without weights_only=True"
            elif called == "torch.save" or called.endswith("_pickle"):
                yield f"{source.path}:{node.lineno} calls {called}"
            for keyword in node.keywords:
                if keyword.arg in ("allow_pickle", "trust_remote_code") and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                ):
                    yield f"{source.path}:{node.lineno} passes {keyword.arg}"


def _loads_weights_only(call: ast.Call) -> bool:
    """Whether torch.load is told, in so many words, to read nothing but tensors."""
    return any(
        keyword.arg == "weights_only"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is True
        for keyword in call.keywords
    )


def names_say_what_a_file_holds(tree: Tree) -> Iterator[str]:
    for source in tree.values():
        for part in source.path.removesuffix(".py").split("/"):
            if part in VAGUE or part.endswith(("_utils", "_helpers")):
                yield f"{source.path}: {part} says nothing"


def files_are_short(tree: Tree) -> Iterator[str]:
    for source in tree.values():
        lines = len(source.text.splitlines())
        if lines > MAX_LINES:
            yield f"{source.path} has {lines} lines"


Rule = Callable[[Tree], Iterator[str]]
RULES: tuple[Rule, ...] = (
    one_owner_a_library,
    no_torch_in_view_query_hub,
    reduce_is_pure,
    nothing_imports_cli,
    the_scan_runs_on_a_bare_machine,
    no_pickle,
    names_say_what_a_file_holds,
    files_are_short,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Rule) -> None:
    assert list(rule(read_tree(PACKAGE))) == []


# A package that keeps every rule, and then one file of it at a time that does not.
SOUND = {
    "__init__.py": "if TYPE_CHECKING:\n    from pipeline.query import Dataset\n",
    "__main__.py": "from pipeline.cli import main\n",
    "cli.py": "import hydra\nimport pipeline.query\n",
    "naming.py": "",
    "config/__init__.py": "def compose():\n    import hydra\n",
    "corpus/__init__.py": "import datasets\nimport torch\n",
    "model/__init__.py": "import transformers\nfrom pipeline.config import compose\n",
    "query/__init__.py": "import duckdb\n",
    "reduce/__init__.py": "import math\nimport torch\nfrom .signs import x\n",
    "reduce/signs.py": "from torch import Tensor\nfrom pipeline.naming import COMBOS\n",
    "scan/__init__.py": "from pipeline.reduce import signs\ndef far():\n    import ray\n",
    "store/__init__.py": "import pyarrow.parquet as pq\nf(trust_remote_code=False)\n"
    "torch.load('x', weights_only=True)\n",
}
BREACHES: list[tuple[Rule, str, str]] = [
    (one_owner_a_library, "view/page.py", "def f():\n    import duckdb\n"),
    (one_owner_a_library, "store/write.py", "from datasets import Dataset\n"),
    (one_owner_a_library, "run.py", "import importlib\nimportlib.import_module('ray')\n"),
    (one_owner_a_library, "demo/corpus.py", "import transformers\n"),
    (no_torch_in_view_query_hub, "hub/card.py", "if TYPE_CHECKING:\n    import torch\n"),
    (no_torch_in_view_query_hub, "figures/style.py", "def f():\n    import torch\n"),
    (one_owner_a_library, "view/page.py", "from matplotlib.figure import Figure\n"),
    (no_torch_in_view_query_hub, "query/sql.py", "from torch.nn import Module\n"),
    (reduce_is_pure, "reduce/state.py", "import numpy\n"),
    (reduce_is_pure, "reduce/state.py", "from pipeline import config\n"),
    (reduce_is_pure, "reduce/state.py", "from ..config import ScanConfig\n"),
    (nothing_imports_cli, "run.py", "from . import cli\n"),
    (nothing_imports_cli, "view/page.py", "from pipeline.cli import main\n"),
    (the_scan_runs_on_a_bare_machine, "scan/worker.py", "import pipeline.corpus\n"),
    (the_scan_runs_on_a_bare_machine, "model/load.py", "from ..query import Dataset\n"),
    (the_scan_runs_on_a_bare_machine, "naming.py", "try:\n    import hydra\nexcept E:\n    x\n"),
    (the_scan_runs_on_a_bare_machine, "__init__.py", "from pipeline.query import Dataset\n"),
    (no_pickle, "store/write.py", "import pickle\n"),
    (no_pickle, "store/write.py", "import torch\ntorch.load('x')\n"),
    (no_pickle, "store/write.py", "torch.load('x', weights_only=False)\n"),
    (no_pickle, "store/write.py", "torch.load('x', weights_only=setting)\n"),
    (no_pickle, "store/write.py", "from torch import load\n"),
    (no_pickle, "store/write.py", "torch.save(x, 'x')\n"),
    (no_pickle, "store/write.py", "numpy.load('x', allow_pickle=True)\n"),
    (no_pickle, "model/load.py", "f(trust_remote_code=setting)\n"),
    (names_say_what_a_file_holds, "store/utils.py", ""),
    (names_say_what_a_file_holds, "helpers/sql.py", ""),
    (files_are_short, "run.py", "x = 1\n" * 301),
]


def written(package: Path, files: dict[str, str]) -> Tree:
    for name, text in files.items():
        path = package / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return read_tree(package)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_sound_package_passes(rule: Rule, tmp_path: Path) -> None:
    assert list(rule(written(tmp_path, SOUND))) == []


@pytest.mark.parametrize(("rule", "path", "text"), BREACHES)
def test_a_breach_is_seen(rule: Rule, path: str, text: str, tmp_path: Path) -> None:
    found = list(rule(written(tmp_path, SOUND | {path: text})))
    assert found
    assert all(path in problem for problem in found)
