"""A notification as plain lines, and foreign text made harmless; a channel's own markup stands in its own file."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace

from monitor.alerts.notification import (
    Notification,
    NotificationKind,
    Severity,
    explanation,
    facts,
    headline,
    next_steps,
    tail,
)

# In UTF-16 units, as Telegram counts. The sum of all parts stays below its 4,096.
NAME_LIMIT = 60
HEADLINE_LIMIT = 140
LINE_LIMIT = 350
STEP_LIMIT = 180
_MOST_FOOTNOTES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """The parts of a message, cleaned and cut, without any markup.

    `detail` is what was seen, in somebody else's words; empty where there is nothing to quote.
    """

    symbol: str
    headline: str
    facts: tuple[str, ...]
    detail: str
    explanation: tuple[str, ...]
    steps: tuple[str, ...]
    footnotes: tuple[str, ...]
    tail: str

    @property
    def body(self) -> tuple[str, ...]:
        """The lines between the headline and the steps."""
        quoted = (self.detail,) if self.detail else ()
        return (*self.facts, *quoted, *self.explanation)


def compose(notification: Notification, footnotes: tuple[str, ...] = ()) -> Message:
    """The parts of a notification in the order in which they are read (design, 5.7)."""
    # A long name must not push what happened out of the headline.
    named = (
        notification
        if notification.database is None
        else replace(notification, database=clean(notification.database, NAME_LIMIT))
    )
    return Message(
        symbol=_symbol(notification),
        headline=clean(headline(named), HEADLINE_LIMIT),
        facts=_lines(facts(notification), LINE_LIMIT),
        detail=clean(notification.detail, LINE_LIMIT),
        explanation=_lines(explanation(notification), LINE_LIMIT),
        steps=_lines(next_steps(notification), STEP_LIMIT),
        footnotes=_lines(footnotes[:_MOST_FOOTNOTES], LINE_LIMIT),
        tail=tail(notification),
    )


def plain(message: Message) -> str:
    """The whole message as text, for the log, for fallbacks and for receivers that refuse markup."""
    steps = [f"{number}. {step}" for number, step in enumerate(message.steps, start=1)]
    lines = [f"{message.symbol} {message.headline}", *message.body, *steps, *message.footnotes, message.tail]
    return "\n".join(lines)


def short(message: Message) -> str:
    """The least that must be read, for receivers that refuse the whole."""
    return "\n".join((f"{message.symbol} {message.headline}", *message.facts, message.tail))


def clean(text: str, limit: int) -> str:
    """Foreign text on one line of at most `limit` UTF-16 units, without anything that steers a display.

    Control and format characters go (bidirectional overrides, zero-width marks), and so do lone surrogates, which
    no encoder takes.
    """
    folded = " ".join("".join(_harmless(character) for character in text[: 4 * limit]).split())
    units = folded.encode("utf-16-le")
    if len(units) <= 2 * limit:
        return folded
    return units[: 2 * (limit - 1)].decode("utf-16-le", "ignore").rstrip() + "…"


def _lines(texts: Iterable[str], limit: int) -> tuple[str, ...]:
    """Slack refuses a block without text, so what is empty once cleaned is left out."""
    return tuple(filter(None, (clean(text, limit) for text in texts)))


def _harmless(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cf", "Cs", "Co", "Cn"):
        return ""
    return " " if category in ("Cc", "Zl", "Zp") else character


def _symbol(notification: Notification) -> str:
    if notification.kind in (NotificationKind.CLOSED, NotificationKind.MISSED):
        return "🟢"
    if notification.kind is NotificationKind.TEST:
        return "⚪"
    return "🔴" if notification.severity is Severity.CRITICAL else "🟡"
