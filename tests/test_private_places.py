"""The places of libraries that are used and that nobody promises: each is where it was, with the shape it had.

Run with the lowest and the newest versions that pyproject.toml allows by `make test-versions`. A row that fails
says what has moved and where it is used. The caps in pyproject.toml end before the next version that may move one.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

import pytest
from upstash_redis.asyncio import Redis
from urllib3.connection import HTTPConnection, HTTPSConnection
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from monitor.checks.rest import RestProbeFactory, Transport


def upstash_redis_takes_our_http_client() -> bool:
    probe = RestProbeFactory(scrub=str).probe(url="https://example.invalid", token="token")
    made = Redis("https://example.invalid", "token")._http._client
    ours = probe._client._http._client
    return isinstance(ours._transport, Transport) and not isinstance(made._transport, Transport)


def urllib3_connects_in_one_method() -> bool:
    return (
        HTTPSConnection._new_conn is HTTPConnection._new_conn
        and not inspect.signature(HTTPConnection(host="x")._new_conn).parameters
    )


def uvicorn_counts_connections_and_hands_state_to_applications() -> bool:
    async def made() -> H11Protocol:
        return H11Protocol(Config(app=lambda: None, log_config=None), ServerState(), {"transport": 1})

    protocol = asyncio.run(made())
    state = protocol.server_state
    return (state.connections, state.tasks, protocol.app_state) == (set(), set(), {"transport": 1})


@pytest.mark.parametrize(
    ("is_there", "used_by"),
    [
        (upstash_redis_takes_our_http_client, "checks/rest.py: RestProbeFactory.probe"),
        (urllib3_connects_in_one_method, "lib/bounded_http.py"),
        (uvicorn_counts_connections_and_hands_state_to_applications, "sandbox/server.py: LoopbackServer"),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_a_private_place_is_where_it_was(is_there: Callable[[], bool], used_by: str) -> None:
    """A minor release may move it without a word."""
    try:
        found = is_there()
    except (AttributeError, TypeError) as error:
        found, used_by = False, f"{used_by} ({error})"
    assert found, f"{is_there.__name__.replace('_', ' ')}: not any more. Next: mend monitor/{used_by}"
