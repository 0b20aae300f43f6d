"""The text of a message: which lines a notification has, cleaned of whatever foreign text could do, and cut."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import quote

from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.checks.observation import Outcome
from monitor.diagnosis.advice import Advice, word
from monitor.lib.language import ENGLISH, Language
from monitor.lib.times import format_duration, format_time

# In UTF-16 units, as Telegram counts. A message has at most 900, which a phone shows without scrolling; of these a
# channel's own marks take some.
NAME_LIMIT = 60
HEADLINE_LIMIT = 140
LINE_LIMIT = 350
STEP_LIMIT = 180
# A check has 200 at most, which another language says in more.
_DETAIL_LIMIT = 250
_PLACE_LIMIT = 30
_LEAST_PLACE = 15
_LINK_LIMIT = 200
_NAMES_LIMIT = 300
_MOST_NAMES = _NAMES_LIMIT // 3  # the shortest, with the comma and the space behind it
_NUMBERS_LIMIT = 80
_LIMIT = 870
# What is left of a line that is cut should still say something; what a message includes, which the first are.
_LEAST = 40
_LEAST_INCLUDED = 200
_LEAST_MISSED = 400
_PROGRAM = "upstash-monitor"
_PLACE = re.compile(r"\{(\w+)\}")
_MOST_NOTES = 3
_MOST_STEPS = 3
_MOST_INCLUDED = 7
_MOST_SPANS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Which monitor a message is from, as far as the settings know, and the language that it writes.

    `page_url` has no slash at its end.
    """

    environment: str = ""
    region: str = ""
    page_url: str = ""
    language: Language = ENGLISH


NO_ORIGIN = Origin()

# A line with moments in it, which each channel writes in its own way; its words are ours alone.
Line = str | tuple[str | datetime, ...]
LineT = TypeVar("LineT", str, Line)


@dataclass(frozen=True, kw_only=True, slots=True)
class MessageText:
    """The parts of a message, cleaned and cut, without any markup, in the order in which they are read.

    `verdict` is one sentence, `detail` quotes the answer of the database, `layers` are those that did not pass,
    `link` is the page; each is empty where there is none. `notes` are about the delivery, such as that it comes
    late. `day` is the day on which it is sent, in UTC.
    """

    symbol: str
    headline: str
    verdict: str
    detail: str
    facts: tuple[Line, ...]
    steps: tuple[str, ...]
    notes: tuple[str, ...]
    layers: str
    link: str
    reference: str
    day: date
    language: Language

    @property
    def first_line(self) -> str:
        return f"{self.symbol} {self.headline}"

    @property
    def written_facts(self) -> tuple[str, ...]:
        """The facts with their moments in UTC."""
        return tuple(written(line, self.day, date_form=self.language.date) for line in self.facts)

    @property
    def numbered_steps(self) -> tuple[str, ...]:
        return tuple(f"{number}. {step}" for number, step in enumerate(self.steps, start=1))


def compose(notification: Notification, notes: tuple[str, ...] = (), origin: Origin = NO_ORIGIN) -> MessageText:
    """The text of a notification; the parts in the order in which they are read."""
    language = origin.language
    sentence = language.sentence
    move = whose_move(notification, language)
    advice = advice_of(notification, language)
    named = _with_place(replace(notification, title=sentence(notification.title)), origin)
    message = MessageText(
        symbol=_symbol(notification),
        # What happened must not push out whose move it is.
        headline=clean(headline(named, language), HEADLINE_LIMIT - len(move)) + move,
        verdict=clean(advice.meaning, LINE_LIMIT) if advice else "",
        detail=clean(sentence(notification.detail), _DETAIL_LIMIT),
        facts=_lines(facts(notification, language), LINE_LIMIT),
        steps=_lines(next_steps(notification, language), STEP_LIMIT),
        notes=_lines((*_how_to_stop(notification, language), *map(sentence, notes[:_MOST_NOTES])), LINE_LIMIT),
        layers=clean(" · ".join(map(sentence, notification.layers.split(" · "))), LINE_LIMIT),
        link=_link(notification, origin),
        reference=reference(notification, language),
        day=_day(notification),
        language=language,
    )
    return _fitted(message, notification)


def _fitted(message: MessageText, notification: Notification) -> MessageText:
    """Cut to the limit: first what says least to whoever must act. Headline, verdict and the last lines stay.

    What the notification includes stands behind the facts.
    """
    left = _LIMIT - sum(
        _units(line) + 1 for line in (message.first_line, message.verdict, message.link, message.reference)
    )

    def take(lines: Iterable[Line]) -> Iterator[Any]:
        """Those of the lines that fit, the last one cut where enough of it is left."""
        nonlocal left
        for line in lines:
            cut = clean(line, left - 4) if isinstance(line, str) and left > _LEAST else line
            needed = _needed([written(cut, message.day, date_form=message.language.date)])
            if needed <= left:
                left -= needed
                yield cut

    facts = tuple(take(message.facts))
    least = _LEAST_MISSED if notification.kind is NotificationKind.MISSED else _LEAST_INCLUDED
    room = min(left, max(left - _needed((*message.steps, *message.notes[:1])), least))
    facts += tuple(take(_included(notification, message.language, room)))
    steps = tuple(take(message.steps))
    detail, layers = next(take([message.detail]), ""), next(take([message.layers]), "")
    return replace(
        message, facts=facts, steps=steps, detail=detail, layers=layers, notes=tuple(take(message.notes))
    )


def _needed(lines: Iterable[str]) -> int:
    """What lines take, each with its number and its end."""
    return sum(_units(line) + 4 for line in lines)


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def written(line: Line, day: date | None, *, form: str = "%H:%M:%S", date_form: str = ENGLISH.date) -> str:
    """A line with its moments in UTC, said once; with the date only where that is not `day`, or changes."""
    if isinstance(line, str):
        return line
    last = max((number for number, part in enumerate(line) if isinstance(part, datetime)), default=-1)
    words: list[str] = []
    for number, part in enumerate(line):
        if isinstance(part, datetime):
            moment = part.astimezone(UTC)
            words.append(moment.strftime(form if moment.date() == day else f"{date_form} {form}"))
            words.append(" UTC" if number == last else "")
            day = moment.date()
        else:
            words.append(part)
    return "".join(words)


def plain_text(message: MessageText) -> str:
    """The whole message, for the log and for Slack's fallback."""
    lines = (
        message.first_line,
        message.verdict,
        message.detail,
        *message.written_facts,
        *message.numbered_steps,
        *message.notes,
        message.layers,
        message.link,
        message.reference,
    )
    return "\n".join(filter(None, lines))


def short_text(message: MessageText) -> str:
    """The least that must be read, for receivers that refuse the whole."""
    return "\n".join(
        filter(None, (message.first_line, message.verdict, *message.written_facts, message.reference))
    )


def headline(notification: Notification, language: Language = ENGLISH, *, is_listed: bool = False) -> str:
    """The first line without whose move it is: what, in words, such as `main: token rejected`.

    One that `is_listed` stands below a line that says of all that they were missed.
    """
    if notification.database is None:
        return notification.title
    if notification.cause is None:
        return f"{notification.database}: {notification.title}"
    words = _what_happened(notification, notification.cause, language)
    if notification.kind is NotificationKind.MISSED and not is_listed:
        words = language.say("you missed this: {what}", what=words)
    return f"{notification.database}: {words}"


def _what_happened(notification: Notification, outcome: Outcome, language: Language) -> str:
    say = language.say
    took, cause = _lasted(notification.duration, language), say(outcome.words)
    by_canary = notification.by_canary
    without_canary = say(": the canary that found it is off now")
    match notification.kind:
        case NotificationKind.CLOSED if notification.ended_within and notification.since:
            least = _lasted(notification.ended_within[0] - notification.since, language)
            return say("recovered while nobody checked, after {least} to {took}", least=least, took=took)
        case NotificationKind.CLOSED if by_canary:
            return say("closed after {took}", took=took) + without_canary
        case NotificationKind.CLOSED:
            return say("recovered after {took}", took=took)
        case NotificationKind.MISSED if notification.until is None:
            return say("{cause} for {took}, and still", cause=cause, took=took)
        case NotificationKind.MISSED:
            why = "" if notification.severity is Severity.WARNING else f" ({cause})"
            end = without_canary if by_canary else say(", fine again")
            return f"{_short_span(notification, language)}{why}{end}"
        case NotificationKind.UNWATCHED:
            return say("not watched any more; before: {cause}", cause=cause)
        case NotificationKind.REMINDER | NotificationKind.ONGOING:
            return say("still: {cause}, for {took}", cause=cause, took=took)
        case NotificationKind.CHANGED:
            return say("now: {cause}", cause=cause)
        case NotificationKind.REOPENED:
            return say("unstable, {cause} again", cause=cause)
        case NotificationKind.OPENED if notification.is_unstable:
            return say("unstable, {cause}", cause=cause)
        case _:
            return cause


def _with_place(notification: Notification, origin: Origin) -> Notification:
    """The notification as its first line names it: `main (staging, fra)`.

    A long name must not push what happened out of the line, nor a long place what tells one name from another.
    """
    name = clean(notification.database or "", NAME_LIMIT)
    room = max(_LEAST_PLACE, NAME_LIMIT - len(f"{name} ()"))
    place = ", ".join(filter(None, (origin.environment, origin.region)))
    behind = f" ({clean(place, min(room, _PLACE_LIMIT))})" if place else ""
    if notification.database is None:
        return replace(notification, title=notification.title + behind)
    return replace(notification, database=clean(name, NAME_LIMIT - len(behind)) + behind)


def whose_move(notification: Notification, language: Language = ENGLISH) -> str:
    """What the first line ends with: ` · your move`; empty where it is nobody's."""
    advice = None if notification.kind is NotificationKind.UNWATCHED else advice_of(notification)
    words = "" if advice is None else language.say(advice.whose_move.as_move)
    return f" · {words}" if words else ""


def facts(notification: Notification, language: Language = ENGLISH) -> tuple[Line, ...]:
    """What is known beyond the verdict: since when, how often it failed, what the causes were."""
    lines: list[Line] = []
    say = language.say
    if notification.since is not None:
        count = _count(notification, language)
        if notification.until is None:
            lines.append(_line(say("since {since}{count}"), since=notification.since, count=count))
        else:
            lines.append(_span(notification, notification.since, notification.until, language, count))
        if notification.unchecked:
            lines.append(_unchecked_line(notification.unchecked, language))
    if notification.nothing_reached and notification.is_good_news:
        lines.append(say("Nothing else could be reached from here either: it may have been our own network."))
    if notification.is_unstable and notification.until is None:
        lines.append(pattern_words(notification.fails_for, notification.fails_every, language))
    if notification.kind is NotificationKind.UNWATCHED:
        lines.append(say("It was removed from the configuration, or renamed: nobody checks whether it recovers."))
    causes = notification.causes
    if notification.is_good_news and causes:
        word = "cause: {causes}" if len(causes) == 1 else "causes: {causes}"
        lines.append(say(word, causes=_in_order(causes, language)))
    elif earlier := [cause for cause in causes if cause is not notification.cause]:
        lines.append(say("before: {causes}", causes=_in_order(earlier, language)))
    return tuple(lines)


def _line(text: str, **values: str | datetime | Line) -> tuple[str | datetime, ...]:
    """A text of ours with its places filled in, some of them by moments."""
    parts: list[str | datetime] = []
    for number, piece in enumerate(_PLACE.split(text)):
        value = values[piece] if number % 2 else piece
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, str) and parts and isinstance(parts[-1], str):
                parts[-1] += part
            elif part:
                parts.append(part)
    return tuple(parts)


def unchecked_words(spans: Sequence[tuple[datetime, datetime]], language: Language = ENGLISH) -> str:
    """From when to when nobody checked; of many spans the longest."""
    line = _unchecked_line(spans, language)
    return "".join(language.sentence(format_time(part)) if isinstance(part, datetime) else part for part in line)


def _unchecked_line(spans: Sequence[tuple[datetime, datetime]], language: Language) -> tuple[str | datetime, ...]:
    shown = spans if len(spans) <= _MOST_SPANS else [max(spans, key=lambda span: span[1] - span[0])]
    each = (_line(language.say("{start} to {end}"), start=start, end=end) for start, end in shown)
    first, *rest = each
    listed = (*first, *(part for one in rest for part in (", ", *one)))
    if len(shown) == len(spans):
        return _line(language.say("nobody checked {spans}"), spans=listed)
    in_all = language.duration(sum((end - start for start, end in spans), timedelta(0)))
    words = language.say("nobody checked for {total} in all, the longest {spans}")
    return _line(words, total=in_all, spans=listed)


def pattern_words(fails_for: timedelta | None, fails_every: timedelta | None, language: Language = ENGLISH) -> str:
    """How what is unstable comes and goes: `fails for about 60 s every 150 s`."""
    if fails_for is None or fails_every is None:
        return language.say("comes and goes")
    span, every = language.sentence(_about(fails_for)), language.sentence(_about(fails_every))
    return language.say("fails for about {span} every {every}", span=span, every=every)


def _about(span: timedelta) -> str:
    """Seconds up to some minutes, as people say it of a pattern."""
    seconds = max(1, round(span.total_seconds()))
    return f"{seconds} s" if seconds < 300 else format_duration(timedelta(minutes=round(seconds / 60)))


def _included(notification: Notification, language: Language, room: int) -> Sequence[str]:
    """Which incidents a message tells of, in lines that need at most `room`: the first, and how many more."""
    parts = notification.includes
    if not parts:
        return ()
    is_over = notification.kind in (NotificationKind.CLOSED, NotificationKind.MISSED)
    command = f"{_PROGRAM} incidents --all" if is_over else f"{_PROGRAM} incidents"
    how_to_see_all = language.say("to see all of them: {command}", command=command)
    left = room - _needed([how_to_see_all])
    if notification.kind is NotificationKind.MISSED and notification.since is None:
        lines, is_all = _each_in_a_line(notification, language, left)
    else:
        line, is_all = _all_in_one_line(notification, language, min(_NAMES_LIMIT, left - _needed([""])))
        lines = [line]
    return lines if is_all else [*lines, how_to_see_all]


def _each_in_a_line(notification: Notification, language: Language, room: int) -> tuple[list[str], bool]:
    """As many of the first as there is room for, and how many more; true when these are all."""
    say = language.say
    sent_at, parts = notification.sent_at or notification.created_at, notification.includes
    each: list[str] = []
    for part in parts[:_MOST_INCLUDED]:
        name = part.database and clean(part.database, NAME_LIMIT)
        title = language.sentence(part.title)
        words = headline(replace(part, database=name, title=title, sent_at=sent_at), language, is_listed=True)
        number = "" if part.incident is None else say(" (incident {number})", number=part.incident)
        each.append(clean(f"{_symbol(part)} {words}", HEADLINE_LIMIT) + number)
    while True:
        rest = len(parts) - len(each)
        lines = [*each, say("and {n} more", n=rest)] if rest else each
        if _needed(lines) <= room or len(each) == 1:
            return lines, not rest
        each.pop()


def _all_in_one_line(notification: Notification, language: Language, room: int) -> tuple[str, bool]:
    """`main, orders and 3 more`, as many as there is room for; true when these are all.

    Of what came and went also how: `main: token rejected for 4 min; orders: slow for 2 min; and 3 more`.
    """
    parts = notification.includes
    if notification.kind is NotificationKind.MISSED:
        each, between, last = [_came_and_went(part, language) for part in parts[:_MOST_NAMES]], "; ", "; "
    else:
        each, between, last = [clean(part.database or "", NAME_LIMIT) for part in parts[:_MOST_NAMES]], ", ", " "
    while True:
        rest = len(parts) - len(each)
        line = between.join(each) + (last + language.say("and {n} more", n=rest) if rest else "")
        if _units(line) <= room or len(each) == 1:
            return line, not rest
        each.pop()


def _came_and_went(notification: Notification, language: Language) -> str:
    name, cause = clean(notification.database or "", NAME_LIMIT), notification.cause
    words = language.say(
        "{cause} for {took}",
        cause="" if cause is None else language.say(cause.words),
        took=_lasted(notification.duration, language),
    )
    return f"{name}: {words}"


def _ranges(numbers: Sequence[int]) -> str:
    """`3, 5-9`; `numbers` are in order. Of very many the first: nobody reads them all on a phone."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    shown = ""
    for run in runs:
        longer = f"{shown}, {'-'.join(map(str, run))}".removeprefix(", ")
        if len(longer) > _NUMBERS_LIMIT:
            return f"{shown}, …"
        shown = longer
    return shown


def _how_to_stop(notification: Notification, language: Language) -> tuple[str, ...]:
    first = notification.includes[0] if notification.includes else notification
    if notification.kind is not NotificationKind.REMINDER or first.incident is None:
        return ()
    return (
        language.say("To stop these reminders: {command}", command=f"{_PROGRAM} incidents ack {first.incident}"),
    )


def _link(notification: Notification, origin: Origin) -> str:
    """The database's page, or the one of all; empty where even that is too long."""
    if not origin.page_url:
        return ""
    name = notification.database
    path = "/" if name is None else "/databases/" + quote(name, safe="", errors="replace")
    links = (origin.page_url + path, origin.page_url + "/")
    return next((link for link in links if len(link) <= _LINK_LIMIT), "")


def advice_of(notification: Notification, language: Language = ENGLISH) -> Advice | None:
    """The verdict in words; `None` for good news and for what is about the monitor itself."""
    if notification.verdict is None or notification.is_good_news:
        return None
    return word(notification.verdict, language)


def next_steps(notification: Notification, language: Language = ENGLISH) -> tuple[str, ...]:
    """What to do next, at most three steps; none for good news."""
    if notification.is_good_news:
        return ()
    advice = advice_of(notification, language)
    steps = tuple(map(language.sentence, notification.steps)) if advice is None else advice.next_steps
    return steps[:_MOST_STEPS]


def reference(notification: Notification, language: Language = ENGLISH) -> str:
    """The last line, by which a message that comes twice is recognised: `incident 12 · opened`."""
    own = () if notification.incident is None else (notification.incident,)
    numbers = sorted({one.incident for one in notification.includes if one.incident is not None}) or own
    kind = language.say(notification.kind.value)
    if not numbers:
        return f"{_PROGRAM} · {kind}"
    if len(numbers) == 1:
        return language.say("incident {number} · {kind}", number=numbers[0], kind=kind)
    return language.say("incidents {numbers} · {kind}", numbers=_ranges(numbers), kind=kind)


def _span(
    notification: Notification, since: datetime, until: datetime, language: Language, count: str = ""
) -> tuple[str | datetime, ...]:
    """`down 14:02:09 to 14:19:40`, with what is behind it."""
    if notification.is_unstable:
        words = language.say("unstable {since} to {until}{count}")
    elif notification.severity is Severity.WARNING:
        words = language.say("slow {since} to {until}{count}")
    elif Outcome.SLOW in _all_causes(notification):
        words = language.say("slow or down {since} to {until}{count}")
    else:
        words = language.say("down {since} to {until}{count}")
    return _line(words, since=since, until=_seen_until(notification, until), count=count)


def _short_span(notification: Notification, language: Language) -> str:
    """`down 14:02 to 14:19 UTC`; with dates when it did not end on the day on which it began.

    Where nobody saw its end it lasted at least so long.
    """
    if notification.since is None or notification.until is None:
        return ""
    line = _span(notification, notification.since, notification.until, language)
    span = written(line, _day(notification), form="%H:%M", date_form=language.date)
    return language.say("{span} at least", span=span) if notification.ended_within else span


def _seen_until(notification: Notification, until: datetime) -> datetime:
    """When it was last seen going on, which is its end, `until`, where somebody checked then."""
    return notification.ended_within[0] if notification.ended_within else until


def _day(notification: Notification) -> date:
    return (notification.sent_at or notification.created_at).astimezone(UTC).date()


def _lasted(duration: timedelta | None, language: Language) -> str:
    """How long something lasted; what is over within half a second did not last `0 s`."""
    rounded = timedelta(seconds=round((duration or timedelta(0)).total_seconds()))
    return language.duration(rounded) if rounded > timedelta(0) else language.say("less than 1 s")


def _count(notification: Notification, language: Language) -> str:
    number = notification.checks_failed
    if not number:
        return ""
    return f", {words_of_checks(number, notification.severity, _all_causes(notification), language)}"


def words_of_checks(
    number: int, severity: Severity, causes: Container[Outcome], language: Language = ENGLISH
) -> str:
    """How many checks of an incident were not fine: `17 checks failed`, `1 check slow`."""
    if severity is Severity.WARNING:
        text = "{n} check slow" if number == 1 else "{n} checks slow"
    elif Outcome.SLOW in causes:
        text = "{n} checks slow or failed"  # one alone is never both
    else:
        text = "{n} check failed" if number == 1 else "{n} checks failed"
    return language.say(text, n=f"{number:,}")


def _all_causes(notification: Notification) -> set[Outcome]:
    """The causes of its incident, or of all that it includes."""
    return {cause for one in (notification, *notification.includes) for cause in one.causes}


def _in_order(causes: Sequence[Outcome], language: Language) -> str:
    return language.say(", then ").join(language.say(cause.words) for cause in causes)


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


def _lines(texts: Iterable[LineT], limit: int) -> tuple[LineT, ...]:
    """Slack refuses a block without text, so what is empty once cleaned is left out."""
    cleaned = (clean(text, limit) if isinstance(text, str) else text for text in texts)
    return tuple(filter(None, cleaned))


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
