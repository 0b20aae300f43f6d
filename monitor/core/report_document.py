"""The document of `report --json`.

Its values are those of `history_values`; what the figures mean is told in `history`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from monitor.core.history import History
from monitor.core.history_values import gap_values, incident_values, rounded, slice_values, span_values
from monitor.core.plugin import iso
from monitor.core.report_phases import shifts

VERSION = 1


def report_document(histories: Iterable[History], *, now: datetime) -> dict[str, Any]:
    """The document, version 1."""
    return {
        "version": VERSION,
        "as_of": iso(now),
        "databases": [history_values(history, now=now) for history in histories],
    }


def history_values(history: History, *, now: datetime) -> dict[str, Any]:
    """One database over its span, the slices oldest first."""
    return {
        **span_values(history),
        "shifts": [
            {
                "phase": shift.phase.value,
                "before_ms": rounded(shift.before_ms),
                "now_ms": rounded(shift.now_ms),
                "meaning": shift.meaning,
            }
            for shift in shifts(history.phases, history.phases_before)
        ],
        "incidents": [incident_values(incident, now=now) for incident in history.incidents],
        "gaps": [gap_values(gap) for gap in history.gaps],
        "slices": [slice_values(part) for part in history.slices],
    }
