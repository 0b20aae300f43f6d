"""The stand-in for serverless-redis-http, by hand and through Upstash's own client."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest
from starlette.responses import HTMLResponse
from upstash_redis import Redis

from monitor.sandbox.upstash import ServerlessRedisHttpStandIn

TOKEN = "example_token"
JSON = {"Content-Type": "application/json"}
BEARER = {**JSON, "Authorization": f"Bearer {TOKEN}"}
BASE64 = {"Upstash-Encoding": "base64"}


@pytest.fixture
def server() -> Iterator[ServerlessRedisHttpStandIn]:
    with ServerlessRedisHttpStandIn(TOKEN) as server:
        yield server


def ask(server: ServerlessRedisHttpStandIn, headers: dict[str, str], *words: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(server.address, timeout=5)
    try:
        connection.request("POST", "/", body=json.dumps(words), headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_upstashs_client_reads_and_writes(server: ServerlessRedisHttpStandIn) -> None:
    """It takes OK in base64 for OK."""
    with Redis(server.url, TOKEN, rest_retries=0, allow_telemetry=False) as client:
        assert client.set("key", "wörth")
        assert client.get("key") == "wörth"
        assert client.get("nothing") is None
        assert client.delete("key") == 1
        assert client.ping("hello") == "hello"


@pytest.mark.parametrize(
    ("headers", "words", "status", "body"),
    [
        (JSON, ("PING",), 400, '{"error":"Missing/Invalid authorization header"}'),
        ({**JSON, "Authorization": TOKEN}, ("PING",), 400, '{"error":"Missing/Invalid authorization header"}'),
        ({**JSON, **BASE64}, ("PING",), 500, ""),
        ({**BEARER, "Authorization": "Bearer other"}, ("PING",), 401, '{"error":"Invalid token"}'),
        ({**BEARER, **BASE64, "Authorization": "Bearer other"}, ("PING",), 401, '{"error":"Invalid token"}'),
        (
            {**BEARER, "Content-Type": "application/json; charset=utf-8"},
            ("PING",),
            400,
            '{"error":"Invalid content type. Expected application/json."}',
        ),
        (BEARER, ("PING",), 200, '{"result":"PONG"}'),
        ({**BEARER, **BASE64}, ("PING",), 200, '{"result":"UE9ORw=="}'),
        ({**BEARER, **BASE64}, ("SET", "a", "b"), 200, '{"result":"T0s="}'),
        ({**BEARER, **BASE64}, ("GET", "a"), 200, '{"result":null}'),
        ({**BEARER, **BASE64}, ("DEL", "a"), 200, '{"result":0}'),
        (BEARER, ("GET",), 400, '{"error":"ERR wrong number of arguments for \'get\' command"}'),
    ],
)
def test_it_answers_as_its_source_says(
    server: ServerlessRedisHttpStandIn, headers: dict[str, str], words: tuple[str, ...], status: int, body: str
) -> None:
    """An error is JSON, except for the one inside that has no body."""
    assert ask(server, headers, *words) == (status, body)


def test_without_its_redis_it_says_so(server: ServerlessRedisHttpStandIn) -> None:
    """That is its own text, and no database's."""

    def refuse(_words: object) -> str:
        raise ConnectionRefusedError

    server.run = refuse
    status, body = ask(server, BEARER, "PING")
    assert status == 500
    assert json.loads(body)["error"].startswith("SRH: Unable to connect to the Redis server.")


def test_a_proxy_may_stand_before_it(server: ServerlessRedisHttpStandIn) -> None:
    """It lets whoever has a token through."""
    server.stranger = HTMLResponse("<html>401 Authorization Required</html>", 401)
    assert ask(server, JSON, "PING") == (401, "<html>401 Authorization Required</html>")
    assert ask(server, BEARER, "PING") == (200, '{"result":"PONG"}')
