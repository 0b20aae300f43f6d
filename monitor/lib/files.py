"""Files that are replaced as a whole."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path


def replace_file(path: Path, body: bytes, *, mode: int | None = None) -> None:
    """Write the file. Whoever reads meanwhile, and after any failure, finds the old content or the new one.

    A link is followed. Without `mode` it keeps the permissions it has, or gets those of any new file. Raises
    `OSError`, also for what is no plain file, such as a device or a folder.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise OSError("something that is no plain file")
    # Beside the target, because a rename works only within one file system; no reader takes a hidden .tmp for it.
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix=".tmp")
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), _mode_of(target) if mode is None else mode)
        unfinished.replace(target)
    except BaseException:
        with suppress(OSError):  # the first error is the one that tells
            unfinished.unlink()
        raise


def _mode_of(target: Path) -> int:
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
