"""What a look measured, as it stands in its row: two columns, and the other phases in a few bytes.

Where the row is found is told in `look_rows`.
"""

from __future__ import annotations

from dataclasses import dataclass

from monitor.core.observation import Phases
from monitor.core.packing import read_varint, write_varint
from monitor.store.rows import to_us


@dataclass(frozen=True, slots=True)
class Figures:
    """The phases of a look as they stand in its row, in microseconds; in the order of its columns."""

    latency_us: int | None
    beside_us: int | None
    phases: bytes | None

    @property
    def latency_ms(self) -> float | None:
        return _ms(self.latency_us)


def write_figures(phases: Phases) -> Figures:
    """Latency and total are columns, for the view `history`; the other phases go into a few bytes.

    A phase is its microseconds and one, none is 0. The first byte (`wait`) is needed where the latency does not
    tell it. Zeros at the end are left out.
    """
    wait, read, total = to_us(phases.wait), to_us(phases.read), to_us(phases.total)
    latency = None if wait is None or read is None else wait + read
    parts = [
        to_us(phases.dns),
        to_us(phases.connect),
        to_us(phases.tls),
        read,
        None if latency is not None else wait,
    ]
    while parts and parts[-1] is None:
        parts.pop()
    return Figures(
        latency,
        None if total is None else total - (latency or 0),
        b"".join(write_varint(0 if part is None else part + 1) for part in parts) or None,
    )


def read_figures(figures: Figures) -> Phases:
    """What `write_figures` was given, to the microsecond; raises ValueError for what it never writes."""
    parts: list[int | None] = []
    content, place = figures.phases or b"", 0
    while place < len(content):
        value, place = read_varint(content, place)
        parts.append(value - 1 if value else None)
    dns, connect, tls, read, wait = parts + [None] * (5 - len(parts))
    latency, beside = figures.latency_us, figures.beside_us
    if latency is not None and read is not None:
        wait = latency - read
    return Phases(
        dns=_ms(dns),
        connect=_ms(connect),
        tls=_ms(tls),
        wait=_ms(wait),
        read=_ms(read),
        total=None if beside is None else _ms(beside + (latency or 0)),
    )


def _ms(us: int | None) -> float | None:
    return None if us is None else us / 1000
