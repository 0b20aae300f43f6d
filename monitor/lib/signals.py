"""A signal asks the always-on mode to end; if that takes too long, the process ends anyway."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

# The promise is five seconds; what hangs by then is a disk, and the rest goes to the interpreter's own end.
_LEAVE_AFTER_SECONDS = 4.5


def stop_on_signals(stop: Callable[[], None]) -> None:
    """SIGTERM, SIGINT, SIGHUP and SIGQUIT call `stop` from now until the process ends; more change nothing.

    Of the last two one that is ignored stays so, as `nohup` and a shell's `&` have it.

    Handlers of the event loop would be gone while the store is closed, and a second signal would kill us there.
    If the end takes too long, because the disk hangs, the process leaves without it.
    """

    def stop_once(_sign: int, _frame: FrameType | None) -> None:
        if signal.getitimer(signal.ITIMER_REAL)[0] == 0:
            signal.setitimer(signal.ITIMER_REAL, _LEAVE_AFTER_SECONDS)
            stop()

    signal.signal(signal.SIGALRM, _leave)
    for sign in (signal.SIGTERM, signal.SIGINT):
        signal.signal(sign, stop_once)
    for sign in (signal.SIGHUP, signal.SIGQUIT):
        if signal.getsignal(sign) is not signal.SIG_IGN:
            signal.signal(sign, stop_once)


def _leave(_sign: int, _frame: FrameType | None) -> None:
    # Not through the log, whose lock may be held by what was interrupted, and not where it would block.
    with suppress(OSError, ValueError):
        if select.select([], [1], [], 0)[1]:
            os.write(1, b"the disk did not let go in time; checks of the last seconds may be lost\n")
    os._exit(0)
