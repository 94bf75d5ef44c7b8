"""Named queries: SQL files whose header says what they ask, take and give.

    -- name: top_examples
    -- question: Which texts show this neuron best?
    -- theme: examples
    -- parameter: layer integer required | the neuron's layer
    -- parameter: n integer = 5 | examples a list
    -- column: score | the magnitude that ranks
    select ...

Such a query is about one dataset, and of several it is run in each. With `-- scope: models` it is
run once over all of them: its tables have a column `model`, and `models` has a row for each.
With `-- uses: NAME` the query of that name is a table to it, of the same parameters.
A default is written as JSON. Values reach DuckDB as prepared parameters (`$layer`), never as text.
"""

from __future__ import annotations

import json
import math
import operator
import re
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.errors import GatescopeError
from pipeline.naming import COMBO_NAMES, IO_CLASSES, LISTED_RANKINGS, MATRICES, SIDES, WEIGHTS
from pipeline.query.readonly import unknown
from pipeline.schema import COSINES
from pipeline.shipped import QUERIES

_LINE: Final = re.compile(r"-- (name|question|theme|scope|uses|parameter|column): (.+)")
_PARAMETER: Final = re.compile(r"(\w+) (\w+) (?:(required)|= (.+?)) \| (.+)")
_COLUMN: Final = re.compile(r"(\w+) \| (.+)")


# More rows than any table has, and no larger than what DuckDB adds up without care.
_MOST: Final = 10**9


def _integer(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        number = int(value) if isinstance(value, str) else operator.index(value)
        if isinstance(value, bool) or not least <= number <= _MOST:
            raise ValueError
        return number

    return read


def _number(is_fit: Callable[[float], bool]) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        number = float(value)
        if isinstance(value, bool) or not (math.isfinite(number) and is_fit(number)):
            raise ValueError
        return number

    return read


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _one_of(names: tuple[str, ...]) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value not in names:
            raise ValueError
        return str(value)

    return read


# What each kind of parameter takes, in words, and how a value or its text is read.
_KINDS: Final[dict[str, tuple[str, Callable[[Any], Any]]]] = {
    "integer": (f"a whole number from 0 to {_MOST}", _integer(0)),
    "natural": (f"a whole number from 1 to {_MOST}", _integer(1)),
    "number": ("a finite number", _number(lambda number: True)),
    "positive": ("a number above 0", _number(lambda number: number > 0)),
    "size": ("a number, 0 or more", _number(lambda number: number >= 0)),
    "share": ("a number from 0 to 1", _number(lambda number: 0 <= number <= 1)),
    "text": ("text", _text),
    "combo": (f"one of {', '.join(COMBO_NAMES)}", _one_of(COMBO_NAMES)),
    "ranking": (f"one of {', '.join(LISTED_RANKINGS)}", _one_of(LISTED_RANKINGS)),
    "io_class": (f"one of {', '.join(IO_CLASSES)}", _one_of(IO_CLASSES)),
    "cosine": (f"one of {', '.join(COSINES)}", _one_of(COSINES)),
    "weight": (f"one of {', '.join(WEIGHTS)}", _one_of(WEIGHTS)),
    "matrix": (f"one of {', '.join(MATRICES)}", _one_of(MATRICES)),
    "side": (f"one of {', '.join(SIDES)}", _one_of(SIDES)),
}


@dataclass(frozen=True)
class Parameter:
    """A parameter of a query; `kind` is one of the kinds above."""

    name: str
    kind: str
    required: bool
    default: Any
    meaning: str

    def read(self, value: Any) -> Any:
        """The value as SQL takes it; text that spells a value is fine.

        Raises GatescopeError for the wrong type. None is right where it is the default.
        """
        if value is None and not self.required and self.default is None:
            return None
        convert = _KINDS[self.kind][1]
        try:
            return convert(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise GatescopeError(
                f"{self.name}={reprlib.repr(value)} does not fit: give {self.takes}"
            ) from error

    @property
    def takes(self) -> str:
        """What a value has to be, in words."""
        return _KINDS[self.kind][0]

    def __str__(self) -> str:
        if self.required:
            return f"{self.name}={self.kind.upper()}"
        shown = self.kind.upper() if self.default is None else self.default
        return f"[{self.name}={shown}]"


@dataclass(frozen=True)
class Column:
    """A column of a query's result."""

    name: str
    meaning: str


@dataclass(frozen=True)
class Query:
    """A named query: the question it answers, what it takes, what it gives, its SQL.

    `scope` is dataset or models: whether its tables are those of one, or of all with their model.
    """

    name: str
    question: str
    theme: str
    scope: str
    parameters: tuple[Parameter, ...]
    columns: tuple[Column, ...]
    sql: str

    @property
    def usage(self) -> str:
        """`top_examples layer=INTEGER neuron=INTEGER [n=5]`."""
        return f"{self.name} {self.parameters_usage}".rstrip()

    @property
    def parameters_usage(self) -> str:
        """`layer=INTEGER neuron=INTEGER [n=5]`: what has to be given, and what may be."""
        return " ".join(map(str, self.parameters))

    def bind(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """A value for every parameter, the given one or the default.

        Raises GatescopeError for a parameter that is missing, unknown or of the wrong type.
        """
        names = [parameter.name for parameter in self.parameters]
        for name in values:
            if name not in names:
                raise GatescopeError(f"{self.name}: {unknown('parameter', name, names)}")
        for parameter in self.parameters:
            if parameter.required and parameter.name not in values:
                raise GatescopeError(
                    f"{self.name} needs {parameter.name}, {parameter.meaning}; usage: {self.usage}"
                )
        return {p.name: p.read(values.get(p.name, p.default)) for p in self.parameters}


def parse_query(text: str, path: Path) -> Query:
    """The query of a file's text; ValueError names file and line where the header has no sense."""
    found: dict[str, list[str]] = {}
    lines = text.splitlines()
    n_header = 0
    for n_header, line in enumerate(lines):
        if not line.startswith("--"):
            break
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"{path}:{n_header + 1}: not a header line: {line}")
        found.setdefault(match[1], []).append(match[2])
    for key in ("name", "question", "theme"):
        if len(found.get(key, [])) != 1:
            raise ValueError(f"{path}: the header needs one `-- {key}:` line")
    if found["name"] != [path.stem]:
        raise ValueError(f"{path}: holds the query {found['name'][0]}, so name the file after it")
    if found.get("scope", ["models"]) != ["models"]:
        raise ValueError(f"{path}: the only scope to name is models, not {found['scope']}")
    return Query(
        name=path.stem,
        question=found["question"][0],
        theme=found["theme"][0],
        scope="models" if "scope" in found else "dataset",
        parameters=tuple(_parameter(line, path) for line in found.get("parameter", [])),
        columns=tuple(_column(line, path) for line in found.get("column", [])),
        sql=with_tables("\n".join(lines[n_header:]) + "\n", _used(found.get("uses", []), path)),
    )


def _used(names: list[str], path: Path) -> dict[str, str]:
    """The SQL of the queries beside that of `path` which it reads as tables."""
    used = {}
    for name in names:
        other = path.with_name(f"{name}.sql")
        if not other.exists():
            raise ValueError(f"{path}: uses {name}, and there is no {other.name} beside it")
        used[name] = parse_query(other.read_text("utf-8"), other).sql
    return used


def _parameter(line: str, path: Path) -> Parameter:
    match = _PARAMETER.fullmatch(line)
    if match is None or match[2] not in _KINDS:
        raise ValueError(
            f"{path}: not `name kind required | ...` or `name kind = json | ...`: {line}"
        )
    default = None if match[3] else json.loads(match[4])
    return Parameter(match[1], match[2], bool(match[3]), default, match[5])


def _column(line: str, path: Path) -> Column:
    match = _COLUMN.fullmatch(line)
    if match is None:
        raise ValueError(f"{path}: not `name | meaning`: {line}")
    return Column(match[1], match[2])


def with_tables(statement: str, tables: Mapping[str, str]) -> str:
    """A select that sees other tables under some names; `tables` maps a name to a select."""
    # Not materialized, so that conditions reach the files.
    named = ", ".join(f'"{name}" as not materialized ({sql})' for name, sql in tables.items())
    return f"with {named}\nselect * from (\n{statement}\n)" if tables else statement


def load_queries(folder: Path = QUERIES) -> dict[str, Query]:
    """The queries of a folder by name, sorted by theme and name."""
    queries = [parse_query(path.read_text("utf-8"), path) for path in folder.glob("*.sql")]
    return {query.name: query for query in sorted(queries, key=lambda q: (q.theme, q.name))}


def load_views() -> dict[str, Query]:
    """The shipped views over the tables, in the form of queries without parameters."""
    return load_queries(QUERIES / "views")
