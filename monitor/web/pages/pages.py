"""Templates filled in: the front page, a database's page, a refusal.

What they show is put together in `card` and `detail`, and drawn in the charts beside them. Foreign texts are
escaped by the template engine, everywhere and always.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from monitor.checks.budget import FREE_PLAN_COMMANDS
from monitor.lib.times import format_duration, iso, write_duration
from monitor.report.formatting import (
    format_minute,
    format_ms,
    format_name,
    format_second,
    format_share,
    format_uptime,
)
from monitor.store.rollups.model import DatabaseStatus, Slice
from monitor.web.charts.day_bars import day_bars, sparkline
from monitor.web.charts.latency_band import latency_band
from monitor.web.charts.svg import clean, legend_mark, percent
from monitor.web.charts.tables import day_rows, slice_rows
from monitor.web.pages.assets import ASSETS
from monitor.web.pages.card import State, card_of, state_of, story, verdict, worst_first
from monitor.web.pages.detail import DatabasePage, Span, compared, outcome_rows, phase_rows
from monitor.web.steps import Steps

REFRESH_SECONDS = 15
_REDRAW_EVERY = timedelta(seconds=REFRESH_SECONDS)
_FOLDER = Path(__file__).parent / "templates"
Conceal = Callable[[str], str]


class Pages:
    """The templates, read once. `conceal` makes a foreign text fit to be shown."""

    def __init__(self, conceal: Conceal) -> None:
        self._environment = environment(conceal)
        for name in ("front.html", "database.html", "refusal.html"):
            self._environment.get_template(name)  # compiled now, and not while somebody's check is under way
        self._drawn: dict[str, _Drawings] = {}

    def front(self, statuses: Sequence[DatabaseStatus], now: datetime) -> Steps[str]:
        """The page of all databases."""
        state, sentence = verdict([state_of(status, now) for status in statuses])
        shown = []
        for status in worst_first(statuses, now):
            drawings = yield from self._drawings(status, now)
            shown.append((card_of(status, now), drawings))
        return (
            yield from self._filled(
                "front.html", now=now, refresh=REFRESH_SECONDS, state=state, sentence=sentence, shown=shown
            )
        )

    def database(self, page: DatabasePage, now: datetime) -> Steps[str]:
        """The page of one database."""
        drawn = yield from self._drawings(page.status, now)
        band = yield from latency_band(page.history)
        rows = yield from slice_rows(page.history.slices)
        return (
            yield from self._filled(
                "database.html",
                now=now,
                refresh=REFRESH_SECONDS,
                card=card_of(page.status, now),
                drawn=drawn,
                band=band,
                rows=rows,
                history=page.history,
                span=page.span,
                spans=list(Span),
                checks=page.checks,
                plan=FREE_PLAN_COMMANDS,
            )
        )

    def refusal(self, status: int, title: str, text: str) -> str:
        """A page for what was not found or not understood, in plain words."""
        return self._environment.get_template("refusal.html").render(status=status, title=title, text=text)

    def _filled(self, template: str, **values: Any) -> Steps[str]:
        pieces = []
        for piece in self._environment.get_template(template).generate(**values):
            pieces.append(piece)
            yield
        return "".join(pieces)

    def _drawings(self, status: DatabaseStatus, now: datetime) -> Steps[_Drawings]:
        """What is drawn of 90 days, drawn anew when a day has begun or a check has failed, else now and then."""
        drawn = self._drawn.get(status.database)
        if drawn is None or not drawn.shows(status.days, now):
            name = format_name(status.database)
            drawn = _Drawings(
                at=now,
                days=status.days,
                bars=(yield from day_bars(status.days, name=name)),
                line=(yield from sparkline(status.days, name=name)),
                rows=(yield from day_rows(status.days)),
            )
            self._drawn[status.database] = drawn
        return drawn


@dataclass(frozen=True, kw_only=True, slots=True)
class _Drawings:
    """The pictures of a database's days, and the table behind them, as they were at a moment."""

    at: datetime
    days: Sequence[Slice]
    bars: Markup
    line: Markup
    rows: Markup

    def shows(self, days: Sequence[Slice], now: datetime) -> bool:
        """True while these are the same days, with the same failures; a fine check more is no reason to draw."""
        if now - self.at >= _REDRAW_EVERY or not days or not self.days or days[0].start != self.days[0].start:
            return days == self.days
        today, drawn = days[-1], self.days[-1]
        return (today.checks_failed, today.uptime.down) == (drawn.checks_failed, drawn.uptime.down)


def environment(conceal: Conceal) -> Environment:
    """The template engine with the words and drawings that templates may use."""
    found = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_cleaned,
    )
    found.filters.update(_FILTERS, conceal=conceal)
    found.globals.update(_GLOBALS)
    return found


def _cleaned(value: Any) -> Any:
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
    "second": format_second,
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
    "compared": compared,
    "legend_mark": legend_mark,
    "outcome_rows": outcome_rows,
    "phase_rows": phase_rows,
    "story": story,
    "states": State,
}
