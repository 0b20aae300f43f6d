"""CPU per 1,000 checks of the whole program: looking, judging, history, scheduling, and being idle between.

The process' own CPU clock is read at both ends of a window that begins after the start; the checks are those that
the history has for the window. Databases are asked by name over TLS, as users have it, and by number over plain
HTTP, as the peers were measured; one database by itself is in the line `pace`. The commands that the server saw
tell what a check is billed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.certificates import make_certificates
from bench.goals import BILLED, CLIENT_ALONE, CPU_PLAIN, CPU_TLS, Goal
from bench.load import serving
from bench.plan import Plan, say
from bench.processes import cpu_seconds
from bench.program import calling, database, watching
from bench.server import TOKEN_PREFIX, Options
from bench.table import Row
from monitor.checks.canary import budget
from monitor.config.settings import AlertSettings, DatabaseDefaults

_SETTLE_SECONDS = 6.0
_CLIENT = "client"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Case:
    """So many databases, so often, for so long."""

    what: str
    databases: int
    interval_seconds: int
    seconds: float
    goal: Goal
    encrypted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    cpu_seconds: float
    checks: int
    commands: dict[str, int]
    client_seconds: float


def measure(plan: Plan) -> Iterator[Row]:
    """Plain HTTP and TLS; then what the checks are billed."""
    seconds = plan.choose(60, 3)
    commands: dict[str, int] = {}
    for case in (
        _Case(what="plain HTTP", databases=20, interval_seconds=1, seconds=seconds, goal=CPU_PLAIN),
        _Case(what="TLS", databases=20, interval_seconds=1, seconds=seconds, goal=CPU_TLS, encrypted=True),
    ):
        found = _run(case, plan)
        for command, times in found.commands.items():
            commands[command] = commands.get(command, 0) + times
        yield _row(case, found, plan)
        yield _client_row(case, found)
    yield _billed_row(commands, plan)


def _run(case: _Case, plan: Plan) -> _Found:
    say(f"  {case.what}: {case.databases} every {case.interval_seconds} s for {case.seconds:.0f} s")
    folder = plan.scratch(f"cpu {case.what}")
    certificates = make_certificates(folder)
    with serving(Options(chain=str(certificates.chain) if case.encrypted else None)) as load:
        url = load.url if case.encrypted else load.address_url
        interval = f"{case.interval_seconds}s"
        config = {
            "databases": [database(f"db-{n:03}", url, interval=interval) for n in range(case.databases)],
            "connectivity": [load.host],
        }
        trusted, token = certificates.trusted, TOKEN_PREFIX + _CLIENT
        # In the same window and as often, so that what other work takes from the machine is taken from both.
        calls = calling(folder, url, token, every=case.interval_seconds / case.databases, trusted=trusted)
        with watching(folder, config, trusted=trusted) as program, calls as client:
            time.sleep(_SETTLE_SECONDS)
            begin, before, client_before = time.time(), program.cpu_seconds(), cpu_seconds([client])
            time.sleep(case.seconds)
            end, after, client_after = time.time(), program.cpu_seconds(), cpu_seconds([client])
            program.stop()
            checks = [check for check in program.checks() if begin <= check.at < end]
            seen = load.seen()
    called = sum(begin <= answer.arrived < end for answer in seen.answers.get(_CLIENT, ()))
    if not called:
        raise RuntimeError("the client alone called nobody")
    if not checks or any(check.outcome != "ok" for check in checks):
        raise RuntimeError("some checks did not end well, so their cost says nothing")
    return _Found(
        cpu_seconds=after - before,
        checks=len(checks),
        commands=seen.commands,
        client_seconds=(client_after - client_before) / called * 1000,
    )


def _row(case: _Case, found: _Found, plan: Plan) -> Row:
    figure = found.cpu_seconds / found.checks * 1000
    ratio = figure / found.client_seconds
    return Row(
        what=f"CPU per 1,000 checks, {case.what}; {case.databases} every {case.interval_seconds} s",
        measured=f"{ratio:.2f} times the client\n{figure:.2f} s",
        count=f"{found.checks} checks",
        goal=case.goal,
        reached=plan.judged(reached=case.goal.is_reached(ratio)),
    )


def _client_row(case: _Case, found: _Found) -> Row:
    return Row(
        what=f"the client alone, {case.what}: CPU per 1,000 calls, which shows how fast this machine is",
        measured=f"{found.client_seconds:.2f} s",
        count="as often",
        goal=CLIENT_ALONE,
        reached=None,
    )


def _billed_row(commands: dict[str, int], plan: Plan) -> Row:
    usual = DatabaseDefaults()
    month = budget(usual.interval, AlertSettings().confirm_interval, usual.canary)
    sent = ", ".join(f"{times:,} {command}" for command, times in sorted(commands.items()))
    return Row(
        what="commands billed for the default schedule (PING is not billed, the daily canary's three are)",
        measured=f"{month.billed:,} of {month.checks:,} checks a month\nseen by the server: {sent}",
        count=f"{sum(commands.values()):,}",
        goal=BILLED,
        reached=plan.judged(reached=BILLED.is_reached(month.billed) and set(commands) == {"PING"}),
    )
