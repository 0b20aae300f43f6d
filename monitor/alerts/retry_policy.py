"""When to try a delivery again, when to give up, and which waiting parcels one message covers.

Sending happens in `channels`, remembering in `store`; this file reads no clock and draws no random number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum

from monitor.alerts.notification import Kind, Notice
from monitor.lib.durations import say_duration

FIRST_PAUSE = timedelta(seconds=1)
LONGEST_PAUSE = timedelta(minutes=5)
PAUSE_WHEN_REFUSED = timedelta(hours=1)
GIVE_UP_AFTER = timedelta(hours=24)
LEASE = timedelta(seconds=20)
_LATE = timedelta(minutes=2)
_JUST_NOW = timedelta(seconds=5)
_NEVER = datetime.min.replace(tzinfo=UTC)


class Verdict(Enum):
    """The one question about a delivery: did it arrive, may it be tried again, or never?"""

    CONFIRMED = "confirmed"
    RETRY = "retry"
    PERMANENT = "permanent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Move:
    """A chat that got another number. Whoever sets a third one in the settings means that one."""

    old_chat_id: str
    new_chat_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """A channel's answer. `detail` is short, in one line, and holds no secret.

    `retry_after` is the wait the channel asked for; `move` is a Telegram chat's new number, to be remembered.
    """

    verdict: Verdict
    detail: str
    retry_after: timedelta | None = None
    move: Move | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Parcel:
    """One notice for one channel, waiting in the outbox. `last_error` is `None` while it is on its way."""

    id: int
    channel: str
    notice: Notice
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
class Dispatch:
    """One message to send and the parcels that are settled with it."""

    channel: str
    notice: Notice
    parcels: tuple[Parcel, ...]

    @property
    def attempts(self) -> int:
        return max(parcel.attempts for parcel in self.parcels)

    def late_by(self, now: datetime) -> timedelta:
        """How long the oldest of its parcels has waited."""
        return now - min(parcel.created_at for parcel in self.parcels)


def next_to_try(incidents: Sequence[Sequence[Parcel]], now: datetime) -> Sequence[Parcel] | None:
    """The parcels to try now, of what waits for one channel: parcels by incident, the oldest incident first.

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


def has_failed_just_now(parcels: Iterable[Parcel], now: datetime) -> bool:
    """True when one of these failed so lately that another failure means: it is the channel, not the message."""
    return any(
        parcel.has_failed and parcel.tried_at is not None and parcel.tried_at <= now < parcel.tried_at + _JUST_NOW
        for parcel in parcels
    )


def next_try(waiting: Sequence[Parcel]) -> datetime | None:
    """When the parcels of one incident are due; `None` for at once.

    News is due at once and takes along what waits of the same incident, but it waits for what is on its way.
    """
    leases = [parcel.due_at for parcel in waiting if parcel.is_leased and parcel.due_at is not None]
    if leases:
        return max(leases)
    pauses = [parcel.due_at for parcel in waiting if parcel.due_at is not None]
    return min(pauses) if len(pauses) == len(waiting) else None


def pause_before_retry(attempts: int, wish: timedelta | None, jitter: float) -> timedelta:
    """The wait after try number `attempts`: 1 s doubling to 5 min, or longer where the channel wishes it.

    `jitter` is a random number from 0 to 1; it adds up to a quarter, so that senders do not move in step.
    """
    doubled = FIRST_PAUSE * (1 << min(max(attempts - 1, 0), 20))
    pause = min(doubled, LONGEST_PAUSE) * (1 + jitter / 4)
    return pause if wish is None else max(pause, min(wish, GIVE_UP_AFTER))


def should_give_up(parcel: Parcel, now: datetime) -> bool:
    """True after a day of trying."""
    return now - parcel.created_at >= GIVE_UP_AFTER


def next_dispatch(waiting: Sequence[Parcel]) -> Dispatch:
    """The one message that covers what waits for one channel of one incident, oldest parcel first, at least one.

    What opened and closed while the channel was away is told as missed. Of an incident that goes on, the message
    says where things stand by the latest parcel, under the most telling kind of those it covers.
    """
    kinds = {parcel.notice.kind: parcel.notice for parcel in waiting}
    latest = waiting[-1].notice
    if Kind.CLOSED in kinds:
        notice = replace(kinds[Kind.CLOSED], kind=Kind.MISSED if Kind.OPENED in kinds else Kind.CLOSED)
    else:
        kind = next((kind for kind in (Kind.OPENED, Kind.CHANGED) if kind in kinds), latest.kind)
        before = kinds[Kind.CHANGED].before if Kind.CHANGED in kinds else latest.before
        notice = replace(latest, kind=kind, before=before)
    return Dispatch(channel=waiting[0].channel, notice=notice, parcels=tuple(waiting))


def late_note(dispatch: Dispatch, now: datetime) -> str | None:
    """One line for a message that comes so late that its reader may wonder; `None` for one in time."""
    late = dispatch.late_by(now)
    if late < _LATE:
        return None
    return f"This comes {say_duration(late)} late: it could not be delivered before."


def _is_due(waiting: Sequence[Parcel], now: datetime) -> bool:
    return not _is_under_way(waiting, now) and not all(_waits(parcel, now) for parcel in waiting)


def _may_go_first(waiting: Sequence[Parcel], now: datetime) -> bool:
    has_failed = any(parcel.has_failed for parcel in waiting)
    return (
        has_failed
        and not _is_under_way(waiting, now)
        and not _last_try(waiting) <= now < _last_try(waiting) + FIRST_PAUSE
    )


def _is_under_way(waiting: Sequence[Parcel], now: datetime) -> bool:
    return any(parcel.is_leased and _waits(parcel, now) for parcel in waiting)


def _last_try(waiting: Sequence[Parcel]) -> datetime:
    return max(parcel.tried_at or _NEVER for parcel in waiting)


def _waits(parcel: Parcel, now: datetime) -> bool:
    """A clock that was set back must not hold a parcel: a try in the future counts as long ago."""
    return parcel.due_at is not None and (parcel.tried_at or parcel.created_at) <= now < parcel.due_at
