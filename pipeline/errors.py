"""The one exception for what a user can mend."""

from __future__ import annotations


class GatescopeError(Exception):
    """Names the thing, its value and the remedy, in one line; the command line exits with 2."""


class Interrupted(Exception):
    """The run was told to leave, and has: what was counted is in committed snapshots."""
