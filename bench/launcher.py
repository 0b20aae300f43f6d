"""`python launcher.py FILE COMMAND…` runs one command and writes what it cost: seconds, CPU, peak of memory.

A small process of its own, because the system counts the memory of whoever starts a program into that program's
peak. What the command prints is passed through.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from time import perf_counter


def main() -> None:
    figures, *command = sys.argv[1:]
    started = perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    found = {
        "wall_seconds": perf_counter() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
        "exit_status": os.waitstatus_to_exitcode(status),
    }
    Path(figures).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
