"""A sweep, a dataset for each model: Hydra's multirun over `conf/`, with any of its launchers."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from pipeline.config.checks import check_outputs
from pipeline.config.compose import as_text, checked, first_line, hydra_over_conf
from pipeline.config.settings import RunConfig
from pipeline.config.swept import LAUNCHER, master_config, readable_sweep
from pipeline.errors import GatescopeError, Interrupted

_SWEEP_DIR: Final = "++hydra.sweep.dir="


@dataclass(frozen=True)
class Outcome:
    """How a run of a sweep ended: the exit code that it would have alone, and why if not 0."""

    code: int = 0
    message: str = "ok"


@dataclass(frozen=True)
class Sweep:
    """Runs that may be launched; `folder` is where the launcher's files will be, if it has any."""

    configs: tuple[RunConfig, ...]
    launcher: str
    folder: str | None
    overrides: tuple[str, ...]

    def launch(self, task: Callable[[RunConfig], None]) -> list[Outcome]:
        """Do `task` for each run, wherever the launcher does it; how each ended, in their order.

        What `task` raises ends its own run alone; told to leave, a process begins no further one.
        Raises GatescopeError where a launcher fails, or loses a job.
        """
        with ExitStack() as stack:
            hydra = stack.enter_context(hydra_over_conf())
            folder = self.folder or stack.enter_context(tempfile.TemporaryDirectory())
            overrides = [*self.overrides, _SWEEP_DIR + as_text(folder)]
            try:
                return _multirun(hydra, _Attempt(task), overrides)
            except Exception as error:
                # An attempt catches what its task raises: this is about a launcher, by whomever.
                if self.folder is None or os.environ.get("HYDRA_FULL_ERROR") == "1":
                    raise
                reason = " ".join(str(error).split("\n")[:2]).strip() or type(error).__name__
                raise GatescopeError(
                    f"{LAUNCHER}={self.launcher} failed: {reason}; jobs that were begun may go on, "
                    f"with logs in {folder}; once they have ended, the same command again makes "
                    "what is missing"
                ) from None


def plan_sweep(overrides: Sequence[str]) -> Sweep:
    """The runs of `gatescope run -m`, every one of them checked; nothing runs yet.

    In an override several values stand between commas, or in whatever else Hydra sweeps over;
    `hydra/launcher=...` and `hydra.*` are Hydra's own.
    Raises GatescopeError for what `compose_config` refuses, and where two runs have one output.
    """
    with hydra_over_conf() as hydra, tempfile.TemporaryDirectory() as folder:
        settings = readable_sweep(overrides, hydra.config_loader)
        whole = master_config(hydra.config_loader, settings).hydra
        # Hydra itself says which runs these are: a task that gives back its configuration.
        of_launcher = (f"{LAUNCHER}=", "++hydra.launcher.")
        kept = [setting for setting in settings if not setting.startswith(of_launcher)]
        configs = []
        for config in _multirun(hydra, _rehearse, [*kept, _SWEEP_DIR + as_text(folder)]):
            if isinstance(config, GatescopeError):
                raise config
            if str(config.output).startswith(folder):
                raise GatescopeError(
                    "output lies in hydra.sweep.dir, which holds no datasets: give another folder"
                )
            configs.append(config)
        check_outputs(configs)
        launcher = whole.runtime.choices[LAUNCHER]
        asked = any(setting.startswith(_SWEEP_DIR) for setting in settings)
        place = str(whole.sweep.dir) if asked or launcher != "basic" else None
    return Sweep(tuple(configs), launcher, place, tuple(settings))


@dataclass
class _Attempt:
    """Hydra's task function. Launchers send it to other processes: it holds the task alone."""

    task: Callable[[RunConfig], None]
    told_to_leave: bool = False

    def __call__(self, composed: Any) -> Outcome:
        if self.told_to_leave:
            return Outcome(143, "not begun: told to leave before")
        try:
            self.task(checked(composed))
        except GatescopeError as error:
            return Outcome(2, str(error))
        except Interrupted:
            self.told_to_leave = True
            return Outcome(143, "told to leave: the same command again goes on")
        except Exception as error:
            # A fault of the program; the other models are none the worse for it.
            traceback.print_exc()
            return Outcome(1, f"{type(error).__name__}: {first_line(error)}")
        return Outcome()


def _rehearse(composed: Any) -> RunConfig | GatescopeError:
    try:
        return checked(composed)
    except GatescopeError as error:
        return error  # raised here, Hydra would print about it


def _multirun(hydra: Any, task: Callable[[Any], Any], overrides: list[str]) -> list[Any]:
    batches = hydra.multirun("config", task, overrides, with_log_configuration=False)
    return [job.return_value for batch in batches for job in batch]
