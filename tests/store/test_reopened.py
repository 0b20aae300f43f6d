"""An incident that opens again within the time of flapping: in the file, in memory, through kills and versions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.checks.observation import Outcome
from monitor.config.settings import AlertSettings
from tests.judging import QUICK_RULES
from tests.store.conftest import StoreSetup
from tests.store.disks import locked

OK, REJECTED = Outcome.OK, Outcome.TOKEN_REJECTED
ALERTS = AlertSettings.model_validate(QUICK_RULES | {"flapping": {"times": 8, "within": "20m"}})
# Columns that a file of version 2 does not have.
ADDED_SINCE = (
    ("incident", "is_unstable"),
    ("incident", "fails_for_ms"),
    ("incident", "fails_every_ms"),
    ("outbox", "not_before_ms"),
    ("outbox", "held_for"),
    ("outbox", "held_with"),
    ("channel", "unreachable_ms"),
    ("channel", "unreachable_reason"),
    ("channel", "credential"),
)
# What is unstable is over after half of `flapping.within`.
LONG_FINE = [OK] * 11

pytestmark = pytest.mark.usefixtures("_short_locks")


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[StoreSetup]:
    """Incident 1 was opened, closed, and told to everybody."""
    setup = StoreSetup(tmp_path / "history.db", alerts=ALERTS)
    setup.checks(REJECTED, REJECTED, OK, OK)
    for channel in setup.channels:
        setup.deliver(channel)
    yield setup
    setup.store.close()


def test_it_keeps_its_number_and_its_row_through_a_restart(setup: StoreSetup) -> None:
    """Unstable from then on; its end is told again."""
    assert setup.checks(REJECTED, REJECTED) == ["reopened"]
    setup.restart_after_a_kill()
    [(_, incident)] = setup.store.incidents()
    assert (incident.id, incident.is_unstable, incident.closed_at) == (1, True, None)
    assert setup.checks(*LONG_FINE) == ["closed"]
    assert setup.deliver() == ["1 missed"]
    assert setup.shell("SELECT count(*), count(closed_at) FROM incident_log") == [(1, 1)]


def test_what_memory_opened_again_goes_on_after_a_kill(setup: StoreSetup) -> None:
    """Whoever heard that it is back hears its end; whoever did not is told where it stands."""
    with locked(setup.path):
        assert setup.checks(REJECTED, REJECTED) == ["reopened"]
        assert "1 reopened" in setup.deliver("slack")
    setup.restart_after_a_kill()
    setup.checks(REJECTED)
    assert (setup.deliver("slack"), setup.deliver("telegram")) == ([], ["1 ongoing"])
    assert setup.checks(*LONG_FINE) == ["closed"]
    assert (setup.deliver("slack"), setup.deliver("telegram")) == (["1 closed"], ["1 closed"])
    setup.restart_after_a_kill()
    assert setup.deliver() == []


def test_what_memory_opened_and_closed_again_is_not_told_again_after_a_kill(setup: StoreSetup) -> None:
    """And its row has the later end."""
    with locked(setup.path):
        assert setup.checks(REJECTED, REJECTED) == ["reopened"]
        setup.deliver("slack")
        assert setup.checks(*LONG_FINE) == ["closed"]
        assert "1 closed" in setup.deliver("slack")
    [(before,)] = setup.shell("SELECT closed_at FROM incident_log")
    setup.restart_after_a_kill()
    assert setup.deliver("slack") == []
    [(after,)] = setup.shell("SELECT closed_at FROM incident_log")
    assert after > before
    assert setup.store.incidents() == []


def test_what_memory_opened_and_closed_again_is_told_after_a_kill_to_who_was_away(setup: StoreSetup) -> None:
    """In one message, once: of the first time it heard the end, so nothing else would show that it missed this."""
    with locked(setup.path):
        assert setup.checks(REJECTED, REJECTED) == ["reopened"]
        setup.deliver("slack")
        assert setup.checks(*LONG_FINE) == ["closed"]
        setup.deliver("slack")
    setup.restart_after_a_kill()
    assert (setup.deliver("slack"), setup.deliver("telegram")) == ([], ["1 missed"])
    setup.restart_after_a_kill()
    assert (setup.deliver("slack"), setup.deliver("telegram")) == ([], [])


def test_what_was_away_all_along_hears_of_it_in_one_message(tmp_path: Path) -> None:
    """The first opening and end wait in the file; memory saw it open and end again."""
    setup = StoreSetup(tmp_path / "history.db", alerts=ALERTS)
    setup.checks(REJECTED, REJECTED, OK, OK)
    setup.deliver("slack")
    with locked(setup.path):
        setup.checks(REJECTED, REJECTED, *LONG_FINE)
    setup.restart_after_a_kill()
    assert setup.deliver("telegram") == ["1 missed"]
    assert setup.deliver("slack") == ["1 missed"]
    setup.store.close()


def test_whoever_did_not_hear_the_whole_of_it_hears_that_it_opens(tmp_path: Path) -> None:
    """What memory opened and closed, untold to one channel, opens again before that is told as missed."""
    setup = StoreSetup(tmp_path / "history.db", alerts=ALERTS)
    with locked(setup.path):
        assert setup.checks(REJECTED, REJECTED) == ["opened"]
        opened = setup.deliver("slack")[-1]
        assert setup.checks(OK, OK) == ["closed"]
        setup.deliver("slack")
    setup.restart_after_a_kill()
    assert setup.checks(REJECTED, REJECTED) == ["reopened"]
    assert setup.deliver("telegram")[-1] == opened
    assert setup.deliver("slack")[-1] == opened.replace("opened", "reopened")
    setup.store.close()


def test_an_end_before_it_opened_again_is_not_taken_for_its_last_end(tmp_path: Path) -> None:
    """All of it waits, is told in memory as one that goes on, and ends there: after a kill its end is told."""
    setup = StoreSetup(tmp_path / "history.db", alerts=ALERTS)
    assert setup.checks(REJECTED, REJECTED, OK, OK, REJECTED, REJECTED) == ["opened", "closed", "reopened"]
    with locked(setup.path):
        setup.check(REJECTED)
        assert setup.deliver() == ["1 opened"]
        assert setup.checks(*LONG_FINE) == ["closed"]
    setup.restart_after_a_kill()
    assert setup.deliver() == ["1 closed"]
    setup.store.close()


def test_what_a_start_took_up_in_memory_does_not_close_what_opens_again(tmp_path: Path) -> None:
    """The check that finds the file free also opens it again: what was noted before is older."""
    setup = StoreSetup(tmp_path / "history.db", alerts=ALERTS)
    with locked(setup.path):
        setup.checks(REJECTED, REJECTED, OK, OK)
        setup.restart_after_a_kill()
        assert setup.in_memory()
    assert setup.checks(Outcome.URL_MISSING, Outcome.URL_MISSING) == ["reopened"]
    assert not setup.in_memory()
    assert len(setup.store.incidents()) == 1
    setup.store.close()


def test_the_end_that_memory_saw_is_told_though_the_clock_was_set_back(tmp_path: Path) -> None:
    """By that clock it is before all that the file has: what nobody wrote to since memory left it is older."""
    setup = StoreSetup(tmp_path / "history.db", alerts=ALERTS)
    setup.checks(REJECTED, REJECTED, OK, OK)
    with locked(setup.path):
        assert setup.checks(REJECTED, REJECTED) == ["reopened"]
        assert "1 opened" in setup.deliver()
        setup.now -= timedelta(hours=19)
        setup.store.move_times(timedelta(hours=-19))
        assert setup.checks(*LONG_FINE) == ["closed"]
    setup.restart_after_a_kill()
    assert setup.deliver() == ["1 closed"]
    setup.store.close()


def test_what_memory_opened_again_is_open_in_the_file_once_that_can_be_written(setup: StoreSetup) -> None:
    """The file still has it as closed."""
    with locked(setup.path):
        assert setup.checks(REJECTED, REJECTED) == ["reopened"]
    setup.check(REJECTED)
    assert not setup.in_memory()
    assert setup.shell("SELECT id FROM incident_log WHERE closed_at IS NULL") == [(1,)]
    setup.restart()
    assert setup.deliver()[-1] == "1 reopened"
    assert setup.checks(*LONG_FINE) == ["closed"]
    assert setup.deliver() == ["1 closed"]


def test_its_message_waits_for_the_diagnosis_as_the_first_one_does(setup: StoreSetup) -> None:
    """That the first was sent long ago does not send it without."""
    setup.check(REJECTED)
    setup.check(REJECTED, hold=timedelta(seconds=10))
    assert setup.deliver() == []
    setup.store.release(1, None)
    assert setup.deliver() == ["1 reopened"]


def test_a_file_of_the_version_before_goes_on(tmp_path: Path) -> None:
    """With an open incident, and a state that knows nothing of evidence or of what is fine."""
    setup = StoreSetup(tmp_path / "history.db", alerts=ALERTS)
    setup.checks(OK, REJECTED, REJECTED)
    setup.deliver()
    setup.store.close()
    with closing(sqlite3.connect(setup.path, isolation_level=None)) as shell:
        for table, column in ADDED_SINCE:
            shell.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        shell.execute("DROP TABLE silence")
        shell.execute("DROP TABLE maintenance")
        shell.execute("PRAGMA user_version = 2")
        [(text,)] = shell.execute("SELECT state FROM incident_state")
        new = {"evidence", "runs", "fine", "closed", "known_at"}
        old = {key: value for key, value in json.loads(text).items() if key not in new}
        shell.execute("UPDATE incident_state SET state = ?", (json.dumps(old),))
    setup.restart_after_a_kill()
    assert [incident.is_unstable for _, incident in setup.store.incidents()] == [False]
    assert setup.checks(REJECTED, OK, OK) == ["closed"]
    assert setup.deliver() == ["1 closed"]
    setup.store.close()
