"""From `conf/` and the words of a command line to a checked `RunConfig`. Owns Hydra."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from pipeline.config.checks import check, suggestion
from pipeline.config.settings import RunConfig, default_output, from_dict, setting_types
from pipeline.errors import GatescopeError
from pipeline.naming import RANKINGS
from pipeline.shipped import CONF

# What to do instead, for a choice that is not in a group.
_OTHERWISE = {
    "model": " (for any other model: model.name=<Hub id or folder>)",
    "corpus": " (for texts of your own: corpus=local corpus.path=<file or folder>)",
}


def compose_config(overrides: Sequence[str]) -> RunConfig:
    """The run that `conf/` and `overrides` (`key=value`, a later one wins) describe, checked.

    Raises GatescopeError for a setting that is unknown, unreadable or of the wrong type, and for
    whatever `checked` refuses.
    """
    # Here and not above: the scan reads the dataclasses where Hydra is not installed.
    from hydra import compose

    settings = [readable(override) for override in overrides]
    with hydra_over_conf():
        return checked(compose("config", settings))


def checked(composed: Any) -> RunConfig:
    """The run that Hydra's `DictConfig` describes.

    Layers and rankings come back in their canonical order, `output` with its default filled in.
    Raises GatescopeError for what cannot be resolved and for whatever `check` refuses.
    """
    from omegaconf import OmegaConf

    with _in_one_line():
        settings: Any = OmegaConf.to_container(composed, resolve=True)
    config = from_dict(settings)
    check(config)
    layers = config.model.layers
    rankings = tuple(ranking for ranking in RANKINGS if ranking in config.scan.rankings)
    return replace(
        config,
        model=replace(config.model, layers=None if layers is None else tuple(sorted(layers))),
        scan=replace(config.scan, rankings=rankings),
        output=config.output or default_output(config),
    )


@contextmanager
def hydra_over_conf() -> Iterator[Any]:
    """Hydra with `conf/`; what it or OmegaConf refuses within is a GatescopeError."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra

    with _in_one_line(), initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
        yield GlobalHydra.instance().hydra


@contextmanager
def _in_one_line() -> Iterator[None]:
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        key = getattr(error, "full_key", None) or "the configuration"
        # Hydra names the override, and the error of OmegaConf below it says what is wrong with it.
        reasons = [first_line(e) for e in (error, error.__cause__) if e is not None and str(e)]
        reason = ": ".join(reasons).replace("++", "")
        raise GatescopeError(f"{key} cannot be resolved: {reason}; correct its value") from None


def first_line(error: BaseException) -> str:
    """What an error says first, or its name where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def choices(group: str) -> list[str]:
    """The choices of a group (`model`, `corpus`, ...), sorted; empty for what is no group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def readable(override: str) -> str:
    """The override as Hydra takes it, or GatescopeError for what it would not take."""
    key, equals, value = override.partition("=")
    if re.match(r"hydra[/.](launcher|sweep)", key):
        raise GatescopeError(f"{override} is a setting of a sweep: add -m")
    if not equals or not re.fullmatch(r"\w+(\.\w+)*", key) or "\n" in value:
        raise GatescopeError(f"{override!r} is not a setting: write key=value, such as scan.k=8")
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    types = setting_types()
    if key in groups:
        if "," in value:
            raise GatescopeError(
                f"{override} gives several values: give one, or add -m for a dataset of each"
            )
        if value not in choices(key):
            hint = suggestion(value, choices(key)) + _OTHERWISE.get(key, "")
            raise GatescopeError(f"{override} is not a choice of {key}: {hint}")
        return override
    if key not in types:
        inner = [name for name in types if name.startswith(f"{key}.")]
        hint = f"set {' or '.join(inner)}" if inner else suggestion(key, [*groups, *types])
        raise GatescopeError(f"{key} is not a setting: {hint}")
    if is_text(key):
        value = as_text(value)
    if parsed(override, f"{key}={value}").is_sweep_override():
        raise GatescopeError(
            f"{override} gives several values: give one, a list in [ ], or add -m for a dataset "
            "of each"
        )
    return f"++{key}={value}"


def is_text(key: str) -> bool:
    """Whether the setting's value is text, which may hold any character."""
    return setting_types().get(key) in (str, str | None)


def as_text(value: str) -> str:
    """A text in quotes, so that Hydra takes every character of a path as it stands."""
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    if quoted or value.lower() in ("null", "true", "false"):
        return value
    # Backslashes are halved before a quote and kept elsewhere.
    doubled = re.sub(r'(\\+)(?="|$)', r"\1\1", value)
    return '"' + doubled.replace('"', '\\"') + '"'


def parsed(override: str, as_hydra_takes_it: str, loader: Any = None) -> Any:
    """Hydra's `Override`; with its config loader globs over a group can be told too.

    Raises GatescopeError, about `override`, for what Hydra's grammar does not read.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parser = OverridesParser.create(config_loader=loader)
        return parser.parse_overrides([as_hydra_takes_it])[0]
    except HydraException as error:
        raise GatescopeError(
            f"cannot read {override!r}: {first_line(error)}; quote the value"
        ) from None
