"""What the alert rules come to, in words: how soon an outage is told, and what can never be reached."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from math import ceil

from monitor.config.settings import AlertSettings, DatabaseSettings, Settings
from monitor.lib.times import format_duration, write_duration

_EVIDENCE_FOR = timedelta(minutes=15)
_COUNTED_FOR = timedelta(hours=24)
_ROUNDED_TO = timedelta(seconds=5)


def rules_in_words(settings: Settings) -> Iterator[str]:
    """One line for each thing that people ask: when am I told, when not, and when is it over."""
    alerts = settings.alerts
    failing, flapping, recovery = alerts.failing, alerts.flapping, alerts.recovery
    yield "When it is told:"
    if failing.lasting:
        yield f"  an outage shorter than {format_duration(failing.lasting)} never wakes you"
    for names, (usual, most) in _by_delay(settings).items():
        told = f"{format_duration(usual)}, {format_duration(most)} at most"
        yield f"  {names}: an outage that lasts is told after about {told}"
    yield (
        f"  that takes {failing.failures} failed checks in a row, or as many with a fine one among them;"
        f" configuration {alerts.configuration.failures}, token {alerts.token.failures},"
        f" quota {alerts.quota.failures} in a row; slow {alerts.slow.failures} of {alerts.slow.of}"
    )
    if flapping.within:
        within = format_duration(flapping.within)
        yield f"  what fails {flapping.times} separate times within {within} is told as unstable,"
        yield f"  and an incident that opens again within {within} is the same one, unstable"
    over = f"over after {format_duration(recovery.lasting)} without a failure" if recovery.lasting else "over"
    checks = f"{recovery.checks} check{'s' * (recovery.checks != 1)}"
    yield f"  {over}, by {checks} at least; configuration, token and quota after {checks} in a row"
    if flapping.within:
        yield f"  what is unstable is over after {format_duration(flapping.within / 2)} without a failure"


def unreachable(settings: Settings) -> Iterator[str]:
    """Settings that never come to anything, or not to what they look like."""
    alerts = settings.alerts
    failing, flapping = alerts.failing, alerts.flapping
    if failing.failures == 1 and failing.lasting:
        most = max(_delay(database, alerts)[1] for database in settings.databases)
        yield (
            f"alerts.failing: one failure opens nothing before another {write_duration(failing.lasting)} later:"
            f" that takes up to {format_duration(most)}. Next: `for: 0s`, or more failures"
        )
    for database in settings.databases:
        pause = min(alerts.confirm_interval, database.interval)
        if failing.failures > 1 and pause > _EVIDENCE_FOR:
            yield (
                f"alerts.failing: {database.name} is checked every {write_duration(pause)} in doubt, and a failure"
                f" counts for {format_duration(_EVIDENCE_FOR)}: it is never told. Next: a shorter confirm_interval"
            )
        if database.slow and (alerts.slow.failures - 1) * database.interval > _COUNTED_FOR:
            yield (
                f"alerts.slow: {alerts.slow.failures} slow checks of {database.name} never come within a day,"
                f" with one every {write_duration(database.interval)}. Next: fewer"
            )
        # From the first failing check of the first run to that of the last, with a fine one between two runs.
        if flapping.within and 2 * (flapping.times - 1) * pause > flapping.within:
            yield (
                f"alerts.flapping: {flapping.times} runs of failures of {database.name} never begin within"
                f" {write_duration(flapping.within)}. Next: fewer times, or a shorter confirm_interval"
            )


def _by_delay(settings: Settings) -> dict[str, tuple[timedelta, timedelta]]:
    """The usual and the longest delay of an outage, by the names of the databases that have them."""
    names: defaultdict[tuple[timedelta, timedelta], list[str]] = defaultdict(list)
    for database in settings.databases:
        names[_delay(database, settings.alerts)].append(database.name)
    return {", ".join(some): delays for delays, some in names.items()}


def _delay(database: DatabaseSettings, alerts: AlertSettings) -> tuple[timedelta, timedelta]:
    """A fault that refuses is found out quickly, one that hangs takes the timeout of each check."""
    pause = min(alerts.confirm_interval, database.interval)
    quick = _deciding(pause, alerts)
    hung = _deciding(pause + database.timeout, alerts) + database.timeout
    usual = database.interval / 2 + (quick + hung) / 2
    return max(_ROUNDED_TO, round(usual / _ROUNDED_TO) * _ROUNDED_TO), database.interval + hung


def _deciding(apart: timedelta, alerts: AlertSettings) -> timedelta:
    """From the first failing check to the one that opens, with checks so far apart."""
    failing = alerts.failing
    return max(failing.failures - 1, ceil(failing.lasting / apart)) * apart
