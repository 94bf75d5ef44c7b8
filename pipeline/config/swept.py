"""The words of a sweep as Hydra takes them: several values of a setting, and Hydra's own ones."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from pipeline.config.checks import suggestion
from pipeline.config.compose import is_text, parsed, readable
from pipeline.errors import GatescopeError

LAUNCHER: Final = "hydra/launcher"


def readable_sweep(overrides: Sequence[str], loader: Any) -> list[str]:
    """The overrides as Hydra takes them, each value of each checked as that of a single run.

    `loader` is Hydra's config loader. Raises GatescopeError for what Hydra would not take.
    """
    launchers = [o for o in overrides if o.startswith(f"{LAUNCHER}=")]
    for override in launchers:
        value, known = override.partition("=")[2], loader.get_group_options(LAUNCHER)
        if value not in known:
            raise GatescopeError(
                f"{override} is not a choice of {LAUNCHER}: {suggestion(value, known)} "
                "(for SLURM: pip install 'gatescope[slurm]')"
            )
    hydra = master_config(loader, launchers).hydra

    def taken(override: str) -> str:
        if override in launchers:
            return override
        of_hydra = re.match(r"hydra\b", override)
        return _of_hydra(override, hydra) if of_hydra else _swept(override, loader)

    return [taken(override) for override in overrides]


def master_config(loader: Any, settings: Sequence[str]) -> Any:
    """The configuration of the sweep itself, above that of each run."""
    from hydra.types import RunMode

    return loader.load_configuration("config", list(settings), run_mode=RunMode.MULTIRUN)


def _of_hydra(override: str, hydra: Any) -> str:
    """A setting of Hydra itself, such as `hydra.launcher.timeout_min=60`."""
    from omegaconf import DictConfig, OmegaConf

    if not re.fullmatch(r"hydra(\.\w+)+=.*", override):
        raise GatescopeError(
            f"{override!r} is not a setting of a sweep: {LAUNCHER}=NAME and hydra.KEY=VALUE are"
        )
    key = override.partition("=")[0]
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(hydra, parent.removeprefix("hydra.")) if "." in parent else hydra
    known = [str(each) for each in node] if isinstance(node, DictConfig) else []
    known = [each for each in known if each != "_target_"]
    if name not in known:
        launcher = hydra.runtime.choices[LAUNCHER]
        hint = suggestion(name, known) if known else f"{parent} has none"
        raise GatescopeError(f"{key} is not a setting with {LAUNCHER}={launcher}: {hint}")
    if parsed(override, override).is_sweep_override():
        raise GatescopeError(f"{override} gives several values: give one, for the whole sweep")
    return f"++{override}"


def _swept(override: str, loader: Any) -> str:
    """The override with each of its values as `readable` gives it."""
    key, equals, value = override.partition("=")
    values = [value]
    if is_text(key):
        values = _texts(value)
    elif equals:
        found = parsed(override, override, loader)
        if found.is_discrete_sweep():
            values = list(found.sweep_string_iterator())
        elif found.is_sweep_override():
            raise GatescopeError(f"{override} gives no single values: name them, as {key}=1,2")
    if not values:
        raise GatescopeError(f"{override} gives no value: correct it")
    each = [readable(f"{key}{equals}{one}").partition("=") for one in values]
    return f"{each[0][0]}={','.join(setting for _, _, setting in each)}"


def _texts(value: str) -> list[str]:
    """The texts between commas, those in quotes or brackets aside, character by character.

    Hydra's own reading will not do: it gives back the text 1e5 as 100000.0 and refuses `a (b).txt`.
    """
    choice = re.fullmatch(r"choice\((.*)\)", value)
    tokens = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|.""", re.DOTALL)
    texts, depth = [""], 0
    for token in tokens.findall(choice[1] if choice else value):
        depth += (token in "([{") - (token in ")]}")
        if token == "," and depth == 0:
            texts.append("")
        else:
            texts[-1] += token
    return [text.strip() for text in texts] if len(texts) > 1 else texts
