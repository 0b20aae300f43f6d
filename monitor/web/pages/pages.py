"""HTML: the front page, a database's page, a refusal, and the report as one file to attach.

Foreign texts are escaped by the template engine in every place, and their addresses and credentials are masked.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from monitor.alerts.text import pattern_words, unchecked_words
from monitor.checks.canary import FREE_PLAN_COMMANDS
from monitor.diagnosis.advice import Advice
from monitor.incidents.state import Incident
from monitor.lib.language import ENGLISH, Language
from monitor.lib.times import format_time, iso, write_duration
from monitor.report.formatting import (
    Redactor,
    format_causes,
    format_incident_checks,
    format_minute,
    format_ms,
    format_name,
    format_share,
    format_span,
    format_uptime,
)
from monitor.report.quiet import Quiet
from monitor.store.rollups.model import DatabaseStatus, History
from monitor.web.pages.assets import ASSETS, STATE_ICONS
from monitor.web.pages.charts import check_bars, day_bars, latency_band
from monitor.web.pages.summary import (
    Card,
    DatabasePage,
    DatabaseState,
    PageSpan,
    card_of,
    compare,
    day_rows,
    has_percentile,
    has_share,
    headline,
    is_calm,
    outcome_rows,
    path_of,
    phase_rows,
    slice_rows,
    state_of,
    sum_uptime,
    worst_first,
)
from monitor.web.pages.svg import clean, legend_shape, percent, worst_outcome

REFRESH_SECONDS = 15
_BACKTICKS = re.compile("`([^`]+)`")
_FOLDER = Path(__file__).parent / "templates"


class Pages:
    """The templates, compiled once. `redact` makes a foreign text fit to be shown.

    With `can_acknowledge` an open incident has a button for that.
    """

    def __init__(
        self,
        redact: Callable[[str], str],
        *,
        title: str,
        can_acknowledge: bool = False,
        language: Language = ENGLISH,
    ) -> None:
        self._language = language
        self._environment = _environment(redact, language)
        self._environment.globals["can_acknowledge"] = can_acknowledge
        self._environment.globals["site_title"] = format_name(title)

    def front(
        self,
        statuses: Sequence[DatabaseStatus],
        now: datetime,
        troubles: Sequence[str] = (),
        past: Sequence[tuple[str, Incident]] = (),
        quiet: Sequence[Quiet] = (),
    ) -> str:
        """The page of all databases.

        `troubles` are lines on broken channels, `past` incidents that are over, `quiet` silences and maintenance.
        """
        unchecked = sum(status.latest is None for status in statuses)
        states = [state_of(status, now) for status in statuses]
        state, sentence = headline(states, unchecked=unchecked, language=self._language)
        cards = [card_of(status, now, self._language) for status in worst_first(statuses, now)]
        # Many that are down for one reason are read in one place.
        advised: dict[Advice, Card] = {}
        for card in cards:
            if card.advice is not None:
                advised.setdefault(card.advice, card)
        return self._render(
            "front.html",
            advised=advised,
            now=now,
            refresh=REFRESH_SECONDS,
            state=state,
            sentence=sentence,
            cards=cards,
            paths={status.database: path_of(status.database) for status in statuses},
            past=past,
            troubles=[self._language.sentence(line) for line in troubles],
            quiet=quiet,
        )

    def database(self, page: DatabasePage, now: datetime) -> str:
        """The page of one database."""
        card = card_of(page.status, now, self._language)
        return self._render(
            "database.html",
            now=now,
            refresh=REFRESH_SECONDS,
            state=card.state,
            card=card,
            history=page.history,
            span=page.span,
            spans=PageSpan.offered(page.status.since, now),
            free_plan=FREE_PLAN_COMMANDS,
        )

    def refusal(self, status: int, title: str, text: str) -> str:
        """A page for what was not found or not understood, in plain words."""
        sentence = self._language.sentence
        return self._render(
            "refusal.html", state=DatabaseState.UNKNOWN, status=status, title=sentence(title), text=sentence(text)
        )

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
    template = _environment(Redactor(), ENGLISH).get_template("report.html")
    return template.render(
        histories=histories,
        claims=claims,
        now=now,
        title=title,
        style=Markup(style),  # noqa: S704 - our own file
        style_hash=b64encode(sha256(style.encode()).digest()).decode(),
    )


def _environment(redact: Callable[[str], str], language: Language) -> Environment:
    found = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_clean_text,
    )
    found.filters.update(_FILTERS, redact=redact, **_worded(language))
    found.globals.update(
        _GLOBALS,
        say=partial(_say, language),
        language_code=language.code,
        check_bars=partial(check_bars, language=language),
        day_bars=partial(day_bars, language=language),
        latency_band=partial(latency_band, language=language),
    )
    return found


def _say(language: Language, text: str, **values: object) -> Markup:
    """A text of ours in the language, with what is filled in escaped where it is no markup yet."""
    return Markup(language.say(text, **{name: escape(value) for name, value in values.items()}))  # noqa: S704 - ours


def _worded(language: Language) -> dict[str, Callable[..., Any]]:
    """The filters whose words and figures are the language's."""

    def in_words(write: Callable[..., str]) -> Callable[..., str]:
        return lambda *values: language.sentence(write(*values))

    return {
        "sentence": language.sentence,
        "causes": partial(format_causes, language=language),
        "pattern": lambda incident: pattern_words(incident.fails_for, incident.fails_every, language),
        "checks_failed": partial(format_incident_checks, language=language),
        "unchecked": partial(unchecked_words, language=language),
        "uptime": partial(format_uptime, language=language),
        "day": in_words(lambda moment: moment.strftime("%Y-%m-%d")),
        "ms": in_words(format_ms),
        "share": in_words(format_share),
        "minute": in_words(format_minute),
        "second": in_words(format_time),
        "duration": language.duration,
        "written": in_words(write_duration),
        "count": in_words(lambda value: f"{value:,}"),
    }


def _clean_text(value: Any) -> Any:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _coded(text: str) -> Markup:
    """A text of ours, in which backticks mark what is typed or written as it stands."""
    parts = enumerate(_BACKTICKS.split(clean(text)))
    return Markup("").join(Markup("<code>{}</code>").format(part) if index % 2 else part for index, part in parts)


def _bar(width: float, kind: str) -> Markup:
    """A horizontal bar beside a figure that says the same."""
    bar = Markup(
        '<svg class="bar" width="100%" height="8" aria-hidden="true">'
        '<rect class="{}" width="{}" height="8"/></svg>'
    )
    return bar.format(kind, percent(width))


_FILTERS: dict[str, Callable[..., Any]] = {
    "coded": _coded,
    "upper_first": lambda text: text[:1].upper() + text[1:],
    "iso": iso,
    "name": format_name,
    "figure": lambda value: "" if value is None else str(round(value, 3)),
}
_GLOBALS: dict[str, Any] = {
    "assets": ASSETS,
    "bar": _bar,
    "compare": compare,
    "is_calm": is_calm,
    "day_rows": day_rows,
    "has_percentile": has_percentile,
    "has_share": has_share,
    "legend_shape": legend_shape,
    "outcome_rows": outcome_rows,
    "phase_rows": phase_rows,
    "slice_rows": slice_rows,
    "span_words": format_span,
    "sum_uptime": sum_uptime,
    "state_icons": STATE_ICONS,
    "states": DatabaseState,
    "worst_outcome": worst_outcome,
}
