"""When the end of a host's certificate is near enough to be told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from monitor.checks.observation import Check, Fact, Outcome

# Whoever renews by a clock has renewed by then: Let's Encrypt's clients do so 30 days before the end.
_SOON = timedelta(days=14)


def ends_soon(ends_at: datetime | None, now: datetime) -> bool:
    """True within 14 days of the end; `None` is a certificate that was not seen."""
    return ends_at is not None and ends_at - now < _SOON


def with_certificate(check: Check, ends_at: datetime | None, now: datetime) -> Check:
    """The check with the fact that the certificate ends soon, where that is the only thing to tell of it."""
    if check.outcome is not Outcome.OK or not ends_soon(ends_at, now):
        return check
    return replace(check, facts=check.facts | {Fact.CERTIFICATE_ENDS_SOON})


def describe_end(ends_at: datetime, now: datetime) -> str:
    """`the certificate ends in 13 days (2026-12-11)`."""
    days = (ends_at - now).days
    when = "within a day" if days < 1 else f"in {days} day{'' if days == 1 else 's'}"
    return f"the certificate ends {when} ({ends_at.astimezone(UTC):%Y-%m-%d})"
