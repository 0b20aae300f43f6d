"""Metrics as a file, for the textfile collector of node_exporter and its kin.

What is in the file is made by `metrics`; here it is put in place.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

# Readable for everybody: the collector runs as somebody else, and nothing in metrics is secret.
_MODE = 0o644


class CannotWriteError(Exception):
    """The file could not be written; the text says what was wanted, found, and what to do next."""


def write(path: Path, body: bytes) -> None:
    """Put the whole body under this name at once, so that no reader ever meets half of it.

    Raises `CannotWriteError`; the file that was there before is then still there. A link is followed; what is no
    plain file, such as a device, is left alone.
    """
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            raise CannotWriteError(
                f"wanted a file for metrics, found something else at {str(path)!r}. Next: name a file"
            )
        _replace(target, body)
    except (OSError, ValueError, RuntimeError) as error:  # a name with a NUL, a ring of links
        found = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise CannotWriteError(
            f"wanted to write metrics to {str(path)!r}, found: {found}. Next: name a file in a folder that can be "
            "written"
        ) from error


def _replace(target: Path, body: bytes) -> None:
    # Collectors read what ends with .prom: this does not, and a rename works only within one file system.
    descriptor, name = tempfile.mkstemp(prefix=".upstash-monitor-", suffix=".tmp", dir=target.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            os.fchmod(file.fileno(), _MODE)
        unfinished.replace(target)
    except BaseException:
        with suppress(OSError):  # the first error is the one that tells
            unfinished.unlink()
        raise
