"""Why a message is held back, until when, and what is told in one message. Rules only: times are handed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.config.settings import MaintenanceSettings
from monitor.config.windows import Window
from monitor.diagnosis.advice import EACH_OF_THEM
from monitor.diagnosis.verdicts import Verdict


class HoldReason(Enum):
    """What a message waits for before its first try."""

    DIAGNOSIS = "diagnosis"
    GROUPED = "grouped"
    SILENCED = "silenced"
    MAINTENANCE = "maintenance"

    @property
    def is_quiet(self) -> bool:
        """True where people asked for quiet: when it is over, they are told how things stand then."""
        return self in (HoldReason.SILENCED, HoldReason.MAINTENANCE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hold:
    """A message is not sent before `until`; those `with_incident` of the same number are told together."""

    reason: HoldReason
    until: datetime
    with_incident: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Silence:
    """From `start` until before `end` nothing is told of these databases; of none at all where none is named."""

    id: int
    databases: tuple[str, ...]
    start: datetime
    end: datetime
    reason: str = ""

    def is_of(self, database: str) -> bool:
        """True where a database is meant."""
        return not self.databases or database in self.databases


# So many follow on each other; more of them would hold a message for good.
_MOST_IN_A_ROW = 50


def quiet_hold(
    database: str, moment: datetime, silences: Sequence[Silence], maintenance: Sequence[MaintenanceSettings]
) -> Hold | None:
    """The hold of what happens to a database at that moment, where a silence or maintenance covers it.

    It ends where none of those that follow on each other covers it any more.
    """
    silences = [one for one in silences if one.is_of(database)]
    maintenance = [one for one in maintenance if one.is_of(database)]
    found = None
    for _ in range(_MOST_IN_A_ROW):
        until = moment if found is None else found.until
        ends = [(one.end, HoldReason.SILENCED) for one in silences if one.start <= until < one.end]
        windows = (one.window_after(until) for one in maintenance)
        ends += [(one.end, HoldReason.MAINTENANCE) for one in windows if one is not None and one.start <= until]
        if not ends:
            break
        end, reason = max(ends, key=lambda each: each[0])
        found = Hold(reason=reason, until=end)
    return found


def maintained(database: str, moment: datetime, maintenance: Sequence[MaintenanceSettings]) -> Window | None:
    """The window of maintenance in which a moment is; of several that overlap there, the time that any covers."""
    found = [one.window_after(moment) for one in maintenance if one.is_of(database)]
    windows = [window for window in found if window is not None and window.start <= moment]
    if not windows:
        return None
    return Window(start=min(one.start for one in windows), end=max(one.end for one in windows))


# What is told of several databases in one message.
_GROUPED = (
    (NotificationKind.OPENED, NotificationKind.REOPENED),
    (NotificationKind.CHANGED,),
    (NotificationKind.REMINDER,),
    (NotificationKind.CLOSED,),
)
# A group is told when so much of the time passed without another one, at the latest when it is over.
_QUIET_SHARE = 4


def grouped_kinds(kind: NotificationKind) -> tuple[NotificationKind, ...]:
    """The kinds that are told together with this one; none for what is told alone."""
    return next((kinds for kinds in _GROUPED if kind in kinds), ())


def group_until(first_at: datetime, now: datetime, within: timedelta) -> datetime:
    """Until when one more message of a group is held whose first was told at once."""
    return min(first_at + within, now + within / _QUIET_SHARE)


def told_together(notifications: Sequence[Notification]) -> Notification:
    """One notification in place of several of one kind and cause; it has no database of its own."""
    first = notifications[0]
    if len(notifications) == 1:
        return first
    since = [one.since for one in notifications if one.since is not None]
    until = [one.until for one in notifications if one.until is not None]
    cause = "" if first.cause is None else first.cause.words
    kind = first.kind if all(one.kind is first.kind for one in notifications) else NotificationKind.OPENED
    words = {
        NotificationKind.REOPENED: f": unstable, {cause} again",
        NotificationKind.CHANGED: f", now: {cause}",
        NotificationKind.REMINDER: f", still: {cause}",
        NotificationKind.CLOSED: ": recovered",
        NotificationKind.MISSED: f": {cause} for a while, fine again",
    }
    title = f"{len(notifications)} databases{words.get(kind, f': {cause}')}"
    if first.kind is NotificationKind.MISSED and len({(one.database, one.cause) for one in notifications}) > 1:
        title = f"{len(notifications)} incidents came and went"
    is_critical = any(one.severity is Severity.CRITICAL for one in notifications)
    return Notification(
        kind=kind,
        created_at=max(one.created_at for one in notifications),
        title=title,
        severity=Severity.CRITICAL if is_critical else Severity.WARNING,
        cause=first.cause,
        causes=(first.cause,) if first.cause and first.kind is NotificationKind.CLOSED else (),
        before=next((one.before for one in notifications if one.is_beginning), first.before),
        since=min(since, default=None),
        until=max(until, default=None),
        checks_failed=sum(one.checks_failed for one in notifications),
        verdict=shared_verdict(notifications),
        includes=tuple(replace(one, verdict=None) for one in notifications),
    )


def shared_verdict(notifications: Sequence[Notification]) -> Verdict | None:
    """The most frequent one; without names of variables where these differ."""
    verdicts = [one.verdict for one in notifications if one.verdict is not None]
    if not verdicts:
        return None
    counts = Counter(verdict.code for verdict in verdicts)
    verdict = max(verdicts, key=lambda each: counts[each.code])
    variables = {(each.profile.url_variable, each.profile.token_variable) for each in verdicts}
    if len(variables) == 1 and all(variables.pop()):
        return verdict
    shared = replace(verdict.profile, database=EACH_OF_THEM, url_variable="", token_variable="")
    return replace(verdict, profile=shared)
