"""This process and its system: its memory, what both may run out of, and the signals that end it."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import FrameType

# With these a socket, a thread or a file could not be had here; they tell nothing of whoever was to be reached.
OUR_LIMITS = {
    errno.EMFILE: "this process has no file descriptor left",
    errno.ENFILE: "this machine has no file descriptor left",
    errno.ENOBUFS: "this machine has no network buffer left",
    errno.ENOMEM: "this machine has no memory left",
}
_M_ARENA_MAX = -8  # malloc.h
_SOME_DESCRIPTORS = 10_240  # macOS calls its hard limit infinite and allows this many (setrlimit(2), OPEN_MAX)
# The promise is five seconds; what hangs by then is a disk, and the rest goes to the interpreter's own end.
_LEAVE_AFTER_SECONDS = 4.5


def raise_descriptor_limit() -> None:
    """Raise the soft limit of file descriptors to the hard one: shells and services often set a low soft one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, _SOME_DESCRIPTORS):
        if soft == wanted:
            return
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


def keep_one_heap() -> None:
    """Have threads share the heap: glibc gives each one of its own, 10 MB after the first incident (mallopt(3)).

    They gain nothing from it, since Python lets one run at a time. Other systems do not have the call.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return to the system what is free within the heap; takes less than a millisecond (malloc_trim(3)).

    By itself glibc returns only what is free at the heap's end: the first visit of the page left 4 MB that nobody
    used, a full disk twice what its messages are. Other systems do not have the call.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def own_limit(error: BaseException) -> str | None:
    """Which limit of ours an error comes from, by it or by what it was raised from; `None` for any other.

    An error that names no number is one in which several are told; libraries put others into their arguments.
    """
    for one in _chain(error):
        if isinstance(one, OSError) and one.errno in OUR_LIMITS:
            return OUR_LIMITS[one.errno]
        if isinstance(one, MemoryError):
            return OUR_LIMITS[errno.ENOMEM]
    return None


def exhausted_limit() -> str | None:
    """The limit of ours that is reached at this moment, found by trying: for errors that hide what they come from.

    The resolver tells a name that does not exist, or a failure, where it could not open a file or a socket.
    """
    try:
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return own_limit(error)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [one.__cause__, one.__context__, getattr(one, "reason", None), *one.args]


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
