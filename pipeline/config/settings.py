"""The dataclasses behind `conf/`, and what follows from them alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Final, TypeVar, get_args, get_origin, get_type_hints

from pipeline.errors import GatescopeError


@dataclass(frozen=True)
class ModelConfig:
    """Which model: a Hub id, a folder, or `demo`; `layers` limits the scan to these."""

    name: str = "demo"
    revision: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    layers: tuple[int, ...] | None = None


@dataclass(frozen=True)
class CorpusConfig:
    """Which texts. `source` is `demo`, `local` (a file or folder) or `hub` (a data set's id).

    With `tokenized` the column `input_ids` is read as it is and no tokenizer is run.
    """

    name: str = "demo"
    source: str = "demo"
    tokenized: bool = False
    path: str | None = None
    subset: str | None = None
    split: str = "train"
    revision: str | None = None
    text_column: str = "text"
    max_length: int = 1024
    max_tokens: int | None = None
    add_bos: bool = True


@dataclass(frozen=True)
class WindowConfig:
    """How many positions of an example are kept around a peak."""

    before: int = 48
    after: int = 15


@dataclass(frozen=True)
class ScanConfig:
    """What is counted and kept, and how the work is cut. `name` is `none` for weights alone."""

    name: str = "default"
    k: int = 16
    spare: int = 16
    rankings: tuple[str, ...] = ("post", "in", "gate", "random")
    window: WindowConfig = field(default_factory=WindowConfig)
    skip_bos: bool = True
    canonical_signs: bool = True
    dedupe: bool = True
    unit_tokens: int | None = None
    tokens_per_batch: int | None = None
    state_device: str = "auto"
    compile: str = "auto"


@dataclass(frozen=True)
class WeightsConfig:
    """What is said of weights: the threshold of the classes, and k tokens of a list."""

    threshold: float = 0.5
    k: int = 10


@dataclass(frozen=True)
class ClusterConfig:
    """Where the workers run, and how they are watched.

    `workers` is None for auto. Without `address` Ray starts on this machine.
    """

    name: str = "inprocess"
    workers: int | None = None
    gpus_per_worker: int | None = None
    cpus_per_worker: int | None = None
    address: str | None = None
    snapshot_every_s: float | None = None
    hang_after_s: float = 600.0


@dataclass(frozen=True)
class RunConfig:
    """Everything that `gatescope run` is told. `output` is a folder or a URL."""

    model: ModelConfig = field(default_factory=ModelConfig)
    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    scan: ScanConfig = field(default_factory=ScanConfig)
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    output: str | None = None
    seed: int = 0


# What a run may change without changing its dataset.
_NOT_DECIDING: Final = ("output", "cluster.", "model.device", "scan.state_device")
# What a run that makes a dataset of weights alone is decided by.
_OF_WEIGHTS: Final = ("model.", "scan.name", "scan.canonical_signs", "weights.")
_WANTED: Final[dict[Any, str]] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple[str, ...]: "a list such as [post,in]",
    tuple[int, ...]: "a list such as [0,1]",
}

_T = TypeVar("_T")


def to_dict(config: RunConfig) -> dict[str, Any]:
    """The configuration as JSON holds it: nested dicts, lists for tuples."""
    settings: dict[str, Any] = _as_json(asdict(config))
    return settings


def from_dict(data: Mapping[str, Any]) -> RunConfig:
    """The inverse of `to_dict`; a key that is absent takes its default.

    Where a number may be left open, `auto` is null.
    Raises GatescopeError for an unknown key and for a value of the wrong type.
    """
    return _filled(RunConfig, data, "")


def setting_types() -> dict[str, Any]:
    """The type of every setting by its key, such as `{"scan.window.before": int, ...}`."""
    return _types(RunConfig, "")


def scan_settings(config: RunConfig) -> dict[str, Any]:
    """The part of the configuration that decides the result, flat: `{"scan.k": 16, ...}`.

    Runs over the same texts whose settings are equal may continue each other.
    """
    settings = flat(to_dict(config))
    if config.scan.name == "none":
        settings = {k: v for k, v in settings.items() if k.startswith(_OF_WEIGHTS)}
    return {k: v for k, v in settings.items() if not k.startswith(_NOT_DECIDING)}


def differences(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """One line for each setting of two (nested or flat) mappings that is not the same in both.

    Such as `scan.k: 16 there, 8 now`, sorted by key; `absent` stands for a missing key.
    """
    old, new = flat(_as_json(there)), flat(_as_json(here))
    return [
        f"{key}: {_shown(old, key)} there, {_shown(new, key)} now"
        for key in sorted(old.keys() | new.keys())
        if _shown(old, key) != _shown(new, key)
    ]


def default_output(config: RunConfig) -> str:
    """`outputs/<model>_<corpus>`, where local texts give their file's name; or `outputs/demo`.

    Without a scan `outputs/<model>_weights`.
    """
    model, corpus = config.model, config.corpus
    if config.scan.name == "none":
        return f"outputs/{file_name(_last_part(model.name))}_weights"
    if model.name == "demo" and corpus.source == "demo":
        return "outputs/demo"
    texts = corpus.name
    if corpus.source == "local" and corpus.path is not None:
        texts = Path(_last_part(corpus.path)).stem
    return f"outputs/{file_name(_last_part(model.name))}_{file_name(texts)}"


def file_name(text: str) -> str:
    """`text` as a part of a file's name: letters, digits, `_`, `-` and inner dots, never empty."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.") or "unnamed"


def flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """`{"scan": {"k": 16}}` as `{"scan.k": 16}`; what is flat stays as it is."""
    leaves: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            leaves |= {f"{key}.{inner}": leaf for inner, leaf in flat(value).items()}
        else:
            leaves[key] = value
    return leaves


def _as_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_json(inner) for key, inner in value.items()}
    return [_as_json(inner) for inner in value] if isinstance(value, list | tuple) else value


def _shown(settings: Mapping[str, Any], key: str) -> str:
    return json.dumps(settings[key], ensure_ascii=False) if key in settings else "absent"


def _last_part(path: str) -> str:
    # `.` and `..` have no name of their own.
    name = Path(path).name
    return name if name not in ("", "..") else Path(path).resolve().name


def _types(cls: type, prefix: str) -> dict[str, Any]:
    types: dict[str, Any] = {}
    for name, hint in get_type_hints(cls).items():
        key = f"{prefix}{name}"
        types |= _types(hint, f"{key}.") if is_dataclass(hint) else {key: hint}  # type: ignore[arg-type]
    return types


def _filled(cls: type[_T], data: Mapping[str, Any], prefix: str) -> _T:
    hints = get_type_hints(cls)
    for name in data:
        if name not in hints:
            raise GatescopeError(f"{prefix}{name} is not a setting: leave it out")
    known = [f.name for f in fields(cls) if f.name in data]  # type: ignore[arg-type]
    return cls(**{name: _typed(data[name], hints[name], f"{prefix}{name}") for name in known})


def _typed(value: Any, hint: Any, key: str) -> Any:
    if is_dataclass(hint):
        if isinstance(value, Mapping):
            return _filled(hint, value, f"{key}.")  # type: ignore[arg-type]
        raise GatescopeError(f"{key}={value} is not a group of settings: set {key}.<name>=...")
    options = get_args(hint) if NoneType in get_args(hint) else (hint,)
    if value is None and NoneType in options:
        return None
    kind = options[0]
    if value == "auto" and NoneType in options and kind is not str:
        return None
    if kind is str and isinstance(value, bool):
        return str(value).lower()  # YAML reads a bare `true` as a boolean where text is meant
    item = get_args(kind)[0] if get_origin(kind) is tuple else None
    if item is not None and isinstance(value, list | tuple) and all(_is(v, item) for v in value):
        return tuple(value)
    if item is None and _is(value, kind):
        return float(value) if kind is float else value
    wanted = _WANTED[kind] + (" or null" if NoneType in options else "")
    shown = "null" if value is None else value
    raise GatescopeError(f"{key}={shown} has the wrong type: give {wanted}")


def _is(value: Any, kind: type) -> bool:
    # bool is an int to Python, but not to a person.
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
