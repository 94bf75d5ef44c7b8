"""What a rule is, the rows it is about, and what the manifest says that it depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

# Activation functions that are positive for a negative gate, so that post has not the usual sign.
POSITIVE: Final = ("sigmoid", "hard_sigmoid")
_SETTINGS: Final = (
    "scan.k",
    "scan.spare",
    "scan.rankings",
    "scan.window.before",
    "scan.window.after",
    "scan.skip_bos",
    "scan.canonical_signs",
    "scan.dedupe",
    "corpus.max_length",
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

    With `by_layer`, `source` is a template that `{layer}` and `{<table>_files}` fill.
    """

    name: str
    source: str
    label: str
    rules: tuple[Rule, ...]
    by_layer: bool = True


@dataclass(frozen=True)
class Facts:
    """What the manifest says that the rules depend on."""

    k: int
    spare: int
    rankings: tuple[str, ...]
    before: int
    after: int
    skip_bos: bool
    canonical: bool
    dedupe: bool
    max_length: int
    act_fn: str

    @classmethod
    def missing(cls, manifest: Mapping[str, Any]) -> list[str]:
        """The settings that a manifest ought to hold and does not."""
        return [f"config.{key}" for key in _SETTINGS if _setting(manifest, key) is None]

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Facts:
        """The facts of a manifest that lacks nothing."""
        k, spare, rankings, before, after, skip_bos, canonical, dedupe, max_length = (
            _setting(manifest, key) for key in _SETTINGS
        )
        act_fn = manifest.get("model", {}).get("act_fn") or ""
        return cls(
            k, spare, tuple(rankings), before, after, skip_bos, canonical, dedupe, max_length,
            str(act_fn),
        )  # fmt: skip


def _setting(manifest: Mapping[str, Any], key: str) -> Any:
    value: Any = manifest.get("config")
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def strings(names: tuple[str, ...]) -> str:
    """Names as a list of SQL string literals."""
    return ", ".join(f"'{name}'" for name in names)
