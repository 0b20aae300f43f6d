"""No secret is in anything that leaves the process: output, files, messages, pages.

The servers on the other side send back whatever they were sent. What is searched for is spelt out here, without
the scrubber's own help.
"""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep
from typing import Any, ClassVar
from urllib.parse import quote

import pytest

from tests.program import FORMS as WRITTEN
from tests.program import LONGEST_WAIT_SECONDS, answer, assert_discreet

TOKEN = "AXt0ken/Of+TheDatabase_77=="
SLACK_PATH = "T0SLACK99/B0HOOK777/qWeRtYuIoPaSdFgHjKl"
BOT_TOKEN = "987654321:AAbotTokenOfTheTest-x_yz012345"
HOOK_PATH = "wh-9f8e7d6c5b4a39281706"
PING_PATH = "5f1c0c0e-beef-4a4a-9d9d-0123456789ab"
PAGE_PASSWORD = "Pg-7d1c2b3a4958e6f0+aa"
SECRETS = (TOKEN, SLACK_PATH, BOT_TOKEN, HOOK_PATH, PING_PATH, PAGE_PASSWORD)


# How a well-meaning program writes a token that it was sent, and where.
FORMS: dict[str, Callable[[str], str]] = {
    **WRITTEN,
    "lower": str.lower,
    "upper": str.upper,
    "base64": lambda token: base64.b64encode(token.encode()).decode(),
    "user": lambda token: base64.urlsafe_b64encode(f"default:{token}".encode()).decode().rstrip("="),
    "cut": lambda token: token[5:-3],
}
PLACES: dict[str, Callable[[str], str]] = {
    "type": lambda token: f"HTTP/1.1 200 OK\r\nContent-Type: {token}\r\nContent-Length: 2\r\n\r\n{{}}",
    "parameter": lambda token: f"HTTP/1.1 200 OK\r\nContent-Type: x/y;{token}\r\nContent-Length: 2\r\n\r\n[]",
    "reason": lambda token: f"HTTP/1.1 403 {token}\r\nContent-Length: 0\r\n\r\n",
    "header": lambda token: f"HTTP/1.1 502 No\r\nX-Token: {token}\r\nContent-Length: 0\r\n\r\n",
    "location": lambda token: f"HTTP/1.1 302 No\r\nLocation: /?{token}\r\nContent-Length: 0\r\n\r\n",
    "elsewhere": lambda token: (
        "HTTP/1.1 302 No\r\nLocation: https://"
        + re.sub("[^A-Za-z0-9_-]", "-", token)[:60]
        + ".example\r\nContent-Length: 0\r\n\r\n"
    ),
    "body": lambda token: f"HTTP/1.1 404 No\r\nContent-Type: text/plain\r\n\r\nno {token} here",
    "page": lambda token: f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html><title>{token}",
    "error": lambda token: f'HTTP/1.1 400 No\r\n\r\n{{"error": "ERR you sent {token}"}}',
    "chunk": lambda token: (
        f"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n2;x={token}\r\n{{}}\r\n0\r\n\r\n"
    ),
    "status": lambda token: f"HTTP/1.1 {token}\r\n\r\n",
    "first": lambda token: f"-ERR {token}\r\n",
}


class LeakyServer(ThreadingHTTPServer):
    """Sends back all that it was sent, in the shape that each kind of caller reads most closely."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[str] = []
        self.database_status = 400
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that are killed are an everyday thing."""


class _Handler(BaseHTTPRequestHandler):
    server: LeakyServer
    shapes: ClassVar[dict[str, tuple[int, Callable[[str], str]]]] = {
        "services": (403, lambda everything: f"invalid_token {everything.lower()}"),
        "bot": (
            400,
            lambda everything: json.dumps(
                {"ok": False, "error_code": 400, "description": quote(everything, safe="")}
            ),
        ),
        "ping": (500, lambda everything: everything),
        "hook": (200, lambda everything: everything),
    }

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        everything = f"{self.path} {dict(self.headers)}"
        first = self.path.split("/")[1]
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if token.startswith(TOKEN + "."):
            place, form = token.removeprefix(TOKEN + ".").split(".")
            self.connection.sendall(PLACES[place](FORMS[form](token)).encode())
            self.close_connection = True
            return
        shape = next((shape for begin, shape in self.shapes.items() if first.startswith(begin)), None)
        if shape is None:
            status, answer = self.server.database_status, json.dumps({"error": f"ERR you sent {everything}"})
        else:
            status, answer = shape[0], shape[1](everything)
        if first == "hook":
            self.server.received.append(body)
        raw = answer.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads an access log here."""


@pytest.fixture
def other_side() -> Iterator[LeakyServer]:
    server = LeakyServer()
    yield server
    server.shutdown()
    server.server_close()


class Program:
    """The program as a person starts it, in a folder of its own, with a secret in every place that takes one."""

    def __init__(self, folder: Path, other_side: LeakyServer) -> None:
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(__file__).parents[1]),
            "UPSTASH_REDIS_REST_URL": other_side.url,
            "UPSTASH_REDIS_REST_TOKEN": TOKEN,
            "SLACK": f"{other_side.url}/services/{SLACK_PATH}",
            "BOT": BOT_TOKEN,
            "API": other_side.url,
            "HOOK": f"{other_side.url}/hook/{HOOK_PATH}",
            "HEARTBEAT_URL": f"{other_side.url}/ping/{PING_PATH}",
            "STATUS_PASSWORD": PAGE_PASSWORD,
        }
        (folder / "config.yaml").write_text(
            """
defaults: {interval: 1s, timeout: 1s}
alerts: {confirm_interval: 100ms, failing: {failures: 3, for: 0s}}
channels:
  - {type: slack, webhook_url: "${SLACK}"}
  - {type: telegram, bot_token: "${BOT}", chat_id: 42, api_url: "${API}"}
  - {type: webhook, url: "${HOOK}"}
connectivity: []
doctor: {status_url: ""}
page: {host: 127.0.0.1, port: 0}
heartbeat: {url: "${HEARTBEAT_URL}"}
logs: {level: DEBUG}
"""
        )

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-X", "dev", "-W", "ignore", "-m", "monitor", *words],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str) -> str:
        """What a command that ends by itself says."""
        _, stdout, stderr = answer(words, self.folder, self.environment)
        return stdout + stderr

    def files(self) -> str:
        """Every file that the program left, byte by byte."""
        written = sorted(path for path in self.folder.rglob("*") if path.name != "config.yaml" and path.is_file())
        assert any(path.name.startswith("history.db") for path in written)
        return "\n".join(path.read_bytes().decode("latin-1") for path in written)


@pytest.fixture
def program(tmp_path: Path, other_side: LeakyServer) -> Program:
    return Program(tmp_path, other_side)


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_check_gives_no_secret_away(program: Program, other_side: LeakyServer, status: int) -> None:
    """Neither the line for a plugin host, nor JSON, log, history, nor the message that another channel gets."""
    other_side.database_status = status
    said = program.run("check") + program.run("check", "--json")
    assert "CRITICAL - main" in said
    assert "***" in said
    assert other_side.received
    assert_discreet(said, SECRETS, "the output of check")
    assert_discreet(program.files(), SECRETS, "the history")
    assert_discreet("\n".join(other_side.received), SECRETS, "a message")


def test_no_form_of_a_token_and_no_place_gives_it_away(program: Program, other_side: LeakyServer) -> None:
    """A database for each: what is on the screen, in the log, in the history and in a copy of it."""
    databases = [
        {"name": f"{place}-{form}", "url": other_side.url, "token": f"{TOKEN}.{place}.{form}", "canary": "off"}
        for place in PLACES
        for form in FORMS
        if place in ("type", "error") or form in ("lower", "quoted")
    ]
    # JSON is YAML too. One check each: the next would come after the round.
    config = {
        "databases": databases,
        "connectivity": [],
        "doctor": {"status_url": ""},
        "logs": {"level": "DEBUG"},
        "alerts": {"confirm_interval": "10m"},
    }
    (program.folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    said = program.run("check", "--json", "--no-alerts", "--within", "5m")
    # What follows is on stderr: the heartbeat that was not reached.
    document, _ = json.JSONDecoder().raw_decode(said[said.index('{\n  "version"') :])
    rows = document["databases"]
    assert len(rows) == len(databases)
    assert {row["outcome"] for row in rows} == {"not_upstash", "access_denied", "server_error", "command_error"}
    assert said.count("***") >= len(FORMS) * 4
    said += program.run("backup", "copy.db")
    assert_discreet(said, [TOKEN], "the output of check")
    assert (program.folder / "copy.db").exists()
    assert_discreet(program.files(), [TOKEN], "the history or its copy")


def test_run_gives_no_secret_away(program: Program, other_side: LeakyServer) -> None:
    """Hours of DEBUG log in small: checks, refused channels, a heartbeat that fails, the health page, the end."""
    process = program.start("run")
    assert process.stdout is not None
    lines: list[str] = []
    reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()), daemon=True)
    reader.start()
    expected = ("is broken", "the heartbeat URL was not reached", "incident 1 opened delivered")
    end = monotonic() + LONGEST_WAIT_SECONDS
    while monotonic() < end and not all(any(words in line for line in lines) for words in expected):
        sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONGEST_WAIT_SECONDS) == 0
    reader.join(LONGEST_WAIT_SECONDS)
    process.stdout.close()
    said = "".join(lines)
    for words in expected:
        assert words in said
    assert_discreet(said, SECRETS, "the log of run")
    assert_discreet(program.files(), SECRETS, "the history")
    assert_discreet("\n".join(other_side.received), SECRETS, "a message")


@pytest.mark.parametrize(
    "words", [("config", "show"), ("config", "check"), ("test-alerts",), ("incidents", "--all", "--json")]
)
def test_the_other_commands_give_no_secret_away(program: Program, words: tuple[str, ...]) -> None:
    """What the settings hold is shown as set, not as it is; what a channel answered is shown without it."""
    said = program.run(*words)
    assert said.strip()
    assert_discreet(said, SECRETS, " ".join(words))


@pytest.mark.parametrize(
    "mistake",
    [
        "tokn: '{TOKEN}'",
        "timeout: '{TOKEN}'",
        "interval: ['{TOKEN}']",
        "name: ' {TOKEN}'",
        "worker: '{TOKEN}'",
        "url: {x: '{TOKEN}'}",
    ],
)
def test_a_secret_in_the_wrong_place_is_not_read_out(program: Program, mistake: str) -> None:
    """Mistakes are told with their place; a value that may be a secret is not part of it."""
    line = mistake.replace("{TOKEN}", TOKEN)
    config = program.folder / "config.yaml"
    config.write_text(
        f"databases:\n  - name: main\n    token: x\n    {line}\n".replace("name: main\n    name", "name")
    )
    said = program.run("config", "check")
    assert "config.yaml" in said
    assert_discreet(said, SECRETS, "config check")
