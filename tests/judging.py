"""The rules for incidents, as the store asks them when a check is recorded."""

from __future__ import annotations

from collections.abc import Callable

from monitor.checks.observation import Check
from monitor.config.settings import AlertSettings
from monitor.incidents.rules import advance
from monitor.incidents.state import IncidentState, Transition

DEFAULTS = AlertSettings()


def judge(check: Check, alerts: AlertSettings = DEFAULTS) -> Callable[[IncidentState, int], Transition]:
    """What the check leads to from any state, with the number that a new incident would get."""
    return lambda state, next_incident: advance(state, check, alerts, next_incident=next_incident)
