"""What several databases have together is told in few messages: the first at once, the others in one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.alerts.holds import Silence
from monitor.alerts.retry_policy import Delivery, DeliveryResult, DeliveryStatus
from monitor.checks.observation import Outcome
from monitor.config.settings import AlertSettings
from tests.judging import QUICK_RULES
from tests.store.conftest import CONFIRMED, StoreSetup
from tests.store.readers import Readers

OK, REJECTED, REFUSED = Outcome.OK, Outcome.TOKEN_REJECTED, Outcome.CONNECTION_REFUSED
NO_TIME, SECOND, MINUTE = timedelta(0), timedelta(seconds=1), timedelta(minutes=1)
BUSY = DeliveryResult(
    status=DeliveryStatus.RETRY, detail="429 Too Many Requests", retry_after=timedelta(seconds=5)
)
FLAPPING = AlertSettings.model_validate(QUICK_RULES | {"flapping": {"times": 8, "within": "20m"}})
NAMES = [f"db{number}" for number in range(1, 21)]


@pytest.fixture
def setup(tmp_path: Path) -> Iterator[StoreSetup]:
    setup = StoreSetup(tmp_path / "history.db", group_within=MINUTE)
    yield setup
    setup.store.close()


def told(setup: StoreSetup, channel: str = "slack") -> list[tuple[str, list[int]]]:
    """What is due, delivered: the kind of each message, and the incidents that it tells of."""
    found = []
    while delivery := setup.store.claim(channel, setup.now):
        found.append(_told_by(delivery))
        setup.store.acknowledge_delivery(delivery, CONFIRMED, setup.now, 0.0)
    return found


def _told_by(delivery: Delivery) -> tuple[str, list[int]]:
    notification = delivery.notification
    incidents = [one.incident or 0 for one in notification.includes or (notification,)]
    assert sorted(incidents) == sorted({message.notification.incident or 0 for message in delivery.messages})
    return notification.kind.value, incidents


def check_all(setup: StoreSetup, outcome: Outcome, *, names: list[str] = NAMES) -> None:
    """Two checks of each, which open or close an incident; a tenth of a second between two databases."""
    for name in names:
        setup.check(outcome, database=name, after=timedelta(seconds=0.1))
        setup.check(outcome, database=name, after=NO_TIME)


def test_a_receiver_that_goes_by_numbers_is_told_of_each_apart(tmp_path: Path) -> None:
    """At once, after a silence, and where a day was missed: an event of several has no key that ends it."""
    setup = StoreSetup(tmp_path / "history.db", group_within=MINUTE, apart=["pagerduty"], channels=("pagerduty",))
    names = NAMES[:3]

    def apart(kind: str, first: int) -> list[tuple[str, list[int]]]:
        return [(kind, [number]) for number in range(first, first + 3)]

    with closing(setup.store):
        for kind, outcome in (("opened", REJECTED), ("closed", OK)):
            check_all(setup, outcome, names=names)
            assert told(setup, "pagerduty") == apart(kind, 1)
        setup.store.silence(Silence(id=0, databases=(), start=setup.now, end=setup.now + MINUTE))
        check_all(setup, REJECTED, names=names)
        setup.now += MINUTE
        check_all(setup, REJECTED, names=names)
        assert told(setup, "pagerduty") == apart("opened", 4)
        check_all(setup, OK, names=names)
        setup.now += timedelta(days=2)
        check_all(setup, OK, names=names)
        assert told(setup, "pagerduty") == apart("missed", 4)


def test_twenty_at_once_are_two_messages_and_so_are_their_ends(setup: StoreSetup) -> None:
    """The first at once, the others when a quarter of the time brought no more; all within a minute."""
    check_all(setup, REJECTED)
    assert told(setup) == [("opened", [1])]
    setup.restart_after_a_kill()
    due = setup.store.next_due("slack")
    assert due == setup.now + MINUTE / 4
    setup.now = due
    assert told(setup) == [("opened", list(range(2, 21)))]
    check_all(setup, OK)
    setup.now += MINUTE
    assert told(setup) == [("closed", [1]), ("closed", list(range(2, 21)))]
    setup.now += timedelta(hours=1)
    assert told(setup) == []
    assert [kind for kind, _ in told(setup, "telegram")] == ["missed", "missed"]


def test_another_cause_and_a_later_one_are_told_at_once(setup: StoreSetup) -> None:
    """So is the first change of cause; another to the same one is held to be told with those that follow."""
    check_all(setup, REJECTED, names=["db1", "db2"])
    for _ in range(3):
        setup.check(REFUSED, database="db3", after=NO_TIME)
    assert told(setup) == [("opened", [1]), ("opened", [3])]
    setup.now += MINUTE
    assert told(setup) == [("opened", [2])]
    check_all(setup, REJECTED, names=["db4"])
    assert told(setup) == [("opened", [4])]
    check_all(setup, REFUSED, names=["db1", "db2"])
    assert told(setup) == [("changed", [1])]
    setup.now += MINUTE
    assert told(setup) == [("changed", [2])]


def test_twenty_that_were_slow_and_go_down_are_two_messages(setup: StoreSetup) -> None:
    """As openings are: they are critical by then, and the group says what all of them have come to."""
    names = NAMES[:5]
    for _ in range(5):
        for name in names:
            setup.check(Outcome.SLOW, database=name, after=SECOND)
    setup.now += MINUTE
    assert told(setup) == [("opened", [1]), ("opened", [2, 3, 4, 5])]
    check_all(setup, REJECTED, names=names)
    assert told(setup) == [("changed", [1])]
    setup.now += MINUTE
    delivery = setup.store.claim("slack", setup.now)
    assert delivery is not None
    assert _told_by(delivery) == ("changed", [2, 3, 4, 5])
    assert delivery.notification.title == "4 databases, now: token rejected"
    assert delivery.notification.is_beginning


def test_follow_ups_of_several_reply_where_one_message_told_of_all(setup: StoreSetup) -> None:
    """Where the beginnings of those that end together were two messages, the end replies to none."""
    replies = []

    def tell_after_a_minute() -> None:
        setup.now += MINUTE
        while delivery := setup.store.claim("slack", setup.now):
            replies.append((delivery.notification.kind.value, delivery.reply_to))
            result = replace(CONFIRMED, message_ref=f"-40 {len(replies)}")
            setup.store.acknowledge_delivery(delivery, result, setup.now, 0.0)

    for outcome, names in ((REJECTED, NAMES[:3]), (REJECTED, NAMES[3:5]), (OK, NAMES[:5])):
        check_all(setup, outcome, names=names)
        tell_after_a_minute()
    assert replies == [
        ("opened", None),
        ("opened", None),
        ("opened", None),
        ("opened", None),
        ("closed", "-40 1"),
        ("closed", None),
    ]
    check_all(setup, REJECTED, names=NAMES[5:8])
    tell_after_a_minute()
    check_all(setup, OK, names=NAMES[5:8])
    tell_after_a_minute()
    assert replies[8:] == [("closed", "-40 7"), ("closed", "-40 8")]


def test_those_that_open_again_together_are_told_so(tmp_path: Path) -> None:
    """Not as opened, a second time under the same numbers; where one of them is new, as opened."""
    setup = StoreSetup(tmp_path / "history.db", group_within=MINUTE, alerts=FLAPPING)
    with closing(setup.store):
        for outcome in (REJECTED, OK):
            check_all(setup, outcome, names=NAMES[:3])
            setup.now += MINUTE
            told(setup)
        check_all(setup, REJECTED, names=NAMES[:3])
        assert told(setup) == [("reopened", [1])]
        setup.now += MINUTE
        delivery = setup.store.claim("slack", setup.now)
        assert delivery is not None
        assert _told_by(delivery) == ("reopened", [2, 3])
        assert delivery.notification.title == "2 databases: unstable, token rejected again"


def test_a_database_that_fails_again_is_told_at_once(setup: StoreSetup) -> None:
    """Its own last incident is no group to wait for, where flapping is not looked for."""
    for kind, outcome in (("opened", REJECTED), ("closed", OK)) * 2:
        check_all(setup, outcome, names=["db1"])
        assert [found for found, _ in told(setup)] == [kind]


def test_what_comes_and_goes_while_it_is_held_is_told_as_that(setup: StoreSetup) -> None:
    """In one message too; what is still wrong is told as open."""
    check_all(setup, REJECTED, names=NAMES[:4])
    assert told(setup) == [("opened", [1])]
    check_all(setup, OK, names=["db2", "db3"])
    setup.now += MINUTE
    assert told(setup) == [("missed", [2, 3]), ("opened", [4])]


def test_a_channel_that_limits_the_rate_hears_of_openings_first(setup: StoreSetup) -> None:
    """And of all within a minute. Where there are few they come in order."""
    causes = [
        REJECTED,
        REFUSED,
        Outcome.QUOTA_EXCEEDED,
        Outcome.SERVER_ERROR,
        Outcome.URL_MISSING,
        Outcome.DNS_FAILED,
    ]
    for name, cause in zip(NAMES, causes, strict=False):
        for _ in range(3):
            setup.check(cause, database=name, after=NO_TIME)
    setup.now += MINUTE
    assert len(told(setup)) == len(causes)
    check_all(setup, OK, names=NAMES[: len(causes)])
    began = setup.now
    check_all(setup, REJECTED)
    delivery = setup.store.claim("slack", setup.now)
    assert delivery is not None
    assert _told_by(delivery) == ("opened", [7])
    setup.store.acknowledge_delivery(delivery, BUSY, setup.now, 0.0)
    found: list[tuple[str, list[int]]] = []
    while len(found) < len(causes) + 2:
        due = setup.store.next_due("slack")
        assert due is not None
        setup.now = max(setup.now, due)
        found += told(setup)
    assert found[0] == ("opened", [7])
    assert ("opened", list(range(8, 27))) in found
    assert setup.now - began < MINUTE


def test_acknowledging_one_acknowledges_the_group(setup: StoreSetup) -> None:
    """Whichever of it; another incident still reminds."""
    check_all(setup, REJECTED, names=NAMES[:3])
    for _ in range(3):
        setup.check(REFUSED, database="other", after=NO_TIME)
    assert (setup.store.told_with(1), setup.store.told_with(4)) == ([2, 3], [])
    assert setup.store.acknowledge_incident(3, setup.now)
    acknowledged = {incident.id for _, incident in setup.store.incidents() if incident.acknowledged_at}
    assert acknowledged == {1, 2, 3}


@pytest.mark.parametrize(("alone", "others"), [("db1", [2, 3]), ("db2", [1, 3])])
def test_what_opened_again_alone_is_acknowledged_alone(tmp_path: Path, alone: str, others: list[int]) -> None:
    """Whether it was the first of its group or not; and those that are left are still one group."""
    setup = StoreSetup(tmp_path / "history.db", alerts=FLAPPING, group_within=MINUTE)
    with closing(setup.store):
        check_all(setup, REJECTED, names=NAMES[:3])
        setup.now += MINUTE
        told(setup)
        check_all(setup, OK, names=[alone])
        setup.now += MINUTE
        told(setup)
        check_all(setup, REJECTED, names=[alone])
        assert told(setup) == [("reopened", [6 - sum(others)])]
        assert setup.store.told_with(6 - sum(others)) == []
        assert setup.store.told_with(others[0]) == others[1:]


def test_a_check_that_ends_tells_the_group_before_it_does(setup: StoreSetup) -> None:
    """It cannot wait for more of them, and may have no disk."""
    check_all(setup, REJECTED)
    setup.store.release_groups()
    assert told(setup) == [("opened", [1]), ("opened", list(range(2, 21)))]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("check", "check", "check", "deliver", "restart", "away")),
        st.sampled_from(("a", "b", "c")),
        st.sampled_from((OK, REJECTED, REFUSED)),
        st.sampled_from((0, 1, 20, 60, 700)),
        st.booleans(),
    ),
    max_size=40,
)
AWAY = DeliveryResult(status=DeliveryStatus.RETRY, detail="away")


@settings(max_examples=15)
@given(steps=STEPS)
def test_each_beginning_and_each_end_is_told_exactly_once(
    steps: list[tuple[str, str, Outcome, int, bool]],
) -> None:
    """To each channel, in order, through groups, holds, restarts and a channel that is away."""
    with TemporaryDirectory() as folder:
        setup = StoreSetup(Path(folder) / "history.db", group_within=MINUTE, alerts=FLAPPING)
        readers = Readers(setup.channels)

        def check(outcome: Outcome, name: str, after: int, hold: timedelta | None = None) -> None:
            recorded = setup.check(outcome, database=name, after=timedelta(seconds=after), hold=hold)
            readers.happens(recorded.transition.notifications)

        def deliver() -> None:
            for channel in setup.channels:
                while delivery := setup.store.claim(channel, setup.now):
                    readers.arrives(delivery, setup.now)
                    setup.store.acknowledge_delivery(delivery, CONFIRMED, setup.now, 0.0)

        for what, name, outcome, pause, is_held in steps:
            if what == "check":
                hold = timedelta(seconds=10) if is_held else None
                for _ in range(3):
                    check(outcome, name, pause, hold)
            elif what == "deliver":
                deliver()
            elif what == "restart":
                setup.restart()
            elif (delivery := setup.store.claim(setup.channels[is_held], setup.now)) is not None:
                setup.store.acknowledge_delivery(delivery, AWAY, setup.now, 0.0)
        for name in ("a", "b", "c"):
            for pause in (0, 60, 700):  # longer than what is unstable takes to be over
                check(OK, name, pause)
        setup.now += timedelta(minutes=10)
        deliver()
        readers.heard_all()
        assert not any(life.is_open for life in readers.lives.values())
        setup.store.close()


@pytest.mark.parametrize("away", [timedelta(minutes=10), timedelta(hours=25)])
def test_what_is_over_is_not_told_as_open_while_its_end_waits_for_a_group(
    setup: StoreSetup, away: timedelta
) -> None:
    """A channel that is back just after two recovered hears of each once, and that it is over."""
    check_all(setup, REJECTED, names=NAMES[:2])
    setup.now += away
    check_all(setup, OK, names=NAMES[:2])
    assert told(setup) == [("missed", [1])]
    setup.now += MINUTE + SECOND
    assert told(setup) == [("missed", [2])]


def test_a_new_channel_hears_of_each_that_recovers_once(tmp_path: Path) -> None:
    """Though it has to be told where things stand, and the end of the second waits for a group."""
    setup = StoreSetup(tmp_path / "history.db", ("telegram",), group_within=MINUTE)
    check_all(setup, REJECTED, names=NAMES[:2])
    setup.channels = ("telegram", "slack")
    setup.restart()
    check_all(setup, OK, names=NAMES[:2])
    first = told(setup)
    setup.now += MINUTE + SECOND
    assert first + told(setup) == [("missed", [1]), ("missed", [2])]
    setup.store.close()
