"""The history, whatever belongs to it, and a backup are for their owner alone, under any umask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.checks.observation import Outcome
from monitor.config.load import readable_secrets
from monitor.store.read_only import back_up
from tests.store.conftest import StoreSetup


@pytest.fixture(autouse=True)
def _no_umask() -> Iterator[None]:
    """One of 077, as some machines have it, would do what is tried here."""
    before = os.umask(0)
    yield
    os.umask(before)


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_every_file_of_the_history_is_for_its_owner_alone(tmp_path: Path) -> None:
    """The file, its -wal and -shm, the room taken before, a backup, what is moved aside and what replaces it."""
    setup = StoreSetup(tmp_path / "history.db")
    setup.check(Outcome.OK)
    names = set(_modes(tmp_path))
    assert {"history.db", "history.db-wal", "history.db-shm"} <= names
    back_up(setup.path, tmp_path / "copy.db")
    setup.store.close()
    setup.path.write_bytes(b"noise" * 4096)
    setup.restart_after_a_kill()
    setup.check(Outcome.OK)
    modes = _modes(tmp_path)
    assert len(modes) > len(names) + 1
    assert set(modes.values()) == {0o600}, modes
    setup.store.close()


@pytest.mark.parametrize(
    ("mode", "text", "is_told"),
    [
        (0o644, "databases:\n  - {name: main, token: AXsecret0OfTests}\n", True),
        (0o604, "channels:\n  - {type: slack, webhook_url: https://hooks.slack.com/services/T/B/x}\n", True),
        (0o600, "databases:\n  - {name: main, token: AXsecret0OfTests}\n", False),
        (0o640, "databases:\n  - {name: main, token: AXsecret0OfTests}\n", False),
        (0o644, 'databases:\n  - {name: main, token: "${TOKEN}"}\n', False),
        (0o644, "page: {url: https://monitor.example}\n", False),
    ],
)
def test_a_file_with_secrets_that_every_user_may_read_is_told(
    tmp_path: Path, mode: int, text: str, *, is_told: bool
) -> None:
    """And none in which there is none, or which others may not read."""
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)
    assert (readable_secrets(file) is not None) == is_told
