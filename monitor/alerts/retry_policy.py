"""When to try a delivery again, when to give up, and which waiting outbox messages one delivery covers.

Rules only: times and random numbers are handed in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from itertools import takewhile

from monitor.alerts.holds import Hold, HoldReason, grouped_kinds, shared_verdict, told_together
from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.lib.times import format_duration, format_time

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=5)
PAUSE_WHEN_REFUSED = timedelta(hours=1)
# A wait of that length, asked for by a channel, is told through the others.
LONG_WAIT = timedelta(hours=1)
# What has waited for so long is not sent as it is: by now other things may be true.
STALE_AFTER = timedelta(hours=24)
# Slack and Telegram take a short burst, and then about a message a second per channel.
BURST = 5
# Longer than a delivery may take: whoever is killed while sending leaves the message to be claimed again after it.
LEASE = timedelta(seconds=20)
_LATE = timedelta(minutes=2)
_JUST_NOW = timedelta(seconds=5)
_NEVER = datetime.min.replace(tzinfo=UTC)
_FIRST = (
    NotificationKind.OPENED,
    NotificationKind.ONGOING,
    NotificationKind.REOPENED,
    NotificationKind.CHANGED,
)
# One of these and the closing, both still waiting: the whole of it was missed.
_NEWS = (NotificationKind.OPENED, NotificationKind.ONGOING, NotificationKind.REOPENED)


class DeliveryStatus(Enum):
    """Whether a delivery arrived, was taken without a confirmation, may be tried again, or must not be."""

    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"
    RETRY = "retry"
    PERMANENT = "permanent"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatMove:
    """A Telegram chat that got another id. It counts while the settings have the old one."""

    old_chat_id: str
    new_chat_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryResult:
    """How a delivery ended. `detail` is short, in one line, and holds no secret.

    `retry_after` is the wait the channel asked for; `move` is a Telegram chat's new id, to be remembered;
    `message_ref` is what the channel calls the message, for replies to it.
    """

    status: DeliveryStatus
    detail: str
    retry_after: timedelta | None = None
    move: ChatMove | None = None
    message_ref: str | None = None

    @property
    def is_sent(self) -> bool:
        """Confirmed or not: it is not sent again. A receiver with words of its own would get it without end."""
        return self.status in (DeliveryStatus.CONFIRMED, DeliveryStatus.UNCONFIRMED)


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxMessage:
    """One notification for one channel, waiting in the outbox. `last_error` is `None` while it is being sent.

    One with a `hold` is not tried before that is over.
    """

    id: int
    channel: str
    notification: Notification
    created_at: datetime
    attempts: int = 0
    tried_at: datetime | None = None
    due_at: datetime | None = None
    last_error: str | None = None
    hold: Hold | None = None

    def is_held(self, now: datetime) -> bool:
        """A clock that was set back must not hold a message: one from the future is not held."""
        return self.hold is not None and self.created_at <= now < self.hold.until

    @property
    def ready_at(self) -> datetime:
        """Since when it waits for nothing but its delivery."""
        return self.created_at if self.hold is None else max(self.created_at, self.hold.until)

    @property
    def has_failed(self) -> bool:
        return self.last_error is not None

    @property
    def is_leased(self) -> bool:
        """True from the claim until it is acknowledged, or, after a kill, until the lease has run out."""
        return self.tried_at is not None and self.due_at is not None and not self.has_failed


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One message to send and the outbox messages that are acknowledged with it.

    `reply_to` is the `message_ref` of the first message about the same incident, or about all the same incidents.
    """

    channel: str
    notification: Notification
    messages: tuple[OutboxMessage, ...]
    reply_to: str | None = None

    @property
    def attempts(self) -> int:
        return max(message.attempts for message in self.messages)


def next_to_try(incidents: Sequence[Sequence[OutboxMessage]], now: datetime) -> Sequence[OutboxMessage] | None:
    """What to try now of the messages that wait for one channel, by incident, the oldest incident first.

    When anything is due, the oldest incident that failed goes first, so that people read events in order once the
    channel works again. When that has just failed, whatever waits longest for a try is next: the channel may
    refuse that one message only.
    """
    due = [waiting for waiting in incidents if is_due(waiting, now)]
    if len(due) > BURST:
        # A channel that takes so many one by one is late: what begins is what people wait for.
        incidents = sorted(incidents, key=lambda waiting: not _is_beginning(waiting))
        due.sort(key=lambda waiting: not _is_beginning(waiting))
    if not due:
        return None
    if any(has_failed_just_now(waiting, now) for waiting in incidents):
        return min(due, key=_last_try)
    return next(waiting for waiting in incidents if waiting in due or _may_go_first(waiting, now))


def _is_beginning(waiting: Sequence[OutboxMessage]) -> bool:
    notifications = [message.notification for message in waiting]
    return notifications[-1].kind is not NotificationKind.CLOSED and any(one.is_beginning for one in notifications)


def has_failed_just_now(messages: Iterable[OutboxMessage], now: datetime) -> bool:
    """True when one of these failed so lately that another failure is the channel's and not the message's."""
    return any(
        message.has_failed
        and message.tried_at is not None
        and message.tried_at <= now < message.tried_at + _JUST_NOW
        for message in messages
    )


def until_held(waiting: Sequence[OutboxMessage], now: datetime) -> Sequence[OutboxMessage]:
    """Those that came before the first that is held; all of them, which are then held, where that is the first.

    So they are where an end is the last that is free, or the last of all: by a channel that was away or quiet
    before, nobody is told that something is wrong which is over by now, or over which is wrong again.
    """
    held = [message for message in waiting if message.is_held(now)]
    if not held or held[0] is waiting[0]:
        return waiting
    free = list(takewhile(lambda message: message is not held[0], waiting))
    if free[-1].notification.until is None and waiting[-1].notification.until is None:
        return free
    return [replace(waiting[0], hold=held[-1].hold), *waiting[1:]]


def next_try(waiting: Sequence[OutboxMessage], now: datetime) -> datetime | None:
    """When the outbox messages of one incident are due; `None` for at once.

    A new message is due at once and takes along what waits of the same incident, unless one of them is being sent,
    or the first is held.
    """
    if waiting[0].hold is not None and waiting[0].is_held(now):
        return waiting[0].hold.until
    leases = [message.due_at for message in waiting if message.is_leased and message.due_at is not None]
    if leases:
        return max(leases)
    pauses = [message.due_at for message in waiting if message.due_at is not None]
    return min(pauses) if len(pauses) == len(waiting) else None


def pause_before_retry(attempts: int, requested: timedelta | None, jitter: float) -> timedelta:
    """The wait after try number `attempts`: 1 s doubling to 5 min, or longer where the channel requested it.

    `jitter` is a random number from 0 to 1; it adds up to a quarter, so that senders do not move in step.
    """
    # 2**20 s is beyond the longest pause already; more doublings would overflow a timedelta.
    doubled = FIRST_PAUSE * (1 << min(max(attempts - 1, 0), 20))
    pause = min(doubled, LONGEST_PAUSE) * (1 + jitter / 4)
    return pause if requested is None else max(pause, min(requested, STALE_AFTER))


def is_stale(waiting: Sequence[OutboxMessage], now: datetime) -> bool:
    """True when one of these has waited for a day. A hold is no waiting."""
    return any(now - message.ready_at >= STALE_AFTER for message in waiting)


def delivery_of(waiting: Sequence[OutboxMessage]) -> Delivery:
    """The one delivery of what waits of one incident; `waiting` has the oldest first.

    What opened and closed while the channel was away becomes a missed incident. Of an open incident the latest
    notification is sent, as the most important kind of those it covers.
    """
    kinds = {message.notification.kind: message.notification for message in waiting}
    latest = waiting[-1].notification
    if NotificationKind.UNWATCHED in kinds:
        notification = kinds[NotificationKind.UNWATCHED]
    elif latest.kind in (NotificationKind.CLOSED, NotificationKind.MISSED):
        is_news = latest.kind is NotificationKind.MISSED or not kinds.keys().isdisjoint(_NEWS)
        kind = NotificationKind.MISSED if is_news else NotificationKind.CLOSED
        nothing_reached = any(one.nothing_reached for one in kinds.values() if one.is_beginning)
        notification = replace(latest, kind=kind, nothing_reached=nothing_reached)
    else:
        # Missed and open again: nothing of it was told before.
        is_new = NotificationKind.MISSED in kinds
        kind = NotificationKind.OPENED if is_new else next((each for each in _FIRST if each in kinds), latest.kind)
        # Of several changes the first tells what people knew last.
        changes = [one.notification for one in waiting if one.notification.kind is NotificationKind.CHANGED]
        before = changes[0].before if changes else latest.before
        notification = replace(latest, kind=kind, before=before)
    return Delivery(channel=waiting[0].channel, notification=notification, messages=tuple(waiting))


def next_delivery(
    waiting: Sequence[OutboxMessage],
    others: Iterable[Sequence[OutboxMessage]] = (),
    deliver: Callable[[Sequence[OutboxMessage]], Delivery] = delivery_of,
) -> Delivery:
    """The one delivery that covers what waits of one incident for one channel; `waiting` has the oldest first.

    With it go those of the `others` that were held to be told together with it, where they come to the same, and
    after a silence or maintenance all that came and went. `deliver` makes of each its own delivery.
    """
    delivery = deliver(waiting)
    hold, notification = waiting[0].hold, delivery.notification
    if hold is None or notification.incident is None or not (hold.reason.is_quiet or hold.with_incident):
        return delivery
    with_it = [other for other in others if _is_held_with(other, hold) and other[0].id != waiting[0].id]
    found = [
        each
        for each in map(deliver, sorted([waiting, *with_it], key=lambda each: each[0].id))
        if each.notification.incident == notification.incident
        or _are_told_together(each.notification, notification, is_quiet=hold.reason.is_quiet)
    ]
    return Delivery(
        channel=delivery.channel,
        notification=told_together([each.notification for each in found]),
        messages=tuple(message for each in found for message in each.messages),
    )


def _are_told_together(one: Notification, other: Notification, *, is_quiet: bool) -> bool:
    if is_quiet and one.kind is other.kind is NotificationKind.MISSED:
        return True
    if is_quiet and not grouped_kinds(one.kind):
        return False
    is_same = one.kind is other.kind or (one.kind.is_opening and other.kind.is_opening)
    return is_same and one.cause is other.cause


def _is_held_with(waiting: Sequence[OutboxMessage], hold: Hold) -> bool:
    other = waiting[0].hold
    if other is None or hold.reason.is_quiet:
        return other is not None and other.reason.is_quiet
    return (other.reason, other.with_incident) == (hold.reason, hold.with_incident)


def missed(
    waiting: Sequence[Sequence[OutboxMessage]], standing: Sequence[Notification], now: datetime
) -> Delivery:
    """The one delivery in place of all that has waited too long; `standing` tells where each of them stands now.

    What is still wrong comes first.
    """
    messages = tuple(message for each in waiting for message in each)
    if len(standing) == 1 and standing[0].incident is not None:
        notification = standing[0]
    else:
        parts = sorted(standing, key=lambda one: (one.is_good_news, one.incident is None))
        still = [one for one in parts if one.kind is NotificationKind.MISSED and not one.is_good_news]
        verdicts = {(one.verdict.code, one.verdict.outcome) for one in still if one.verdict is not None}
        noun = "message" if len(messages) == 1 else "messages"
        notification = Notification(
            kind=NotificationKind.MISSED,
            created_at=now,
            title=f"you missed this: {len(messages)} {noun} in "
            f"{format_duration(now - min(message.created_at for message in messages))}, "
            + (f"{len(still)} still open" if still else "nothing of it is open"),
            severity=Severity.CRITICAL
            if any(one.severity is Severity.CRITICAL and not one.is_good_news for one in parts)
            else Severity.WARNING,
            steps=("See what is open: upstash-monitor incidents.",) if still else (),
            verdict=shared_verdict(still) if len(verdicts) == 1 else None,
            includes=tuple(replace(one, verdict=None) for one in parts),
        )
    return Delivery(channel=messages[0].channel, notification=notification, messages=messages)


def late_note(delivery: Delivery, now: datetime) -> str | None:
    """One line for a message that comes so late that its reader may wonder; `None` for one in time."""
    late = now - min(message.ready_at for message in delivery.messages)
    if late < _LATE:
        return None
    return f"This comes {format_duration(late)} late: it could not be delivered before."


def held_note(delivery: Delivery) -> str | None:
    """One line for what a silence or maintenance held back; `None` for anything else."""
    holds = [one.hold for one in delivery.messages if one.hold is not None and one.hold.reason.is_quiet]
    if not holds:
        return None
    last = max(holds, key=lambda one: one.until)
    words = "maintenance" if last.reason is HoldReason.MAINTENANCE else "a silence"
    return f"Held back until {format_time(last.until)}: {words}."


def is_due(waiting: Sequence[OutboxMessage], now: datetime) -> bool:
    """True when these may be tried now."""
    if is_under_way(waiting, now) or waiting[0].is_held(now):
        return False
    return not all(_waits(message, now) for message in waiting)


def _may_go_first(waiting: Sequence[OutboxMessage], now: datetime) -> bool:
    has_failed = any(message.has_failed for message in waiting)
    return (
        has_failed
        and not is_under_way(waiting, now)
        and not waiting[0].is_held(now)
        and not _last_try(waiting) <= now < _last_try(waiting) + FIRST_PAUSE
    )


def is_under_way(waiting: Sequence[OutboxMessage], now: datetime) -> bool:
    """True while one of these is being sent."""
    return any(message.is_leased and _waits(message, now) for message in waiting)


def _last_try(waiting: Sequence[OutboxMessage]) -> datetime:
    return max(message.tried_at or _NEVER for message in waiting)


def _waits(message: OutboxMessage, now: datetime) -> bool:
    """A clock that was set back must not hold a message: a try in the future counts as long ago."""
    return message.due_at is not None and (message.tried_at or message.created_at) <= now < message.due_at
