"""The report as one file to attach: everything inline, no script, made to be printed.

It says what a database's page says; when a report is made, and of what, is not known here.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType

from markupsafe import Markup

from monitor.report.formatting import Concealer, format_name
from monitor.store.rollups.model import History
from monitor.web.charts.day_bars import day_bars
from monitor.web.charts.latency_band import latency_band
from monitor.web.charts.tables import slice_rows
from monitor.web.pages.assets import ASSETS
from monitor.web.pages.pages import environment
from monitor.web.steps import at_once


def render_report(
    histories: Sequence[History],
    *,
    now: datetime,
    title: str,
    claims: Mapping[str, str] = MappingProxyType({}),
    conceal: Callable[[str], str] | None = None,
) -> str:
    """One self-contained HTML document over these histories; it loads nothing, and forbids itself to.

    `claims` are the forms of SLA claims by database, plain lines that are shown as they are.

    `conceal` makes a foreign text fit to be shown, by default without addresses and what looks like a credential.
    """
    shown = [
        (
            history,
            at_once(latency_band(history)),
            at_once(day_bars(history.slices, name=format_name(history.database))),
            at_once(slice_rows(history.slices)),
            claims.get(history.database),
        )
        for history in histories
    ]
    style = ASSETS["page.css"].text
    return (
        environment(conceal or Concealer())
        .get_template("report.html")
        .render(
            shown=shown,
            now=now,
            title=title,
            style=Markup(style),  # noqa: S704 - our own file
            style_hash=b64encode(sha256(style.encode()).digest()).decode(),
        )
    )
