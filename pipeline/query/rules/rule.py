"""What a rule is, the rows it is about, and what the manifest says that it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pipeline.schema import COSINES, TABLES, WEIGHT_TABLES

# Activation functions that are positive for a negative gate, so that post has not the usual sign.
POSITIVE: Final = ("sigmoid", "hard_sigmoid")
_UNSCANNED_TABLES: Final = tuple(t for t in TABLES if t in (*WEIGHT_TABLES, "vocab"))
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
class ScanFacts:
    """What the manifest says of a scan that the rules depend on."""

    k: int
    spare: int
    rankings: tuple[str, ...]
    before: int
    after: int
    skip_bos: bool
    dedupe: bool
    max_length: int
    act_fn: str


@dataclass(frozen=True)
class Facts:
    """What the manifest says that the rules depend on; `scan` is None for scan=none."""

    threshold: float
    weight_k: int
    canonical: bool
    gated: bool
    scan: ScanFacts | None

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables of such a dataset."""
        return TABLES if self.scan else _UNSCANNED_TABLES

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
        absent += [f"tables.{table}" for table in wanted if table not in manifest["tables"]]
        absent += [] if isinstance(manifest.get("files"), dict) else ["files"]
        return absent

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Facts:
        """The facts of a manifest that lacks nothing."""
        threshold, weight_k, canonical, gated = (_setting(manifest, key) for key in _SETTINGS)
        return cls(threshold, weight_k, canonical, gated, _scan_facts(manifest))


def _scan_facts(manifest: Mapping[str, Any]) -> ScanFacts | None:
    if not _is_scanned(manifest):
        return None
    k, spare, rankings, before, after, skip_bos, dedupe, max_length = (
        _setting(manifest, key) for key in _SCAN_SETTINGS
    )
    act_fn = str(_setting(manifest, "model.act_fn") or "")
    return ScanFacts(k, spare, tuple(rankings), before, after, skip_bos, dedupe, max_length, act_fn)


def _is_scanned(manifest: Mapping[str, Any]) -> bool:
    return bool(_setting(manifest, "config.scan.name") != "none")


def _setting(manifest: Mapping[str, Any], key: str) -> Any:
    value: Any = manifest
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def strings(names: tuple[str, ...]) -> str:
    """Names as a list of SQL string literals."""
    return ", ".join(f"'{name}'" for name in names)
