"""The rules for incidents, as the store asks them when a check is recorded."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from monitor.checks.observation import Check, Outcome
from monitor.config.settings import AlertSettings
from monitor.diagnosis.verdicts import DatabaseProfile, HostKind, Platform, Verdict, judge_outcome
from monitor.incidents.rules import advance
from monitor.incidents.state import IncidentState, Transition

# Rules by which nothing takes time, and each incident is one of its own.
QUICK_RULES: dict[str, Any] = {
    "confirm_interval": "50ms",
    "failing": {"failures": 3, "for": "0s"},
    "flapping": {"within": "0s"},
    "recovery": {"checks": 2, "for": "0s"},
    "group_within": "0s",
}
QUICK = AlertSettings.model_validate(QUICK_RULES)
# A database of Upstash's, read from the usual variables.
PROFILE = DatabaseProfile(
    database="main", url_variable="UPSTASH_REDIS_REST_URL", token_variable="UPSTASH_REDIS_REST_TOKEN"
)
# Databases of every kind: whose host, from which variables, with and without a worker's service and a proxy.
PROFILES = tuple(
    DatabaseProfile(
        database="main",
        host_kind=kind,
        url_variable=url,
        token_variable=token,
        service=service,
        platform=platform,
        proxy_variable=proxy,
    )
    for kind, url, token, service, platform, proxy in product(
        HostKind, ("", "CACHE_URL"), ("", "CACHE_TOKEN"), ("", "queue"), Platform, ("", "HTTPS_PROXY")
    )
)


def explain(cause: Outcome) -> Verdict:
    """The verdict on a cause of which no more is known."""
    return judge_outcome(cause, PROFILE)


def judge(check: Check, alerts: AlertSettings = QUICK) -> Callable[[IncidentState, int], Transition]:
    """What the check leads to from any state, with the number that a new incident would get."""
    return lambda state, next_incident: advance(state, check, alerts, next_incident=next_incident, explain=explain)
