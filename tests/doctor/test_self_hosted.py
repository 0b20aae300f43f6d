"""A database that is not Upstash's, behind serverless-redis-http: found healthy, and never sent to Upstash."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response

from monitor.checks.observation import Outcome
from monitor.config.settings import Settings
from monitor.diagnosis.verdicts import Layer, LayerResults, LayerState
from monitor.engine.wiring import build_examiner
from monitor.lib.times import now_utc
from monitor.sandbox.console import StatusPageStandIn
from monitor.sandbox.server import HangUp
from monitor.sandbox.upstash import CommandError, ServerlessRedisHttpStandIn, Value
from tests.checks.listener import Listener, close_at_once, hang
from tests.checks.redis_server import redis_server
from tests.program import Ended, Program

TOKEN = "example_token-of_the_tests"
ENVIRONMENT = {"UPSTASH_EMAIL": "ops@example.com", "UPSTASH_API_KEY": "console-key-0123456789abcdef"}
BEYOND = (Layer.WORKER, Layer.STATUS_PAGE, Layer.CONSOLE, Layer.PLATFORM)
UPSTASHS = re.compile(r"upstash|console|status page|support", re.IGNORECASE)


@pytest.fixture
def server(direct: None) -> Iterator[ServerlessRedisHttpStandIn]:
    with ServerlessRedisHttpStandIn(TOKEN) as server:
        yield server


@pytest.fixture
def page() -> Iterator[StatusPageStandIn]:
    with StatusPageStandIn() as page:
        yield page


def settings(url: str, *, doctor: dict[str, Any] | None = None, **database: Any) -> dict[str, Any]:
    """Keys of Upstash's console and its status page are set, as for other databases of the same monitor."""
    main = {"name": "main", "url": url, "token": TOKEN, "timeout": "2s", **database}
    return {"databases": [main], "connectivity": [], "doctor": doctor or {}}


def examine(config: dict[str, Any]) -> LayerResults:
    found = Settings.model_validate(config)
    examiner = build_examiner(found, clock=now_utc, environ=ENVIRONMENT)
    return asyncio.run(examiner.examine(found.databases[0])).layers


def doctor(folder: Path, config: dict[str, Any]) -> tuple[Ended, dict[str, Any]]:
    ended = Program(folder, config, **ENVIRONMENT).end("doctor", "--json")
    return ended, json.loads(ended.stdout)["databases"][0]


def local(server: ServerlessRedisHttpStandIn) -> str:
    return f"http://localhost:{server.port}"


def test_a_healthy_one_is_green(server: ServerlessRedisHttpStandIn, tmp_path: Path) -> None:
    """Each layer passed or does not apply, nobody is sent to Upstash, and the status is 0; for `check` as well."""
    ended, found = doctor(tmp_path, settings(local(server)))
    states = {row["layer"]: row["state"] for row in found["layers"]}
    not_applicable = {"connectivity", "encryption", *(layer.value for layer in BEYOND)}
    assert {layer for layer, state in states.items() if state == "not_applicable"} == not_applicable
    assert {states[layer] for layer in states if layer not in not_applicable} == {"passed"}
    assert (ended.status, found["verdict"]["code"]) == (0, "all_good")
    assert not UPSTASHS.search(" ".join(found["verdict"]["next_steps"]))
    checked = Program(tmp_path, settings(local(server)), **ENVIRONMENT).end("check", "--json", "--no-alerts")
    assert checked.status == 0
    assert json.loads(checked.stdout)["databases"][0]["outcome"] == "ok"


def test_on_a_terminal_it_is_green_too(server: ServerlessRedisHttpStandIn, tmp_path: Path) -> None:
    """No line is marked as failed, and the port is named as it is."""
    ended = Program(tmp_path, settings(local(server)), PYTHONIOENCODING="utf-8").end("doctor")
    assert ended.status == 0
    assert "✗" not in ended.stdout
    assert f"on port {server.port}" in ended.stdout
    assert "443" not in ended.stdout


STRANGERS: dict[str, Response | None] = {
    "its own 500": None,
    "a login page": HTMLResponse("<html>401 Authorization Required</html>", 401),
    "forbidden": HTMLResponse("<html>403 Forbidden</html>", 403),
    "a redirect": RedirectResponse("https://login.example.com/", 302),
    "rate limit": PlainTextResponse("Too Many Requests", 429),
    "bad gateway": PlainTextResponse("Bad Gateway", 502),
    "a page": HTMLResponse("<html>Welcome</html>"),
    "hang up": HangUp(),
}


@pytest.mark.parametrize("stranger", STRANGERS)
def test_the_token_decides_whatever_strangers_meet(server: ServerlessRedisHttpStandIn, stranger: str) -> None:
    """The request with the token is made after the one without, and outranks it."""
    server.stranger = STRANGERS[stranger]
    layers = examine(settings(server.url))
    assert layers.passed(Layer.HTTP, Layer.TOKEN, Layer.PING, Layer.READING, Layer.WRITING)
    assert layers.outcome() is None


@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_wrong_token_is_rejected_whatever_strangers_meet(
    server: ServerlessRedisHttpStandIn, stranger: str
) -> None:
    """Its text is its own, and its status is that of a rejected token."""
    server.stranger, server.token = STRANGERS[stranger], "another"
    layers = examine(settings(server.url))
    assert layers.passed(Layer.HTTP)
    assert (layers.failed(Layer.TOKEN), layers.outcome()) == (True, Outcome.TOKEN_REJECTED)


def test_without_its_redis_the_server_has_a_fault(server: ServerlessRedisHttpStandIn) -> None:
    """HTTP stands, and nothing is known of the token."""

    def refuse(_words: Sequence[str]) -> Value:
        raise ConnectionRefusedError

    server.run = refuse
    layers = examine(settings(server.url))
    assert layers.result_of(Layer.TOKEN).state is LayerState.UNKNOWN
    assert (layers.passed(Layer.HTTP), layers.outcome()) == (True, Outcome.SERVER_ERROR)


def test_in_front_of_a_real_redis_everything_is_found(tmp_path: Path) -> None:
    """Reading, writing and a refused command go through to it."""
    with (
        redis_server(tmp_path, is_encrypted=False) as real,
        redis.Redis(port=real.port, password=real.token, decode_responses=True) as client,
    ):

        def run(words: Sequence[str]) -> Value:
            try:
                answer: Value = client.execute_command(*words)
            except redis.ResponseError as error:
                raise CommandError(f"{error.status_code or ''} {error}".strip()) from error
            return "OK" if answer is True else answer

        client.set_response_callback("PING", lambda answer, **_: answer)
        with ServerlessRedisHttpStandIn(TOKEN, run=run) as server:
            layers = examine(settings(server.url))
            client.execute_command("ACL", "SETUSER", "default", "-set")
            forbidden = examine(settings(server.url))
    assert layers.passed(Layer.TOKEN, Layer.PING, Layer.READING, Layer.WRITING)
    assert (forbidden.passed(Layer.READING), forbidden.outcome()) == (True, Outcome.PERMISSION_DENIED)


@pytest.mark.parametrize(
    "url", ["https://localhost:{port}", "http://localhost:{port}", "https://127.0.0.1:{port}"]
)
def test_what_is_upstashs_is_not_asked_about_anothers_host(page: StatusPageStandIn, url: str) -> None:
    """Neither the worker's port nor the status page is contacted; each says why it does not apply."""
    with Listener(hang) as rest, Listener(hang) as worker:
        doctor = {"status_url": page.url, "worker_port": worker.port}
        layers = examine(settings(url.format(port=rest.port), doctor=doctor, timeout="300ms"))
        assert (worker.connections, len(page.requests)) == (0, 0)
    for layer in (Layer.WORKER, Layer.STATUS_PAGE, Layer.CONSOLE):
        result = layers.result_of(layer)
        assert (result.state, result.took_ms, result.facts) == (LayerState.NOT_APPLICABLE, None, frozenset())
        assert result.detail


@pytest.mark.parametrize("host", ["merry-cat-30690.upstash.io", "merry-cat-30690.kv.vercel-storage.com"])
def test_upstashs_own_hosts_are_asked_about(page: StatusPageStandIn, host: str) -> None:
    """Vercel's name leads to a database of Upstash's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", _nowhere)
        layers = examine(settings(f"https://{host}", doctor={"status_url": page.url}))
    assert layers.result_of(Layer.STATUS_PAGE).state is not LayerState.NOT_APPLICABLE
    assert layers.result_of(Layer.WORKER).state is not LayerState.NOT_APPLICABLE


def _nowhere(*_: Any, **__: Any) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "?")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_the_workers_way_is_tried_where_the_settings_ask_for_it(scheme: str) -> None:
    """`worker: true` says that there is a rediss:// beside REST, whosever host it is."""
    # Hung up on, so that no deadline decides.
    with Listener(close_at_once) as rest, Listener(close_at_once) as worker:
        url = f"{scheme}://localhost:{rest.port}"
        layers = examine(settings(url, doctor={"worker_port": worker.port}, worker=True))
        assert worker.connections == 1
    assert layers.result_of(Layer.WORKER).outcome is Outcome.CONNECTION_LOST
