"""How `check` answers: once, whatever happens, and in time. The words of the answer are those of `core/plugin`."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable

from monitor.core.plugin import ExitStatus

# For saying that there is no result, and then for the interpreter's own end.
_LAST_WORDS_SECONDS = 0.1


class Answer:
    """The round and the clock both want to answer; whoever is first is the only one.

    After `seconds` the process ends: with UNKNOWN, or with the status of an answer that is being given, should
    nobody read it. A disk that hangs cannot hold that up.
    """

    def __init__(self, seconds: float, *, as_json: bool) -> None:
        self._as_json = as_json
        self._given = threading.Lock()
        self._status = ExitStatus.UNKNOWN
        _after(max(0.05, seconds - _LAST_WORDS_SECONDS), self._leave)

    def give(self, text: str, status: ExitStatus) -> None:
        """Print it and return; if another answer was first, the process ends before this returns."""
        if not self._given.acquire(blocking=False):
            threading.Event().wait()
        self._status = status
        _print(text)

    def unknown(self, reason: str) -> None:
        """What a plugin host or a script reads when there is no result."""
        nothing = {
            "version": 1,
            "exit_status": int(ExitStatus.UNKNOWN),
            "databases": [],
            "deliveries": [],
            "error": reason,
        }
        text = json.dumps(nothing) if self._as_json else f"UNKNOWN - {reason.replace('|', '¦')}"
        self.give(text, ExitStatus.UNKNOWN)

    def _leave(self) -> None:
        # Even saying so may hang, or the round is giving its answer this moment.
        _after(_LAST_WORDS_SECONDS, self._end)
        self.unknown("the round was not over in time; the disk or this machine is too slow")
        self._end()

    def _end(self) -> None:
        os._exit(int(self._status))


def _after(seconds: float, call: Callable[[], None]) -> None:
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


def _print(text: str) -> None:
    """Whoever read us may have left, or the disk be full; the status says it as well."""
    try:
        print(text, flush=True)
    except OSError:
        print(text.splitlines()[0], file=sys.stderr)
