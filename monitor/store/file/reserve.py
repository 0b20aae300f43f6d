"""Room beside the history file, taken while there is any, for a note that must survive a kill on a full disk."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# A note is shorter.
ROOM = 65536
# The path of the history may be one that no file can have.
_UNUSABLE = (OSError, ValueError)


class Reserve:
    """A file of fixed size that is written in place: what it takes it has, however full the disk is.

    It stays when the program ends, since the next start may meet a full disk. A note ends with a zero byte.
    Where the disk can be read only, or never had this room, there is no note.
    """

    def __init__(self, history: Path) -> None:
        self._path = Path(f"{history}-reserve")

    def take(self) -> None:
        """Take the room, unless it is there."""
        with suppress(*_UNUSABLE):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            try:
                is_whole = os.write(descriptor, bytes(ROOM)) == ROOM
            except OSError:
                is_whole = False
            finally:
                os.close(descriptor)
            if not is_whole:
                self._path.unlink()

    def read(self) -> bytes:
        """The note; empty where there is none."""
        with suppress(*_UNUSABLE):
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                return os.read(descriptor, ROOM).partition(b"\0")[0]
            finally:
                os.close(descriptor)
        return b""

    def write(self, note: bytes) -> bool:
        """Put this note in the other's place; false where it is too long or there is no room."""
        if len(note) >= ROOM:
            return False
        with suppress(*_UNUSABLE):
            descriptor = os.open(self._path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                os.pwrite(descriptor, note + b"\0", 0)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            return True
        return False
