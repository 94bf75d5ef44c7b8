"""What the datasets that are open together are called, and the table `models` about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from pipeline.query.source import Source

# The columns of `models`. n_layers is that of the whole model; n_tokens null without a scan.
MODELS_SQL: Final = (
    "model varchar, place integer, name varchar, revision varchar, n_layers integer, "
    "d_model integer, n_tokens bigint, gated boolean"
)


def model_names(sources: Sequence[Source]) -> tuple[str, ...]:
    """A name for each dataset, no two the same.

    That of its model; of those that share it, `name@revision`, the revision as the run was told it
    (a branch says more than its commit); of those that share that too, the place as given, with
    ` (2)` and so on where one was given again.
    """
    names = [_model(source, "name") or source.name for source in sources]
    revised = [_with_revision(name, source) for name, source in zip(names, sources, strict=True)]
    for finer in (revised, [source.name for source in sources]):
        counts = Counter(names)
        names = [f if counts[n] > 1 else n for n, f in zip(names, finer, strict=True)]
    seen: Counter[str] = Counter()
    for i, name in enumerate(names):
        seen[name] += 1
        names[i] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return tuple(names)


def models_rows(sources: Sequence[Source], models: Sequence[str]) -> list[tuple[Any, ...]]:
    """The rows of `models`."""
    return [
        (
            model,
            place,
            _model(source, "name"),
            _model(source, "revision"),
            _model(source, "n_layers"),
            _model(source, "d_model"),
            (source.manifest.get("corpus") or {}).get("n_tokens"),
            _model(source, "gated"),
        )
        for place, (source, model) in enumerate(zip(sources, models, strict=True))
    ]


def _with_revision(name: str, source: Source) -> str:
    config = source.manifest.get("config") or {}
    revision = (config.get("model") or {}).get("revision") or _model(source, "revision")
    return f"{name}@{revision}" if revision else name


def _model(source: Source, key: str) -> Any:
    return (source.manifest.get("model") or {}).get(key)
