"""Monitors in three regions, a real Prometheus with contrib's rules, and a real Alertmanager with its example.

A minute of the rules is two seconds here. The receivers post to us; what else the files say is as it is shipped.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from monitor.sandbox.server import LoopbackServer
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.program import ROOT, Program, database, settings, until
from tests.web.scrapers import Prometheus, alertmanager, get, prometheus

pytestmark = pytest.mark.e2e

TOKEN = "AXregions0Token0fTests=="
CONTRIB = ROOT / "contrib" / "prometheus"
SECONDS_A_MINUTE = 2


def shipped(name: str) -> dict[str, Any]:
    """A file of contrib/prometheus."""
    content: dict[str, Any] = yaml.safe_load((CONTRIB / name).read_text(encoding="utf-8"))
    return content


class Region:
    """A monitor at work, its way to the database, and the host by which it knows that its network is there."""

    def __init__(self, name: str, folder: Path, stack: ExitStack) -> None:
        self.name = name
        self.upstash = stack.enter_context(UpstashStandIn(TOKEN))
        self._host = socket.create_server(("127.0.0.1", 0))
        stack.callback(self._close_host)
        self._address = self._host.getsockname()
        folder.mkdir()
        program = Program(
            folder,
            settings(
                database("main", self.upstash.url, TOKEN),
                connectivity=[f"127.0.0.1:{self._address[1]}"],
                alerts={
                    "confirm_interval": "250ms",
                    "diagnose": False,
                    "failing": {"failures": 4, "for": "1s"},
                    "recovery": {"for": "1s"},
                    "flapping": {"within": "0s"},
                },
                channels=[{"type": "log"}],
                page={"host": "127.0.0.1", "port": 0},
            ),
        )
        self._running = stack.enter_context(program.running())

    def address(self) -> str:
        """HOST:PORT of its page, once it says so."""
        self._running.wait_for("/healthz on port")
        found = re.search(r"/healthz on port (\d+)", self._running.said)
        assert found is not None
        return f"127.0.0.1:{found[1]}"

    def _close_host(self) -> None:
        self._host.close()

    def lose_network(self) -> None:
        """Neither the host nor the database can be reached from here."""
        self._close_host()
        self.upstash.fault = UpstashFault.REFUSE

    def find_network(self) -> None:
        self._host = socket.create_server(self._address)
        self.upstash.fault = UpstashFault.NONE


class Inbox(LoopbackServer):
    """Where Alertmanager's receivers post to; a path for each."""

    def __init__(self) -> None:
        super().__init__(Starlette(routes=[Route("/{receiver}", self._take, methods=["POST"])]))

    async def _take(self, _request: Request) -> Response:
        return PlainTextResponse("ok")

    @property
    def posts(self) -> list[dict[str, Any]]:
        """What has arrived, in order."""
        return [json.loads(request.body) for request in self.requests]


class Regions:
    """Everything that runs, and what has been posted since the test last looked."""

    def __init__(self, regions: list[Region], server: Prometheus, inbox: Inbox) -> None:
        self.all = regions
        self._server, self._inbox = server, inbox
        self._seen = 0

    def wait_for(self, promql: str, what: str) -> None:
        until(lambda: self._server.query(promql), what)

    def minutes(self, count: float) -> None:
        sleep(count * SECONDS_A_MINUTE)

    def next_post(self, alertname: str, kind: str) -> dict[str, Any]:
        """Wait for the post of that alert and status, which is the only one; what fires beside it is a warning."""
        self.next_posts(alertname, kind)
        # Whatever would come beside it has come by then.
        self.minutes(3)
        posts = self.new_posts()
        firing = {post["commonLabels"]["alertname"] for post in posts if post["status"] == "firing"}
        # On a slow machine the regions notice so far apart that one of them is alone for a while.
        assert firing <= {alertname, "UpstashDownInRegion"}
        [found] = _of(posts, alertname, kind)
        return found

    def next_posts(self, alertname: str, kind: str) -> list[dict[str, Any]]:
        """Wait for one of that alert and status; those that came since the last time."""
        until(lambda: _of(self._inbox.posts[self._seen :], alertname, kind), f"{alertname} {kind}")
        return _of(self._inbox.posts[self._seen :], alertname, kind)

    def new_posts(self) -> list[dict[str, Any]]:
        posts = self._inbox.posts[self._seen :]
        self._seen += len(posts)
        return posts


def _of(posts: list[dict[str, Any]], alertname: str, kind: str) -> list[dict[str, Any]]:
    return [post for post in posts if (post["commonLabels"]["alertname"], post["status"]) == (alertname, kind)]


@pytest.fixture
def regions(tmp_path: Path) -> Iterator[Regions]:
    """Three monitors that are scraped and find their database usable."""
    scraping, rules, sending = shipped("prometheus.yml"), shipped("rules.yml"), shipped("alertmanager.yml")
    for group in rules["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = f"{int(rule['for'].removesuffix('m')) * SECONDS_A_MINUTE}s"
    (tmp_path / "rules.yml").write_text(json.dumps(rules), encoding="utf-8")
    with ExitStack() as stack:
        inbox = stack.enter_context(Inbox())
        for receiver in sending["receivers"]:
            if receiver["name"] == "nobody":
                continue
            url = f"{inbox.url}/{receiver['name']}"
            for kind in receiver.keys() - {"name"}:
                del receiver[kind]
            receiver["webhook_configs"] = [{"url": url}]
        sending["route"] |= {"group_wait": "200ms", "group_interval": f"{SECONDS_A_MINUTE}s"}
        manager = stack.enter_context(alertmanager(tmp_path, sending))
        scraping["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [manager]
        [job] = scraping["scrape_configs"]
        targets = job["static_configs"]
        names = [entry["labels"]["region"] for entry in targets]
        monitors = [Region(name, tmp_path / name, stack) for name in names]
        for entry, monitor in zip(targets, monitors, strict=True):
            entry["targets"] = [monitor.address()]
            get(monitor.address(), "/metrics")  # the first reads in what the others have
        scraping["global"] = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), "1s")
        server = stack.enter_context(prometheus(tmp_path, scraping.pop("scrape_configs"), **scraping))
        running = Regions(monitors, server, inbox)
        running.wait_for("count(upstash_probe_success == 1) == 3", "three regions that see the database")
        running.wait_for("database:upstash_regions:count == 3", "the rules")
        yield running


def test_a_region_is_lost_and_then_the_database(regions: Regions) -> None:
    """One region's network is no alert; a database that fails from one region is a warning.

    In all of them it is one alert with its cause; so is the token, another.
    """
    fra, iad, sin = regions.all
    fra.lose_network()
    regions.wait_for('absent(upstash_probe_success{region="fra"})', "a region that cannot tell")
    regions.minutes(5)
    assert regions.new_posts() == []

    fra.find_network()
    regions.wait_for("count(upstash_probe_success == 1) == 3", "the region's network")
    sin.upstash.fault = UpstashFault.SERVER_ERROR
    post = regions.next_post("UpstashDownInRegion", "firing")
    assert post["receiver"] == "slack"
    [alert] = post["alerts"]
    assert alert["annotations"] == {
        "summary": "main fails from sin, and not from most regions",
        "description": "Cause: server_error. Usable from fra iad: look at the network of this region. "
        "Your move, or its host's.",
    }

    for region in (fra, iad):
        region.upstash.fault = UpstashFault.SERVER_ERROR
    post = regions.next_post("UpstashDown", "firing")
    assert post["receiver"] == "slack-and-telegram"
    [alert] = post["alerts"]
    assert alert["labels"] == {"alertname": "UpstashDown", "database": "main", "severity": "critical"}
    assert alert["annotations"]["summary"] == "main is down or unstable"
    # Two of them are enough, and the third may come later.
    description = alert["annotations"]["description"]
    assert re.fullmatch(r"Seen from(?: (?:fra|iad|sin) \(server_error\)){2,3}", description)

    for region in (fra, iad, sin):
        region.upstash.fault = UpstashFault.NONE
    regions.next_post("UpstashDown", "resolved")

    for region in (fra, iad, sin):
        region.upstash.token = "AXrotated0Token0fTests=="
    for post in regions.next_posts("UpstashTokenFailing", "firing"):
        [alert] = post["alerts"]
        assert alert["labels"]["database"] == "main"
        assert alert["annotations"]["summary"] == "main refuses the token, or the variables are wrong: your move"
        # The first of them opens it, and the others join.
        seen = alert["annotations"]["description"]
        assert re.fullmatch(r"Seen from(?: (?:fra|iad|sin) \(token_rejected\)){1,3}", seen)
