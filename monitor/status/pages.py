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

from monitor.core.budget import FREE_PLAN_COMMANDS
from monitor.core.history import Glance, History, Slice
from monitor.core.observation import Look
from monitor.core.plugin import iso
from monitor.durations import say_duration, write_duration
from monitor.status.assets import ASSETS
from monitor.status.card import card_of, days_rows, story
from monitor.status.day_bars import day_bars
from monitor.status.detail import Span, compared, outcome_rows, phase_rows
from monitor.status.latency_band import latency_band
from monitor.status.marks import legend_mark, worst_outcome
from monitor.status.sparkline import sparkline
from monitor.status.state import State, state_of, verdict, worst_first
from monitor.status.svg import clean, percent
from monitor.status.words import say_minute, say_ms, say_name, say_second, say_share, say_span, say_uptime

REFRESH_SECONDS = 15
_FOLDER = Path(__file__).parent / "templates"
Conceal = Callable[[str], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabasePage:
    """What a database's page is made of; `looks` are the latest ones, the newest first."""

    glance: Glance
    history: History
    span: Span
    looks: Sequence[Look]


class Pages:
    """The templates, read once. `conceal` makes a foreign text fit to be shown."""

    def __init__(self, conceal: Conceal) -> None:
        self._environment = environment(conceal)
        self._drawn: dict[str, tuple[Sequence[Slice], Markup, Markup]] = {}

    def front(self, glances: Sequence[Glance], now: datetime) -> list[Callable[[], str]]:
        """The front page in pieces, to be made one after the other: a hundred databases at once would take the
        event loop long enough to be seen in somebody's latency.
        """
        state, sentence = verdict([state_of(glance, now) for glance in glances])
        template = self._environment.get_template("front.html")
        before, after = template.render(
            now=now, state=state, sentence=sentence, refresh=REFRESH_SECONDS, many=len(glances) > 1
        ).split("<!-- databases -->")
        cards = [self._card_maker(glance, now) for glance in worst_first(glances, now)]
        return [lambda: before, *cards, lambda: after]

    def database(self, page: DatabasePage, now: datetime) -> str:
        """The page of one database."""
        return self._environment.get_template("database.html").render(
            now=now,
            refresh=REFRESH_SECONDS,
            card=card_of(page.glance, now),
            bars=self._drawings(page.glance)[0],
            history=page.history,
            span=page.span,
            spans=list(Span),
            looks=page.looks,
            plan=FREE_PLAN_COMMANDS,
        )

    def refusal(self, status: int, title: str, text: str) -> str:
        """A page for what was not found or not understood, in plain words."""
        return self._environment.get_template("refusal.html").render(status=status, title=title, text=text)

    def _card_maker(self, glance: Glance, now: datetime) -> Callable[[], str]:
        def make() -> str:
            bars, line = self._drawings(glance)
            template = self._environment.get_template("card.html")
            return template.render(card=card_of(glance, now), now=now, bars=bars, line=line)

        return make

    def _drawings(self, glance: Glance) -> tuple[Markup, Markup]:
        """The pictures of 90 days are drawn anew only when something was seen since."""
        days, bars, line = self._drawn.get(glance.database, (None, Markup(), Markup()))
        if days != glance.days:
            name = say_name(glance.database)
            bars, line = day_bars(glance.days, name=name), sparkline(glance.days, name=name)
            self._drawn[glance.database] = (glance.days, bars, line)
        return bars, line


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
    "ms": say_ms,
    "share": say_share,
    "uptime": say_uptime,
    "minute": say_minute,
    "second": say_second,
    "duration": say_duration,
    "written": write_duration,
    "iso": iso,
    "name": say_name,
    "figure": lambda value: "" if value is None else str(round(value, 3)),
    "count": lambda value: f"{value:,}",
}
_GLOBALS: dict[str, Any] = {
    "assets": ASSETS,
    "bar": _bar,
    "compared": compared,
    "days_rows": days_rows,
    "latency_band": latency_band,
    "legend_mark": legend_mark,
    "outcome_rows": outcome_rows,
    "phase_rows": phase_rows,
    "say_span": say_span,
    "story": story,
    "worst_outcome": worst_outcome,
    "states": State,
    "hour": timedelta(hours=1),
}
