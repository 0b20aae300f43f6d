"""HTML: the front page, a database's page, a refusal, and the report as one file to attach.

Foreign texts are escaped by the template engine in every place, and their addresses and credentials are masked.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from monitor.checks.budget import FREE_PLAN_COMMANDS
from monitor.lib.times import format_duration, format_time, iso, write_duration
from monitor.report.formatting import (
    Redactor,
    format_minute,
    format_ms,
    format_name,
    format_share,
    format_span,
    format_uptime,
)
from monitor.store.rollups.model import DatabaseStatus, History
from monitor.web.charts.days import day_bars, sparkline
from monitor.web.charts.latency import latency_band
from monitor.web.charts.svg import clean, legend_shape, percent, worst_outcome
from monitor.web.pages.assets import ASSETS
from monitor.web.pages.summary import (
    DatabasePage,
    DatabaseState,
    PageSpan,
    card_of,
    compare,
    day_rows,
    describe_incident,
    headline,
    outcome_rows,
    phase_rows,
    slice_rows,
    state_of,
    worst_first,
)

REFRESH_SECONDS = 15
_FOLDER = Path(__file__).parent / "templates"


class Pages:
    """The templates, compiled once. `redact` makes a foreign text fit to be shown."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._environment = _environment(redact)

    def front(self, statuses: Sequence[DatabaseStatus], now: datetime, troubles: Sequence[str] = ()) -> str:
        """The page of all databases; `troubles` are lines on channels that do not work."""
        state, sentence = headline([state_of(status, now) for status in statuses])
        cards = [card_of(status, now) for status in worst_first(statuses, now)]
        return self._render(
            "front.html",
            now=now,
            refresh=REFRESH_SECONDS,
            state=state,
            sentence=sentence,
            cards=cards,
            troubles=troubles,
        )

    def database(self, page: DatabasePage, now: datetime) -> str:
        """The page of one database."""
        return self._render(
            "database.html",
            now=now,
            refresh=REFRESH_SECONDS,
            card=card_of(page.status, now),
            history=page.history,
            span=page.span,
            spans=list(PageSpan),
            checks=page.checks,
            free_plan=FREE_PLAN_COMMANDS,
        )

    def refusal(self, status: int, title: str, text: str) -> str:
        """A page for what was not found or not understood, in plain words."""
        return self._render("refusal.html", status=status, title=title, text=text)

    def _render(self, template: str, **values: Any) -> str:
        return self._environment.get_template(template).render(values)


def render_report(
    histories: Sequence[History],
    *,
    now: datetime,
    title: str,
    claims: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """The report over these histories as one HTML document: everything inline, no script.

    It loads nothing, and forbids itself to. `claims` are the forms of SLA claims by database, plain lines that are
    shown as they are.
    """
    style = ASSETS["page.css"].text
    template = _environment(Redactor()).get_template("report.html")
    return template.render(
        histories=histories,
        claims=claims,
        now=now,
        title=title,
        style=Markup(style),  # noqa: S704 - our own file
        style_hash=b64encode(sha256(style.encode()).digest()).decode(),
    )


def _environment(redact: Callable[[str], str]) -> Environment:
    found = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_clean_text,
    )
    found.filters.update(_FILTERS, redact=redact)
    found.globals.update(_GLOBALS)
    return found


def _clean_text(value: Any) -> Any:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _bar(width: float, kind: str) -> Markup:
    """A horizontal bar beside a figure that says the same."""
    bar = Markup(
        '<svg class="bar" width="100%" height="8" aria-hidden="true">'
        '<rect class="{}" width="{}" height="8"/></svg>'
    )
    return bar.format(kind, percent(width))


_FILTERS: dict[str, Callable[..., Any]] = {
    "ms": format_ms,
    "share": format_share,
    "uptime": format_uptime,
    "minute": format_minute,
    "second": format_time,
    "duration": format_duration,
    "written": write_duration,
    "iso": iso,
    "name": format_name,
    "figure": lambda value: "" if value is None else str(round(value, 3)),
    "count": lambda value: f"{value:,}",
}
_GLOBALS: dict[str, Any] = {
    "assets": ASSETS,
    "bar": _bar,
    "compare": compare,
    "day_bars": day_bars,
    "day_rows": day_rows,
    "describe_incident": describe_incident,
    "latency_band": latency_band,
    "legend_shape": legend_shape,
    "outcome_rows": outcome_rows,
    "phase_rows": phase_rows,
    "slice_rows": slice_rows,
    "span_words": format_span,
    "sparkline": sparkline,
    "states": DatabaseState,
    "worst_outcome": worst_outcome,
}
