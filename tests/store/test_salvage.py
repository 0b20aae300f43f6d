"""Sums and counters survive what can happen to a file, and nothing is counted twice on the way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.checks.observation import Check, Outcome
from monitor.store.queries import totals_of
from monitor.store.rollups.model import DatabaseTotals, Grain, Slice
from monitor.store.rollups.rollup import HOUR_MS
from monitor.store.tables.checks import read_checks
from monitor.store.tables.incidents import find_database
from monitor.store.tables.outbox import delivery_counts
from monitor.store.tables.rollups import RollupReader
from monitor.store.tables.rows import to_ms
from tests.store.conftest import INTERVAL, START, Desk
from tests.store.disks import locked
from tests.store.timeline import check, expected

OK, TIMEOUT, REJECTED = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED
SHORT = timedelta(seconds=1)


def checks_of(desk: Desk, name: str = "main") -> list[Check]:
    return desk.store.read(lambda c: list(read_checks(c, find_database(c, name) or 0)))


def whole(desk: Desk, name: str = "main") -> Slice:
    """All of the day and the one before."""
    start_ms, end_ms = to_ms(START - timedelta(days=1)), to_ms(START + timedelta(days=1))
    return desk.store.read(
        lambda c: RollupReader(
            c, find_database(c, name) or 0, start_ms=start_ms, end_ms=end_ms, grain=Grain.HOUR
        ).whole()
    )


def totals(desk: Desk, name: str = "main") -> DatabaseTotals:
    return desk.store.read(lambda c: totals_of(c, find_database(c, name) or 0, name))


@pytest.fixture
def _short_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a lock is waited for is not what is tested."""
    monkeypatch.setattr("monitor.store.file.open.BUSY_TIMEOUT_SECONDS", 0.05)


@pytest.mark.usefixtures("_short_locks")
def test_what_memory_saw_is_counted_once(desk: Desk) -> None:
    """Through a lock, for minutes, over the end of an hour: each check is in the sums, and in them once."""
    desk.restart()
    desk.checks(*[OK] * 50, TIMEOUT)
    with locked(desk.path):
        for number in range(15):
            desk.check(TIMEOUT if number < 5 else OK)
        assert desk.in_memory()
    desk.checks(*[OK] * 5)
    assert not desk.in_memory()
    assert whole(desk).outcomes == {OK: 65, TIMEOUT: 6}
    check(whole(desk), expected(checks_of(desk), START - timedelta(days=1), START + timedelta(days=1)))
    assert totals(desk).outcomes == {OK: 65, TIMEOUT: 6}
    assert totals(desk).latency.count == 65


@pytest.mark.usefixtures("_short_locks")
def test_checks_of_two_processes_are_shared_out_as_those_of_one(desk: Desk) -> None:
    """One went on from memory, the other in the file: the checks of both stand in their places."""
    desk.restart()
    desk.checks(*[OK] * 10)
    with locked(desk.path):
        desk.check(OK, after=SHORT)
    assert desk.in_memory()
    other = Desk(desk.path)
    other.now = desk.now
    for number in range(10):
        desk.now = other.now + timedelta(seconds=20)
        # The clock of this one does not move on between its tries, so that it stays in memory.
        desk.store._file._outage.tried_at = desk.now  # type: ignore[union-attr]  # it is on memory here
        desk.check(TIMEOUT if number % 3 == 0 else OK, after=SHORT)
        other.check(OK)
    assert desk.in_memory()
    desk.now = other.now
    desk.check(OK)
    assert not desk.in_memory()
    assert whole(desk).outcomes == {OK: 28, TIMEOUT: 4}
    check(whole(desk), expected(checks_of(desk), START - timedelta(days=1), START + timedelta(days=1)))
    other.store.close()


def test_the_sums_of_a_damaged_file_go_on_in_the_new_one(desk: Desk) -> None:
    """Its checks are left behind, and what they added up to is not: it costs the checks since the last full
    hour.
    """
    for name in ("main", "other"):
        desk.now = START
        for number in range(150):
            desk.check(TIMEOUT if number in (7, 8, 149) else OK, database=name)
    on_the_hour = START + timedelta(hours=2)
    kept = expected(checks_of(desk), START, on_the_hour)
    desk.store.close()
    spoil_checks(desk.path)
    desk.restart_after_a_kill()
    desk.checks(OK, OK)
    assert [level for level, _ in desk.said] == ["ERROR"]
    assert desk.outcomes() == ["ok", "ok"]
    assert (kept.outcomes, kept.up) == ({OK: 117, TIMEOUT: 2}, 117 * INTERVAL)
    check(whole(desk, "other"), kept)
    assert totals(desk, "other").outcomes == kept.outcomes
    assert totals(desk).outcomes == {OK: 119, TIMEOUT: 2}
    assert (whole(desk).uptime.up, whole(desk).uptime.down) == (kept.up + INTERVAL, kept.down)
    desk.now -= timedelta(minutes=70)  # set back, into time that only the sums know of
    desk.check(OK)
    assert (whole(desk).uptime.up, whole(desk).uptime.down) == (kept.up + INTERVAL, kept.down)
    assert totals(desk).outcomes == {OK: 120, TIMEOUT: 2}


def test_sums_that_make_no_sense_are_left_behind_and_no_others(desk: Desk) -> None:
    """A flipped byte costs an hour or a day, not the years beside it."""
    for _ in range(200):
        desk.check(OK)
    desk.store.close()
    with closing(sqlite3.connect(desk.path)) as shell, shell:
        shell.execute(
            "UPDATE rollup SET latency = x'ffffff' WHERE grain = 0 AND slot = ?", (to_ms(START) // HOUR_MS,)
        )
        shell.execute("UPDATE rollup SET outcomes = '{\"ok\":' WHERE grain = 1")
        shell.execute("DROP VIEW history")
    desk.restart_after_a_kill()
    assert totals(desk).outcomes == {OK: 200}
    assert whole(desk).outcomes == {OK: 200 - 59}


@pytest.mark.usefixtures("_short_locks")
def test_messages_are_counted_for_good(desk: Desk) -> None:
    """Tries that failed and messages that arrived: through memory, a damaged file, and pruning; none twice."""
    desk.restart()
    desk.checks(REJECTED, REJECTED)
    away = DeliveryResult(status=DeliveryStatus.RETRY, detail="503")
    delivery = desk.store.claim("slack", desk.now)
    assert delivery is not None
    desk.store.acknowledge_delivery(delivery, away, desk.now, 0.0)
    desk.check(REJECTED)
    assert desk.deliver() == ["1 opened"]
    assert desk.store.read(delivery_counts) == {("slack", "failed"): 1, ("slack", "sent"): 1}
    with locked(desk.path):
        desk.checks(OK, OK)
        assert desk.in_memory()
        assert "1 closed" in desk.deliver()
        in_memory = desk.store.read(delivery_counts)["slack", "sent"]
    desk.check(OK)
    assert not desk.in_memory()
    assert desk.store.read(delivery_counts) == {("slack", "failed"): 1, ("slack", "sent"): in_memory}
    desk.store.close()
    spoil_checks(desk.path)
    desk.restart_after_a_kill()
    desk.check(OK)
    told = desk.deliver()
    desk.store.prune(desk.now + timedelta(days=2000), timedelta(days=1))
    assert desk.store.read(delivery_counts) == {("slack", "failed"): 1, ("slack", "sent"): in_memory + len(told)}


def spoil_checks(path: Path) -> None:
    """Overwrite the first page of the single checks."""
    with closing(sqlite3.connect(path)) as shell:
        [page] = shell.execute("SELECT rootpage FROM sqlite_master WHERE name = 'check_result'").fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(content)
