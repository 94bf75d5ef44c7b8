"""The command that makes a dataset again, from the configuration of the run that made it."""

from __future__ import annotations

import re
import shlex
from typing import Any, Final

from pipeline.config.settings import RunConfig, flat, to_dict

_BARE: Final = re.compile(r"[\w./:@+-]+")
# What conf/corpus/demo.yaml sets, from which every command starts.
_DEMO: Final = {"corpus.max_length": 512, "corpus.max_tokens": 40_000}
# Where and how fast it runs; the dataset is the same.
_NOT_TOLD: Final = ("cluster.", "model.device", "scan.state_device")


def run_command(config: RunConfig) -> list[str]:
    """The words of the `gatescope run` that gives this configuration, but for the machine.

    What `compose_config` makes of all but the first two is `config` again.
    """
    default = flat(to_dict(RunConfig())) | _DEMO
    wanted = flat(to_dict(config))
    words = ["gatescope", "run"]
    if config.scan.name == "none":
        words.append("scan=none")
        default["scan.name"] = "none"
    words += [
        override(key, value)
        for key, value in wanted.items()
        if value != default[key] and not key.startswith(_NOT_TOLD)
    ]
    return words


def override(key: str, value: Any) -> str:
    """A setting as Hydra reads it on a command line."""
    return f"{key}={_written(value)}"


def shell_line(words: list[str]) -> str:
    """Words as a shell reads them."""
    return shlex.join(words)


def _written(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_written, value))}]"
    if not isinstance(value, str):
        return repr(value)
    reads_as_other = value.lower() in ("null", "true", "false", "nan", "inf") or _is_number(value)
    if _BARE.fullmatch(value) and not reads_as_other:
        return value
    # In quotes; a quote or an interpolation is escaped, and so are the backslashes before them.
    quoted = re.sub(r"(\\*)('|\$\{)", lambda m: f"{m[1] * 2}\\{m[2]}", value)
    quoted = re.sub(r"(\\+)$", lambda m: m[1] * 2, quoted)
    return f"'{quoted}'"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
