"""Rollups and counters survive whatever happens to the file, and nothing is counted twice on the way."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.checks.observation import Check, Outcome
from monitor.lib.times import to_ms
from monitor.store.queries import totals_of
from monitor.store.rollups.model import HOUR_MS, DatabaseTotals, Grain, Slice
from monitor.store.tables.checks import read_checks
from monitor.store.tables.deliveries import delivery_counts
from monitor.store.tables.incidents import find_database
from monitor.store.tables.rollups import RollupReader
from tests.store.conftest import INTERVAL, START, StoreSetup
from tests.store.disks import locked
from tests.store.timeline import check, expected

OK, TIMEOUT, REJECTED = Outcome.OK, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED
SHORT = timedelta(seconds=1)


def checks_of(setup: StoreSetup, name: str = "main") -> list[Check]:
    return setup.store.read(lambda c: list(read_checks(c, find_database(c, name) or 0)))


def whole(setup: StoreSetup, name: str = "main") -> Slice:
    """All of the day and the one before."""
    start_ms, end_ms = to_ms(START - timedelta(days=1)), to_ms(START + timedelta(days=1))
    return setup.store.read(
        lambda c: RollupReader(
            c, find_database(c, name) or 0, start_ms=start_ms, end_ms=end_ms, grain=Grain.HOUR
        ).whole()
    )


def totals(setup: StoreSetup, name: str = "main") -> DatabaseTotals:
    return setup.store.read(lambda c: totals_of(c, find_database(c, name) or 0, name))


@pytest.mark.usefixtures("_short_locks")
def test_checks_from_memory_are_counted_once(setup: StoreSetup) -> None:
    """Through a lock, for minutes, over the end of an hour: each check is in the rollups, and in them once."""
    setup.restart()
    setup.checks(*[OK] * 50, TIMEOUT)
    with locked(setup.path):
        for number in range(15):
            setup.check(TIMEOUT if number < 5 else OK)
        assert setup.in_memory()
    setup.checks(*[OK] * 5)
    assert not setup.in_memory()
    assert whole(setup).outcomes == {OK: 65, TIMEOUT: 6}
    check(whole(setup), expected(checks_of(setup), START - timedelta(days=1), START + timedelta(days=1)))
    assert totals(setup).outcomes == {OK: 65, TIMEOUT: 6}
    assert totals(setup).latency.count == 65


@pytest.mark.usefixtures("_short_locks")
def test_checks_of_two_processes_are_shared_out_as_those_of_one(setup: StoreSetup) -> None:
    """One went on from memory, the other in the file: the checks of both stand in their places."""
    setup.restart()
    setup.checks(*[OK] * 10)
    with locked(setup.path):
        setup.check(OK, after=SHORT)
    assert setup.in_memory()
    other = StoreSetup(setup.path, now=setup.now)
    for number in range(10):
        setup.now = other.now + timedelta(seconds=20)
        # The clock of this one does not move on between its tries, so that it stays in memory.
        setup.store._file._outage.tried_at = setup.now  # type: ignore[union-attr]  # it is on memory here
        setup.check(TIMEOUT if number % 3 == 0 else OK, after=SHORT)
        other.check(OK)
    assert setup.in_memory()
    setup.now = other.now
    setup.check(OK)
    assert not setup.in_memory()
    assert whole(setup).outcomes == {OK: 28, TIMEOUT: 4}
    check(whole(setup), expected(checks_of(setup), START - timedelta(days=1), START + timedelta(days=1)))
    other.store.close()


def test_the_rollups_of_a_damaged_file_go_on_in_the_new_one(setup: StoreSetup) -> None:
    """Its checks are left behind, and what they added up to is not: it costs the checks since the last full
    hour.
    """
    for name in ("main", "other"):
        setup.now = START
        for number in range(150):
            setup.check(TIMEOUT if number in (7, 8, 149) else OK, database=name)
    on_the_hour = START + timedelta(hours=2)
    kept = expected(checks_of(setup), START, on_the_hour)
    setup.store.close()
    spoil_checks(setup.path)
    setup.restart_after_a_kill()
    setup.checks(OK, OK)
    assert [level for level, _ in setup.logged] == ["ERROR"]
    assert setup.outcomes() == ["ok", "ok"]
    assert (kept.outcomes, kept.up) == ({OK: 117, TIMEOUT: 2}, 117 * INTERVAL)
    check(whole(setup, "other"), kept)
    assert totals(setup, "other").outcomes == kept.outcomes
    assert totals(setup).outcomes == {OK: 119, TIMEOUT: 2}
    assert (whole(setup).uptime.up, whole(setup).uptime.down) == (kept.up + INTERVAL, kept.down)
    setup.now -= timedelta(minutes=70)  # set back, into time that only the rollups know of
    setup.check(OK)
    assert (whole(setup).uptime.up, whole(setup).uptime.down) == (kept.up + INTERVAL, kept.down)
    assert totals(setup).outcomes == {OK: 120, TIMEOUT: 2}


def test_only_rollups_that_cannot_be_read_are_left_behind(setup: StoreSetup) -> None:
    """A flipped byte costs an hour or a day, not the years beside it."""
    for _ in range(200):
        setup.check(OK)
    setup.store.close()
    with closing(sqlite3.connect(setup.path)) as shell, shell:
        shell.execute(
            "UPDATE rollup SET latency = x'ffffff' WHERE grain = 0 AND slot = ?", (to_ms(START) // HOUR_MS,)
        )
        shell.execute("UPDATE rollup SET outcomes = '{\"ok\":' WHERE grain = 1")
        shell.execute("DROP VIEW history")
    setup.restart_after_a_kill()
    assert totals(setup).outcomes == {OK: 200}
    assert whole(setup).outcomes == {OK: 200 - 59}


@pytest.mark.usefixtures("_short_locks")
def test_messages_are_counted_for_good(setup: StoreSetup) -> None:
    """Tries that failed and messages that arrived: through memory, a damaged file, and pruning; none twice."""
    setup.restart()
    setup.checks(REJECTED, REJECTED)
    away = DeliveryResult(status=DeliveryStatus.RETRY, detail="503")
    delivery = setup.store.claim("slack", setup.now)
    assert delivery is not None
    setup.store.acknowledge_delivery(delivery, away, setup.now, 0.0)
    setup.check(REJECTED)
    assert setup.deliver() == ["1 opened"]
    assert setup.store.read(delivery_counts) == {("slack", "failed"): 1, ("slack", "sent"): 1}
    with locked(setup.path):
        setup.checks(OK, OK)
        assert setup.in_memory()
        assert "1 closed" in setup.deliver()
        in_memory = setup.store.read(delivery_counts)["slack", "sent"]
    setup.check(OK)
    assert not setup.in_memory()
    assert setup.store.read(delivery_counts) == {("slack", "failed"): 1, ("slack", "sent"): in_memory}
    setup.store.close()
    spoil_checks(setup.path)
    setup.restart_after_a_kill()
    setup.check(OK)
    told = setup.deliver()
    setup.store.prune(setup.now + timedelta(days=2000), timedelta(days=1))
    assert setup.store.read(delivery_counts) == {("slack", "failed"): 1, ("slack", "sent"): in_memory + len(told)}


def spoil_checks(path: Path) -> None:
    """Overwrite the first page of the single checks."""
    with closing(sqlite3.connect(path)) as shell:
        [page] = shell.execute("SELECT rootpage FROM sqlite_master WHERE name = 'check_result'").fetchone()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(content)
