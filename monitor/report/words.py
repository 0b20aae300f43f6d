"""Figures and times as the page says them, and foreign texts made fit to be shown. Markup is not made here."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from monitor.lib.durations import format_duration
from monitor.lib.text import MASK, mask_credentials, one_line
from monitor.store.rollups.model import Slice, Uptime

NAME_LIMIT = 200
DETAIL_LIMIT = 300
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://\S+|(?<![\w.-])[\w.-]+\.upstash\.io\b(?::[0-9]+)?", re.IGNORECASE)
DAY = timedelta(days=1)


def format_ms(milliseconds: float | None) -> str:
    """`0.42 ms`, `8.3 ms`, `120 ms`, `1.25 s`; a dash where there is none."""
    if milliseconds is None:
        return "–"
    if milliseconds >= 999.5:
        return f"{milliseconds / 1000:.3g} s" if milliseconds < 99950 else f"{milliseconds / 1000:,.0f} s"
    digits = 2 if milliseconds < 0.995 else 1 if milliseconds < 99.95 else 0
    return f"{milliseconds:.{digits}f} ms"


def format_share(share: float | None) -> str:
    """A share as a percentage that is never rounded up to 100 %; a dash where nothing is known."""
    if share is None:
        return "–"
    if share >= 1:
        return "100 %"
    digits = 3 if share >= 0.9999 else 2
    return f"{math.floor(share * 100 * 10**digits + 1e-7) / 10**digits:.{digits}f} %"


def format_uptime(uptime: Uptime) -> str:
    """What a share rests on: `of 89 d 4 h that are known; 20 h unknown`."""
    if not uptime.known:
        return "nothing is known"
    unknown = f"; {format_duration(uptime.unknown)} unknown" if uptime.unknown >= timedelta(seconds=1) else ""
    return f"of {format_duration(uptime.known)} known{unknown}"


def format_minute(moment: datetime) -> str:
    """`2026-11-23 14:02 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def format_second(moment: datetime) -> str:
    """`2026-11-23 14:02:09 UTC`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def format_span(start: datetime, end: datetime) -> str:
    """`2026-11-23` for a whole day, `2026-11-23 14:00 to 15:00` within one, else both ends in full; UTC."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    if end - start == DAY and start.time() == end.time() == datetime.min.time():
        return start.strftime("%Y-%m-%d")
    if start.date() == (end - timedelta(microseconds=1)).date():
        last = "24:00" if end.date() != start.date() else end.strftime("%H:%M")
        return f"{start:%Y-%m-%d %H:%M} to {last}"
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"


def format_slice(piece: Slice) -> str:
    """One line on a slice: when, its share, what was down or unknown, its latency, its checks."""
    said = [format_span(piece.start, piece.end)]
    uptime = piece.uptime
    said.append(f"{format_share(uptime.share)} up" if uptime.known else "nobody looked")
    if uptime.down:
        said.append(f"{format_duration(uptime.down)} down")
    if uptime.known and uptime.unknown >= timedelta(minutes=1):
        said.append(f"{format_duration(uptime.unknown)} unknown")
    if piece.latency is not None:
        said.append(f"p50 {format_ms(piece.latency.p50_ms)}, p99 {format_ms(piece.latency.p99_ms)}")
    if piece.checks_failed:
        said.append(f"{piece.checks_failed:,} of {piece.checks:,} checks failed")
    return " · ".join(said)


def format_name(name: str) -> str:
    """A database's name on one printable line."""
    return one_line(name, NAME_LIMIT)


class Concealer:
    """A function that makes a foreign text fit to be shown: one short line without addresses and credentials.

    `hosts` are the names of the databases' hosts, which no page may tell; Upstash's own are known by their form.
    """

    def __init__(self, hosts: Iterable[str] = ()) -> None:
        longest_first = sorted({host for host in hosts if host}, key=len, reverse=True)
        self._hosts = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)", re.IGNORECASE)

    def __call__(self, text: str) -> str:
        # Cut to what can matter first: a text of megabytes is not worth searching.
        line = one_line(text[: 10 * DETAIL_LIMIT], 10 * DETAIL_LIMIT)
        return one_line(mask_credentials(self._hosts.sub(MASK, _ADDRESS.sub(MASK, line))), DETAIL_LIMIT)
