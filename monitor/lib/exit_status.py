"""The exit statuses of the commands."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum


class ExitStatus(IntEnum):
    """The monitoring-plugin convention; a mistake on the command line is UNKNOWN as well."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


# What is down outranks what is not known; a warning means that nothing else is the matter.
_WORST_FIRST = (ExitStatus.CRITICAL, ExitStatus.UNKNOWN, ExitStatus.WARNING, ExitStatus.OK)


def worst(statuses: Iterable[ExitStatus]) -> ExitStatus:
    """The status to end with; unknown where there is none."""
    return min(statuses, key=_WORST_FIRST.index, default=ExitStatus.UNKNOWN)
