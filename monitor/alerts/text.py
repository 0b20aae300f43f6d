"""The text of a message: which lines a notification has, cleaned of whatever foreign text could do, and cut."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.checks.observation import Outcome
from monitor.diagnosis.advice import Advice, word
from monitor.lib.times import format_duration, format_time

# In UTF-16 units, as Telegram counts. The sum of all parts stays below its 4,096.
NAME_LIMIT = 60
HEADLINE_LIMIT = 140
LINE_LIMIT = 350
STEP_LIMIT = 180
_MOST_NOTES = 3
_WITHOUT_CANARY = ": the canary that found it is off now"
_MOST_STEPS = 3
_MOST_INCLUDED = 7
_MOST_SPANS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageText:
    """The parts of a message, cleaned and cut, without any markup.

    `detail` quotes the answer of the database; empty where there is none. `notes` are about the delivery, such as
    that it comes late.
    """

    symbol: str
    headline: str
    facts: tuple[str, ...]
    detail: str
    explanation: tuple[str, ...]
    steps: tuple[str, ...]
    notes: tuple[str, ...]
    reference: str

    @property
    def body(self) -> tuple[str, ...]:
        """The lines between the headline and the steps."""
        quoted = (self.detail,) if self.detail else ()
        return (*self.facts, *quoted, *self.explanation)


def compose(notification: Notification, notes: tuple[str, ...] = ()) -> MessageText:
    """The text of a notification; the parts in the order in which they are read."""
    # A long name must not push what happened out of the headline.
    named = replace(notification, database=notification.database and clean(notification.database, NAME_LIMIT))
    return MessageText(
        symbol=_symbol(notification),
        headline=clean(headline(named), HEADLINE_LIMIT),
        facts=_lines(facts(notification), LINE_LIMIT),
        detail=clean(notification.detail, LINE_LIMIT),
        explanation=_lines(explanation(notification), LINE_LIMIT),
        steps=_lines(next_steps(notification), STEP_LIMIT),
        notes=_lines(notes[:_MOST_NOTES], LINE_LIMIT),
        reference=reference(notification),
    )


def plain_text(message: MessageText) -> str:
    """The whole message, for the log and for Slack's fallback."""
    steps = [f"{number}. {step}" for number, step in enumerate(message.steps, start=1)]
    lines = [f"{message.symbol} {message.headline}", *message.body, *steps, *message.notes, message.reference]
    return "\n".join(lines)


def short_text(message: MessageText) -> str:
    """The least that must be read, for receivers that refuse the whole."""
    return "\n".join((f"{message.symbol} {message.headline}", *message.facts, message.reference))


def headline(notification: Notification) -> str:
    """The first line: what, in words, such as `main: token rejected`."""
    if notification.database is None:
        return notification.title
    if notification.cause is None:
        return f"{notification.database}: {notification.title}"
    took = format_duration(notification.duration or timedelta(0))
    by_canary = notification.by_canary
    match notification.kind:
        case NotificationKind.CLOSED if notification.ended_within and notification.since:
            least = format_duration(notification.ended_within[0] - notification.since)
            words = f"recovered while nobody checked, after {least} to {took}"
        case NotificationKind.CLOSED:
            words = f"closed after {took}{_WITHOUT_CANARY}" if by_canary else f"recovered after {took}"
        case NotificationKind.MISSED if notification.until is None:
            words = f"you missed this: {notification.cause.words} for {took}, and still"
        case NotificationKind.MISSED:
            why = "" if notification.severity is Severity.WARNING else f" ({notification.cause.words})"
            end = _WITHOUT_CANARY if by_canary else ", fine again"
            words = f"you missed this: {_short_span(notification)}{why}{end}"
        case NotificationKind.UNWATCHED:
            words = f"not watched any more, was {notification.cause.words}"
        case NotificationKind.REMINDER | NotificationKind.ONGOING:
            words = f"still {notification.cause.words} after {took}"
        case NotificationKind.CHANGED:
            words = f"now {notification.cause.words}"
        case _:
            words = notification.cause.words
    return f"{notification.database}: {words}"


def facts(notification: Notification) -> tuple[str, ...]:
    """The lines under the headline: since when, how often it failed, what the causes were."""
    lines: list[str] = []
    if notification.since is not None:
        span = f"since {format_time(notification.since)}"
        if notification.until is not None:
            seen_until = notification.ended_within[0] if notification.ended_within else notification.until
            span = f"{_state(notification)} {format_time(notification.since)} to {format_time(seen_until)}"
        lines.append(span + _count(notification))
        if notification.unchecked:
            lines.append(unchecked_words(notification.unchecked))
    if notification.nothing_reached and notification.is_good_news:
        lines.append("Nothing else could be reached from here either: it may have been our own network.")
    if notification.kind is NotificationKind.UNWATCHED:
        lines.append("It was removed from the configuration, or renamed: nobody checks whether it recovers.")
    if notification.is_good_news and notification.causes:
        word = "cause" if len(notification.causes) == 1 else "causes"
        lines.append(f"{word}: {_in_order(notification.causes)}")
    elif earlier := [cause for cause in notification.causes if cause is not notification.cause]:
        lines.append(f"before: {_in_order(earlier)}")
    return (*lines, *_included(notification.includes))


def unchecked_words(spans: Sequence[tuple[datetime, datetime]]) -> str:
    """From when to when nobody checked; of many spans the longest."""
    shown = spans if len(spans) <= _MOST_SPANS else [max(spans, key=lambda span: span[1] - span[0])]
    words = ", ".join(f"{format_time(start)} to {format_time(end)}" for start, end in shown)
    if len(shown) == len(spans):
        return f"nobody checked {words}"
    in_all = sum((end - start for start, end in spans), timedelta(0))
    return f"nobody checked for {format_duration(in_all)} in all, the longest {words}"


def _included(parts: Sequence[Notification]) -> Iterator[str]:
    """A line for each of the first, and the numbers of the rest."""
    for part in parts[:_MOST_INCLUDED]:
        words = headline(replace(part, database=part.database and clean(part.database, NAME_LIMIT)))
        number = "" if part.incident is None else f" (incident {part.incident})"
        yield f"{_symbol(part)} {words.replace('you missed this: ', '')}{number}"
    if rest := parts[_MOST_INCLUDED:]:
        numbers = sorted(part.incident for part in rest if part.incident is not None)
        yield f"and {len(rest)} more: incidents {_ranges(numbers)}" if numbers else f"and {len(rest)} more"


def _ranges(numbers: Sequence[int]) -> str:
    """`3, 5-9`; `numbers` are in order."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def explanation(notification: Notification) -> tuple[str, ...]:
    """What it means and whose move it is; nothing for good news."""
    advice = advice_of(notification)
    if advice is None:
        return ()
    lines = [advice.meaning, f"whose move: {advice.whose_move.words}"]
    if notification.layers:
        lines.append(f"doctor: {notification.layers}")
    if notification.kind is NotificationKind.REMINDER and notification.incident is not None:
        lines.append(f"To stop these reminders: upstash-monitor incidents ack {notification.incident}")
    return tuple(lines)


def advice_of(notification: Notification) -> Advice | None:
    """The verdict in words; `None` for good news and for what is about the monitor itself."""
    return None if notification.verdict is None or notification.is_good_news else word(notification.verdict)


def next_steps(notification: Notification) -> tuple[str, ...]:
    """What to do next, at most three steps; none for good news."""
    if notification.is_good_news:
        return ()
    advice = advice_of(notification)
    return (notification.steps if advice is None else advice.next_steps)[:_MOST_STEPS]


def reference(notification: Notification) -> str:
    """The last line, by which a message that comes twice is recognised: `incident 12 · opened`."""
    if notification.incident is None:
        return f"upstash-monitor · {notification.kind.value}"
    return f"incident {notification.incident} · {notification.kind.value}"


def _state(notification: Notification) -> str:
    return "slow" if notification.severity is Severity.WARNING else "down"


def _short_span(notification: Notification) -> str:
    """`down 14:02 to 14:19 UTC`; with dates when it did not end on the day on which it began."""
    if notification.since is None or notification.until is None:
        return _state(notification)
    form = "%H:%M" if notification.since.date() == notification.until.date() else "%Y-%m-%d %H:%M"
    return f"{_state(notification)} {notification.since.strftime(form)} to {notification.until.strftime(form)} UTC"


def _count(notification: Notification) -> str:
    if not notification.checks_failed:
        return ""
    checks = "check" if notification.checks_failed == 1 else "checks"
    failed = "slow" if notification.severity is Severity.WARNING else "failed"
    return f", {notification.checks_failed} {checks} {failed}"


def _in_order(causes: Sequence[Outcome]) -> str:
    return ", then ".join(cause.words for cause in causes)


def clean(text: str, limit: int) -> str:
    """Foreign text on one line of at most `limit` UTF-16 units, without anything that steers a display.

    Control and format characters go (bidirectional overrides, zero-width marks), and so do lone surrogates, which
    no encoder takes.
    """
    # At most four times the limit is read: an answer of a megabyte would take seconds.
    folded = " ".join("".join(_harmless(character) for character in text[: 4 * limit]).split())
    units = folded.encode("utf-16-le")  # two bytes for each unit, a surrogate pair is two units
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
    if notification.kind in (NotificationKind.TEST, NotificationKind.UNWATCHED):
        return "⚪"
    if notification.is_good_news:
        return "🟢"
    return "🔴" if notification.severity is Severity.CRITICAL else "🟡"
