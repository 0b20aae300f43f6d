"""The file of metrics in real folders: written whole or not at all, and what cannot be written is reported."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from monitor.web.metrics import ExportError, write
from tests.store.disks import fill, make_read_only, small_disk


def test_it_appears_whole_and_readable_for_everybody(tmp_path: Path) -> None:
    """Mode 0644 whatever the umask, nothing else in the folder; written again it is replaced."""
    file = tmp_path / "upstash.prom"
    before = os.umask(0o077)
    try:
        write(file, b"one\n")
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    write(file, b"two\n")
    assert file.read_bytes() == b"two\n"
    assert [path.name for path in tmp_path.iterdir()] == ["upstash.prom"]


def test_no_reader_ever_meets_half_of_it(tmp_path: Path) -> None:
    """Read over and over while it is replaced, it is always one of the bodies, from the first to the last byte."""
    file, over = tmp_path / "upstash.prom", threading.Event()
    bodies = [letter * 100_000 for letter in (b"a", b"b")]
    write(file, bodies[0])
    broken: list[bytes] = []

    def read() -> None:
        while not over.is_set():
            found = file.read_bytes()
            if found not in bodies:
                broken.append(found[:20])

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(200):
            write(file, bodies[number % 2])
    finally:
        over.set()
        reader.join()
    assert broken == []


def test_a_link_is_followed(tmp_path: Path) -> None:
    """Whoever linked the file to another folder keeps the link."""
    target, link = tmp_path / "real.prom", tmp_path / "link.prom"
    link.symlink_to(target)
    write(link, b"x")
    assert link.is_symlink()
    assert target.read_bytes() == b"x"


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_plain_file_is_left_alone(tmp_path: Path, kind: str) -> None:
    """A rename would put a file in the place of /dev/stdout."""
    place = tmp_path / "upstash.prom"
    if kind == "folder":
        place.mkdir()
    elif kind == "pipe":
        os.mkfifo(place)
    else:
        place.symlink_to("/dev/null")
    before = place.stat()
    with pytest.raises(ExportError, match=r"wanted to write metrics to .* found: something that is no plain file"):
        write(place, b"x")
    assert place.stat().st_ino == before.st_ino


@pytest.mark.parametrize(
    ("name", "found"),
    [("missing/upstash.prom", "No such file"), ("a\x00b", "null"), ("n" * 300, "too long"), ("ring", "")],
)
def test_a_path_that_cannot_be_written_is_reported(tmp_path: Path, name: str, found: str) -> None:
    """Wanted, found, next; and no traceback for any name."""
    (tmp_path / "ring").symlink_to(tmp_path / "ring")
    with pytest.raises(ExportError) as caught:
        write(tmp_path / name, b"x")
    text = str(caught.value)
    assert text.startswith("wanted to write metrics to ")
    assert found in text
    assert ". Next: " in text


@pytest.mark.parametrize("make_unwritable", [fill, make_read_only], ids=["full", "read-only"])
def test_a_disk_that_refuses_keeps_what_was_there(
    tmp_path: Path, make_unwritable: Callable[[Path], object]
) -> None:
    """The file of the last round stays, and nothing unfinished lies beside it."""
    disk = tmp_path / "disk"
    with small_disk(disk, "64k"):
        file = disk / "upstash.prom"
        write(file, b"before")
        make_unwritable(disk)
        there = sorted(disk.iterdir())
        with pytest.raises(ExportError, match=r"No space left|Read-only"):
            write(file, b"after" * 10_000)
        assert file.read_bytes() == b"before"
        assert sorted(disk.iterdir()) == there
