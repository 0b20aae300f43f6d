"""When a look also writes a key, reads it back and deletes it, and what a look means that does not.

PING alone is fine on a full database, with a spent quota and with a read-only token; the canary finds those
(docs/decisions/0010-the-canary.md). What is sent is the business of `probes/upstash`.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from monitor.core.classify import Finding, shorten
from monitor.core.observation import Canary
from monitor.durations import say_duration

# A canary that failed is repeated so often, if its own pause is not shorter: each costs three billed commands.
RETRY_AFTER = timedelta(minutes=1)


def is_due(
    last: Canary | None, now: datetime, *, every: timedelta, interval: timedelta, is_in_doubt: bool
) -> bool:
    """True when the look at `now` should write. `interval` is the pause between looks.

    After one that failed the next comes with the next look while that decides something, else within a minute.
    """
    if last is None or now < last.sent_at:
        return True
    # Looks do not come to the millisecond; one that is half an interval early is nearer than the next.
    if now - last.sent_at >= every - min(interval, every) / 2:
        return True
    if not last.outcome.family.is_failing:
        return False
    return is_in_doubt or now - last.sent_at >= RETRY_AFTER


def carried(last: Canary, now: datetime) -> Finding:
    """What a fine PING means while the last canary failed: the database is not fine."""
    age = say_duration(max(timedelta(0), now - last.sent_at))
    return Finding(outcome=last.outcome, detail=shorten(f"PING answers; {age} ago {last.detail}"))
