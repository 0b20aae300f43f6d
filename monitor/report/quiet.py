"""When nothing is told of which databases: silences, and the windows of maintenance that are or come next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitor.alerts.holds import Silence
from monitor.config.settings import MaintenanceSettings
from monitor.lib.times import format_duration, format_time, iso
from monitor.report.formatting import format_name


@dataclass(frozen=True, kw_only=True, slots=True)
class Quiet:
    """From `start` until before `end` messages about these databases are held; of all where none is named.

    `silence` is the number of a silence, `None` for maintenance. `reason` is free text of whoever asked for it.
    """

    databases: tuple[str, ...]
    start: datetime
    end: datetime
    silence: int | None = None
    reason: str = ""

    @property
    def words(self) -> str:
        """What it is, such as `silence 3`."""
        return "maintenance" if self.silence is None else f"silence {self.silence}"

    @property
    def names(self) -> str:
        """Whom it is about."""
        return ", ".join(map(format_name, self.databases)) or "all databases"


def quiet_spans(
    silences: Iterable[Silence], maintenance: Iterable[MaintenanceSettings], now: datetime
) -> tuple[Quiet, ...]:
    """Silences that are not over, and of each maintenance the window that is, or the next; the first one first."""
    found = [
        Quiet(databases=one.databases, start=one.start, end=one.end, silence=one.id, reason=one.reason)
        for one in silences
        if one.end > now
    ]
    for entry in maintenance:
        window = entry.window_after(now)
        if window is not None:
            found.append(Quiet(databases=entry.databases, start=window.start, end=window.end))
    return tuple(sorted(found, key=lambda one: (one.start, one.end)))


def quiet_line(quiet: Quiet, now: datetime) -> str:
    """One of them for a terminal: `silence 3: main · until 2026-11-23 14:02:09 UTC, for another 1h · deploy`."""
    if quiet.start <= now:
        when = f"until {format_time(quiet.end)}, for another {format_duration(quiet.end - now)}"
    else:
        when = f"from {format_time(quiet.start)} for {format_duration(quiet.end - quiet.start)}"
    return " · ".join(filter(None, (f"{quiet.words}: {quiet.names}", when, quiet.reason)))


def quiet_values(quiet: Quiet) -> dict[str, Any]:
    """One of them for JSON; `databases` is `null` where all are meant."""
    return {
        "databases": list(quiet.databases) or None,
        "from": iso(quiet.start),
        "until": iso(quiet.end),
        "silence": quiet.silence,
        "reason": quiet.reason,
    }
