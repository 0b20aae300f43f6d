"""The report as one file to attach: everything inline, no script, made to be printed.

It says what a database's page says; when a report is made, and of what, is not known here.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import datetime
from hashlib import sha256

from markupsafe import Markup

from monitor.core.history import History
from monitor.status.assets import ASSETS
from monitor.status.day_bars import day_bars
from monitor.status.pages import environment
from monitor.status.words import Concealer


def render_report(
    histories: Sequence[History], *, now: datetime, title: str, conceal: Callable[[str], str] | None = None
) -> str:
    """One self-contained HTML document over these histories; it loads nothing, and forbids itself to.

    `conceal` makes a foreign text fit to be shown, by default without addresses and what looks like a credential.
    """
    style = ASSETS["page.css"].text
    return (
        environment(conceal or Concealer())
        .get_template("report.html")
        .render(
            histories=histories,
            now=now,
            title=title,
            style=Markup(style),  # noqa: S704 - our own file
            style_hash=b64encode(sha256(style.encode()).digest()).decode(),
            day_bars=day_bars,
        )
    )
