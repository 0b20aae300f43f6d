"""Reads the provider's status page, an Atlassian Statuspage, for what it says of Redis and of nothing else.

The page covers other products too, so its overall indicator is of no use. What follows is decided in `core`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from monitor.diagnosis.layers import Fact, Layer, LayerResult, LayerState
from monitor.doctor.web import Deadline, WebError, fetch, read_json
from monitor.lib.text import one_line

_SUMMARY = "/api/v2/summary.json"
_FINE = "operational"
_TROUBLE = ("degraded_performance", "partial_outage", "major_outage", "under_maintenance")
_OVER = ("resolved", "completed", "postmortem")
_NAMES_SHOWN = 3
_NAME_LIMIT = 60


def read_status_page(url: str, *, timeout: timedelta) -> LayerResult:
    """What the page says of Redis. Blocks at most `timeout`; anything unexpected is unknown. Empty: not asked."""
    if not url:
        return LayerResult(
            layer=Layer.STATUS_PAGE, state=LayerState.NOT_APPLICABLE, detail="no status page is set"
        )
    try:
        summary = read_json(fetch("GET", url.rstrip("/") + _SUMMARY, deadline=Deadline(timeout)))
        return _read(summary)
    except WebError as error:
        return _unknown(str(error))
    except (TypeError, KeyError, AttributeError):
        return _unknown("its answer has another shape than a Statuspage's")


def _read(summary: Any) -> LayerResult:
    components = [_mapping(component) for component in _list(summary["components"])]
    ours = _redis(components)
    leaves = [component for component in ours if not component.get("group")]
    if not leaves:
        return _unknown("it lists no Redis component")
    ailing = [component for component in leaves if component["status"] in _TROUBLE]
    incidents = [incident for incident in map(_mapping, _list(summary["incidents"])) if _touches(incident, ours)]
    if ailing or incidents:
        said = [_format_ailing(ailing)] if ailing else []
        said += [_format_incident(incident) for incident in incidents[:2]]
        return LayerResult(
            layer=Layer.STATUS_PAGE,
            state=LayerState.FAILED,
            detail=" · ".join(said),
            facts=frozenset({Fact.TROUBLE_POSTED}),
        )
    if any(component["status"] != _FINE for component in leaves):
        return _unknown("a Redis component has a status that is not known here")
    return LayerResult(
        layer=Layer.STATUS_PAGE,
        state=LayerState.PASSED,
        detail=f"all {len(leaves)} Redis components are operational",
    )


def _redis(components: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The groups for Redis and what is in them; a component without a group goes by its own name."""
    groups = {component["id"] for component in components if component.get("group") and _is_redis(component)}
    return [
        component
        for component in components
        if component["id"] in groups
        or component.get("group_id") in groups
        or (component.get("group_id") is None and not component.get("group") and _is_redis(component))
    ]


def _touches(incident: Mapping[str, Any], ours: Sequence[Mapping[str, Any]]) -> bool:
    if incident["status"] in _OVER:
        return False
    named = [_mapping(component)["id"] for component in _list(incident.get("components") or [])]
    if not named:
        return _is_redis(incident)
    return not {component["id"] for component in ours}.isdisjoint(named)


def _is_redis(named: Mapping[str, Any]) -> bool:
    return "redis" in str(named["name"]).lower()


def _format_ailing(ailing: Sequence[Mapping[str, Any]]) -> str:
    shown = [
        f"{one_line(str(component['name']), _NAME_LIMIT)}: {component['status'].replace('_', ' ')}"
        for component in ailing[:_NAMES_SHOWN]
    ]
    more = len(ailing) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _format_incident(incident: Mapping[str, Any]) -> str:
    name, status = (one_line(str(incident[key]), _NAME_LIMIT) for key in ("name", "status"))
    return f"incident “{name}” ({status})"


def _unknown(words: str) -> LayerResult:
    return LayerResult(layer=Layer.STATUS_PAGE, state=LayerState.UNKNOWN, detail=f"not read: {words}")


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("wanted an object")
    return value


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list):
        raise TypeError("wanted a list")
    return value
