"""The state of a history file as a text: nothing that decisions need is lost, and no text can do harm."""

from __future__ import annotations

import base64
import json
import zlib
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.checks.observation import Outcome
from monitor.config.settings import AlertSettings
from monitor.store.file.document import NewerDocumentError, StateDocument, UnusableDocumentError
from monitor.store.file.schema import MIGRATIONS
from tests.judging import QUICK_RULES
from tests.store.conftest import Everything, StoreSetup

REJECTED, OK = Outcome.TOKEN_REJECTED, Outcome.OK
NEW = {"format": 1, "schema": len(MIGRATIONS) + 1, "tables": {}}
ODD = (None, "", "text", -1, 2**63 - 1, 0.5, {"hex": "00ff"})


def unpacked(text: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(text)))
    return values


def packed(values: object) -> str:
    return base64.b64encode(zlib.compress(json.dumps(values).encode())).decode()


def open_from(text: str, path: Path, now: Any) -> StoreSetup:
    """A store on a new file, which begins with what the text remembers."""
    setup = StoreSetup(path, now=now)
    setup.store.take_up(StateDocument.parsed(text))
    setup.store.begin(databases=Everything(), destinations=setup.destinations)
    return setup


def test_another_file_goes_on_from_the_text(setup: StoreSetup, tmp_path: Path) -> None:
    """What is open, what waits and for whom, who heard of it, and the numbers that were given."""
    assert setup.checks(REJECTED, REJECTED) == ["opened"]
    assert setup.deliver("slack") == ["1 opened"]
    assert setup.checks(OK, OK, REJECTED, REJECTED) == ["closed", "opened"]
    assert setup.deliver("slack") == ["1 closed", "2 opened"]
    other = open_from(setup.store.state_document().text(), tmp_path / "other.db", setup.now)
    assert other.store.incidents() == setup.store.incidents()
    assert other.deliver("slack") == []
    assert other.deliver("telegram") == setup.deliver("telegram")
    assert other.checks(OK, OK, REJECTED, REJECTED) == ["closed", "opened"]
    assert other.deliver("slack") == ["2 closed", "3 opened"]
    other.store.close()


def test_a_file_that_knows_more_keeps_it(setup: StoreSetup) -> None:
    """Where the disk outlived the run after all, of each state the later counts, and nothing is told again."""
    setup.checks(REJECTED, REJECTED)
    before = setup.store.state_document()
    assert setup.deliver("slack") == ["1 opened"]
    setup.checks(OK, OK)
    assert setup.deliver("slack") == ["1 closed"]
    counts = setup.shell("SELECT * FROM delivery_count")
    setup.store.take_up(before)
    setup.restart()
    assert setup.store.incidents() == []
    assert setup.deliver("slack") == []
    assert setup.shell("SELECT * FROM delivery_count") == counts


def test_a_text_from_before_the_clock_was_set_back_ends_nothing(setup: StoreSetup) -> None:
    """What could not be saved in its place is known to the file, though by the clock the text is later."""
    setup.checks(OK)
    before = setup.store.state_document()
    setup.now -= timedelta(hours=1)
    setup.store.move_times(timedelta(hours=-1))
    assert setup.checks(REJECTED, REJECTED) == ["opened"]
    assert setup.deliver() == ["1 opened"]
    setup.restart_after_a_kill(before)
    assert [incident.id for _, incident in setup.store.incidents()] == [1]
    assert setup.deliver() == []


@pytest.mark.parametrize("is_later", [True, False])
def test_two_that_saw_the_same_trouble_go_on_as_one(setup: StoreSetup, tmp_path: Path, is_later: bool) -> None:
    """A `check` typed beside a `run` takes up what a cron service left: one is open, and one end is told."""
    cron = StoreSetup(tmp_path / "cron.db", now=setup.now + timedelta(minutes=10 if is_later else -10))
    cron.checks(OK, REJECTED, REJECTED)
    assert cron.deliver("slack") == ["1 opened"]
    setup.checks(REJECTED, REJECTED)
    assert setup.deliver("slack") == ["1 opened"]
    setup.now = max(setup.now, cron.now)
    setup.store.take_up(cron.store.state_document())
    for _ in range(2):
        setup.restart()
        [(_, incident)] = setup.store.incidents()
        assert setup.deliver("slack") == []
        setup.store.take_up(StateDocument.parsed(setup.store.state_document().text()))
    assert setup.checks(REJECTED, OK, OK) == ["closed"]
    assert setup.deliver("slack") == [f"{incident.id} closed"]
    cron.store.close()


def test_the_end_of_what_opened_again_is_told_once(tmp_path: Path) -> None:
    """Not by each run of a `check` without a disk for a day: which message was the last goes with the text."""
    alerts = AlertSettings.model_validate(QUICK_RULES | {"flapping": {"times": 8, "within": "20m"}})
    setup = StoreSetup(tmp_path / "0.db", ("slack",), alerts=alerts)
    for outcomes in ([REJECTED] * 2, [OK] * 2, [REJECTED] * 2, [OK] * 12):
        setup.checks(*outcomes)
        setup.deliver()
    for run in range(1, 4):
        document = StateDocument.parsed(setup.store.state_document().text())
        setup.store.close()
        setup.path = tmp_path / f"{run}.db"
        setup.restart_after_a_kill(document)
        assert setup.deliver() == []
    setup.store.close()


def test_two_messages_of_one_moment_are_told_apart(setup: StoreSetup, tmp_path: Path) -> None:
    """Such as warnings about two databases: each is told once, and a clock that was set stops no start."""
    for name in ("main", "other"):
        setup.store.enqueue(
            Notification(
                kind=NotificationKind.MONITOR, created_at=setup.now, title=name, severity=Severity.WARNING
            )
        )
    before = setup.store.state_document()
    other = open_from(before.text(), tmp_path / "other.db", setup.now)
    assert other.deliver("slack") == ["main", "other"]
    setup.store.take_up(other.store.state_document())
    assert (setup.deliver("slack"), setup.deliver("telegram")) == ([], ["main", "other"])
    other.store.move_times(timedelta(hours=-1))
    other.store.take_up(before)
    other.restart()
    other.store.close()


def test_what_is_over_is_forgotten_after_a_day(setup: StoreSetup) -> None:
    """So the text does not grow; what still waits is kept, and the numbers go on."""
    for _ in range(20):
        setup.checks(REJECTED, REJECTED, OK, OK)
        setup.deliver("slack")
        setup.deliver("telegram")
    assert len(setup.store.state_document().text()) < 10_000
    setup.now += timedelta(days=2)
    tables = unpacked(setup.store.state_document().text())["tables"]
    assert (tables["incident"]["rows"], tables["outbox"]["rows"]) == ([], [])
    assert [20] in [row[1:] for row in tables["sqlite_sequence"]["rows"]]


@pytest.mark.parametrize("text", ["", "~", "AAAA", packed([]), packed({}), packed({**NEW, "schema": "1"})])
def test_a_text_that_is_no_document_is_refused(text: str) -> None:
    """Whatever stands in the key."""
    with pytest.raises(UnusableDocumentError):
        StateDocument.parsed(text)


def test_a_document_is_never_unpacked_without_a_limit() -> None:
    """Ten kilobytes may hold ten megabytes."""
    with pytest.raises(UnusableDocumentError, match="too large"):
        StateDocument.parsed(packed({**NEW, "more": " " * 10_000_000}))


@pytest.mark.parametrize("name", ["format", "schema"])
def test_a_newer_version_is_told_apart(name: str) -> None:
    """It is not damaged, and must not be overwritten."""
    with pytest.raises(NewerDocumentError):
        StateDocument.parsed(packed({**NEW, "schema": 1, name: 999}))


def test_no_value_in_it_can_do_harm(setup: StoreSetup, tmp_path: Path) -> None:
    """Each column once holds something else, one of each table at a time: what is read of the rest still works."""
    setup.checks(REJECTED, REJECTED)
    values = unpacked(setup.store.state_document().text())
    odd = cycle(ODD)
    for at in range(max(len(table["columns"]) for table in values["tables"].values())):
        damaged = json.loads(json.dumps(values))
        for table in damaged["tables"].values():
            for row in table["rows"]:
                row[at % len(row)] = next(odd)
        other = open_from(packed(damaged), tmp_path / f"{at}.db", setup.now)
        known = StateDocument.parsed(packed(damaged)).checked_at
        assert known is None or known.tzinfo is not None
        assert "closed" in [*other.checks(REJECTED, REJECTED, OK, OK)]
        other.store.close()


def test_an_older_version_lacks_columns_and_a_strange_one_has_more(setup: StoreSetup, tmp_path: Path) -> None:
    """The columns are taken by their names."""
    setup.checks(REJECTED, REJECTED)
    values = unpacked(setup.store.state_document().text())
    outbox = values["tables"]["outbox"]
    gone = outbox["columns"].index("message_ref")
    for row in [outbox["columns"], *outbox["rows"]]:
        row[gone] = "no column; DROP TABLE outbox"
    other = open_from(packed(values), tmp_path / "other.db", setup.now)
    assert other.deliver("slack") == ["1 opened"]
    other.store.close()
