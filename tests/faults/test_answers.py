"""HTTP answers from a grammar, over a real socket: status, headers, framing, body and pieces, right and wrong."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from monitor.checks.classify import DETAIL_LIMIT, CheckResult, classify
from monitor.checks.observation import Outcome
from monitor.checks.rest import RestProbeFactory
from monitor.lib.text import Scrubber
from tests.checks.faulty_server import FaultyServer, ServerConnection, faulty_server

ECHO = b"{echo}"
TOKEN = "AXt0kenOfTheGrammar_77=="
LONG, SHORT = timedelta(seconds=20), timedelta(seconds=0.3)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer; `ECHO` in the body stands for what the check sent. `ends` is what comes after its last byte."""

    interim: tuple[bytes, ...] = ()
    status_line: bytes = b"HTTP/1.1 200 OK"
    headers: tuple[bytes, ...] = (b"Content-Type: application/json",)
    body: bytes = b'{"result": "{echo}"}'
    coding: str = "none"
    framing: str = "length"
    pieces: int = 1
    ends: str = "close"

    def bytes(self, echo: str) -> bytes:
        body = self.body.replace(ECHO, echo.encode())
        head = list(self.headers)
        if self.coding != "none":
            head.append(f"Content-Encoding: {self.coding}".encode())
        if self.coding == "gzip":
            body = gzip.compress(body)
        chunk = b"%x\r\n%s\r\n" % (len(body), body)
        match self.framing:
            case "length":
                head.append(b"Content-Length: %d" % len(body))
            case "too short":
                head.append(b"Content-Length: %d" % (len(body) // 2))
            case "too long":
                head.append(b"Content-Length: %d" % (len(body) + 7))
            case "twice":
                head += [b"Content-Length: %d" % len(body), b"Content-Length: 3"]
            case "chunked":
                head.append(b"Transfer-Encoding: chunked")
                body = chunk + b"0\r\n\r\n"
            case "chunks without end":
                head.append(b"Transfer-Encoding: chunked")
                body = chunk
            case "chunks of noise":
                head.append(b"Transfer-Encoding: chunked")
                body = b"zz\r\n" + body
            case "both":
                head += [b"Transfer-Encoding: chunked", b"Content-Length: 1"]
                body = chunk + b"0\r\n\r\n"
        lines = b"".join(line + b"\r\n" for line in (self.status_line, *head))
        return b"".join(one + b"\r\n\r\n" for one in self.interim) + lines + b"\r\n" + body

    def __call__(self, connection: ServerConnection) -> None:
        sent = connection.read_request()[1]
        data = self.bytes(base64.b64encode(sent.encode()).decode())
        size = max(1, -(-len(data) // self.pieces))
        for start in range(0, len(data), size):
            connection.send(data[start : start + size])
        if self.ends == "reset":
            connection.reset()
        if self.ends == "wait":
            connection.wait()


PROBES = RestProbeFactory(scrub=Scrubber([TOKEN]))
RIGHT = Answer()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
ERRORS = st.sampled_from(
    [
        "WRONGPASS invalid or missing auth token",
        "ERR max requests limit exceeded",
        "NOPERM no",
        "ERR",
        "",
        "é\ud800",
    ]
)
BODIES = st.one_of(
    st.just(RIGHT.body),
    st.just(b'{"result": "PONG"}'),
    ERRORS.map(lambda text: json.dumps({"error": text}).encode()),
    st.builds(lambda result: json.dumps({"result": result}).encode(), JSON),
    JSON.map(lambda tree: json.dumps(tree).encode()),
    st.just(b"<!doctype html><title>Log in</title><form>"),
    st.binary(max_size=60),
    st.integers(0, len(RIGHT.body)).map(lambda cut: RIGHT.body[:cut]),
)
STATUS_LINES = st.one_of(
    st.sampled_from([200, 200, 200, 201, 204, 301, 302, 304, 400, 401, 403, 404, 429, 500, 503]).map(
        lambda status: b"HTTP/1.1 %d Said" % status
    ),
    st.sampled_from(
        [
            b"HTTP/1.0 200 OK",
            b"HTTP/2 200",
            b"ICY 200 OK",
            b"HTTP/1.1 99 x",
            b"HTTP/1.1 1000 x",
            b"HTTP/1.1",
            b"+PONG",
        ]
    ),
    st.binary(max_size=12),
)
HEADERS = st.sampled_from(
    [
        b"Content-Type: application/json",
        b"Content-Type: text/html",
        b"Location: https://elsewhere.example/",
        b"Location: ::",
        b"Retry-After: soon",
        b'WWW-Authenticate: Basic realm="x"',
        b"Set-Cookie: a=b",
        b"Connection: close",
        b"Upgrade: h2c",
        b"no colon",
        b": no name",
        b"X-\xff: \x00\x1b[2J",
        b" folded",
        b"X-Long: " + b"a" * 20_000,
    ]
)
FRAMINGS = st.sampled_from(
    [
        *("length", "length", "too short", "too long", "twice", "until the end"),
        *("chunked", "chunks without end", "chunks of noise", "both"),
    ]
)
INTERIM = (b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 x\r\nA: b")
ANSWERS = st.builds(
    Answer,
    interim=st.lists(st.sampled_from([b"HTTP/1.1 100 Continue", b"HTTP/1.1 103 x\r\nA: b"]), max_size=2).map(
        tuple
    ),
    status_line=STATUS_LINES,
    headers=st.lists(HEADERS, max_size=3).map(tuple),
    body=BODIES,
    coding=st.sampled_from(["none", "none", "none", "gzip", "br", "made-up"]),
    framing=FRAMINGS,
    pieces=st.sampled_from([1, 1, 2, 7, 1000]),
    ends=st.sampled_from([*["close"] * 8, "reset", "wait"]),
)


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyServer]:
    with faulty_server(RIGHT) as server:
        yield server


def check(url: str, *, timeout: timedelta) -> CheckResult:
    return classify(asyncio.run(PROBES.probe(url=url, token=TOKEN).ping(timeout=timeout)), slow=None)


@pytest.mark.faults("HTTP answers of any form")
@given(answer=ANSWERS)
@example(answer=RIGHT)
@example(answer=replace(RIGHT, framing="chunked", pieces=1000))
@example(answer=replace(RIGHT, framing="too long", ends="wait"))
@example(answer=replace(RIGHT, interim=INTERIM))
@examples(max_examples=examples().max_examples // 2)
def test_any_answer_has_one_outcome_and_only_a_right_one_is_fine(server: FaultyServer, answer: Answer) -> None:
    """Nothing raises, nothing is our fault; fine is only an answer that holds what was sent, and one in plain
    framing is always fine."""
    server.behaviour = answer
    result = check(server.url, timeout=SHORT if answer.ends == "wait" else LONG)
    assert result.detail == "" or result.detail.isprintable()
    assert len(result.detail) <= DETAIL_LIMIT
    assert TOKEN not in result.detail
    assert result.outcome is not Outcome.MONITOR_ERROR
    if result.outcome is Outcome.OK:
        assert ECHO in answer.body
        assert b"200" in answer.status_line
    if replace(answer, interim=(), framing="length", pieces=1, ends="close", headers=RIGHT.headers) == RIGHT:
        is_framed = answer.framing in ("length", "chunked", "until the end") and answer.ends == "close"
        is_plain = all(b": " in line and len(line) < 100 and line[:1] != b":" for line in answer.headers)
        if is_framed and is_plain and b"X-\xff" not in b"".join(answer.headers):
            assert result.outcome is Outcome.OK
