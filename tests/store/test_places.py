"""Paths at which no file can be, or none yet: memory stands in, and the file is taken when it can be."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.checks.observation import Outcome
from monitor.store.errors import RefusedFileError
from monitor.store.file.open import mistake_in
from monitor.store.read_only import back_up, open_read_only
from tests.store.conftest import StoreSetup
from tests.store.disks import _mount, disk_that_fails, make_read_only, small_disk

OK, REJECTED = Outcome.OK, Outcome.TOKEN_REJECTED
LONG = timedelta(minutes=1)

Place = Callable[[Path], Path]


def _pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def _socket(folder: Path) -> Path:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(os.path.relpath(folder / "socket"))
    return folder / "socket"


def _circle(folder: Path) -> Path:
    (folder / "there").symlink_to(folder / "back")
    (folder / "back").symlink_to(folder / "there")
    return folder / "there"


def _under_a_file(folder: Path) -> Path:
    (folder / "file").write_text("", encoding="utf-8")
    return folder / "file" / "history.db"


PLACES: dict[str, tuple[Place, str]] = {
    "the folder itself": (lambda folder: folder, "a folder is in its place"),
    "a dot": (lambda _folder: Path(), "a folder is in its place"),
    "the root": (lambda _folder: Path("/"), "a folder is in its place"),
    "a pipe": (_pipe, "a named pipe is in its place"),
    "a socket": (_socket, "a socket is in its place"),
    "a device": (lambda _folder: Path("/dev/null"), "a device is in its place"),
    "a circle": (_circle, "links lead round in a circle"),
    "under a file": (_under_a_file, "a file is in the place of its folder"),
    "a NUL": (lambda folder: folder / "history\0.db", "its path has a zero byte in it"),
    "a long name": (lambda folder: folder / ("é" * 125), "its name is longer than 247 bytes"),
    "a longer name": (lambda folder: folder / ("n" * 300), "its name is longer than 247 bytes"),
    "a long folder": (lambda folder: folder / ("n" * 300) / "history.db", "file name too long"),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_path_for_no_file_costs_the_history_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """One line says what was found and what to do; incidents open and close; readers refuse it in one line."""
    monkeypatch.chdir(tmp_path)
    place, words = PLACES[name]
    path = place(tmp_path)
    setup = StoreSetup(path)
    assert setup.in_memory()
    [(level, line)] = setup.logged
    assert level == "ERROR"
    assert f"({words})" in line
    assert "Next: mend that at" in line
    assert "\0" not in line
    assert setup.checks(REJECTED, REJECTED, OK, OK) == ["opened", "closed"]
    setup.store.close()
    assert mistake_in(path) == (words, True)
    with pytest.raises(RefusedFileError, match="Next: "), open_read_only(path):
        pass
    with pytest.raises(RefusedFileError, match="Next: "):
        back_up(path, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()


def test_a_link_that_leads_nowhere_is_followed_once_it_leads_somewhere(tmp_path: Path) -> None:
    """As where a volume is mounted late."""
    (tmp_path / "history.db").symlink_to(tmp_path / "volume" / "history.db")
    setup = StoreSetup(tmp_path / "history.db")
    assert setup.in_memory()
    assert "a link that leads nowhere" in setup.logged[0][1]
    setup.check(REJECTED)
    (tmp_path / "volume").mkdir()
    setup.check(REJECTED, after=LONG)
    assert not setup.in_memory()
    setup.store.close()
    assert setup.outcomes() == ["token_rejected"] * 2


def test_a_file_in_the_place_of_the_folder_may_be_taken_away(tmp_path: Path) -> None:
    """It is tried again every half minute, whatever was found first."""
    setup = StoreSetup(_under_a_file(tmp_path))
    setup.check(OK)
    (tmp_path / "file").unlink()
    setup.check(OK, after=LONG)
    assert not setup.in_memory()
    setup.store.close()
    assert setup.outcomes() == ["ok"] * 2


@pytest.mark.faults("a full disk")
def test_a_disk_without_an_inode_is_told_as_that(tmp_path: Path) -> None:
    """SQLite says only that the file cannot be opened; room is there, but for no further file."""
    with small_disk(tmp_path / "disk", "4m"):
        _mount("-o", "remount,nr_inodes=2", tmp_path / "disk")
        (tmp_path / "disk" / "another").touch()
        setup = StoreSetup(tmp_path / "disk" / "history.db")
        assert setup.in_memory()
        assert "(the disk has no inode left for another file)" in setup.logged[0][1]
        setup.check(OK)
        _mount("-o", "remount,nr_inodes=100", tmp_path / "disk")
        setup.check(OK, after=LONG)
        assert not setup.in_memory()
        setup.store.close()
        assert setup.outcomes() == ["ok"] * 2


def test_a_disk_that_fails_is_told_with_what_to_do(tmp_path: Path) -> None:
    """SQLite says no more than that the file cannot be opened, at the latest with the next start."""
    with disk_that_fails(tmp_path / "disk", tmp_path / "image") as fail:
        setup = StoreSetup(tmp_path / "disk" / "history.db")
        setup.check(OK)
        fail()
        setup.check(OK)
        assert setup.in_memory()
        setup.restart_after_a_kill()
        lines = [line for level, line in setup.logged if level == "ERROR"]
        assert len(lines) == 2
        for line in lines:
            assert "(the disk reports an error)" in line
            assert "Next: see in the system's log (dmesg) what the disk reports" in line
        setup.store.close()


def test_a_disk_that_was_made_read_only_is_told_with_what_to_do(tmp_path: Path) -> None:
    """Which the system does by itself where a disk fails."""
    with small_disk(tmp_path / "disk", "1m"):
        setup = StoreSetup(tmp_path / "disk" / "history.db")
        setup.store.close()
        make_read_only(tmp_path / "disk")
        setup.restart_after_a_kill()
        [line] = [line for level, line in setup.logged if level == "ERROR" and "going on" in line]
        assert "(the file system is read-only)" in line
        assert "dmesg" in line
        setup.store.close()
