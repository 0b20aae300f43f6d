"""Files in trouble for the tests of the store: locked by somebody else, on a full or read-only disk, damaged."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import sqlite3
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

# EXT4_IOC_SHUTDOWN, from the kernel's ext4.h.
_EXT4_SHUTDOWN, _WITHOUT_FLUSH = 0x8004587D, 2


@contextmanager
def locked(path: Path, *, against_reading: bool = False) -> Iterator[None]:
    """Held by another connection, as another process would hold it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        if against_reading:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE held_by_another (x)")
        yield
        other.execute("ROLLBACK")


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """A file system of its own on that folder; skipped where the tests may not mount one."""
    folder.mkdir(exist_ok=True)
    try:
        _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk takes root; SQLite's own page limit is tested without")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


@contextmanager
def disk_that_fails(folder: Path, image: Path) -> Iterator[Callable[[], None]]:
    """A file system of its own on that folder; the function breaks it off as the kernel does when a disk fails."""
    folder.mkdir()
    image.write_bytes(b"")
    os.truncate(image, 4 * 1024 * 1024)
    try:
        subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True, capture_output=True)
        _mount("-o", "loop", image, folder)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a disk takes root, mkfs.ext4 and a loop device")

    def fail() -> None:
        descriptor = os.open(folder, os.O_RDONLY)
        fcntl.ioctl(descriptor, _EXT4_SHUTDOWN, struct.pack("I", _WITHOUT_FLUSH))
        os.close(descriptor)

    try:
        yield fail
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, capture_output=True)


class ScarceDisk:
    """A folder that may run out of room at any time, for a program that runs in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast: Path | None = None

    @property
    def is_full(self) -> bool:
        return self._ballast is not None

    def toggle(self) -> None:
        """Take all the room, or give it back."""
        if self._ballast is None:
            self._ballast = fill(self.folder)
        else:
            self._ballast.unlink()
            self._ballast = None

    def holds(self, process: int) -> None:
        """This process writes to it from now on."""


class LimitedFiles(ScarceDisk):
    """In place of a disk where none may be mounted: the kernel lets no file of the process grow (EFBIG).

    There is room for the reserve, which is taken already, and for no transaction in SQLite's log.
    """

    _BYTES = 65536 + 8192

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._is_full = False
        self._process: int | None = None

    @property
    def is_full(self) -> bool:
        return self._is_full

    def toggle(self) -> None:
        self._is_full = not self._is_full
        self._limit()

    def holds(self, process: int) -> None:
        self._process = process
        self._limit()

    def _limit(self) -> None:
        size = self._BYTES if self._is_full else resource.RLIM_INFINITY
        if self._process is not None:
            with suppress(ProcessLookupError):
                resource.prlimit(self._process, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@contextmanager
def scarce_disk(folder: Path, size: str) -> Iterator[ScarceDisk]:
    """A small disk of its own on that folder, or the nearest thing to it where the tests may not mount one."""
    with ExitStack() as stack:
        try:
            stack.enter_context(small_disk(folder, size))
        except pytest.skip.Exception:
            yield LimitedFiles(folder)
        else:
            yield ScarceDisk(folder)


def make_read_only(folder: Path) -> None:
    """Even root cannot write to a file system that is mounted so."""
    _mount("-o", "remount,ro", folder)


def make_writable(folder: Path) -> None:
    _mount("-o", "remount,rw", folder)


def fill(folder: Path) -> Path:
    """Take what room is left; delete the returned file to give it back."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for piece in (65536, 4096, 1):
            try:
                while file.write(b"x" * piece) == piece:
                    pass
            except OSError:
                continue
    return ballast


def _mount(*words: str | Path) -> None:
    subprocess.run(["mount", *map(str, words)], check=True, capture_output=True)


# What can happen to the bytes of a file. Each takes them and some chance, and returns what is left of them.
Harm = Callable[[bytes, random.Random], bytes]


def _flipped(content: bytes, chance: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(chance.randint(1, 40)):
        # Not the schema version: a file that says it is newer is refused, and rightly so.
        place = chance.randrange(100, len(found))
        found[place] = chance.randrange(256)
    return bytes(found)


def _page_gone(content: bytes, chance: random.Random) -> bytes:
    start = 4096 * chance.randrange(len(content) // 4096)
    page = chance.choice((bytes(4096), b"\xff" * 4096, chance.randbytes(4096)))
    return content[:start] + page + content[start + 4096 :]


def _letters_gone(content: bytes, chance: random.Random) -> bytes:
    found = bytearray(content)
    quotes = [place for place, letter in enumerate(content) if letter == ord('"')]
    for place in chance.sample(quotes, 3):
        found[place] = chance.randrange(256)
    return bytes(found)


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def _noise(content: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(1, len(content)))


HARMS: dict[str, Harm] = {
    "flipped": _flipped,
    "page gone": _page_gone,
    "letters gone": _letters_gone,
    "cut": _cut,
    "noise": _noise,
    "emptied": lambda _content, _chance: b"",
    "header gone": lambda content, _chance: b"\xff" * 100 + content[100:],
    "no database at all": lambda _content, _chance: b"this is not a database" * 400,
}


def overwrite(path: Path, content: bytes) -> None:
    """In place: whoever has the file open has the new bytes under it."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.ftruncate(descriptor, len(content))
        os.pwrite(descriptor, content, 0)
    finally:
        os.close(descriptor)
