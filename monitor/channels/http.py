"""What a channel makes of a status that every HTTP service uses alike; the request itself is in `outbound`."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from monitor.core.outbox import Receipt, Verdict
from monitor.outbound.line import Answer


def trouble(status: int) -> Receipt:
    """The receipt for a status that by itself only means: try again later."""
    return Receipt(verdict=Verdict.RETRY, detail=f"the service answered {status}")


def wished_pause(answer: Answer) -> timedelta:
    """The wait a 429 asks for in `Retry-After`, in seconds; one minute where it says nothing that can be read."""
    with suppress(ValueError, OverflowError):
        seconds = float(answer.headers.get("retry-after", ""))
        if 0 <= seconds < 1e6:
            return timedelta(seconds=seconds)
    return timedelta(minutes=1)
