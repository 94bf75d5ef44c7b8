"""What a rule is, the rows it is about, and what the manifest says that it depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.schema import COSINES, TABLES, WEIGHT_TABLES

# Rounding of one forward against another with other batch shapes, relative to the example's
# largest activation of the neuron.
TOLERANCE: Final = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
# Activation functions that are positive for a negative gate, so that post has not the usual sign.
POSITIVE: Final = ("sigmoid", "hard_sigmoid")
_UNSCANNED_TABLES: Final = tuple(t for t in TABLES if t in (*WEIGHT_TABLES, "vocab"))
_IMPORTED: Final = ("lists", "n_entries", "n_filled")
_SETTINGS: Final = (
    "config.weights.threshold",
    "config.weights.k",
    "config.scan.canonical_signs",
    "model.gated",
)
_SCAN_SETTINGS: Final = (
    "config.scan.k",
    "config.scan.spare",
    "config.scan.rankings",
    "config.scan.window.before",
    "config.scan.window.after",
    "config.scan.skip_bos",
    "config.scan.dedupe",
    "config.corpus.max_length",
)


@dataclass(frozen=True)
class Rule:
    """`holds` is a predicate on a row; a row where it is false or null breaks the rule."""

    name: str
    sentence: str
    holds: str


@dataclass(frozen=True)
class Population:
    """Rows that share rules. `label` is the SQL that names a row to a person.

    With `by_layer`, `source` is a template that `{layer}`, `{first_layer}` (of the dataset) and
    `{<table>_files}` fill.
    """

    name: str
    source: str
    label: str
    rules: tuple[Rule, ...]
    by_layer: bool = True


@dataclass(frozen=True)
class Lacks:
    """What a dataset has not, by `missing` of its manifest: columns by table, None for all."""

    tables: Mapping[str, frozenset[str] | None]

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Lacks:
        """What a manifest says."""
        found: dict[str, frozenset[str] | None] = {}
        for entry in manifest.get("missing") or []:
            table, columns = entry["table"], entry["columns"]
            before = found.get(table, frozenset())
            if columns is None or before is None:
                found[table] = None
            else:
                found[table] = before | frozenset(columns)
        return cls(found)

    def table(self, table: str) -> bool:
        """Whether a table is not there."""
        return self.tables.get(table, frozenset()) is None

    def column(self, table: str, column: str) -> bool:
        """Whether a column is null in some rows or all."""
        columns = self.tables.get(table, frozenset())
        return columns is None or column in columns

    def columns(self, table: str) -> tuple[str, ...]:
        """The columns of a table that are null in some rows or all."""
        return tuple(sorted(self.tables.get(table) or ()))


@dataclass(frozen=True)
class Imported:
    """An import: the lists of the source as (combination, ranking), and what its model has.

    `n_filled` entries have a position, None without a model; `tolerance` is by how much the model
    may differ from what is published.
    """

    lists: tuple[tuple[str, str], ...]
    n_entries: int
    n_filled: int | None
    tolerance: float


@dataclass(frozen=True)
class ScanFacts:
    """What the manifest says of a scan that the rules depend on.

    `rankings` are those of the lists, `act` among them where it was published. `imported` is what
    it says of an import, None for a scan of ours.
    """

    k: int
    spare: int
    rankings: tuple[str, ...]
    before: int
    after: int
    skip_bos: bool
    dedupe: bool
    max_length: int
    act_fn: str
    lacks: Lacks
    imported: Imported | None


@dataclass(frozen=True)
class Facts:
    """What the manifest says that the rules depend on; `scan` is None for scan=none."""

    threshold: float
    weight_k: int
    canonical: bool
    gated: bool
    lacks: Lacks
    scan: ScanFacts | None

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of such a dataset."""
        tables = TABLES if self.scan else _UNSCANNED_TABLES
        return tuple(table for table in tables if not self.lacks.table(table))

    @property
    def cosines(self) -> tuple[str, ...]:
        """The cosines that are not null."""
        return COSINES if self.gated else ("cos_in_out",)

    @classmethod
    def missing(cls, manifest: Mapping[str, Any]) -> list[str]:
        """The settings that a manifest ought to hold and does not, and tables that it confuses."""
        scanned = _is_scanned(manifest)
        keys = (*_SETTINGS, *_SCAN_SETTINGS) if scanned else _SETTINGS
        absent = [key for key in keys if _setting(manifest, key) is None]
        wanted = TABLES if scanned else _UNSCANNED_TABLES
        lacks = Lacks.of(manifest)
        absent += [
            f"tables.{table}"
            for table in wanted
            if table not in manifest["tables"] and not lacks.table(table)
        ]
        if manifest.get("imported") is not None:
            absent += [key for key in _IMPORTED if key not in manifest["imported"]]
        absent += [] if isinstance(manifest.get("files"), dict) else ["files"]
        return absent

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Facts:
        """The facts of a manifest that lacks nothing."""
        threshold, weight_k, canonical, gated = (_setting(manifest, key) for key in _SETTINGS)
        lacks = Lacks.of(manifest)
        return cls(threshold, weight_k, canonical, gated, lacks, _scan_facts(manifest, lacks))


def _scan_facts(manifest: Mapping[str, Any], lacks: Lacks) -> ScanFacts | None:
    if not _is_scanned(manifest):
        return None
    k, spare, rankings, before, after, skip_bos, dedupe, max_length = (
        _setting(manifest, key) for key in _SCAN_SETTINGS
    )
    act_fn = str(_setting(manifest, "model.act_fn") or "")
    imported = _imported(manifest)
    if imported is not None:
        rankings = dict.fromkeys([*rankings, *(ranking for _, ranking in imported.lists)])
    return ScanFacts(
        k,
        spare,
        tuple(rankings),
        before,
        after,
        skip_bos,
        dedupe,
        max_length,
        act_fn,
        lacks,
        imported,
    )


def _imported(manifest: Mapping[str, Any]) -> Imported | None:
    said = manifest.get("imported")
    if said is None:
        return None
    tolerance = TOLERANCE.get(str(_setting(manifest, "model.dtype")), 0.0)
    lists = tuple((combo, ranking) for combo, _, ranking in map(_parted, said["lists"]))
    return Imported(lists, said["n_entries"], said["n_filled"], tolerance)


def _parted(name: str) -> tuple[str, str, str]:
    return name.partition(" ")


def _is_scanned(manifest: Mapping[str, Any]) -> bool:
    return bool(_setting(manifest, "config.scan.name") != "none")


def _setting(manifest: Mapping[str, Any], key: str) -> Any:
    value: Any = manifest
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def all_null(columns: Sequence[str]) -> str:
    """SQL that holds where all of these columns are null."""
    return " and ".join(f'"{column}" is null' for column in columns) or "true"


def strings(names: tuple[str, ...]) -> str:
    """Names as a list of SQL string literals."""
    return ", ".join(f"'{name}'" for name in names)
