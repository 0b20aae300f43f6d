"""The history read back: in `run` through the store thread, in one-shot commands from the file."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypedDict

import pytest

from monitor.alerts.holds import Silence
from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.checks.observation import Check, Fact, Outcome, Phases
from monitor.config.settings import DatabaseSettings, HistorySettings, MaintenanceSettings, Settings
from monitor.diagnosis.verdicts import VerdictCode
from monitor.lib.text import Secret
from monitor.lib.threads import SerialThread
from monitor.report.overview import Archive, Overview, open_archive
from monitor.store.errors import (
    ForeignFileError,
    MissingFileError,
    NewerFileError,
    RefusedFileError,
    UnknownDatabaseError,
    UnreadableFileError,
)
from monitor.store.rollups.model import DatabaseStatus, Gap, Grain
from monitor.store.store import Store
from tests.judging import judge

START = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
OK, SLOW, TIMEOUT, REJECTED = Outcome.OK, Outcome.SLOW, Outcome.RESPONSE_TIMEOUT, Outcome.TOKEN_REJECTED


class Span(TypedDict):
    """What is asked of a history."""

    start: datetime
    end: datetime
    grain: Grain


class Monitored:
    """Two databases of the settings and a store on a real file, with a clock that tests move."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "history.db"
        self.now = START
        self.settings = Settings(
            databases=(
                DatabaseSettings(name="main", url=Secret("https://h"), token=Secret("t")),
                DatabaseSettings(name="cache", canary=HOUR, interval=5 * MINUTE, slow=timedelta(seconds=1)),
            ),
            history=HistorySettings(path=str(self.path)),
        )
        self.store = Store(self.path, channels=("slack",), log=lambda level, text: None, clock=self.clock)
        self.store_thread = SerialThread("store")
        self.overview = Overview(self.settings, self.store, self.store_thread, self.clock)

    def clock(self) -> datetime:
        return self.now

    def close(self) -> None:
        self.store_thread.stop(self.store.close)

    def checks(
        self, *outcomes: Outcome, database: str = "main", every: timedelta = MINUTE, dns: float = 1.0
    ) -> None:
        """A check each so often, and the clock goes on."""
        for outcome in outcomes:
            phases = Phases(dns=dns, connect=8.0, tls=9.0, wait=20.0, read=0.5, total=40.0)
            check = Check(
                database=database,
                at=self.now,
                outcome=outcome,
                detail="" if outcome is OK else "seen",
                http_status=200 if outcome is OK else None,
                phases=phases if outcome in (OK, SLOW) else Phases(dns=dns),
            )
            self.store.record(
                check,
                judge(check),
                interval=every,
            )
            self.now += every


@pytest.fixture
def monitored(tmp_path: Path) -> Iterator[Monitored]:
    monitored = Monitored(tmp_path)
    yield monitored
    monitored.close()


def test_statuses_have_the_state_of_each_database_of_the_settings(monitored: Monitored) -> None:
    """In their order: latest check, open incident, schedule and what it costs, ninety days that end now."""
    monitored.checks(*[OK] * 20, TIMEOUT, TIMEOUT, TIMEOUT)
    monitored.checks(OK, database="gone from the settings")
    main, cache = asyncio.run(monitored.overview.statuses())
    assert (main.database, cache.database) == ("main", "cache")
    assert main.latest is not None
    assert (main.latest.outcome, main.latest.detail) == (TIMEOUT, "seen")
    assert main.incident is not None
    assert (main.incident.id, main.incident.opened_at) == (1, START + 20 * MINUTE)
    assert len(main.days) == 90
    assert (main.days[0].start, main.days[-1].start) == (
        START.replace(hour=0, minute=0) - 89 * DAY,
        START.replace(hour=0, minute=0),
    )
    today = main.days[-1]
    assert (today.checks, today.checks_failed, today.uptime.up, today.uptime.down) == (
        23,
        3,
        20 * MINUTE,
        2 * MINUTE,
    )
    assert all(day.checks == 0 and day.uptime.share is None for day in main.days[:-1])
    assert (cache.latest, cache.incident) == (None, None)
    assert (cache.schedule.interval, cache.schedule.canary, cache.schedule.slow) == (
        5 * MINUTE,
        HOUR,
        timedelta(seconds=1),
    )
    assert cache.schedule.budget.billed == 2160


def test_a_status_has_the_first_check_and_the_last_ones(monitored: Monitored) -> None:
    """The first one to the millisecond, and to the hour once it was deleted; of the last ones forty."""
    asking = monitored.overview
    assert asyncio.run(asking.status("main")).since is None
    monitored.checks(*[OK] * 50)
    status = asyncio.run(asking.status("main"))
    assert status.since == START
    assert [check.at for check in status.recent] == [START + number * MINUTE for number in range(49, 9, -1)]
    monitored.now += 3 * DAY
    monitored.checks(OK)
    monitored.store.prune(monitored.now, DAY)
    status = asyncio.run(asking.status("main"))
    assert status.since == START.replace(minute=0)
    assert len(status.recent) == 1


def test_past_incidents_are_of_all_databases_and_the_newest_first(monitored: Monitored) -> None:
    """Only those that are over."""
    assert asyncio.run(monitored.overview.past_incidents()) == ()
    monitored.checks(OK, REJECTED, REJECTED, OK, OK, OK, OK, database="cache")
    monitored.checks(REJECTED, REJECTED, OK, OK, OK, OK, REJECTED, REJECTED)
    past = asyncio.run(monitored.overview.past_incidents())
    assert [(name, one.id, one.cause) for name, one in past] == [("main", 2, REJECTED), ("cache", 1, REJECTED)]
    assert all(one.closed_at is not None for _, one in past)
    monitored.now -= 30 * DAY  # as in the demo, whose past is made one database after the other
    monitored.checks(REJECTED, REJECTED, OK, OK, OK, OK, database="cache")
    past = asyncio.run(monitored.overview.past_incidents())
    assert [one.notified_at for _, one in past] == sorted((one.notified_at for _, one in past), reverse=True)


def test_the_facts_of_the_latest_check_are_shown(monitored: Monitored) -> None:
    """So the page has the verdict that `check` has, before an incident opens and where none ever does."""
    archive = Archive(monitored.settings, file=monitored.store, clock=monitored.clock)
    finding = frozenset({Fact.KEY_NOT_ALLOWED})
    check = Check(database="main", at=monitored.now, outcome=OK, facts=finding)
    monitored.store.record(check, judge(check), interval=MINUTE)
    shown = archive.status("main")
    assert shown.latest is not None
    assert shown.latest.facts == finding
    assert shown.verdict is not None
    assert shown.verdict.code is VerdictCode.CANARY_KEY_NOT_ALLOWED
    monitored.checks(OK)
    shown = archive.status("main")
    assert shown.latest is not None
    assert shown.latest.facts == frozenset()


def test_a_history_has_slices_incidents_gaps_and_phases(monitored: Monitored) -> None:
    """All of one span; what goes on beyond its ends is cut to it."""
    monitored.checks(*[OK] * 60, TIMEOUT, TIMEOUT, TIMEOUT, OK, OK)
    monitored.now += 3 * HOUR
    monitored.checks(*[OK] * 30)
    start, end = START + 30 * MINUTE, START + 3 * HOUR
    found = asyncio.run(monitored.overview.history("main", start=start, end=end, grain=Grain.HOUR))
    assert [each.start for each in found.slices] == [start, start + HOUR, start + 2 * HOUR]
    assert (found.whole.start, found.whole.end, found.whole.checks, found.whole.checks_failed) == (
        start,
        end,
        35,
        3,
    )
    assert [(each.opened_at, each.closed_at) for each in found.incidents] == [
        (START + 60 * MINUTE, START + 63 * MINUTE)
    ]
    assert found.gaps == (Gap(start=START + 64 * MINUTE, end=end),)
    assert (found.whole.uptime.down, found.whole.uptime.unknown) == (3 * MINUTE, end - START - 64 * MINUTE)
    assert found.phases is not None
    assert found.phases.dns == pytest.approx(1.0, rel=0.05)
    assert found.phases.total == pytest.approx(40.0, rel=0.05)
    assert (found.before, found.phases_before) == (None, None)


def test_the_time_before_is_set_beside_it(monitored: Monitored) -> None:
    """Of the same length; nothing where nobody checked then."""
    monitored.checks(*[OK] * 60, dns=2.0)
    monitored.checks(*[OK] * 30, *[TIMEOUT] * 30, dns=30.0)
    span = Span(start=START + HOUR, end=START + 2 * HOUR, grain=Grain.HOUR)
    found = asyncio.run(monitored.overview.history("main", compare=True, **span))
    assert found.before is not None
    assert (found.before.start, found.before.end) == (START, START + HOUR)
    assert (found.before.checks, found.before.checks_failed) == (60, 0)
    assert found.phases_before is not None
    assert found.phases is not None
    assert found.phases_before.dns == pytest.approx(2.0, rel=0.05)
    assert found.phases.dns == pytest.approx(30.0, rel=0.05)
    first = Span(start=START, end=START + HOUR, grain=Grain.HOUR)
    assert asyncio.run(monitored.overview.history("main", compare=True, **first)).before is None


def test_a_pause_that_goes_on_is_a_gap_too(monitored: Monitored) -> None:
    """While the monitor stands still its history shows the gap; a pause of three intervals is none."""
    monitored.checks(OK, OK)
    for pause, gaps in ((3 * MINUTE, ()), (HOUR, (Gap(start=START + MINUTE, end=START + MINUTE + HOUR),))):
        end = START + MINUTE + pause
        found = asyncio.run(monitored.overview.history("main", start=START, end=end, grain=Grain.DAY))
        assert found.gaps == gaps


def test_while_the_next_round_of_check_is_not_due_nobody_is_missed(monitored: Monitored) -> None:
    """Whoever reads the file of rounds every five minutes is told of a gap after three of them."""
    monitored.checks(TIMEOUT, TIMEOUT, TIMEOUT, every=5 * MINUTE)
    last = START + 10 * MINUTE
    for pause, gaps in ((15 * MINUTE, ()), (HOUR, (Gap(start=last, end=last + HOUR),))):
        monitored.now = last + pause
        with open_archive(monitored.settings, clock=monitored.clock) as archive:
            found = archive.history("main", start=START, end=monitored.now, grain=Grain.DAY)
            record = archive.incident(1)
        assert record is not None
        assert found.gaps == gaps == record.gaps


def test_the_gaps_between_the_latest_checks_are_known(monitored: Monitored) -> None:
    """As they were noted: rounds of `check` were no gap, whatever the interval is now."""
    monitored.checks(OK, OK, every=5 * MINUTE)
    assert asyncio.run(monitored.overview.statuses())[0].gaps == ()
    monitored.now += HOUR
    monitored.checks(OK)
    [gap] = asyncio.run(monitored.overview.statuses())[0].gaps
    assert (gap.start, gap.end - gap.start) == (START + 5 * MINUTE, 5 * MINUTE + HOUR)


def test_single_checks_come_by_the_page_and_newest_first(monitored: Monitored) -> None:
    """Each page ends where the next begins; nothing twice, nothing missing."""
    monitored.checks(*[OK] * 10, TIMEOUT, *[OK] * 10)
    pages: list[Check] = []
    before = None
    while True:
        page = asyncio.run(
            monitored.overview.checks("main", start=START, end=monitored.now, before=before, limit=6)
        )
        pages += page
        if len(page) < 6:
            break
        before = page[-1].at
    assert [check.at for check in pages] == [START + number * MINUTE for number in reversed(range(21))]
    assert [check.outcome for check in pages].count(TIMEOUT) == 1
    assert pages[0].phases == Phases(dns=1.0, connect=8.0, tls=9.0, wait=20.0, read=0.5, total=40.0)
    half = asyncio.run(
        monitored.overview.checks("main", start=START + 5 * MINUTE, end=START + 8 * MINUTE, limit=100)
    )
    assert [check.at for check in half] == [START + number * MINUTE for number in (7, 6, 5)]


def test_days_that_are_kept_are_the_days_that_a_new_reading_finds(monitored: Monitored) -> None:
    """Checks come, minutes pass, midnight passes; an overview that is asked often agrees with a new one."""

    def asked_once() -> tuple[DatabaseStatus, ...]:
        fresh = Overview(monitored.settings, monitored.store, monitored.store_thread, monitored.clock)
        return asyncio.run(fresh.statuses())

    monitored.checks(*[OK] * 30, *[TIMEOUT] * 5, every=HOUR)
    for checks, pause in ((3, MINUTE), (20, MINUTE), (2, 11 * HOUR), (4, DAY)):
        monitored.checks(*[OK] * checks)
        assert asyncio.run(monitored.overview.statuses()) == asked_once()
        monitored.now += pause
        assert asyncio.run(monitored.overview.statuses()) == asked_once()


def test_the_latency_of_metrics_is_of_fine_checks_alone(monitored: Monitored) -> None:
    """Section 5.6 of the design; slow ones are counted among the outcomes. Summed up or not yet, pruned or not."""
    for _ in range(80):
        monitored.checks(OK, SLOW, TIMEOUT, OK)
        [main, _] = asyncio.run(monitored.overview.totals()).databases
        assert main.latency.count == main.outcomes[OK]
        assert main.latency.sum_ms == 20.5 * main.outcomes[OK]
    assert main.outcomes[SLOW] == 80
    monitored.store.prune(monitored.now + 2 * DAY, DAY)
    [main, _] = asyncio.run(monitored.overview.totals()).databases
    assert (main.latency.count, main.outcomes[OK]) == (160, 160)


def test_totals_never_fall(monitored: Monitored) -> None:
    """Checks, latencies and messages are counted for good, whatever is pruned."""
    monitored.checks(*[OK] * 100, TIMEOUT, TIMEOUT, TIMEOUT)
    last_success = START + 99 * MINUTE
    for status in (DeliveryStatus.RETRY, DeliveryStatus.CONFIRMED):
        delivery = monitored.store.claim("slack", monitored.now)
        assert delivery is not None
        monitored.store.acknowledge_delivery(
            delivery, DeliveryResult(status=status, detail="answer"), monitored.now, 0.0
        )
        monitored.now += MINUTE
    before = asyncio.run(monitored.overview.totals())
    main, cache = before.databases
    assert main.outcomes == {OK: 100, TIMEOUT: 3}
    assert (main.latency.count, main.latency.sum_ms, main.latency.count_at_most(20.0)) == (100, 2050.0, 0)
    assert main.latest is not None
    assert main.latest.outcome is TIMEOUT
    assert main.last_success_at == last_success
    assert (main.open_severity, main.open_cause) == (Severity.CRITICAL, TIMEOUT)
    assert cache.latest is None
    # The settings have no channel, so it is the log; nothing was sent there yet.
    tallies = {("slack", "failed"): 1, ("slack", "sent"): 1}
    assert before.notifications == {("log", "failed"): 0, ("log", "sent"): 0, **tallies}
    assert before.outbox_pending == 0
    monitored.now += 2000 * DAY
    monitored.store.prune(monitored.now, DAY)
    after = asyncio.run(monitored.overview.totals())
    later = after.databases[0]
    assert later.outcomes == main.outcomes
    assert later.latency == main.latency
    assert later.latest is None
    assert later.last_success_at == last_success.replace(minute=0)
    assert after.notifications == before.notifications


def test_totals_name_the_databases_whose_messages_are_held(monitored: Monitored) -> None:
    """By a silence and by maintenance, while they last."""
    monitored.store.silence(Silence(id=0, databases=("main",), start=START, end=START + HOUR))
    maintenance = MaintenanceSettings.model_validate({"databases": ["cache"], "cron": "25 10 * * *", "for": "30m"})
    monitored.settings = monitored.settings.model_copy(update={"maintenance": (maintenance,)})
    overview = Overview(monitored.settings, monitored.store, monitored.store_thread, monitored.clock)
    found = []
    for minutes in (0, 58, 70, 90):
        monitored.now = START + minutes * MINUTE
        found.append(sorted(asyncio.run(overview.totals()).quiet))
    assert found == [["main"], ["cache", "main"], ["cache"], []]


def test_a_database_that_is_no_longer_watched_can_be_asked_for(monitored: Monitored) -> None:
    """By its name, which is on the list; an unknown name is an error that lists the known ones."""
    monitored.checks(OK, OK, database="old")
    archive = Archive(monitored.settings, file=monitored.store, clock=monitored.clock)
    assert archive.names() == (
        "main",
        "cache",
        "old",
    )
    span = Span(start=START, end=START + HOUR, grain=Grain.HOUR)
    assert asyncio.run(monitored.overview.history("old", **span)).whole.checks == 2
    assert asyncio.run(monitored.overview.history("cache", **span)).whole.checks == 0
    with pytest.raises(UnknownDatabaseError, match=r"found 'main2'. Next: name one of main, cache, old"):
        asyncio.run(monitored.overview.history("main2", **span))
    with pytest.raises(UnknownDatabaseError):
        asyncio.run(monitored.overview.checks("main2", start=START, end=monitored.now, limit=1))


def test_the_history_can_be_asked_while_the_file_cannot_be_written(monitored: Monitored, tmp_path: Path) -> None:
    """Memory stands in: what was seen since then is there, and all of it once the file is back."""
    monitored.checks(*[OK] * 5)
    for part in sorted(tmp_path.glob("history.db*")):
        part.rename(part.with_name("away" + part.name))
    (tmp_path / "history.db").mkdir()
    monitored.checks(TIMEOUT)
    assert monitored.store.is_in_memory
    span = Span(start=START, end=START + HOUR, grain=Grain.HOUR)
    assert asyncio.run(monitored.overview.history("main", **span)).whole.outcomes == {TIMEOUT: 1}
    (tmp_path / "history.db").rmdir()
    for part in sorted(tmp_path.glob("away*")):
        part.rename(part.with_name(part.name.removeprefix("away")))
    monitored.now += MINUTE  # the file is tried now and then
    monitored.checks(OK)
    whole = asyncio.run(monitored.overview.history("main", **span)).whole
    assert (whole.outcomes, whole.uptime.up, whole.uptime.down) == ({OK: 6, TIMEOUT: 1}, 5 * MINUTE, 2 * MINUTE)


def test_a_command_reads_the_same_from_the_file_and_leaves_no_trace(monitored: Monitored) -> None:
    """While `run` writes to it, and when nobody has it open; not a byte and not a file more."""
    monitored.checks(*[OK] * 90, TIMEOUT, TIMEOUT, TIMEOUT)
    span = Span(start=START, end=START + 2 * HOUR, grain=Grain.HOUR)
    want = asyncio.run(monitored.overview.history("main", **span))
    with open_archive(monitored.settings, clock=monitored.clock) as archive:
        assert archive.history("main", **span) == want
        assert tuple(map(archive.status, ("main", "cache"))) == asyncio.run(monitored.overview.statuses())
        assert archive.totals() == asyncio.run(monitored.overview.totals())
        [incident] = archive.history("main", **span).incidents
        assert incident.severity is Severity.CRITICAL
    monitored.store.close()
    before = {part.name: part.read_bytes() for part in monitored.path.parent.iterdir()}
    with open_archive(monitored.settings, clock=monitored.clock) as archive:
        assert archive.history("main", **span) == want
    assert {part.name: part.read_bytes() for part in monitored.path.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, MissingFileError),
        (b"no database at all" * 400, UnreadableFileError),
        ("PRAGMA user_version = 99", NewerFileError),
        ("CREATE TABLE customers (name)", ForeignFileError),
    ],
    ids=["missing", "damaged", "newer", "foreign"],
)
def test_a_file_that_cannot_be_read_is_refused_with_a_reason(
    tmp_path: Path, content: bytes | str | None, error: type[RefusedFileError]
) -> None:
    """Each by its name, with what to do next; nothing is made in its place."""
    path = tmp_path / "history.db"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        make(path, content)
    before = [(part.name, part.read_bytes()) for part in tmp_path.iterdir()]
    settings = Settings(databases=(DatabaseSettings(name="main"),), history=HistorySettings(path=str(path)))
    with pytest.raises(error, match="Next: "), open_archive(settings, clock=lambda: START) as archive:
        archive.status("main")
    assert [(part.name, part.read_bytes()) for part in tmp_path.iterdir()] == before


def make(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path)) as shell, shell:
        shell.execute(sql)


def test_a_channel_that_is_broken_or_confirms_nothing_has_a_line(monitored: Monitored) -> None:
    """Since when and why; the last answer counts, and a confirmation ends it. The settings' channel is the log."""

    def troubles(status: DeliveryStatus, detail: str) -> tuple[str, ...]:
        notification = Notification(kind=NotificationKind.TEST, created_at=monitored.now, title="a test")
        monitored.store.enqueue(notification, channels=["log"])
        delivery = monitored.store.claim("log", monitored.now)
        assert delivery is not None
        result = DeliveryResult(status=status, detail=detail)
        monitored.store.acknowledge_delivery(delivery, result, monitored.now, 0.0)
        return asyncio.run(monitored.overview.channel_troubles())

    def is_ok() -> bool:
        return asyncio.run(monitored.overview.totals()).channel_is_ok["log"]

    assert troubles(DeliveryStatus.UNCONFIRMED, "something answered 200") == (
        "channel log confirms no message since 2026-11-20 09:30:00 UTC: something answered 200",
    )
    assert is_ok()
    assert troubles(DeliveryStatus.PERMANENT, "it refused") == (
        "channel log is broken since 2026-11-20 09:30:00 UTC: it refused",
    )
    assert not is_ok()
    monitored.now += DAY / 2
    assert troubles(DeliveryStatus.CONFIRMED, "ok") == ()
    assert is_ok()
    lost = DeliveryResult(status=DeliveryStatus.RETRY, detail="no connection")
    monitored.store.note_probe("log", lost, monitored.now)
    assert asyncio.run(monitored.overview.channel_troubles()) == (
        "channel log cannot be reached since 2026-11-20 21:30:00 UTC: no connection",
    )
    assert not is_ok()
