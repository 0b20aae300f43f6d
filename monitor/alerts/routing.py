"""Which channels are meant to hear of what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitor.alerts.notification import Notification, Severity


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """What a channel takes: of these databases alone, of these severities alone; empty is all of them.

    What is about the monitor itself is about every database.
    """

    only: frozenset[str] = frozenset()
    severities: frozenset[Severity] = frozenset()

    def takes(self, notification: Notification) -> bool:
        is_of_database = not self.only or notification.database is None or notification.database in self.only
        return is_of_database and (not self.severities or notification.severity in self.severities)


# By channel; one without a route takes everything.
Routes = Mapping[str, Route]
EVERYTHING = Route()


def receivers(notification: Notification, channels: Sequence[str], routes: Routes) -> list[str]:
    """The channels that take a notification. Of the monitor itself all are told, before nobody is."""
    found = [name for name in channels if routes.get(name, EVERYTHING).takes(notification)]
    return found or (list(channels) if notification.database is None else [])
