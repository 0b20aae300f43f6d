"""Writes a file whole or not at all; what stands in it is somebody else's business."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from monitor.commands.options import fail

_UMASK_KEPT = 0o666


def write_whole(path: Path, text: str) -> None:
    """Write UTF-8 text. Whoever reads meanwhile, and after any failure, finds the old file or the new one.

    A place where it cannot be written ends the program with status 3.
    """
    try:
        target = path.resolve()
        if target.exists() and not target.is_file():
            fail(f"wanted a plain file for the report, found {path}, which is none. Next: name another")
        _replace(target, text)
    except OSError as error:
        found = (error.strerror or "an error").lower()
        fail(f"wanted to write {path}, found: {found}. Next: name another place")


def _replace(target: Path, text: str) -> None:
    """Beside the target first, because only there can the name be moved in one step."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.chmod(_mode(target))
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _mode(target: Path) -> int:
    """That of the file which is replaced, or what any new file would get."""
    if target.exists():
        return target.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return _UMASK_KEPT & ~mask
