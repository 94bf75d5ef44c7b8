"""From `conf/` and the words of a command line to a checked `RunConfig`. Owns Hydra."""

from __future__ import annotations

import re
from collections.abc import Sequence
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

    Layers and rankings come back in their canonical order, `output` with its default filled in.
    Raises GatescopeError for a setting that is unknown, unreadable or of the wrong type, and for
    whatever `check` refuses.
    """
    # Here and not above: the scan reads the dataclasses where Hydra is not installed.
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    readable = [_readable(override) for override in overrides]
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            composed: Any = OmegaConf.to_container(compose("config", readable), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        key = getattr(error, "full_key", None) or "the configuration"
        reason = str(error).splitlines()[0].replace("++", "")
        raise GatescopeError(f"{key} cannot be resolved: {reason}; correct its value") from None
    config = from_dict(composed)
    check(config)
    layers = config.model.layers
    rankings = tuple(ranking for ranking in RANKINGS if ranking in config.scan.rankings)
    return replace(
        config,
        model=replace(config.model, layers=None if layers is None else tuple(sorted(layers))),
        scan=replace(config.scan, rankings=rankings),
        output=config.output or default_output(config),
    )


def choices(group: str) -> list[str]:
    """The choices of a group (`model`, `corpus`, ...), sorted; empty for what is no group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def _readable(override: str) -> str:
    """The override as Hydra takes it, or GatescopeError for what it would not take."""
    key, equals, value = override.partition("=")
    if not equals or not re.fullmatch(r"\w+(\.\w+)*", key) or "\n" in value:
        raise GatescopeError(f"{override!r} is not a setting: write key=value, such as scan.k=8")
    groups = [path.name for path in CONF.iterdir() if path.is_dir()]
    types = setting_types()
    if key in groups:
        if value not in choices(key):
            hint = suggestion(value, choices(key)) + _OTHERWISE.get(key, "")
            raise GatescopeError(f"{override} is not a choice of {key}: {hint}")
        return override
    if key not in types:
        inner = [name for name in types if name.startswith(f"{key}.")]
        hint = f"set {' or '.join(inner)}" if inner else suggestion(key, [*groups, *types])
        raise GatescopeError(f"{key} is not a setting: {hint}")
    if types[key] in (str, str | None):
        value = _as_text(value)
    _refuse_unreadable(override, f"{key}={value}")
    return f"++{key}={value}"


def _as_text(value: str) -> str:
    """A text in quotes, so that Hydra takes every character of a path as it stands."""
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
    if quoted or value.lower() in ("null", "true", "false"):
        return value
    # Backslashes are halved before a quote and kept elsewhere.
    doubled = re.sub(r'(\\+)(?="|$)', r"\1\1", value)
    return '"' + doubled.replace('"', '\\"') + '"'


def _refuse_unreadable(override: str, readable: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        parsed = OverridesParser.create().parse_override(readable)
    except HydraException as error:
        reason = str(error).splitlines()[0]
        raise GatescopeError(f"cannot read {override!r}: {reason}; quote the value") from None
    if parsed.is_sweep_override():
        raise GatescopeError(f"{override} gives several values: give one, or a list in [ ]")
