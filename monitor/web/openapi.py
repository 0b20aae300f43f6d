"""What the JSON API takes and answers, as OpenAPI 3.1, for `/openapi.json`.

The shapes are those of monitor/web/api.py and monitor/report/values.py; the words of an enumeration
are read from the program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any

from monitor.alerts.notification import Severity
from monitor.checks.observation import Family, Outcome
from monitor.diagnosis.advice import WhoseMove
from monitor.report.values import VERSION
from monitor.store.rollups.model import Grain
from monitor.web.api import MOST_CHECKS, MOST_SLICES
from monitor.web.pages.summary import DatabaseState

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_WHOLE: Schema = {"type": "integer"}
_SWITCH: Schema = {"type": "boolean"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_NULL: Schema = {"type": "null"}
_MOMENT = "A duration back from now such as 24h or 7d, or a time in ISO 8601."


def openapi_document() -> Schema:
    """The whole description; the addresses in it are relative to where it is served."""
    busy = _answer("The history is busy; try again.", "Error")
    closed = {
        "401": {"description": "A password is set and was not sent."},
        "429": {"description": "Too many wrong passwords; `Retry-After` says how long to wait."},
    }
    databases = {
        "operationId": "databases",
        "summary": "All databases now.",
        "responses": {"200": _answer("In the order of the settings.", "Databases"), "503": busy, **closed},
    }
    history = {
        "operationId": "history",
        "summary": "One database over a span.",
        "parameters": _HISTORY_PARAMETERS,
        "responses": {
            "200": _answer("The history.", "History"),
            "400": _answer("A parameter that cannot be used.", "Error"),
            "404": _answer("No database of that name.", "Error"),
            "503": busy,
            **closed,
        },
    }
    password = {"type": "http", "scheme": "basic", "description": "Any user name and the page's password, if set."}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "upstash-monitor",
            "version": str(VERSION),
            "description": "Keys may be added within a version, none is removed or changes its meaning. "
            "Times are ISO 8601 in UTC; what is not known is null.",
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"password": []}],
        "paths": {"/api/databases": {"get": databases}, "/api/databases/{name}/history": {"get": history}},
        "components": {"securitySchemes": {"password": password}, "schemas": _SCHEMAS},
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _answer(description: str, schema: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _words(kinds: Iterable[Enum]) -> Schema:
    return {"type": "string", "enum": [kind.value for kind in kinds]}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, _NULL]}


def _all_or_null(properties: Mapping[str, Schema]) -> dict[str, Schema]:
    return {name: _or_null(schema) for name, schema in properties.items()}


def _object(description: str, properties: Mapping[str, Schema]) -> Schema:
    """All its keys are always there."""
    return {
        "type": "object",
        "description": description,
        "required": list(properties),
        "properties": dict(properties),
    }


def _parameter(name: str, description: str, schema: Schema, *, of: str = "query") -> Schema:
    required = {"required": True} if of == "path" else {}
    return {"name": name, "in": of, "description": description, **required, "schema": schema}


_HISTORY_PARAMETERS = [
    _parameter("name", "The name in the settings, percent-encoded.", _TEXT, of="path"),
    _parameter("since", _MOMENT, {**_TEXT, "default": "24h"}),
    _parameter("until", f"{_MOMENT} Left out: now.", _TEXT),
    _parameter("grain", f"How the span is cut, into {MOST_SLICES} slices at most.", _words(Grain)),
    _parameter("limit", "How many checks.", {**_WHOLE, "minimum": 0, "maximum": MOST_CHECKS, "default": 100}),
    _parameter("before", "Only checks before this one: `next_before` of the page before.", _TEXT),
]
_HEAD: dict[str, Schema] = {"version": {"const": VERSION}, "as_of": _TIME}
_ADVICE: dict[str, Schema] = {
    "meaning": _or_null(_TEXT),
    "whose_move": _or_null(_words(WhoseMove)),
    "next_steps": _list(_TEXT),
}
_OF_A_CHECK: dict[str, Schema] = {
    "outcome": _ref("Outcome"),
    "family": _words(Family),
    "ok": _or_null(_SWITCH),
    "latency_ms": _or_null(_NUMBER),
    "phases_ms": _ref("Phases"),
    "http_status": _or_null(_WHOLE),
    "detail": _TEXT,
}
_SCHEMAS: dict[str, Schema] = {
    "Databases": _object("All databases.", {**_HEAD, "databases": _list(_ref("Database"))}),
    "Database": _object(
        "One database now. What is of its latest check is null before the first; uptime is of 90 days.",
        {
            "database": _TEXT,
            "state": {"type": "string", "enum": [state.code for state in DatabaseState]},
            "checked_at": _or_null(_TIME),
            **_all_or_null(_OF_A_CHECK),
            **_ADVICE,
            "incident": _or_null(_ref("Incident")),
            "uptime": _ref("Uptime"),
            "latency_today": _or_null(_ref("Spread")),
            "certificate_ends_at": _or_null(_TIME),
            "schedule": _ref("Schedule"),
        },
    ),
    "History": _object(
        "One database over a span, which is `whole` as one slice; `before` is the same span just before it. "
        "Incidents and checks are the newest first, and `next_before` is null on their last page.",
        {
            **_HEAD,
            "database": _TEXT,
            "start": _TIME,
            "end": _TIME,
            "grain": _words(Grain),
            "whole": _ref("Slice"),
            "before": _or_null(_ref("Slice")),
            "phases_ms": _or_null(_ref("Phases")),
            "phases_before_ms": _or_null(_ref("Phases")),
            "next_before": _or_null(_TIME),
            "slices": _list(_ref("Slice")),
            "gaps": _list(_ref("Gap")),
            "maintenance": _list(_ref("Gap")),
            "incidents": _list(_ref("Incident")),
            "checks": _list(_ref("Check")),
        },
    ),
    "Check": _object(
        "One check; `ok` is null where it says nothing of the database. No host name is in `detail`.",
        {"at": _TIME, **_OF_A_CHECK},
    ),
    "Slice": _object(
        "What was seen from `start` until before `end`.",
        {
            "start": _TIME,
            "end": _TIME,
            "uptime": _ref("Uptime"),
            "checks": _WHOLE,
            "checks_failed": _WHOLE,
            "outcomes": {"type": "object", "propertyNames": _ref("Outcome"), "additionalProperties": _WHOLE},
            "latency": _or_null(_ref("Spread")),
        },
    ),
    "Gap": _object(
        "A time in which nobody checked, or a window of maintenance.",
        {"start": _TIME, "end": _TIME, "seconds": _NUMBER},
    ),
    "Incident": _object(
        "From the first failing check to the first fine one. One that is `unstable` comes and goes: about every "
        "`fails_every_seconds` it fails for `fails_for_seconds`; null where that is not known.",
        {
            "id": _WHOLE,
            "state": {"type": "string", "enum": ["open", "closed", "unwatched"]},
            "opened_at": _TIME,
            "closed_at": _or_null(_TIME),
            "duration_seconds": _NUMBER,
            "cause": _ref("Outcome"),
            "causes": _list(_ref("Outcome")),
            "severity": _words(Severity),
            "unstable": {"type": "boolean"},
            "fails_for_seconds": _or_null(_NUMBER),
            "fails_every_seconds": _or_null(_NUMBER),
            "checks_failed": _WHOLE,
            "acknowledged_at": _or_null(_TIME),
            "verdict": _TEXT,
            **_ADVICE,
        },
    ),
    "Outcome": {**_words(Outcome), "description": "What a check ended in."},
    "Phases": _object(
        "Milliseconds; null for a part that was not reached.",
        dict.fromkeys(("dns", "connect", "tls", "wait", "read", "total"), _or_null(_NUMBER)),
    ),
    "Uptime": _object(
        "`share` is of the known time, from 0 to 1; null when nothing is known. Maintenance is no part of it.",
        {
            "share": _or_null(_NUMBER),
            **dict.fromkeys(("up_seconds", "down_seconds", "unknown_seconds", "maintenance_seconds"), _NUMBER),
        },
    ),
    "Spread": _object(
        "Latency of the checks that ended well.",
        {"checks": _WHOLE, **dict.fromkeys(("p50_ms", "p90_ms", "p95_ms", "p99_ms", "max_ms"), _NUMBER)},
    ),
    "Schedule": _object(
        "As in the settings, and what it costs.",
        {
            "interval": _TEXT,
            "timeout": _TEXT,
            "slow": _or_null(_TEXT),
            "canary": _or_null(_TEXT),
            "worker": _SWITCH,
            "commands_30d": _object(
                "Commands in 30 days.", dict.fromkeys(("checks", "sent_at_worst", "billed"), _WHOLE)
            ),
        },
    ),
    "Error": _object("Wanted, found, next.", {"version": {"const": VERSION}, "error": _TEXT}),
}
