"""The goals, and what other monitors reach: figures that the table sets beside ours.

The peers were measured on 2026-11-23 on one machine (2 cores, Debian 12, loopback), against one server that
speaks Upstash's REST API: Prometheus 2.42 with blackbox_exporter 0.23 and Alertmanager 0.25, Monit 5.33, Uptime
Kuma 2.5.3. What is marked "published" or "reported" is their authors' or users' word. Nothing is measured here.
"""

from __future__ import annotations

from dataclasses import dataclass

PEERS_SOURCE = "peers: measured 2026-11-23 on one machine, unless marked otherwise"


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """What is wanted of one figure, in words and where it is one number as `limit`; and what peers reach."""

    wanted: str
    peers: str
    limit: float | None = None

    def is_reached(self, figure: float) -> bool | None:
        """At most the limit; `None` without one."""
        return None if self.limit is None else figure <= self.limit


NO_GOAL = Goal(wanted="", peers="")

KILLED = Goal(
    wanted="median at most 0.5 of the best peer's in the same run",
    limit=0.5,
    peers="Prometheus stack 14.0 / 15.8 s\nMonit 13.3 / 14.4 s\nUptime Kuma (20 s) 49.6 / 52.7 s",
)
HUNG = Goal(
    wanted="median at most 0.8 of the best peer's in the same run",
    limit=0.8,
    peers="Prometheus stack 18.4 / 20.7 s\nMonit 17.6 / 20.8 s\nUptime Kuma (20 s) 53.6 / 57.7 s",
)
WRONG_TOKEN = Goal(
    wanted="median at most 0.5 of the best peer's in the same run",
    limit=0.5,
    peers="Prometheus stack 13.7 / 15.8 s\nMonit 12.1 / 14.8 s\nUptime Kuma (20 s) 52.1 / 54.4 s",
)
CAUSE = Goal(wanted="outcome, meaning, next step", peers="none names it in words")

LATENCY_OF_ONE = Goal(wanted="p99 within 1 ms", limit=1.0, peers="not told apart from the client's own time")
LATENCY_OF_FIRST = Goal(wanted="none of its own", peers="not told apart from the client's own time")
LATENCY_OF_MANY = Goal(wanted="p99 within 5 ms", limit=5.0, peers="not told apart from the client's own time")

MEMORY_OF_RUN = Goal(
    wanted="at most 60 MB resident",
    limit=60,
    peers="Prometheus stack 96 MB (106 after 40 minutes)\nUptime Kuma 154 MB, Monit 7.5 MB\n"
    "EaseProbe 45 MB at 100 (published)",
)
MEMORY_OF_CHECK = Goal(wanted="peak at most 50 MB", limit=50, peers="none has such a command")

# Seconds differ from machine to machine, ratios of one run hardly: figures are calls of the bare client.
CPU_PLAIN = Goal(
    wanted="at most 1.2 times the client",
    limit=1.2,
    peers="Prometheus stack 3.8 s where the\nclient takes 2.3 s, Monit 5.7, Kuma 93",
)
CPU_AT_PACE = Goal(
    wanted="at most the Prometheus stack's in the same run",
    peers="Prometheus stack 3.8 s, Monit 5.7 s, Kuma (20 s) 93 s",
)
MEMORY_AT_PACE = Goal(
    wanted="at most 60 MB resident", limit=60, peers="Prometheus stack 96 MB (106 after 40 minutes)\nMonit 7.5 MB"
)
CPU_TLS = Goal(wanted="at most 1.2 times the client", limit=1.2, peers="measured without TLS only")

CLIENT_ALONE = Goal(wanted="none of its own", peers="where the peers were measured:\n2.3 s plain HTTP, 3.5 s TLS")

DURATION_OF_CHECK = Goal(
    wanted="at most 4 times `import upstash_redis`", limit=4.0, peers="none has such a command"
)

THOUSAND_MISSED = Goal(
    wanted="none missed", limit=0, peers="EaseProbe: 1,000 every 60 s; 10,000 every 5 s fails (published)"
)
THOUSAND_LATENESS = Goal(wanted="p99 within 250 ms", limit=250, peers="not published")
THOUSAND_CPU = Goal(
    wanted="none of its own", peers="EaseProbe: 2 % of eight cores at 1,000 every 60 s (published)"
)
THOUSAND_MEMORY = Goal(
    wanted="at most 120 MB", limit=120, peers="EaseProbe: 75 MB at 1,000 every 60 s (published)"
)
BLACK_HOLED = Goal(
    wanted="the other 800 as punctual as before", limit=250, peers="Gatus: slow ones starve the others (reported)"
)
BLACK_HOLED_MISSED = Goal(
    wanted="none missed of the other 800", limit=0, peers="Gatus: slow ones starve the others (reported)"
)
BLACK_HOLED_COST = Goal(wanted="none of its own", peers="not published")

DISK = Goal(
    wanted="at most 32 B, rollups included",
    limit=32,
    peers="Prometheus 62 B (22 series)\nUptime Kuma 98 B + indexes",
)
HISTORY = Goal(
    wanted="at most 50 ms",
    limit=50,
    peers="plain SQL over single checks 5.6 s\nKuma's page 15 to 45 s at 700 monitors (reported)",
)
HISTORY_BY_HOUR = Goal(wanted="none: `report` shows a month by the day", peers="plain SQL: 5.6 s")
HISTORY_PAGE = Goal(wanted="at most 50 ms", limit=50, peers="Kuma's page 15 to 45 s at 700 monitors (reported)")
BILLED = Goal(
    wanted="90 of the free plan's 500,000 a month",
    limit=90,
    peers="GET-based checks: 43,200 a month at 60 s",
)

PAGE_MISSED = Goal(
    wanted="none missed", limit=0, peers="Uptime Kuma's page: 15 to 45 s at 700 monitors (reported)"
)
PAGE_LATENCY = Goal(wanted="p99 within 5 ms", limit=5.0, peers="not told apart from the client's own time")
PAGE_LOADS = Goal(wanted="none of its own", peers="Uptime Kuma's page: 15 to 45 s at 700 monitors (reported)")
