"""Figures, times, names and what moved as text, the same on a terminal, in the HTML report and on the page."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

from monitor.alerts.text import pattern_words, words_of_checks
from monitor.checks.observation import Family, Outcome, Phases
from monitor.incidents.state import Incident
from monitor.lib.language import ENGLISH, Language
from monitor.lib.text import MASK, mask_credentials, one_line
from monitor.store.rollups.model import Slice, Uptime

NOTHING = "–"
NAME_LIMIT = 200
DETAIL_LIMIT = 300
# A URL; not `rediss://: the detail`, `begins with rediss://;` or `https:// of the same host`.
_URL = re.compile(r"[a-z][a-z0-9+.-]{0,20}://(?:[\w\[%*]|:\S*@)\S*", re.IGNORECASE)
# Labels and dots, of which the last label begins with a letter, so that `10.5 ms` and `nginx/1.25.3` are none. The
# target of a redirect may be a single label; what else stands in its place is of several words, or is "nowhere".
_HOST = re.compile(
    r"(?<![\w.-])(?:\.?(?:[\w*-]+\.)+[^\W\d_](?:[^\W_]|-)+|localhost)(?![\w-])(?::[0-9]+)?"
    r"|(?<=a redirect to )(?!nowhere\b)[^\s;]+(?=;|$)",
    re.IGNORECASE,
)
_IPV4 = re.compile(r"(?<![\w.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?!\w|\.[0-9])(?::[0-9]+)?")
# What may be IPv6; times of day and the like are told from it by reading it.
_MAYBE_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9a-f:]*:[0-9a-f]*:)[0-9a-f:]+(?:(?:\.[0-9]{1,3}){3})?", re.IGNORECASE)
_LONGEST_WORD = 64
DAY = timedelta(days=1)


def format_ms(milliseconds: float | None) -> str:
    """`0.42 ms`, `8.3 ms`, `120 ms`, `1.25 s`; a dash where there is none."""
    if milliseconds is None:
        return NOTHING
    if milliseconds >= 999.5:
        return f"{milliseconds / 1000:.3g} s" if milliseconds < 99950 else f"{milliseconds / 1000:,.0f} s"
    return f"{format_ms_figure(milliseconds)} ms"


def format_ms_figure(milliseconds: float | None) -> str:
    """`0.42`, `8.3`, `1,250`: for a column whose heading names the unit; a dash where there is none."""
    if milliseconds is None:
        return NOTHING
    digits = 2 if milliseconds < 0.995 else 1 if milliseconds < 99.95 else 0
    return f"{milliseconds:,.{digits}f}"


def format_share(share: float | None, *, digits: int | None = None) -> str:
    """`99.95 %`, cut and never rounded up: only a share of 1 is `100 %`; a dash where nothing is known.

    Two digits after the point, three from 99.99 % on, where `digits` does not say otherwise.
    """
    if share is None:
        return NOTHING
    if share >= 1:
        return "100 %"
    if digits is None:
        digits = 3 if share >= 0.9999 else 2
    # Rounding first takes back what the binary fraction lost: 0.9995 is 99.95 %, not 99.94 %.
    cut = math.floor(round(share * 100 * 10**digits, 6)) / 10**digits
    return f"{min(cut, 100 - 10**-digits):.{digits}f} %"


def format_uptime(uptime: Uptime, language: Language = ENGLISH) -> str:
    """What a share rests on: `of 89 d 4 h known; 20 h unknown; 2 h maintenance`."""
    say, duration = language.say, language.duration
    known = say("of {time} known", time=duration(uptime.known))
    parts = [known if uptime.known else say("nothing is known")]
    # The last check is always some seconds ago.
    if uptime.known and uptime.unknown >= timedelta(minutes=1):
        parts.append(say("{time} unknown", time=duration(uptime.unknown)))
    if uptime.maintenance:
        parts.append(say("{time} maintenance", time=duration(uptime.maintenance)))
    return "; ".join(parts)


def format_checks(part: Slice) -> str:
    """`10,060, 5 failed: 3 response timed out, 2 connection refused; 12 slow; 4 monitor offline (not counted)`."""
    failed = part.checks_failed
    parts = [f"{part.checks:,}, {failed:,} failed"]
    if failed:
        parts[0] += f": {format_counts(failures(part.outcomes))}"
    if slow := part.outcomes.get(Outcome.SLOW, 0):
        parts.append(f"{slow:,} slow")
    unknown = {outcome: count for outcome, count in part.outcomes.items() if outcome.family is Family.UNKNOWN}
    if unknown:
        parts.append(f"{format_counts(unknown)} (not counted)")
    return "; ".join(parts)


def format_causes(incident: Incident, language: Language = ENGLISH) -> str:
    """`connection refused, then HTTP 500`; of one that comes and goes, with its pattern."""
    causes = language.say(", then ").join(language.say(cause.words) for cause in incident.causes)
    if not incident.is_unstable:
        return causes
    pattern = pattern_words(incident.fails_for, incident.fails_every, language)
    return language.say("{causes}, unstable: {pattern}", causes=causes, pattern=pattern)


def format_incident_checks(incident: Incident, language: Language = ENGLISH) -> str:
    """`17 checks failed`, `1 check slow`, as messages have it."""
    return words_of_checks(incident.checks_failed, incident.severity, incident.causes, language)


def failures(outcomes: Mapping[Outcome, int]) -> dict[Outcome, int]:
    """The failing ones among them."""
    return {outcome: count for outcome, count in outcomes.items() if outcome.family.is_failing}


def format_counts(outcomes: Mapping[Outcome, int], *, most: int | None = None) -> str:
    """`3 response timed out, 2 connection refused`: the most frequent first, at most so many."""
    ordered = sorted(outcomes.items(), key=lambda item: (-item[1], item[0].value))
    parts = [f"{count:,} {outcome.words}" for outcome, count in ordered[:most]]
    rest = sum(count for _, count in ordered[len(parts) :])
    return ", ".join([*parts, f"{rest:,} others"] if rest else parts)


def format_minute(moment: datetime) -> str:
    """`2026-11-23 14:02 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def format_span(start: datetime, end: datetime) -> str:
    """`2026-11-23` for a whole day, `2026-11-23 14:00 to 15:00` within one, else both ends in full; UTC."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if end - start == DAY and start.time() == end.time() == datetime.min.time():
        return start.strftime("%Y-%m-%d")
    if start.date() == (end - timedelta(microseconds=1)).date():
        last = "24:00" if end.date() != start.date() else end.strftime("%H:%M")
        return f"{start:%Y-%m-%d %H:%M} to {last}"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"


def format_slice(piece: Slice, language: Language = ENGLISH) -> str:
    """One line on a slice: when, its share, what was down, unknown or apart, its latency, its checks."""
    say, sentence, duration = language.say, language.sentence, language.duration
    parts = [sentence(format_span(piece.start, piece.end))]
    uptime = piece.uptime
    if uptime.known:
        parts.append(say("{share} up", share=sentence(format_share(uptime.share))))
    elif not uptime.maintenance:
        parts.append(say("nobody checked"))
    if uptime.down:
        parts.append(say("{time} down", time=duration(uptime.down)))
    if uptime.known and uptime.unknown >= timedelta(minutes=1):
        parts.append(say("{time} unknown", time=duration(uptime.unknown)))
    if uptime.maintenance:
        parts.append(say("{time} maintenance", time=duration(uptime.maintenance)))
    if piece.latency is not None:
        p50, p99 = sentence(format_ms(piece.latency.p50_ms)), sentence(format_ms(piece.latency.p99_ms))
        parts.append(say("p50 {p50}, p99 {p99}", p50=p50, p99=p99))
    if piece.checks_failed:
        failed, checks = sentence(f"{piece.checks_failed:,}"), sentence(f"{piece.checks:,}")
        parts.append(say("{failed} of {checks} checks failed", failed=failed, checks=checks))
    return " · ".join(parts)


def format_name(name: str) -> str:
    """A database's name on one printable line; nothing in it steers a display."""
    return one_line(name, NAME_LIMIT)


class Redactor:
    """Makes a foreign text fit for the page: one short line without URLs, hosts, addresses and credentials.

    `hosts` are the names of the databases' hosts, for those that nothing shows to be one: a single label.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        longest_first = sorted({host for host in hosts if host}, key=len, reverse=True)
        names = "|".join(map(re.escape, longest_first)) or r"(?!)"
        self._hosts = re.compile(rf"(?<![\w-])(?:{names})(?![\w-])", re.IGNORECASE)

    def __call__(self, text: str) -> str:
        # Cut before searching: the expressions would go over megabytes of which 300 characters are shown.
        line = one_line(text[: 10 * DETAIL_LIMIT], 10 * DETAIL_LIMIT)
        before, _, last = line.rpartition(" ")
        if last.endswith("…") and len(last) <= _LONGEST_WORD:
            line = f"{before} …"  # half a word may be half a host name, which nothing shows to be one
        line, before = self._hosts.sub(MASK, line), ""
        while line != before:  # what stands beside a mask may be an address only now: the colons of `0.A0::`
            before = line
            line = _MAYBE_IPV6.sub(_mask_ipv6, _URL.sub(MASK, line))
            line = _IPV4.sub(MASK, _HOST.sub(MASK, line))
        return one_line(mask_credentials(line), DETAIL_LIMIT)


def _mask_ipv6(match: re.Match[str]) -> str:
    found = match.group()
    without_colon = found.removesuffix(":")  # as in `::1: refused`
    for address in (found, without_colon, without_colon.rpartition(":")[0]):  # the last without a port
        try:
            ipaddress.IPv6Address(address)
        except ValueError:
            continue
        return MASK + found[len(address) :]
    return found


# What a median moves by chance is less than this.
_LEAST_MS = 2.0
_LEAST_RATIO = 1.25
# A wait contains one round trip, which is what a TCP connection takes; up to so many times that is still the way.
_WAY_RATIO = 1.5


class Phase(Enum):
    """The parts of a check, in their order; the values are the names of `Phases`."""

    DNS = "dns"
    CONNECT = "connect"
    TLS = "tls"
    WAIT = "wait"
    READ = "read"

    def of(self, phases: Phases) -> float | None:
        """Its milliseconds."""
        value: float | None = getattr(phases, self.value)
        return value


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """One phase whose median moved, in milliseconds, and what that means in words."""

    phase: Phase
    before_ms: float
    now_ms: float
    meaning: str

    def __str__(self) -> str:
        """`dns 1.2 ms → 8.9 ms: your lookup got slower, Upstash's wait did not`."""
        return f"{self.phase.value} {format_ms(self.before_ms)} → {format_ms(self.now_ms)}: {self.meaning}"


def shifts(now: Phases | None, before: Phases | None) -> tuple[Shift, ...]:
    """The phases that moved by more than chance, in their order; none where there is nothing to compare with."""
    if now is None or before is None:
        return ()
    moved = {phase for phase in Phase if _has_moved(phase.of(now), phase.of(before))}
    found: list[Shift] = []
    for phase in Phase:
        was, is_now = phase.of(before), phase.of(now)
        if phase in moved and was is not None and is_now is not None:
            meaning = _meaning(phase, now, before, moved)
            found.append(Shift(phase=phase, before_ms=was, now_ms=is_now, meaning=meaning))
    return tuple(found)


def _has_moved(now: float | None, before: float | None) -> bool:
    if now is None or before is None or abs(now - before) < _LEAST_MS:
        return False
    return max(now, before) >= _LEAST_RATIO * min(now, before)


def _meaning(phase: Phase, now: Phases, before: Phases, moved: set[Phase]) -> str:
    grew = (phase.of(now) or 0.0) > (phase.of(before) or 0.0)
    slower, longer = ("slower", "longer") if grew else ("faster", "shorter")
    if phase is Phase.WAIT:
        if _is_the_way(now, before, moved):
            return f"the way to Upstash got {longer}, Upstash itself did not get {slower}"
        return f"Upstash got {slower} to answer"
    words = {
        Phase.DNS: f"your lookup got {slower}",
        Phase.CONNECT: f"the way to Upstash got {longer}",
        Phase.TLS: f"the encryption handshake got {slower}",
        Phase.READ: f"reading the answer got {slower}",
    }[phase]
    return f"{words}, Upstash's wait did not" if grew and Phase.WAIT not in moved else words


def _is_the_way(now: Phases, before: Phases, moved: set[Phase]) -> bool:
    """True where the connection moved with the wait, so that the way there explains both."""
    if Phase.CONNECT not in moved:
        return False
    wait = (now.wait or 0.0) - (before.wait or 0.0)
    way = (now.connect or 0.0) - (before.connect or 0.0)
    return wait * way > 0 and abs(wait) <= _WAY_RATIO * abs(way)
