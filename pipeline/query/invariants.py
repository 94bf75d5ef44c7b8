"""Every invariant of a dataset that SQL can state over its tables (sections 2 and 3 of the design).

The rules stand in rules.py as predicates; here they are counted, one scan for all rules about the
same rows, layer by layer so that memory does not grow with the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pipeline.errors import GatescopeError
from pipeline.query.database import SCHEMAS, duckdb_type, quoted
from pipeline.query.dataset import Dataset
from pipeline.query.readonly import user_errors
from pipeline.query.rules import Facts, Population, Rule, populations
from pipeline.schema import LAYER_TABLES, TABLES

_SHOWN: Final = 5


@dataclass(frozen=True)
class Check:
    """The outcome of one invariant: what must hold, of how many rows, and where it does not.

    `violations` shows the first few of `n_violations`.
    """

    name: str
    sentence: str
    n_rows: int
    n_violations: int
    violations: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether it holds for every row."""
        return self.n_violations == 0


def check_invariants(ds: Dataset) -> Iterator[Check]:
    """Check an open dataset; a damaged file is a violation, not an error.

    Where the manifest, the files or their columns are wrong, the checks end there, for the others
    would only repeat it.
    """
    sound = True
    for check in (_manifest(ds), _files(ds), _schemas(ds)):
        sound &= check.ok
        yield check
    if not sound:
        return
    facts = Facts.of(ds.manifest)
    yield _row_counts(ds, facts)
    yield _row_groups(ds, facts)
    yield _listing(ds)
    for population in populations(facts):
        yield from _check_population(ds, population)


def _check(name: str, sentence: str, n_rows: int, violations: Iterable[str]) -> Check:
    found = list(violations)
    return Check(name, sentence, n_rows, len(found), tuple(found[:_SHOWN]))


def _manifest(ds: Dataset) -> Check:
    missing = Facts.missing(ds.manifest)
    violations = [f"manifest.json lacks {key}" for key in missing]
    sentence = "the manifest holds the settings and names the tables that the checks need"
    return _check("manifest", sentence, 1, violations)


def _files(ds: Dataset) -> Check:
    source = ds.source
    violations = [f"{name} is no part of a table" for name in source.strays]
    violations += [
        f"{table} has no part-*.parquet"
        for table in ds.manifest["tables"]
        if table in TABLES and table not in source.files
    ]
    for table in source.files:
        if table not in ds.manifest["tables"]:
            violations.append(f"{table} is no table that the manifest names")
        elif table in LAYER_TABLES:
            violations += [
                f"{table} has no layer={layer}"
                for layer in source.layers
                if not source.layer_files(table, layer)
            ]
    violations += _unlisted(ds)
    n_files = sum(map(len, source.files.values())) + len(source.strays)
    sentence = "every table that the manifest names has the files that it lists, and no others"
    return _check("files", sentence, n_files, violations)


def _unlisted(ds: Dataset) -> list[str]:
    """Where the parts of tables are not those that the manifest lists, by which pages read them."""
    files = ds.manifest.get("files", {})
    listed = {file["path"] for of_table in files.values() for file in of_table}
    there = {_short(ds, path) for paths in ds.source.files.values() for path in paths}
    lacking = [f"{path} is not there, and the manifest lists it" for path in listed - there]
    return sorted(lacking + [f"{path} is not in the manifest's list" for path in there - listed])


def _schemas(ds: Dataset) -> Check:
    violations: list[str] = []
    for table, paths in ds.source.files.items():
        wanted = [(field.name, duckdb_type(str(field.type))) for field in SCHEMAS[table]]
        for path in paths:
            scan = f"read_parquet({quoted(path)}, hive_partitioning = false)"
            try:
                found = [row[:2] for row in _rows(ds, f"describe select * from {scan}")]
            except GatescopeError as error:
                violations.append(f"{_short(ds, path)}: {error}")
                continue
            # The corpus carries columns of its source along, after its own.
            found = found[: len(wanted)] if table == "corpus" else found
            violations += [
                f"{_short(ds, path)}: {_column(column)} should be {_column(other)}"
                for column, other in _differing(found, wanted)
            ]
    n_files = sum(map(len, ds.source.files.values()))
    sentence = "every file has the columns and types of its table, in their order"
    return _check("schema", sentence, n_files, violations)


_Column = tuple[str, str] | None


def _differing(found: list[Any], wanted: list[Any]) -> list[tuple[_Column, _Column]]:
    n = max(len(found), len(wanted))
    padded = zip(
        found + [None] * (n - len(found)), wanted + [None] * (n - len(wanted)), strict=True
    )
    return [(a, b) for a, b in padded if a != b]


def _column(column: _Column) -> str:
    return " ".join(column) if column else "absent"


def _row_counts(ds: Dataset, facts: Facts) -> Check:
    said = ds.manifest["tables"]
    violations = [
        f"the manifest counts {name}, no table of such a dataset"
        for name in said
        if name not in facts.tables
    ]
    n_rows = 0
    for table in facts.tables:
        (n,) = _rows(ds, f'select count(*) from "{table}"')[0]
        n_rows += n
        if said.get(table) != n:
            violations.append(f"{table} has {n} rows, the manifest says {said.get(table)}")
    sentence = "every table has the rows that the manifest says"
    return _check("row_counts", sentence, n_rows, violations)


def _row_groups(ds: Dataset, facts: Facts) -> Check:
    violations: list[str] = []
    n_rows = 0
    tables = [t for t in ("sign_stats", "examples", "weight_tokens") if t in facts.tables]
    for table in tables:
        for path in ds.source.files[table]:
            found = _rows(
                ds,
                "select row_group_id, stats_min_value::int as low, stats_max_value::int as high, "
                "lag(high) over (order by row_group_id) as before "
                f"from parquet_metadata({quoted(path)}) "
                # A layer without rows has one group, of no rows.
                "where path_in_schema = 'neuron' and row_group_num_rows > 0",
            )
            n_rows += len(found)
            violations += [
                f"{_short(ds, path)}: row group {group} begins with neuron {low}, after {before}"
                for group, low, high, before in found
                if low is None or high is None or (before is not None and low <= before)
            ]
    sentence = f"row groups of {', '.join(tables)} hold whole neurons and have statistics"
    return _check("row_groups", sentence, n_rows, violations)


def _listing(ds: Dataset) -> Check:
    """Where the manifest's list leads pages wrong, which read by it: to a footer, to an example."""
    violations: list[str] = []
    n_examples = 0
    listed = [file for files in ds.manifest["files"].values() for file in files]
    for file in listed:
        path = f"{ds.source.root}/{file['path']}"
        size = ds.source.sizes[path]
        if size not in (None, file.get("bytes")):
            said = file.get("bytes")
            violations.append(f"{file['path']} has {size} bytes, the manifest says {said}")
        if file["path"].startswith("corpus/"):
            said = file.get("first_example")
            if said != n_examples:
                violations.append(
                    f"{file['path']} begins with example {n_examples}, the manifest says {said}"
                )
            of_file = f"select num_rows from parquet_file_metadata({quoted(path)})"
            n_examples += _rows(ds, of_file)[0][0]
    sentence = "the manifest has the bytes of every file, and of the corpus their first examples"
    return _check("listing", sentence, len(listed), violations)


def _check_population(ds: Dataset, population: Population) -> Iterator[Check]:
    n_rows = 0
    counts = [0] * len(population.rules)
    shown: list[list[str]] = [[] for _ in population.rules]
    damage: list[str] = []
    for source in _sources(ds, population):
        broken = [f"count(*) filter (where {_broken(rule)})" for rule in population.rules]
        try:
            found = _rows(ds, f"select count(*), {', '.join(broken)} from ({source}) as r")[0]
            n_rows += found[0]
            for i, rule in enumerate(population.rules):
                counts[i] += found[i + 1]
                room = _SHOWN - len(shown[i])
                if found[i + 1] and room:
                    # Not in a where clause: DuckDB would compare it with the files' statistics,
                    # which leave NaN out, and skip the rows that it looks for.
                    label = f"coalesce({population.label}, 'a row with nulls')"
                    first = f"min({label}, {room}) filter (where {_broken(rule)})"
                    ((labels,),) = _rows(ds, f"select {first} from ({source}) as r")
                    shown[i] += map(str, labels)
        except GatescopeError as error:
            damage.append(str(error))
    if damage:
        sentence = f"the files of {population.name} can be read"
        yield _check(f"{population.name}.readable", sentence, n_rows, damage)
    for rule, n, labels in zip(population.rules, counts, shown, strict=True):
        yield Check(f"{population.name}.{rule.name}", rule.sentence, n_rows, n, tuple(labels))


def _broken(rule: Rule) -> str:
    # Null breaks a rule as well: what cannot be told to hold does not.
    return f"({rule.holds}) is not true"


def _sources(ds: Dataset, population: Population) -> Iterator[str]:
    if not population.by_layer:
        yield population.source
        return
    for layer in ds.layers:
        files = {
            f"{table}_files": ", ".join(map(quoted, ds.source.layer_files(table, layer)))
            for table in LAYER_TABLES
        }
        yield population.source.format(layer=layer, first_layer=ds.layers[0], **files)


def _rows(ds: Dataset, statement: str) -> list[tuple[Any, ...]]:
    with user_errors(ds.tables):
        return ds.sql(statement).fetchall()


def _short(ds: Dataset, path: str) -> str:
    return path.removeprefix(f"{ds.source.root}/")
