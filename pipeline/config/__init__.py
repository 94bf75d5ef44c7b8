"""The configuration: dataclasses behind `conf/`, checked before anything runs.

`compose_config` and `plan_sweep` read `conf/` and the overrides of a command line; everything else
works on the dataclasses alone, so the scan runs where Hydra is not installed.
"""

from __future__ import annotations

from pipeline.config.checks import check
from pipeline.config.command import override, run_command, shell_line
from pipeline.config.compose import choices, compose_config
from pipeline.config.multirun import Outcome, Sweep, plan_sweep
from pipeline.config.settings import (
    ClusterConfig,
    CorpusConfig,
    ModelConfig,
    RunConfig,
    ScanConfig,
    WindowConfig,
    default_output,
    differences,
    from_dict,
    scan_settings,
    to_dict,
)

__all__ = [
    "ClusterConfig",
    "CorpusConfig",
    "ModelConfig",
    "Outcome",
    "RunConfig",
    "ScanConfig",
    "Sweep",
    "WindowConfig",
    "check",
    "choices",
    "compose_config",
    "default_output",
    "differences",
    "from_dict",
    "override",
    "plan_sweep",
    "run_command",
    "scan_settings",
    "shell_line",
    "to_dict",
]
