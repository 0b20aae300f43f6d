"""Checks that are more than a PING: the canary, and the worker's way beside REST. Diaries on real servers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from loguru import logger

from monitor.alerts.notification import NotificationKind
from monitor.checks.observation import Fact, Outcome
from monitor.checks.redis_tcp import WorkerProbe
from monitor.checks.rest import RestProbeFactory
from monitor.config.settings import DatabaseSettings
from monitor.diagnosis.advice import word
from monitor.diagnosis.rules import judge_check
from monitor.diagnosis.verdicts import VerdictCode
from monitor.engine.cycle import Connectivity, Cycle, CycleResult
from monitor.lib.text import Scrubber, Secret
from monitor.lib.threads import SerialThread
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from monitor.store.store import Store
from tests.checks.redis_server import RedisServer, redis_server
from tests.checks.rest_database import TOKEN as PLAIN_TOKEN
from tests.checks.rest_database import Answer, RestDatabase, hang, refusal
from tests.judging import PROFILE, QUICK

TOKEN, READER = "AXlookToken-0f_the_tests", "AXlookReader-0f_the_tests"
FULL = "ERR DB capacity quota exceeded. Threshold: 1 bytes, Usage: 2 bytes"
NO_KEY = "NOPERM this user has no permissions to access one of the keys used as arguments"
START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
SECONDS, MINUTE, HOUR = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)


class CheckSetup:
    """One database, with a clock that tests move; everything else is real."""

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        canary: timedelta | None = None,
        slow: timedelta | None = None,
        redis: RedisServer | None = None,
    ) -> None:
        self.first_canary = True
        self.now, self._path, self._redis = START, folder / "history.db", redis
        self._settings = DatabaseSettings(
            name="main",
            url=Secret(url),
            token=Secret(TOKEN),
            timeout=2 * SECONDS,
            canary=canary,
            slow=slow,
            worker=redis is not None,
        )
        self._open()

    def _open(self) -> None:
        self._store = Store(self._path, channels=["log"], log=lambda level, text: None, clock=lambda: self.now)
        self._store_thread = SerialThread("store")
        self._cycle = self._make_cycle()

    def _make_cycle(self) -> Cycle:
        url, token = (each.reveal() for each in (self._settings.url, self._settings.token))
        scrub = Scrubber([token])
        worker = None
        if self._redis is not None:
            worker = WorkerProbe(url=url, token=token, port=self._redis.port, scrub=scrub, tls=self._redis.trust)
        connectivity = Connectivity(
            (),
            store=self._store,
            store_thread=self._store_thread,
            clock=lambda: self.now,
        )
        return Cycle(
            self._settings,
            alerts=QUICK,
            profile=PROFILE,
            probes=RestProbeFactory(scrub=scrub),
            connectivity=connectivity,
            store=self._store,
            store_thread=self._store_thread,
            clock=lambda: self.now,
            worker=worker,
            first_canary=self.first_canary,
        )

    def set_canary(self, every: timedelta | None) -> None:
        """The settings are changed, and the program started again."""
        self._settings = self._settings.model_copy(update={"canary": every})
        self.restart()

    def set_token(self, token: str) -> None:
        self._settings = self._settings.model_copy(update={"token": Secret(token)})
        self._cycle = self._make_cycle()

    def restart(self) -> None:
        self.close()
        self._open()

    def check(self, *, after: timedelta = MINUTE) -> CycleResult:
        """Let time pass, then check."""
        self.now += after
        return asyncio.run(self._check_and_record())

    async def _check_and_record(self) -> CycleResult:
        return await self._cycle.record(await self._cycle.check())

    def close(self) -> None:
        self._store_thread.stop(self._store.close)


@pytest.fixture
def upstash() -> Iterator[UpstashStandIn]:
    with UpstashStandIn(TOKEN, read_only_token=READER) as server:
        yield server


def kinds(cycle_result: CycleResult) -> list[NotificationKind]:
    return [notification.kind for notification in cycle_result.recorded.transition.notifications]


def test_a_full_database_is_found_by_the_canary_alone(upstash: UpstashStandIn, tmp_path: Path) -> None:
    """In order: one write, then PINGs for an hour; full; told; still full in between; room again; over."""
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
    """In order: both fine; the password of the other way is changed; told with the difference; fine again."""
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


def test_a_worker_that_alone_is_refused_is_no_reason_to_replace_a_token_that_works(
    upstash: UpstashStandIn, tmp_path: Path
) -> None:
    """REST accepts the value: an older database's, or an ACL user's. The doctor says the same."""
    with redis_server(tmp_path, token="anotherPassword") as redis:
        setup = CheckSetup(tmp_path, upstash.url.replace("127.0.0.1", "localhost"), redis=redis)
        check = setup.check().check
        setup.close()
    assert Fact.WORKER_AUTH_REJECTED in check.facts
    verdict = judge_check(check, PROFILE)
    assert verdict.code is VerdictCode.WORKER_URL_WRONG
    assert not any(PROFILE.token_variable in step for step in word(verdict).next_steps)


def test_a_workers_port_that_is_closed_is_no_matter_of_the_rest_url(
    upstash: UpstashStandIn, tmp_path: Path
) -> None:
    """REST answers on the URL's own port, so no step is about that."""
    with redis_server(tmp_path, token=TOKEN) as redis:
        setup = CheckSetup(tmp_path, upstash.url.replace("127.0.0.1", "localhost"), redis=redis)
    check = setup.check().check
    setup.close()
    assert judge_check(check, PROFILE).code is VerdictCode.WORKER_PORT_BLOCKED


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """What the program logs, `LEVEL message` each."""
    lines: list[str] = []
    handler = logger.add(lambda message: lines.append(str(message)), format="{level} {message}", level="INFO")
    yield lines
    logger.remove(handler)


@pytest.fixture
def plain() -> Iterator[RestDatabase]:
    with RestDatabase() as database:
        yield database


def setup_at(database: RestDatabase, folder: Path, *, slow: timedelta | None = None) -> CheckSetup:
    setup = CheckSetup(folder, database.url, canary=HOUR, slow=slow)
    setup.set_token(PLAIN_TOKEN)
    return setup


def test_what_was_written_and_is_not_there_is_a_stale_read(plain: RestDatabase, tmp_path: Path) -> None:
    """In order: GET gives null; told after three of them, since a replica may lag for a moment; back; over."""
    plain.instead["GET"] = Answer(body='{"result":null}')
    setup = setup_at(plain, tmp_path)
    first = setup.check()
    assert first.check.outcome is Outcome.STALE_READ
    assert first.check.detail == "GET: null in place of what was written"
    assert (first.is_in_doubt, kinds(first)) == (True, [])
    assert kinds(setup.check(after=5 * SECONDS)) == []
    opened = setup.check(after=5 * SECONDS)
    assert (opened.check.outcome, kinds(opened)) == (Outcome.STALE_READ, [NotificationKind.OPENED])
    plain.instead.clear()
    assert setup.check().check.outcome is Outcome.OK
    assert kinds(setup.check(after=5 * SECONDS)) == [NotificationKind.CLOSED]
    setup.close()


def test_one_stale_read_is_asked_again_at_once_and_told_to_nobody(plain: RestDatabase, tmp_path: Path) -> None:
    """In order: a key that was evicted once; the check that decides writes again, and all is fine."""
    plain.instead["GET"] = Answer(body='{"result":null}')
    setup = setup_at(plain, tmp_path)
    assert setup.check().check.outcome is Outcome.STALE_READ
    plain.instead.clear()
    again = setup.check(after=5 * SECONDS)
    assert again.check.canary is not None
    assert (again.check.outcome, kinds(again)) == (Outcome.OK, [])
    setup.close()


def test_a_key_that_is_not_allowed_is_no_incident_and_warned_of_once(
    plain: RestDatabase, tmp_path: Path, log_lines: list[str]
) -> None:
    """In order: the check is fine and says what it met; the next is too, and its verdict the same, once told.

    A restart later there is no second warning; and where the key is allowed again, nothing of it is left.
    """
    plain.instead["SET"] = plain.instead["DEL"] = refusal(NO_KEY)
    setup = setup_at(plain, tmp_path)
    first = setup.check()
    assert (first.check.outcome, set(first.check.facts)) == (Outcome.OK, {Fact.KEY_NOT_ALLOWED})
    assert first.check.detail == f"the canary's key is not allowed: SET: {NO_KEY}"
    assert not first.is_in_doubt
    assert plain.commands == ["PING", "SET", "GET", "DEL"]
    between = setup.check()
    assert (between.check.outcome, between.check.detail) == (Outcome.OK, "")
    assert between.check.facts == {Fact.KEY_NOT_ALLOWED}
    setup.restart()
    assert setup.check(after=HOUR).check.facts == {Fact.KEY_NOT_ALLOWED}
    plain.instead.clear()
    assert [setup.check(after=HOUR).check.facts, setup.check().check.facts] == [frozenset(), frozenset()]
    warned = [line for line in log_lines if line.startswith("WARNING") and "canary" in line]
    assert len(warned) == 1
    assert "Next: allow keys of `canary_prefix`, or set `canary: off`" in warned[0]
    setup.close()


def test_a_slow_answer_stays_slow_beside_a_key_that_is_not_allowed(plain: RestDatabase, tmp_path: Path) -> None:
    """Both are in the detail."""
    plain.instead["SET"] = refusal(NO_KEY)
    setup = setup_at(plain, tmp_path, slow=timedelta(microseconds=1))
    check = setup.check().check
    assert (check.outcome, set(check.facts)) == (Outcome.SLOW, {Fact.KEY_NOT_ALLOWED})
    assert "the limit is" in check.detail
    assert "the canary's key is not allowed: SET: NOPERM" in check.detail
    setup.close()


def test_a_deletion_that_is_not_allowed_is_no_incident(
    plain: RestDatabase, tmp_path: Path, log_lines: list[str]
) -> None:
    """It was written and read: the check is fine, and the key goes by itself."""
    plain.instead["DEL"] = refusal("NOPERM this user has no permissions to run the 'del' command")
    setup = setup_at(plain, tmp_path)
    check = setup.check().check
    assert (check.outcome, set(check.facts)) == (Outcome.OK, {Fact.DELETE_NOT_ALLOWED})
    assert "expires within a minute" in check.detail
    setup.check(after=HOUR)
    assert len([line for line in log_lines if "expires within a minute" in line and "INFO" in line]) == 1
    setup.close()


def test_reading_that_is_not_allowed_by_command_is_the_tokens_matter(plain: RestDatabase, tmp_path: Path) -> None:
    """A worker that may write and not read is as lost as the other way round."""
    plain.instead["GET"] = refusal("NOPERM this user has no permissions to run the 'get' command")
    setup = setup_at(plain, tmp_path)
    check = setup.check().check
    assert check.outcome is Outcome.PERMISSION_DENIED
    assert judge_check(check, PROFILE).code is VerdictCode.AS_THE_OUTCOME_SAYS  # and not: may read, not write
    assert kinds(setup.check(after=5 * SECONDS)) == [NotificationKind.OPENED]
    setup.close()


def test_a_user_who_may_neither_write_nor_read_has_no_read_only_token(plain: RestDatabase, tmp_path: Path) -> None:
    """GET is tried although SET was refused, be it for the command or for the canary's own key."""
    no_get = refusal("NOPERM this user has no permissions to run the 'get' command")
    for no_set in (refusal("NOPERM this user has no permissions to run the 'set' command"), refusal(NO_KEY)):
        plain.instead |= {"SET": no_set, "GET": no_get}
        setup = setup_at(plain, tmp_path)
        check = setup.check().check
        setup.close()
        (tmp_path / "history.db").unlink()
        assert check.outcome is Outcome.PERMISSION_DENIED
        assert check.detail.startswith("SET: NOPERM")
        assert check.detail.endswith("'get' command")
        assert judge_check(check, PROFILE).code is VerdictCode.AS_THE_OUTCOME_SAYS
    plain.instead.clear()
    plain.instead["SET"] = refusal("NOPERM this user has no permissions to run the 'set' command")
    setup = setup_at(plain, tmp_path)
    assert judge_check(setup.check().check, PROFILE).code is VerdictCode.TOKEN_READ_ONLY
    setup.close()


def test_once_a_canary_found_trouble_only_a_fine_one_counts_as_fine(plain: RestDatabase, tmp_path: Path) -> None:
    """Kept through everything that could hide it: PINGs, a restart, an outage, a slow answer, a refused key."""
    plain.instead["SET"] = refusal(FULL)
    setup = setup_at(plain, tmp_path)
    setup.check()
    assert kinds(setup.check(after=5 * SECONDS)) == [NotificationKind.OPENED]
    assert setup.check(after=5 * SECONDS).check.outcome is Outcome.CAPACITY_FULL  # a PING alone
    setup.restart()
    assert setup.check(after=5 * SECONDS).check.outcome is Outcome.CAPACITY_FULL

    plain.instead["PING"] = Answer(status=503)
    assert setup.check().check.outcome is Outcome.SERVER_ERROR  # the canary is due, and has to wait
    del plain.instead["PING"]
    sent = plain.commands.count("SET")
    back = setup.check(after=5 * SECONDS)
    assert back.check.outcome is Outcome.CAPACITY_FULL
    assert plain.commands.count("SET") == sent + 1

    plain.instead["SET"] = refusal(NO_KEY)  # it tells nothing any more
    refused = setup.check()
    assert refused.check.outcome is Outcome.CAPACITY_FULL
    assert "by now the canary's key is not allowed; before: SET: ERR DB capacity" in refused.check.detail
    assert setup.check(after=5 * SECONDS).check.outcome is Outcome.CAPACITY_FULL

    plain.instead.clear()
    assert setup.check().check.outcome is Outcome.OK
    assert kinds(setup.check(after=5 * SECONDS)) == [NotificationKind.CLOSED]
    setup.close()


def test_a_slow_ping_does_not_hide_what_the_canary_found(plain: RestDatabase, tmp_path: Path) -> None:
    """Slow is no failure, and the database is still full."""
    plain.instead["SET"] = refusal(FULL)
    setup = setup_at(plain, tmp_path, slow=timedelta(microseconds=1))
    assert setup.check().check.outcome is Outcome.CAPACITY_FULL
    assert setup.check(after=5 * SECONDS).check.outcome is Outcome.CAPACITY_FULL
    plain.instead["SET"] = refusal(FULL)
    between = setup.check(after=5 * SECONDS)
    assert (between.check.outcome, between.check.canary) == (Outcome.CAPACITY_FULL, None)
    setup.close()


def test_a_canary_that_is_turned_off_is_asked_no_more(plain: RestDatabase, tmp_path: Path) -> None:
    """In order: full, told; off: PING decides, or nothing could end it; on again: it is asked at once."""
    plain.instead["SET"] = refusal(FULL)
    setup = setup_at(plain, tmp_path)
    setup.check()
    assert kinds(setup.check(after=5 * SECONDS)) == [NotificationKind.OPENED]
    setup.set_canary(None)
    assert setup.check().check.outcome is Outcome.OK
    assert kinds(setup.check(after=5 * SECONDS)) == [NotificationKind.CLOSED]
    sent = plain.commands.count("SET")
    setup.check(after=HOUR)
    assert plain.commands.count("SET") == sent
    setup.set_canary(HOUR)
    again = setup.check()
    assert (again.check.outcome, again.check.canary is not None) == (Outcome.CAPACITY_FULL, True)
    setup.close()


def test_where_everything_is_forgotten_a_run_by_day_sends_none(plain: RestDatabase, tmp_path: Path) -> None:
    """Neither with its first check nor with those that decide; what is remembered all the same is gone by."""
    setup = setup_at(plain, tmp_path)
    setup.first_canary = False
    setup.restart()
    assert setup.check().check.canary is None
    assert setup.check(after=HOUR).check.canary is None
    assert set(plain.commands) == {"PING"}
    setup.first_canary = True
    setup.restart()
    assert setup.check().check.canary is not None
    setup.first_canary = False
    setup.restart()
    assert setup.check().check.canary is None  # not due
    assert setup.check(after=HOUR).check.canary is not None
    setup.close()


def test_a_failed_canary_is_beside_the_workers_connection(upstash: UpstashStandIn, tmp_path: Path) -> None:
    """`rediss://` answers and the canary found a stale read or a full database: that stands, with the facts."""
    with redis_server(tmp_path, token=TOKEN) as redis:
        setup = CheckSetup(tmp_path, upstash.url.replace("127.0.0.1", "localhost"), canary=HOUR, redis=redis)
        upstash.fault = UpstashFault.CAPACITY
        check = setup.check().check
        assert check.outcome is Outcome.CAPACITY_FULL
        assert check.detail.endswith("; rediss:// answers")
        setup.close()
