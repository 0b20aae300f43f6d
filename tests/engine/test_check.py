"""Checks that are more than a PING: the canary, and the worker's way beside REST. Diaries on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from monitor.alerts.notification import NotificationKind
from monitor.checks.connectivity import ConnectivityProbe
from monitor.checks.observation import Outcome
from monitor.checks.redis_tcp import WorkerProbe
from monitor.checks.rest import RestProbeFactory
from monitor.config.settings import AlertSettings, DatabaseSettings
from monitor.engine.cycle import Connectivity, Cycle, CycleResult
from monitor.lib.secret import Secret
from monitor.lib.text import Scrubber
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from monitor.store.store import Store
from monitor.store.thread import StoreThread
from tests.checks.redis_server import RedisServer, redis_server
from tests.checks.rest_database import TOKEN as PLAIN_TOKEN
from tests.checks.rest_database import RestDatabase, hang
from tests.judging import PROFILE

TOKEN, READER = "AXlookToken-0f_the_tests", "AXlookReader-0f_the_tests"
START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
SECONDS, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


class CheckSetup:
    """One database, with a clock that tests move; everything else is real."""

    def __init__(
        self, folder: Path, url: str, *, canary: timedelta | None = None, redis: RedisServer | None = None
    ) -> None:
        self.now, self._path, self._redis = START, folder / "history.db", redis
        self._settings = DatabaseSettings(
            name="main",
            url=Secret(url),
            token=Secret(TOKEN),
            timeout=2 * SECONDS,
            canary=canary,
            worker=redis is not None,
        )
        self._open()

    def _open(self) -> None:
        self._store = Store(self._path, channels=["log"], log=lambda level, text: None, clock=lambda: self.now)
        self._store_thread = StoreThread()
        self._cycle = self._make_cycle()

    def _make_cycle(self) -> Cycle:
        url, token = (each.reveal() for each in (self._settings.url, self._settings.token))
        scrub = Scrubber([token])
        worker = None
        if self._redis is not None:
            worker = WorkerProbe(url=url, token=token, port=self._redis.port, scrub=scrub, tls=self._redis.trust)
        connectivity = Connectivity(
            (),
            probe=ConnectivityProbe(()),
            store=self._store,
            store_thread=self._store_thread,
            clock=lambda: self.now,
        )
        return Cycle(
            self._settings,
            alerts=AlertSettings(),
            profile=PROFILE,
            probes=RestProbeFactory(scrub=scrub),
            connectivity=connectivity,
            store=self._store,
            store_thread=self._store_thread,
            clock=lambda: self.now,
            worker=worker,
        )

    def set_token(self, token: str) -> None:
        self._settings = self._settings.model_copy(update={"token": Secret(token)})
        self._cycle = self._make_cycle()

    def restart(self) -> None:
        self.close()
        self._open()

    def check(self, *, after: timedelta = MINUTE) -> CycleResult:
        """Let time pass, then check."""
        self.now += after
        return asyncio.run(self._cycle.run())

    def close(self) -> None:
        self._store_thread.stop(self._store.close)


@pytest.fixture
def upstash() -> Iterator[UpstashStandIn]:
    with UpstashStandIn(TOKEN, read_only_token=READER) as server:
        yield server


def kinds(cycle_result: CycleResult) -> list[NotificationKind]:
    return [notification.kind for notification in cycle_result.recorded.transition.notifications]


def test_a_full_database_is_found_by_the_canary_alone(upstash: UpstashStandIn, tmp_path: Path) -> None:
    """A diary: one write, then PINGs for an hour; full; told; still full in between; room again; over."""
    setup = CheckSetup(tmp_path, upstash.url, canary=HOUR)
    assert setup.check().check.outcome is Outcome.OK
    assert upstash.billed_commands == 3
    assert setup.check().check.outcome is Outcome.OK
    assert upstash.billed_commands == 3

    upstash.fault = UpstashFault.CAPACITY
    assert setup.check().check.outcome is Outcome.OK  # PING does not notice
    first = setup.check(after=HOUR)
    assert first.check.outcome is Outcome.CAPACITY_FULL
    assert first.check.detail.startswith("SET: ERR DB capacity quota exceeded")
    assert first.check.latency_ms is not None
    assert first.is_in_doubt
    second = setup.check(after=10 * SECONDS)
    assert kinds(second) == [NotificationKind.OPENED]

    between = setup.check(after=10 * SECONDS)
    assert between.check.outcome is Outcome.CAPACITY_FULL
    assert between.check.detail.startswith("PING answers; 10 s ago SET: ERR DB")
    assert not between.is_in_doubt

    upstash.fault = UpstashFault.NONE
    assert setup.check(after=10 * SECONDS).check.outcome is Outcome.CAPACITY_FULL  # not asked again yet
    better = setup.check()
    assert better.check.outcome is Outcome.OK
    assert kinds(setup.check(after=10 * SECONDS)) == [NotificationKind.CLOSED]
    setup.close()


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (UpstashFault.QUOTA_BUT_PING, Outcome.QUOTA_EXCEEDED),
        (UpstashFault.CAPACITY, Outcome.CAPACITY_FULL),
    ],
)
def test_what_hides_behind_a_friendly_ping_opens_an_incident(
    upstash: UpstashStandIn, tmp_path: Path, fault: UpstashFault, outcome: Outcome
) -> None:
    """Without a canary both databases look fine for ever; with one, two checks decide."""
    upstash.fault = fault
    plain = CheckSetup(tmp_path, upstash.url)
    assert plain.check().check.outcome is Outcome.OK
    plain.close()
    setup = CheckSetup(tmp_path, upstash.url, canary=HOUR)
    assert setup.check().check.outcome is outcome
    opened = setup.check(after=10 * SECONDS)
    assert opened.check.outcome is outcome
    assert kinds(opened) == [NotificationKind.OPENED]
    setup.close()


def test_a_read_only_token_is_found_by_the_canary(upstash: UpstashStandIn, tmp_path: Path) -> None:
    """It may PING, and the worker that writes with it fails: permission denied."""
    setup = CheckSetup(tmp_path, upstash.url, canary=HOUR)
    setup.set_token(READER)
    first = setup.check()
    assert first.check.outcome is Outcome.PERMISSION_DENIED
    assert first.check.detail.startswith("SET: NOPERM")
    setup.close()


def test_a_restart_does_not_forget_the_canary(upstash: UpstashStandIn, tmp_path: Path) -> None:
    """Neither that it was sent, which would cost commands at each start, nor that it failed."""
    setup = CheckSetup(tmp_path, upstash.url, canary=HOUR)
    setup.check()
    setup.restart()
    setup.check()
    assert upstash.billed_commands == 3
    upstash.fault = UpstashFault.CAPACITY
    setup.check(after=HOUR)
    setup.check(after=10 * SECONDS)
    setup.restart()
    after = setup.check(after=10 * SECONDS)
    assert after.check.outcome is Outcome.CAPACITY_FULL
    assert after.check.detail.startswith("PING answers; 10 s ago SET: ERR DB")
    setup.close()


def test_a_ping_that_fails_is_not_followed_by_a_canary(upstash: UpstashStandIn, tmp_path: Path) -> None:
    """Its outcome stands, nothing is billed, and the canary stays due."""
    upstash.fault = UpstashFault.SERVER_ERROR
    setup = CheckSetup(tmp_path, upstash.url, canary=HOUR)
    assert setup.check().check.outcome is Outcome.SERVER_ERROR
    assert len(upstash.requests) == 1
    upstash.fault = UpstashFault.NONE
    assert setup.check().check.canary is not None
    setup.close()


def test_a_canary_that_hangs_ends_with_the_check(tmp_path: Path) -> None:
    """The whole check keeps its timeout, and the latency is still that of the PING."""
    with RestDatabase() as database:
        database.instead["SET"] = hang
        setup = CheckSetup(tmp_path, database.url, canary=HOUR)
        setup.set_token(PLAIN_TOKEN)
        cycle_result = setup.check()
        assert cycle_result.check.outcome is Outcome.RESPONSE_TIMEOUT
        assert cycle_result.check.detail.startswith("SET: connected, but no answer within 1.")
        assert cycle_result.check.latency_ms is not None
        assert cycle_result.check.latency_ms < 1000
        assert database.commands == ["PING", "SET", "DEL"]
        setup.close()


def test_rediss_is_checked_beside_rest(upstash: UpstashStandIn, tmp_path: Path) -> None:
    """A diary: both fine; the password of the other way is changed; told with the difference; fine again."""
    with redis_server(tmp_path, token=TOKEN) as redis:
        url = upstash.url.replace("127.0.0.1", "localhost")
        setup = CheckSetup(tmp_path, url, redis=redis)
        fine = setup.check()
        assert (fine.check.outcome, fine.check.detail) == (Outcome.OK, "")
        setup.set_token(READER)
        first, second = setup.check(), setup.check(after=10 * SECONDS)
        assert first.check.outcome is Outcome.TOKEN_REJECTED
        assert first.check.detail.startswith("REST answers, rediss:// does not: WRONGPASS")
        assert kinds(second) == [NotificationKind.OPENED]
        assert second.recorded.transition.notifications[0].detail == first.check.detail
        setup.set_token(TOKEN)
        setup.check()
        assert kinds(setup.check(after=10 * SECONDS)) == [NotificationKind.CLOSED]
        setup.close()


def test_the_workers_way_is_named_when_rest_fails(upstash: UpstashStandIn, tmp_path: Path) -> None:
    """REST hangs or is rejected, and whether the worker would get in stands in the same line."""
    with redis_server(tmp_path, token=TOKEN) as redis:
        setup = CheckSetup(tmp_path, upstash.url.replace("127.0.0.1", "localhost"), redis=redis)
        upstash.fault = UpstashFault.HANG
        hung = setup.check()
        assert hung.check.outcome is Outcome.RESPONSE_TIMEOUT
        assert hung.check.detail == "connected, but no answer within 2 s; rediss:// answers"
        upstash.fault = UpstashFault.NONE
        upstash.token = "another"
        rejected = setup.check()
        assert rejected.check.detail == "WRONGPASS invalid or missing auth token; rediss:// answers"
        setup.close()
