"""100 page loads a second while 100 databases are checked: are checks missed, are latencies true?

The same program runs first without visitors and then with them, ten seconds each. Visitors come at fixed times,
whether or not those before them have been served, each on a connection of its own: three of five load the front
page, the others a database's week and the JSON of all. The reported latencies are compared with the delays that
the server really had, as in the line `latency`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.certificates import make_certificates
from bench.goals import PAGE_LATENCY, PAGE_LOADS, PAGE_MISSED
from bench.lines.latency import DELAY_MS
from bench.load import Seen, serving
from bench.plan import Plan, say
from bench.ports import free_port
from bench.program import CheckRow, database, watching
from bench.samples import percentile
from bench.server import Options
from bench.table import Row

_NAMES = [f"db-{number:03}" for number in range(100)]
_LOADS_A_SECOND = 100
_WARM_UP_SECONDS = 5.0
_TIMEOUT_SECONDS = 20.0
_FIRST_LOADS_SECONDS = 5
_PATHS = ("/", "/", "/", "/databases/db-050?span=week", "/api/databases")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Window:
    """From when to when, in epoch seconds; how long each load took in it, and the CPU that the monitor took.

    A load that was refused, because two hundred others had not been served yet, is `None`; so is one that was not
    answered in time.
    """

    begin: float
    end: float
    loads_ms: Sequence[float | None]
    cpu_seconds: float


def measure(plan: Plan) -> Iterator[Row]:
    """Missed checks, latencies, and how long a visitor waits."""
    seconds = plan.choose(10, 3)
    say(f"  {len(_NAMES)} databases every 2 s, {seconds:.0f} s without visitors and {seconds:.0f} s with them")
    folder = plan.scratch("page")
    certificates = make_certificates(folder)
    port = free_port()
    with serving(Options(chain=str(certificates.chain), delay_ms=DELAY_MS, seed=plan.seed)) as load:
        config = {
            "databases": [database(name, load.url) for name in _NAMES],
            "defaults": {"interval": "2s", "timeout": "5s"},
            "connectivity": [load.host],
            "page": {"host": "127.0.0.1", "port": port},
        }
        with watching(folder, config, trusted=certificates.trusted) as program:
            time.sleep(_WARM_UP_SECONDS)
            windows = []
            # The first load imports the templates and reads the past days; what that costs is reported apart.
            for loads_a_second, length in ((1, _FIRST_LOADS_SECONDS), (0, seconds), (_LOADS_A_SECOND, seconds)):
                begin, before = time.time(), program.cpu_seconds()
                loads = asyncio.run(_load_pages(port, loads_a_second, length))
                end, cpu = time.time(), program.cpu_seconds() - before
                windows.append(_Window(begin=begin, end=end, loads_ms=loads, cpu_seconds=cpu))
            program.stop()
            checks, seen, log = program.checks(), load.seen(), program.log
    first, quiet, busy = windows
    without_visitors, errors = _errors_ms(checks, seen, quiet), _errors_ms(checks, seen, busy)
    during_first_loads = _errors_ms(checks, seen, first)
    missed = log.count("a check was left out")
    what = f"{_LOADS_A_SECOND} page loads a second, 100 databases every 2 s"
    yield Row(
        what=f"{what}: missed checks",
        measured=str(missed),
        count=str(len(errors)),
        goal=PAGE_MISSED,
        reached=plan.judged(reached=PAGE_MISSED.is_reached(missed)),
    )
    yield Row(
        what=f"{what}: reported latency against the server's real delay",
        measured=f"{_p99_and_worst(errors)}\nwithout visitors {_p99_and_worst(without_visitors)}\n"
        f"during the first five loads {_p99_and_worst(during_first_loads)}",
        count=str(len(errors)),
        goal=PAGE_LATENCY,
        reached=plan.judged(reached=PAGE_LATENCY.is_reached(percentile(errors, 0.99))),
    )
    served = [took for took in busy.loads_ms if took is not None]
    yield Row(
        what=f"{what}: how long a load takes, and CPU",
        measured=f"{len(served)} served\n"
        f"p50 {percentile(served, 0.5):.0f}, p99 {percentile(served, 0.99):.0f} ms\n"
        f"{_percent(busy):.0f} % of a core, {_percent(quiet):.0f} % without visitors",
        count=str(len(busy.loads_ms)),
        goal=PAGE_LOADS,
        reached=None,
    )


async def _load_pages(port: int, loads_a_second: int, seconds: float) -> list[float | None]:
    """The milliseconds of each load; raises `RuntimeError` when there is no such page."""
    if not loads_a_second:
        await asyncio.sleep(seconds)
        return []
    loop = asyncio.get_running_loop()
    began = loop.time()
    loads = []
    for number in range(int(loads_a_second * seconds)):
        await asyncio.sleep(max(0.0, began + number / loads_a_second - loop.time()))
        loads.append(asyncio.create_task(_load(port, _PATHS[number % len(_PATHS)])))
    return await asyncio.gather(*loads)


async def _load(port: int, path: str) -> float | None:
    began = time.perf_counter()
    try:
        async with asyncio.timeout(_TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            request = f"GET {path} HTTP/1.1\r\nHost: bench\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
            writer.write(request.encode())
            answer = await reader.read(-1)
            writer.close()
    except (TimeoutError, ConnectionError):
        return None
    if answer.startswith(b"HTTP/1.1 503 "):
        return None
    if not answer.startswith(b"HTTP/1.1 200 "):
        raise RuntimeError(f"{path} was answered with {answer[:60]!r}")
    return (time.perf_counter() - began) * 1000


def _errors_ms(checks: Sequence[CheckRow], seen: Seen, window: _Window) -> list[float]:
    """How far the latencies of a window are from the truth; the n-th check of a database met the n-th answer."""
    by_name: dict[str, list[CheckRow]] = {}
    for check in checks:
        if check.latency_ms is not None:
            by_name.setdefault(check.database, []).append(check)
    return [
        abs(check.latency_ms - answer.delay_ms)
        for name, rows in by_name.items()
        for check, answer in zip(rows, seen.answers[name], strict=False)
        if check.latency_ms is not None and window.begin <= check.at < window.end
    ]


def _p99_and_worst(errors_ms: Sequence[float]) -> str:
    return f"p99 {percentile(errors_ms, 0.99):.2f}, worst {max(errors_ms):.2f} ms"


def _percent(window: _Window) -> float:
    return window.cpu_seconds / (window.end - window.begin) * 100
