"""When to try a delivery again, when to give up, and which waiting outbox messages one message covers.

Sending happens in `channels`, remembering in `store`; this file reads no clock and draws no random number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

from monitor.alerts.notification import Notification, NotificationKind
from monitor.lib.times import format_duration

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=5)
PAUSE_WHEN_REFUSED = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=24)
LEASE = timedelta(seconds=20)
_LATE = timedelta(minutes=2)
_JUST_NOW = timedelta(seconds=5)
_NEVER = datetime.min.replace(tzinfo=UTC)


class DeliveryStatus(Enum):
    """The one question about a delivery: did it arrive, may it be tried again, or never?"""

    CONFIRMED = "confirmed"
    RETRY = "retry"
    PERMANENT = "permanent"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChatMove:
    """A chat that got another number. Whoever sets a third one in the settings means that one."""

    old_chat_id: str
    new_chat_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryResult:
    """A channel's answer. `detail` is short, in one line, and holds no secret.

    `retry_after` is the wait the channel asked for; `move` is a Telegram chat's new number, to be remembered.
    """

    status: DeliveryStatus
    detail: str
    retry_after: timedelta | None = None
    move: ChatMove | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxMessage:
    """One notice for one channel, waiting in the outbox. `last_error` is `None` while it is on its way."""

    id: int
    channel: str
    notification: Notification
    created_at: datetime
    attempts: int = 0
    tried_at: datetime | None = None
    due_at: datetime | None = None
    last_error: str | None = None

    @property
    def has_failed(self) -> bool:
        return self.last_error is not None

    @property
    def is_leased(self) -> bool:
        """True from a claim until it is settled, or, after a kill, until the lease has run out."""
        return self.tried_at is not None and self.due_at is not None and not self.has_failed


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """One message to send and the outbox messages that are settled with it."""

    channel: str
    notification: Notification
    messages: tuple[OutboxMessage, ...]

    @property
    def attempts(self) -> int:
        return max(message.attempts for message in self.messages)

    def late_by(self, now: datetime) -> timedelta:
        """How long the oldest of its outbox messages has waited."""
        return now - min(message.created_at for message in self.messages)


def next_to_try(incidents: Sequence[Sequence[OutboxMessage]], now: datetime) -> Sequence[OutboxMessage] | None:
    """The outbox messages to try now, of what waits for one channel: outbox messages by incident, the oldest
    incident first.

    When anything is due the oldest that failed goes first, so that the story is told in order once the channel is
    back. When it has just failed again, whatever waits longest for a try is next: it may be that one message which
    the channel stumbles over.
    """
    due = [waiting for waiting in incidents if _is_due(waiting, now)]
    if not due:
        return None
    if any(has_failed_just_now(waiting, now) for waiting in incidents):
        return min(due, key=_last_try)
    return next(waiting for waiting in incidents if waiting in due or _may_go_first(waiting, now))


def has_failed_just_now(messages: Iterable[OutboxMessage], now: datetime) -> bool:
    """True when one of these failed so lately that another failure means: it is the channel, not the message."""
    return any(
        message.has_failed
        and message.tried_at is not None
        and message.tried_at <= now < message.tried_at + _JUST_NOW
        for message in messages
    )


def next_try(waiting: Sequence[OutboxMessage]) -> datetime | None:
    """When the outbox messages of one incident are due; `None` for at once.

    News is due at once and takes along what waits of the same incident, but it waits for what is on its way.
    """
    leases = [message.due_at for message in waiting if message.is_leased and message.due_at is not None]
    if leases:
        return max(leases)
    pauses = [message.due_at for message in waiting if message.due_at is not None]
    return min(pauses) if len(pauses) == len(waiting) else None


def pause_before_retry(attempts: int, wish: timedelta | None, jitter: float) -> timedelta:
    """The wait after try number `attempts`: 1 s doubling to 5 min, or longer where the channel wishes it.

    `jitter` is a random number from 0 to 1; it adds up to a quarter, so that senders do not move in step.
    """
    doubled = FIRST_PAUSE * (1 << min(max(attempts - 1, 0), 20))
    pause = min(doubled, LONGEST_PAUSE) * (1 + jitter / 4)
    return pause if wish is None else max(pause, min(wish, GIVE_UP_AFTER))


def should_give_up(message: OutboxMessage, now: datetime) -> bool:
    """True after a day of trying."""
    return now - message.created_at >= GIVE_UP_AFTER


def next_delivery(waiting: Sequence[OutboxMessage]) -> Delivery:
    """The one message that covers what waits for one channel of one incident, oldest outbox message first, at
    least one.

    What opened and closed while the channel was away is told as missed. Of an incident that goes on, the message
    says where things stand by the latest outbox message, under the most telling kind of those it covers.
    """
    kinds = {message.notification.kind: message.notification for message in waiting}
    latest = waiting[-1].notification
    if NotificationKind.CLOSED in kinds:
        notification = replace(
            kinds[NotificationKind.CLOSED],
            kind=NotificationKind.MISSED if NotificationKind.OPENED in kinds else NotificationKind.CLOSED,
        )
    else:
        kind = next(
            (kind for kind in (NotificationKind.OPENED, NotificationKind.CHANGED) if kind in kinds), latest.kind
        )
        before = kinds[NotificationKind.CHANGED].before if NotificationKind.CHANGED in kinds else latest.before
        notification = replace(latest, kind=kind, before=before)
    return Delivery(channel=waiting[0].channel, notification=notification, messages=tuple(waiting))


def late_note(delivery: Delivery, now: datetime) -> str | None:
    """One line for a message that comes so late that its reader may wonder; `None` for one in time."""
    late = delivery.late_by(now)
    if late < _LATE:
        return None
    return f"This comes {format_duration(late)} late: it could not be delivered before."


def _is_due(waiting: Sequence[OutboxMessage], now: datetime) -> bool:
    return not _is_under_way(waiting, now) and not all(_waits(message, now) for message in waiting)


def _may_go_first(waiting: Sequence[OutboxMessage], now: datetime) -> bool:
    has_failed = any(message.has_failed for message in waiting)
    return (
        has_failed
        and not _is_under_way(waiting, now)
        and not _last_try(waiting) <= now < _last_try(waiting) + FIRST_PAUSE
    )


def _is_under_way(waiting: Sequence[OutboxMessage], now: datetime) -> bool:
    return any(message.is_leased and _waits(message, now) for message in waiting)


def _last_try(waiting: Sequence[OutboxMessage]) -> datetime:
    return max(message.tried_at or _NEVER for message in waiting)


def _waits(message: OutboxMessage, now: datetime) -> bool:
    """A clock that was set back must not hold a outbox message: a try in the future counts as long ago."""
    return message.due_at is not None and (message.tried_at or message.created_at) <= now < message.due_at
