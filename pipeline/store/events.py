"""What happened in a run, one JSON object a line: `events.jsonl`, which stays with the dataset."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from pipeline.errors import GatescopeError
from pipeline.store.place import Place

EVENTS: Final = "events.jsonl"
# Seconds between two uploads of the whole log, where a place cannot be appended to.
_UPLOAD_EVERY_S: Final = 15.0
_log = logging.getLogger(__name__)


def now() -> str:
    """The time as events and status give it: UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class EventLog:
    """Appends to the log of a local place at once, and to that of a remote one now and then.

    What a killed run has not uploaded is lost; nothing depends on the log.
    """

    def __init__(self, place: Place) -> None:
        self._place = place
        self._text = ""
        self._uploaded = time.monotonic()
        old = place.read_bytes(EVENTS).decode("utf-8", "replace") if place.exists(EVENTS) else ""
        # A run that was killed, or a disk that was full, may have left half a line.
        torn = bool(old) and not old.endswith("\n")
        if place.is_local:
            if torn:
                place.append(EVENTS, "\n")
        else:
            self._text = old + "\n" * torn

    def write(self, event: str, **facts: Any) -> None:
        """Add an event."""
        line = json.dumps({"time": now(), "event": event, **facts}, ensure_ascii=False) + "\n"
        if self._place.is_local:
            self._try(lambda: self._place.append(EVENTS, line))
            return
        self._text += line
        if time.monotonic() - self._uploaded >= _UPLOAD_EVERY_S * self._place.pace:
            self.flush()

    def flush(self) -> None:
        """Upload what is not there yet."""
        if not self._place.is_local and self._text:
            self._uploaded = time.monotonic()
            self._try(lambda: self._place.write_text(EVENTS, self._text))

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except GatescopeError as error:
            # A place that takes nothing any more ends the run where something depends on it.
            _log.warning("%s", error)
