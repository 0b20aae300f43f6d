"""The limits of this process, raised at start and known again in errors, and the memory that it gives back."""

from __future__ import annotations

import ctypes
import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from requests.exceptions import ConnectionError as NoConnectionError
from urllib3.exceptions import MaxRetryError, NewConnectionError

from monitor.lib.process import exhausted_limit, give_back_memory, own_limit

NONE_LEFT = "this process has no file descriptor left"


def answer(code: str, *, soft: int, hard: int) -> str:
    """What a process with these limits prints."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, preexec_fn=limit
    )
    return done.stdout.strip()


@pytest.mark.parametrize(("soft", "hard"), [(64, 1024), (1024, 1024)])
def test_the_soft_limit_becomes_the_hard_one(soft: int, hard: int) -> None:
    """Without a privilege; nothing happens where it is the same already."""
    code = (
        "import resource; from monitor.lib.process import raise_descriptor_limit; raise_descriptor_limit();"
        "print(*resource.getrlimit(resource.RLIMIT_NOFILE))"
    )
    assert answer(code, soft=soft, hard=hard) == f"{hard} {hard}"


def test_a_limit_that_is_reached_is_found() -> None:
    """Also where the error at hand does not tell."""
    code = (
        "import os; from monitor.lib.process import exhausted_limit, own_limit\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(os.dup(0))\n"
        "except OSError as error: print(own_limit(error))\n"
        "print(exhausted_limit())\n"
        "os.close(held.pop()); print(exhausted_limit())"
    )
    assert answer(code, soft=64, hard=64).splitlines() == [NONE_LEFT, NONE_LEFT, "None"]
    assert exhausted_limit() is None


def test_an_error_of_ours_is_known_through_those_that_wrap_it() -> None:
    """As requests and urllib3 do it."""
    cause = OSError(errno.EMFILE, "Too many open files")
    inner = NewConnectionError(None, "no connection")  # type: ignore[arg-type]  # the text does not ask for one
    inner.__cause__ = cause
    outer = NoConnectionError(MaxRetryError(None, "/", inner))  # type: ignore[arg-type]  # the same
    assert own_limit(outer) == own_limit(cause) == NONE_LEFT
    assert own_limit(NoConnectionError(OSError(errno.ECONNREFUSED, "refused"))) is None
    assert own_limit(NoConnectionError(MemoryError())) == "this machine has no memory left"


def test_memory_within_the_heap_is_given_back() -> None:
    """What is free below something that is in use, which glibc keeps by itself."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "malloc_trim"):
        pytest.skip("this C library has no malloc_trim")
    libc.malloc.restype = ctypes.c_void_p
    size, number = 100_000, 400
    blocks = [ctypes.c_void_p(libc.malloc(size)) for _ in range(number)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    above = ctypes.c_void_p(libc.malloc(size))
    for block in blocks:
        libc.free(block)
    before = resident_bytes()
    give_back_memory()
    assert resident_bytes() < before - size * number / 2
    libc.free(above)


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
