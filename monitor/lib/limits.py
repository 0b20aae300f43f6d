"""What this process or machine may run out of: file descriptors, memory of the kernel, ports."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from contextlib import suppress

# With these a socket, a thread or a file could not be had here; they tell nothing of whoever was to be reached.
OUR_LIMITS = {
    errno.EMFILE: "this process has no file descriptor left",
    errno.ENFILE: "this machine has no file descriptor left",
    errno.ENOBUFS: "this machine has no network buffer left",
    errno.ENOMEM: "this machine has no memory left",
}
_SOME_DESCRIPTORS = 10_240  # macOS calls its hard limit infinite and allows this many (setrlimit(2), OPEN_MAX)


def raise_descriptor_limit() -> None:
    """Raise the soft limit of file descriptors to the hard one: shells and services often set a low soft one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for wanted in (hard, _SOME_DESCRIPTORS):
        if soft == wanted:
            return
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return


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
