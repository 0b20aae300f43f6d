"""The status page layer: what Upstash's page, an Atlassian Statuspage, has posted about Redis.

The page covers other products too, so its overall indicator is of no use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from monitor.checks.observation import Fact
from monitor.diagnosis.verdicts import Layer, LayerResult, LayerState
from monitor.doctor.web import WebError, fetch, read_json
from monitor.lib.text import one_line
from monitor.lib.times import Deadline

_SUMMARY = "/api/v2/summary.json"
_FINE = "operational"
_TROUBLE = ("degraded_performance", "partial_outage", "major_outage", "under_maintenance")
_OVER = ("resolved", "completed", "postmortem")
_NAMES_SHOWN = 3
_INCIDENTS_SHOWN = 2
_NAME_LIMIT = 60


def read_status_page(url: str, *, timeout: timedelta) -> LayerResult:
    """What the page says of Redis; not applicable without a URL. Blocks at most `timeout`.

    An answer that is not understood is unknown.
    """
    if not url:
        return _result(LayerState.NOT_APPLICABLE, "no status page is set")
    try:
        return _read(read_json(fetch("GET", url.rstrip("/") + _SUMMARY, deadline=Deadline(timeout))))
    except WebError as error:
        return _result(LayerState.UNKNOWN, f"not read: {error}")
    except (TypeError, KeyError, AttributeError):
        return _result(LayerState.UNKNOWN, "not read: its answer has another shape than a Statuspage's")


def _result(state: LayerState, detail: str) -> LayerResult:
    facts = frozenset({Fact.TROUBLE_POSTED} if state is LayerState.FAILED else ())
    return LayerResult(layer=Layer.STATUS_PAGE, state=state, detail=detail, facts=facts)


def _read(summary: Any) -> LayerResult:
    components = _objects(summary["components"])
    redis = _redis_components(components)
    leaves = [component for component in redis if not component.get("group")]
    if not leaves:
        return _result(LayerState.UNKNOWN, "not read: it lists no Redis component")
    troubled = [component for component in leaves if component["status"] in _TROUBLE]
    incidents = [incident for incident in _objects(summary["incidents"]) if _touches(incident, redis)]
    if troubled or incidents:
        parts = [_format_components(troubled)] if troubled else []
        parts += [_format_incident(incident) for incident in incidents[:_INCIDENTS_SHOWN]]
        return _result(LayerState.FAILED, " · ".join(parts))
    if any(component["status"] != _FINE for component in leaves):
        return _result(LayerState.UNKNOWN, "not read: a Redis component has a status that is not known here")
    return _result(LayerState.PASSED, f"all {len(leaves)} Redis components are operational")


def _redis_components(components: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The groups for Redis and what is in them; a component without a group goes by its own name."""
    groups = {component["id"] for component in components if component.get("group") and _is_redis(component)}
    return [
        component
        for component in components
        if component["id"] in groups
        or component.get("group_id") in groups
        or (component.get("group_id") is None and not component.get("group") and _is_redis(component))
    ]


def _touches(incident: Mapping[str, Any], redis: Sequence[Mapping[str, Any]]) -> bool:
    if incident["status"] in _OVER:
        return False
    named = [component["id"] for component in _objects(incident.get("components") or [])]
    if not named:
        return _is_redis(incident)
    return not {component["id"] for component in redis}.isdisjoint(named)


def _is_redis(named: Mapping[str, Any]) -> bool:
    return "redis" in str(named["name"]).lower()


def _format_components(components: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        f"{one_line(str(component['name']), _NAME_LIMIT)}: {component['status'].replace('_', ' ')}"
        for component in components[:_NAMES_SHOWN]
    ]
    more = len(components) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _format_incident(incident: Mapping[str, Any]) -> str:
    name, status = (one_line(str(incident[key]), _NAME_LIMIT) for key in ("name", "status"))
    return f"incident “{name}” ({status})"


def _objects(value: Any) -> list[Mapping[str, Any]]:
    """A list of JSON objects; raises TypeError for anything else."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise TypeError("wanted a list of objects")
    return value
