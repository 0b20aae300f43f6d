"""When to try a delivery again, when to give up, and which waiting parcels one message covers.

Sending happens in `channels`, remembering in `store`; this file reads no clock and draws no random number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from monitor.core.notice import Kind, Notice

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=5)
LONGEST_WISH = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=24)
LEASE = timedelta(seconds=20)


class Verdict(Enum):
    """The one question about a delivery: did it arrive, may it be tried again, or never?"""

    CONFIRMED = "confirmed"
    RETRY = "retry"
    PERMANENT = "permanent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """A channel's answer. `detail` is short, in one line, and holds no secret.

    `retry_after` is the wait the channel asked for; `moved_to` is Telegram's new chat, to be remembered.
    """

    verdict: Verdict
    detail: str
    retry_after: timedelta | None = None
    moved_to: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """One notice for one channel, waiting in the outbox. `has_failed` is false while it is on its way."""

    id: int
    channel: str
    notice: Notice
    created_at: datetime
    attempts: int = 0
    tried_at: datetime | None = None
    due_at: datetime | None = None
    has_failed: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Dispatch:
    """One message to send and the parcels that are settled with it."""

    channel: str
    notice: Notice
    parcels: tuple[Parcel, ...]

    @property
    def attempts(self) -> int:
        return max(parcel.attempts for parcel in self.parcels)


def is_due(parcel: Parcel, now: datetime) -> bool:
    """True when the pause after the last try is over.

    A clock that was set back must not hold a parcel: a try in the future counts as long ago.
    """
    if parcel.tried_at is None or parcel.due_at is None:
        return True
    return not parcel.tried_at <= now < parcel.due_at


def goes_first(parcel: Parcel, now: datetime) -> bool:
    """True for one that failed through trouble of its channel, when a younger one is due.

    Tried right before the younger one it keeps the order of the story. It does not hold the younger one up, should
    it be this very message that the channel stumbles over, and a refused one does not come into it.
    """
    if not parcel.has_failed or parcel.tried_at is None or parcel.due_at is None:
        return False
    is_refused = parcel.due_at - parcel.tried_at >= LONGEST_WISH
    return not is_refused and now - parcel.tried_at >= FIRST_PAUSE


def pause_before_retry(attempts: int, wish: timedelta | None, jitter: float) -> timedelta:
    """The wait after try number `attempts`: 1 s doubling to 5 min, the channel's own wish first.

    `jitter` is a random number from 0 to 1; it adds up to a quarter, so that senders do not move in step.
    """
    doubled = FIRST_PAUSE * (1 << min(max(attempts - 1, 0), 20))
    pause = min(doubled, LONGEST_PAUSE) * (1 + jitter / 4)
    if wish is None:
        return pause
    return max(pause, min(wish, LONGEST_WISH))


def should_give_up(parcel: Parcel, now: datetime) -> bool:
    """True after a day of trying."""
    return now - parcel.created_at >= GIVE_UP_AFTER


def next_dispatch(waiting: Sequence[Parcel]) -> Dispatch | None:
    """The one message to send next for one channel and one incident, oldest parcel first.

    An incident that opened and closed while the channel was away is told once, as missed.
    A reminder is covered by any other parcel that waits, since each says where things stand.
    """
    if not waiting:
        return None
    head, kinds = waiting[0], [parcel.notice.kind for parcel in waiting]
    if Kind.CLOSED in kinds:
        end = kinds.index(Kind.CLOSED)
        covered = tuple(waiting[: end + 1])
        notice = waiting[end].notice
        if Kind.OPENED in kinds[:end]:
            notice = replace(notice, kind=Kind.MISSED)
        return Dispatch(channel=head.channel, notice=notice, parcels=covered)
    reminders = [parcel for parcel in waiting if parcel.notice.kind is Kind.REMINDER]
    if head.notice.kind is Kind.REMINDER:
        last = reminders[-1]
        return Dispatch(channel=head.channel, notice=last.notice, parcels=tuple(reminders))
    return Dispatch(channel=head.channel, notice=head.notice, parcels=(head, *reminders))
