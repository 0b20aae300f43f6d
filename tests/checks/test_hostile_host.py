"""A host that means harm: what it sends may cost its own check the deadline, and no other check its turn.

Judged by the CPU time that one turn of the event loop takes, in that of a loop of a fixed length, so that neither
the machine nor what else runs on it matters.
"""

from __future__ import annotations

import asyncio
import gc
import json
import zlib
from collections.abc import Callable, Coroutine, Iterator
from datetime import timedelta
from functools import partial
from time import monotonic, thread_time
from typing import Any

import pytest

from monitor.checks.classify import CheckResult, classify
from monitor.checks.observation import Observation, Outcome
from monitor.checks.redis_tcp import WorkerProbe
from monitor.checks.rest import RestProbeFactory
from monitor.lib.text import Scrubber
from tests.checks.faulty_server import Behaviour, Certificates, ServerConnection, answer, echo, faulty_server

TOKEN = "AXt0kenOfTheHostileTests_77=="
TIMEOUT = timedelta(seconds=10)
CERTIFICATES = Certificates()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def after_listening(data: bytes) -> Behaviour:
    def behaviour(connection: ServerConnection) -> None:
        connection.read_request()
        connection.send(data)

    return behaviour


def bomb(byte: bytes) -> bytes:
    """Nearly a megabyte in a kilobyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return packer.compress(byte * 1_000_000) + packer.flush()


def error(text: str) -> Behaviour:
    return answer(json.dumps({"error": text}), 400)


HOSTILE: list[tuple[str, Behaviour]] = [
    ("one-byte chunks", after_listening(CHUNKED + b"1\r\nx\r\n" * 170_000 + b"0\r\n\r\n")),
    ("chunks with extensions", after_listening(CHUNKED + b"1;a=b\r\nx\r\n" * 100_000 + b"0\r\n\r\n")),
    ("beginnings of the token", error(TOKEN[:8] * 112_000)),
    ("the token without its end", error(TOKEN[:-1] * 32_000)),
    ("escapes of the token's beginning", error("".join(f"%{ord(each):02x}" for each in TOKEN[:8]) * 37_000)),
    ("beginnings of the token that are read", error(TOKEN[:8] * 1_000)),
    ("words of known errors that are read", error("ERR max " + "noperm permission to access the ' key " * 200)),
    ("lists that are read", answer('{"result": [' + "[]," * 2_700 + "[]]}")),
    ("brackets that are read", answer("[" * 8_000)),
    ("words of known errors", error("ERR max " + "noperm permission to access the ' key " * 25_000)),
    ("dashes", error("-" * 900_000 + ":")),
    ("spaces", error("ERR" + " " * 900_000 + "x")),
    ("10,000 headers", after_listening(HEAD + b"a: b\r\n" * 10_000 + b"\r\n{}")),
    ("headers without end", after_listening(HEAD + b"a: b\r\n" * 160_000)),
    ("a long header", after_listening(HEAD + b"a: " + b"b" * 900_000 + b"\r\n\r\n{}")),
    ("a long status line", after_listening(b"HTTP/1.1 200 " + b"OK" * 450_000 + b"\r\n\r\n")),
    ("1xx without end", after_listening(b"HTTP/1.1 103 x\r\n\r\n" * 55_000)),
    ("folded headers", after_listening(HEAD + b"a: b\r\n" + b" c\r\n" * 200_000 + b"\r\n{}")),
    ("nested lists", answer("[" * 500_000)),
    ("a list of lists", answer('{"result": [' + "[]," * 330_000 + "[]]}")),
    ("a list of numbers", answer('{"result": [' + "1," * 480_000 + "1]}")),
    ("nested objects", answer('{"a":' * 190_000)),
    ("many keys", answer("{" + ",".join(f'"{number:x}":1' for number in range(80_000)) + "}")),
    ("a huge number", answer('{"result": ' + "9" * 900_000 + "}")),
    ("a huge float", answer('{"result": ' + "9" * 900_000 + "e9}")),
    ("a list of texts", answer('{"result": [' + '"AA==",' * 140_000 + '"AA=="]}')),
    ("a long text in base64", answer('{"result": "' + "QUFB" * 240_000 + '"}')),
    ("surrogates", answer('{"error": "' + "\\ud800" * 160_000 + '"}', 400)),
    ("no UTF-8", answer(b'{"error": "' + b"\xff\xfe" * 450_000 + b'"}', 400)),
    ("a bomb of brackets", answer(bomb(b"["), head="Content-Encoding: gzip\r\n")),
    ("a bomb of zeros", answer(bomb(b"\0"), head="Content-Encoding: gzip\r\n")),
    ("a page of control characters", answer(b"\x00\x1b[2J" * 180_000, kind="text/html")),
]


REDIS: list[tuple[str, bytes]] = [
    ("an array without end", b"*100000\r\n" + b":1\r\n" * 100_000),
    ("arrays in arrays", b"*1\r\n" * 100_000),
    ("an error of the token's beginnings", b"-ERR " + TOKEN[:8].encode() * 7_000 + b"\r\n"),
    ("an error that is read", b"-ERR " + TOKEN[:8].encode() * 1_000 + b"\r\n"),
    ("an array that is read", b"*1900\r\n" + b":1\r\n" * 1_900),
    ("arrays that are read", b"*1\r\n" * 1_900),
    ("a line without end", b"+" + b"x" * 900_000),
    ("a length that never comes", b"$999999999999999999\r\n"),
    ("a number of 60,000 digits", b":" + b"9" * 60_000 + b"\r\n"),
    ("many answers", b"+OK\r\n" * 100_000),
    ("empty texts", b"*60000\r\n" + b"$0\r\n\r\n" * 60_000),
]


def check(url: str, timeout: timedelta = TIMEOUT) -> tuple[CheckResult, float]:
    """What a check came to, and the CPU seconds of the longest turn of the loop meanwhile."""

    probe = RestProbeFactory(scrub=Scrubber([TOKEN])).probe(url=url, token=TOKEN)
    return measure(lambda: probe.ping(timeout=timeout))


def measure(ping: Callable[[], Coroutine[Any, Any, Observation]]) -> tuple[CheckResult, float]:
    async def measured() -> tuple[CheckResult, float]:
        checking = asyncio.create_task(ping())
        longest, began = 0.0, thread_time()
        while not checking.done():
            await asyncio.sleep(0)
            now = thread_time()
            longest, began = max(longest, now - began), now
        began = thread_time()
        result = classify(checking.result(), slow=None)
        return result, max(longest, thread_time() - began)

    return asyncio.run(measured())


def quickest(trial: Callable[[], tuple[CheckResult, float]], limit: float) -> tuple[CheckResult, float]:
    """Of three trials at most the one whose longest turn is shortest.

    What a machine that is busy elsewhere adds to one turn, it does not add to each.
    """
    best = trial()
    for _ in range(2):
        if best[1] >= limit:
            best = min(best, trial(), key=lambda tried: tried[1])
    return best


@pytest.fixture(scope="module")
def unit() -> Iterator[float]:
    """CPU seconds of a loop that counts to 200,000; of several, the least."""

    def count() -> float:
        began = thread_time()
        for _ in range(200_000):
            pass
        return thread_time() - began

    with faulty_server(echo) as server:
        check(server.url)  # whatever is imported at the first check is by then
    # What a whole run of tests has left in memory is looked through by the collector with each answer otherwise.
    gc.collect()
    gc.freeze()
    yield min(count() for _ in range(5))
    gc.unfreeze()


@pytest.mark.parametrize(("_how", "behaviour"), HOSTILE, ids=[how for how, _ in HOSTILE])
@pytest.mark.faults("HTTP answers of any form")
def test_no_answer_holds_the_loop(_how: str, behaviour: Behaviour, unit: float) -> None:
    """Whatever it is made of, the other databases' checks have their turn within milliseconds."""
    with faulty_server(behaviour) as server:
        result, longest = quickest(lambda: check(server.url), 8 * unit)
    assert result.outcome.family.is_failing
    assert result.outcome is not Outcome.MONITOR_ERROR
    assert longest < 8 * unit


@pytest.mark.parametrize(("_how", "data"), REDIS, ids=[how for how, _ in REDIS])
@pytest.mark.faults("HTTP answers of any form")
def test_no_answer_to_a_worker_holds_the_loop(_how: str, data: bytes, unit: float) -> None:
    """The same for what speaks Redis in place of the database."""

    def behaviour(connection: ServerConnection) -> None:
        connection.connection.recv(4096)
        connection.send(data)
        connection.wait()

    with faulty_server(behaviour, tls=CERTIFICATES.server()) as server:
        url = f"https://localhost:{server.port}"
        tls = CERTIFICATES.client()
        probe = WorkerProbe(url=url, token=TOKEN, port=server.port, scrub=Scrubber([TOKEN]), tls=tls)
        ping = partial(probe.ping, timeout=timedelta(seconds=0.5))
        result, longest = quickest(lambda: measure(ping), 8 * unit)
    assert result.outcome.family.is_failing
    assert longest < 8 * unit


@pytest.mark.parametrize(
    "length", ["1" * 19, "9" * 21, "9" * 5000, "-1", "1, 1", "0x10", "1" + "0" * 30], ids=lambda text: text[:8]
)
def test_a_length_that_never_comes_is_one_outcome(length: str) -> None:
    """However it is written, nothing is set aside for it."""
    head = HEAD + f"Content-Length: {length}\r\n\r\n{{}}".encode()
    with faulty_server(after_listening(head)) as server:
        result, _ = check(server.url)
    assert result.outcome in (Outcome.NOT_UPSTASH, Outcome.CONNECTION_LOST)


@pytest.mark.faults("HTTP answers of any form")
def test_a_slow_drip_of_1xx_ends_at_the_deadline() -> None:
    """Each is an answer that says to wait for another."""

    def drip(connection: ServerConnection) -> None:
        connection.read_request()
        while not connection.server.closing.wait(0.005):
            connection.send(b"HTTP/1.1 102 Processing\r\n\r\n")

    with faulty_server(drip) as server:
        started = monotonic()
        result, _ = check(server.url, timedelta(seconds=0.4))
    assert result.outcome is Outcome.RESPONSE_TIMEOUT
    assert monotonic() - started < 5
