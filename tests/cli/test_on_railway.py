"""What the platform gives counts by itself: the real program with Railway's variables and a small config.yaml."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path

from starlette.responses import PlainTextResponse

from monitor.config.load import read
from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.server import LoopbackServer
from monitor.sandbox.upstash import UpstashStandIn
from tests.checks.listener import has_ipv6
from tests.program import Program, database, settings, slack

TOKEN = "AXonRailway0TokenOfTests=="
VARIABLES = {
    "RAILWAY_SERVICE_ID": "s",
    "RAILWAY_ENVIRONMENT_NAME": "staging",
    "RAILWAY_PUBLIC_DOMAIN": "monitor.up.railway.app",
    "PORT": "0",
}


def test_run_takes_what_railway_gives(tmp_path: Path, people: MessagingStandIn) -> None:
    """JSON logs, the page on every address, messages with the environment and a link, the region on each series.

    Nobody watches the watcher, and the disk is no volume: each is told once.
    """
    with UpstashStandIn("another") as upstash:
        main = database("a/b", upstash.url, TOKEN)
        program = Program(tmp_path, settings(main, channels=slack(people), region="fra"), **VARIABLES)
        with program.running() as running:
            running.wait_for("incident 1 opened delivered")
            lines = [json.loads(line) for line in running.lines]
            [start] = [line["message"] for line in lines if "/healthz on port" in line["message"]]
            for host in ("127.0.0.1", *(("::1",) if has_ipv6() else ())):
                connection = HTTPConnection(host, int(start.rpartition(" ")[2]))
                connection.request("GET", "/metrics")
                metrics = connection.getresponse().read().decode()
                connection.close()
            assert running.end().status == 0
    warned = [line["message"] for line in lines if line["level"] == "warning"]
    assert sum("no heartbeat: nobody is told when this monitor itself is gone" in line for line in warned) == 1
    assert sum("no Railway volume" in line for line in warned) == 1
    assert all('region="fra"' in line for line in metrics.splitlines() if not line.startswith("#"))
    [opened] = people.messages
    assert opened.text.startswith("🔴 a/b (staging, fra): token rejected · your move\n")
    link = "https://monitor.up.railway.app/databases/a%2Fb"
    assert opened.text.endswith("\nOpen the page\nincident 1 · opened")
    assert f"<{link}|Open the page>" in json.dumps(opened.payload)
    assert f"\n{link}\nincident 1 · opened" in opened.payload["text"]


def test_check_without_a_volume_says_so_as_run_does(tmp_path: Path, people: MessagingStandIn) -> None:
    """On stderr, where a plugin host does not look. The heartbeat is pinged, whatever it found."""
    with UpstashStandIn("another") as upstash, LoopbackServer(PlainTextResponse("OK")) as switch:
        main = database("main", upstash.url, TOKEN)
        variables = {**VARIABLES, "HEARTBEAT_URL": f"{switch.url}/x"}
        program = Program(tmp_path, settings(main, channels=slack(people)), **variables)
        done = program.end("check")
    assert (done.status, done.stdout.startswith("CRITICAL - main")) == (2, True)
    assert done.stderr.count("no Railway volume") == 1
    assert [(request.method, request.target) for request in switch.requests] == [("GET", "/x")]


def test_a_name_or_domain_that_cannot_be_right_is_left_out(tmp_path: Path) -> None:
    """Nobody wrote it down, and it silences nothing: a line that says which."""
    variables = {**VARIABLES, "RAILWAY_ENVIRONMENT_NAME": "https://x", "RAILWAY_PUBLIC_DOMAIN": "a b"}
    found = read(None, variables).settings
    assert (found.environment, found.page.url, found.page.port) == (None, None, 0)
    assert [part.name for part in found.unusable] == ["environment", "page.url"]


def test_without_a_page_there_is_nothing_to_link_to(tmp_path: Path) -> None:
    """A domain alone serves none; an address in the file is taken as it is."""
    assert read(None, {**VARIABLES, "PORT": ""}).settings.page.url is None
    file = tmp_path / "config.yaml"
    file.write_text("page: {url: 'https://monitor.example/'}", encoding="utf-8")
    assert read(file, {}).settings.page.url == "https://monitor.example"


def test_the_keys_of_the_doctor_make_no_railway_of_a_laptop() -> None:
    """They may be set anywhere."""
    keys = ("RAILWAY_TOKEN", "RAILWAY_API_TOKEN", "RAILWAY_PROJECT_ID", "RAILWAY_ENVIRONMENT_ID")
    found = read(None, dict.fromkeys(keys, "x")).settings
    assert (found.logs.format, found.page.host) == ("text", "0.0.0.0")
