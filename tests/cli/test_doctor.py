"""The doctor as a process of its own, against a real redis-server and the stand-ins of all sources."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import trustme
from redis import Redis
from rich.console import Console

from monitor.alerts.notification import Notification, NotificationKind
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.cli.doctor import show_channels
from monitor.lib.text import Secret
from monitor.sandbox.console import ConsoleStandIn, Database, StatusPageStandIn
from monitor.sandbox.railway import RailwayService, RailwayStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from monitor.store.store import Store
from tests.alerts.conftest import SINCE
from tests.checks.redis_server import RedisServer, redis_server
from tests.program import Ended, Program

TOKEN = "AXdoctorToken-0f_the_tests"
ACL_TOKEN = "AXofAnAclUser-9e8d7c6b5a4f"
KEY, PROJECT_TOKEN = "console-key-0123456789abcdef", "railway-project-token-0123456789"


@dataclass(kw_only=True)
class DoctorCase:
    """One database with every source that the doctor asks, and the program that examines it."""

    upstash: UpstashStandIn
    database: Database
    worker: RailwayService
    railway: RailwayStandIn
    page: StatusPageStandIn
    redis: RedisServer
    program: Program
    settings: dict[str, Any]

    def set_token(self, token: str) -> None:
        """What this monitor's variable holds."""
        self.settings["databases"][0]["token"] = token
        self.program.set(self.settings)

    def rotate(self) -> str:
        """Somebody resets the credentials in the console."""
        self.database.rotate()
        token = self.database.rest_token
        self.upstash.token = token
        with Redis(
            host="localhost",
            port=self.redis.port,
            username="default",
            password=TOKEN,
            ssl=True,
            ssl_ca_certs=self.program.environ["SSL_CERT_FILE"],
        ) as client:
            client.execute_command("ACL", "SETUSER", "default", "resetpass", f">{token}")
        return token

    def examine(self, *words: str) -> tuple[int, dict[str, Any]]:
        ended = self.program.end("doctor", "--json", *words)
        self.assert_discreet(ended)
        found = json.loads(ended.stdout)
        assert found["exit_status"] == ended.status
        return ended.status, found["databases"][0]

    def assert_discreet(self, ended: Ended) -> None:
        """Neither token, key nor any eight characters in a row of one."""
        output = ended.stdout + ended.stderr
        for secret in (TOKEN, KEY, PROJECT_TOKEN, self.database.rest_token, self.upstash.token):
            assert not [
                secret[start : start + 10]
                for start in range(len(secret) - 9)
                if secret[start : start + 10] in output
            ]
        assert "Traceback" not in output


@pytest.fixture
def case(tmp_path: Path) -> Iterator[DoctorCase]:
    folders = {name: tmp_path / name for name in ("redis", "home")}
    for folder in folders.values():
        folder.mkdir()
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with ExitStack() as stack:
        redis = stack.enter_context(redis_server(folders["redis"], token=TOKEN, ca=ca))
        upstash = stack.enter_context(UpstashStandIn(TOKEN))
        console = stack.enter_context(ConsoleStandIn(email="ops@example.com", api_key=KEY))
        railway = stack.enter_context(RailwayStandIn(project_token=PROJECT_TOKEN, account_token="unused"))
        page = stack.enter_context(StatusPageStandIn())
        host = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        settings: dict[str, Any] = {
            "databases": [{"name": "main", "url": upstash.url, "token": TOKEN, "timeout": "2s", "worker": True}],
            "connectivity": [f"127.0.0.1:{host.getsockname()[1]}"],
            "doctor": {
                "worker_port": redis.port,
                "status_url": page.url,
                "console_url": console.url,
                "railway_url": railway.url,
            },
        }
        yield DoctorCase(
            upstash=upstash,
            database=console.add(upstash.url.removeprefix("http://"), rest_token=TOKEN),
            worker=railway.add("worker", UPSTASH_REDIS_REST_URL=upstash.url, UPSTASH_REDIS_REST_TOKEN=TOKEN),
            railway=railway,
            page=page,
            redis=redis,
            settings=settings,
            program=Program(
                folders["home"],
                settings,
                SSL_CERT_FILE=str(tmp_path / "ca.pem"),
                UPSTASH_EMAIL="ops@example.com",
                UPSTASH_API_KEY=KEY,
                RAILWAY_TOKEN=PROJECT_TOKEN,
            ),
        )


def test_a_healthy_database_passes_every_layer(case: DoctorCase) -> None:
    """Every layer is examined, and the verdict says that nothing is wrong; status 0."""
    status, found = case.examine()
    states = {row["layer"]: row["state"] for row in found["layers"]}
    assert {layer for layer, state in states.items() if state != "passed"} == {"encryption"}  # http on loopback
    assert (status, found["verdict"]["code"], found["verdict"]["whose_move"]) == (0, "all_good", "nobody")
    assert case.railway.changes() == []


Trouble = Callable[[DoctorCase], None]


def _stale(case: DoctorCase) -> None:
    case.rotate()


def _staged(case: DoctorCase) -> None:
    case.worker.stage(UPSTASH_REDIS_REST_TOKEN=case.rotate())


def _trouble_posted(case: DoctorCase) -> None:
    case.upstash.fault = UpstashFault.SERVER_ERROR
    case.page.post_incident("Elevated errors", "N. Virginia, USA (us-east-1)")


# Every rule is provoked in tests/doctor/test_verdict_rules.py, where a process each is not needed.
TROUBLES: list[tuple[str, Trouble, str]] = [
    ("rotated", _stale, "worker_has_an_old_token"),
    ("rotated, worker staged", _staged, "new_token_not_deployed"),
    ("newline", lambda case: case.set_token(f"{TOKEN}\n"), "rest_value_mangled"),
    ("posted", _trouble_posted, "provider_trouble"),
]


@pytest.mark.parametrize(("_name", "trouble", "code"), TROUBLES, ids=[name for name, _, _ in TROUBLES])
def test_a_trouble_gets_its_verdict(case: DoctorCase, _name: str, trouble: Trouble, code: str) -> None:
    """Provoked on real servers, recognised by the combination of layers; status 2, nothing was changed."""
    trouble(case)
    status, found = case.examine()
    assert found["verdict"]["code"] == code, found
    assert status == 2
    assert found["verdict"]["whose_move"] != "nobody"
    assert case.railway.changes() == []


def test_a_host_that_hangs_costs_its_layers_and_no_other(case: DoctorCase) -> None:
    """The database does not answer: the rest is known all the same, and the doctor ends."""
    case.upstash.fault = UpstashFault.HANG
    _, found = case.examine()
    states = {row["layer"]: row["state"] for row in found["layers"]}
    assert states["http"] == "failed"
    assert (states["token"], states["reading"], states["writing"]) == ("skipped",) * 3
    assert (states["worker"], states["status_page"], states["console"], states["platform"]) == ("passed",) * 4


def test_the_layers_and_the_verdict_are_shown(case: DoctorCase) -> None:
    """A line per layer, what was not tried says why, and at the end verdict, whose move, and the steps."""
    case.rotate()
    ended = case.program.end("doctor")
    case.assert_discreet(ended)
    assert ended.status == 2
    lines = ended.stdout.splitlines()
    assert lines[0] == "main"
    assert any(line.split()[:2] == ["✗", "token"] for line in lines)
    assert "not tried because of token" in ended.stdout
    assert "The database refuses the token here, and the console has another" in ended.stdout
    assert "whose move: yours" in ended.stdout
    assert "\x1b" not in ended.stdout


def test_the_fix_puts_the_consoles_token_into_the_worker(case: DoctorCase) -> None:
    """Shown first, then done: one variable written, one deployment, and the layers examined again."""
    token = case.rotate()
    ended = case.program.end("doctor", "--fix", "--yes")
    case.assert_discreet(ended)
    assert "write UPSTASH_REDIS_REST_TOKEN of service worker" in ended.stdout
    assert case.worker.running["UPSTASH_REDIS_REST_TOKEN"] == token
    assert len(case.railway.changes()) == 2
    assert ended.status == 0, ended.stdout
    assert "main: this monitor itself still has the token that is refused. Next: set the token in" in ended.stdout


def test_a_token_that_works_is_never_replaced(case: DoctorCase) -> None:
    """An ACL user's REST token, on the worker and here: the console's is another, and has full rights."""
    case.upstash.acl_tokens = {ACL_TOKEN: True}
    case.worker.store({"UPSTASH_REDIS_REST_TOKEN": ACL_TOKEN})
    case.worker.deploy()
    for token in (TOKEN, ACL_TOKEN):
        case.set_token(token)
        ended = case.program.end("doctor", "--fix", "--yes")
        case.assert_discreet(ended)
        assert case.railway.changes() == []
        assert "leave UPSTASH_REDIS_REST_TOKEN of service worker: the database accepts it" in ended.stdout
        assert "nothing is changed" in ended.stdout
    assert case.worker.running["UPSTASH_REDIS_REST_TOKEN"] == ACL_TOKEN
    _, found = case.examine()
    details = {row["layer"]: (row["state"], row["detail"]) for row in found["layers"]}
    assert details["console"][0] == "passed"
    assert details["console"][1].endswith("another token than the console's")
    assert details["platform"][0] == "passed"


def test_a_switched_off_users_token_is_not_replaced_by_the_consoles(case: DoctorCase) -> None:
    """Refused, in words that fit a user who is off: the fix says so, and leaves it to a person."""
    case.upstash.acl_tokens = {ACL_TOKEN: False}
    case.worker.store({"UPSTASH_REDIS_REST_TOKEN": ACL_TOKEN})
    case.worker.deploy()
    case.set_token(ACL_TOKEN)
    ended = case.program.end("doctor", "--fix", "--yes")
    case.assert_discreet(ended)
    assert (ended.status, case.railway.changes()) == (2, [])
    assert "it may be an ACL user's token that was switched off" in ended.stdout


@pytest.mark.parametrize("fault", [UpstashFault.HANG, UpstashFault.SERVER_ERROR, UpstashFault.REFUSE])
def test_what_could_not_be_tried_is_not_replaced(case: DoctorCase, fault: UpstashFault) -> None:
    """The console has a newer token, and the database says nothing: nobody knows whether the worker's works."""
    case.rotate()
    case.upstash.fault = fault
    ended = case.program.end("doctor", "--fix", "--yes")
    assert (ended.status, case.railway.changes()) == (2, [])
    assert "whether the database accepts it is not known" in ended.stdout


def test_the_fix_writes_the_names_of_this_database(case: DoctorCase) -> None:
    """It is read from CACHE_URL and CACHE_REST_TOKEN, here and on the worker; other variables stay as they are."""
    usual = {"UPSTASH_REDIS_REST_URL": "https://gone-dog-1.upstash.io", "UPSTASH_REDIS_REST_TOKEN": "AXofGoneDog0"}
    own = {"CACHE_URL": case.upstash.url, "CACHE_REST_TOKEN": TOKEN}
    case.worker.store({**usual, **own})
    case.worker.deploy()
    case.settings["databases"][0] |= {"url": "${CACHE_URL}", "token": "${CACHE_REST_TOKEN}"}
    case.program.set(case.settings)
    case.program.environ |= own
    token = case.rotate()
    ended = case.program.end("doctor", "--fix", "--yes")
    case.assert_discreet(ended)
    assert (ended.status, case.worker.running) == (0, {**usual, **own, "CACHE_REST_TOKEN": token})
    new, old = Secret(token).fingerprint(), Secret(TOKEN).fingerprint()
    assert f"the database refuses its value (sha256 {old} becomes {new})" in ended.stdout
    assert f"Read back: Railway has the new value of CACHE_REST_TOKEN (sha256 {new})." in ended.stdout


def test_a_variable_that_may_be_meant_is_named_where_one_is_missing(case: DoctorCase) -> None:
    """By `check` and `doctor` alike; one that another database is read from is not meant."""
    other = {**case.settings["databases"][0], "name": "other", "url": "${OTHER_REST_URL}"}
    case.settings["databases"] = [{"name": "main", "url": "${UNSET_REST_URL}", "token": TOKEN}, other]
    case.program.set(case.settings)
    case.program.environ |= {"OTHER_REST_URL": case.upstash.url, "KV_REST_API_URL": case.upstash.url}
    _, found = case.examine("main")
    checked = json.loads(case.program.end("check", "main", "--json", "--no-alerts").stdout)["databases"][0]
    assert checked["outcome"] == "url_missing"
    for detail in (found["layers"][0]["detail"], checked["detail"]):
        assert detail.endswith("set instead: KV_REST_API_URL")


def test_without_a_yes_nothing_is_changed(case: DoctorCase) -> None:
    """The question is answered with no by an empty input."""
    case.rotate()
    ended = case.program.end("doctor", "--fix")
    assert "the fix would" in ended.stdout
    assert case.railway.changes() == []


def test_a_token_that_works_by_the_time_of_the_answer_stays(case: DoctorCase) -> None:
    """Refused when it was tried; while the question is open somebody switches its user on."""
    case.worker.store({"UPSTASH_REDIS_REST_TOKEN": ACL_TOKEN})
    case.worker.deploy()
    words = [sys.executable, "-m", "monitor", "doctor", "--fix"]
    with subprocess.Popen(
        words,
        cwd=case.program.folder,
        env=case.program.environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        shown = ""
        while not shown.endswith("Do this?") and (character := process.stdout.read(1)):
            shown += character
        case.upstash.acl_tokens = {ACL_TOKEN: True}
        rest, _ = process.communicate("y\n", timeout=30)
    assert "write UPSTASH_REDIS_REST_TOKEN of service worker" in shown
    assert "by now the database answers otherwise; nothing was changed" in rest
    assert case.railway.changes() == []


def test_a_fix_without_keys_is_refused_with_what_is_missing(case: DoctorCase) -> None:
    """Wanted, found, next; status 3."""
    del case.program.environ["UPSTASH_API_KEY"]
    ended = case.program.end("doctor", "--fix", "--yes")
    assert ended.status == 3
    assert "UPSTASH_API_KEY" in ended.stderr


def test_channels_that_are_broken_stand_below_the_databases(case: DoctorCase) -> None:
    """As the history file has it, with what to do; the status is about the databases alone."""
    case.settings |= {
        "channels": [
            {"type": "slack", "webhook_url": "https://hooks.slack.com/services/T0/B0/secretOfTheHook"},
            {"type": "webhook", "name": "hook", "url": "https://receiver.example/"},
            {"type": "log"},
        ],
        "history": {"path": "history.db"},
    }
    case.program.set(case.settings)
    store = Store(
        case.program.folder / "history.db",
        channels=["slack", "hook", "log"],
        log=lambda level, text: None,
        clock=lambda: SINCE,
    )
    for name, status in (("slack", DeliveryStatus.PERMANENT), ("hook", DeliveryStatus.UNCONFIRMED)):
        store.enqueue(
            Notification(kind=NotificationKind.MONITOR, created_at=SINCE, title="a word"), channels=[name]
        )
        delivery = store.claim(name, SINCE)
        assert delivery is not None
        store.acknowledge_delivery(delivery, DeliveryResult(status=status, detail="it said no"), SINCE, 0.0)
    channels = [store.channel_states()[name] for name in ("slack", "hook")]
    store.close()
    ended = case.program.end("doctor", "--json")
    assert ended.status == 0
    since = "2026-11-23T14:02:09.000Z"
    assert json.loads(ended.stdout)["channels"] == [
        {"channel": "slack", "state": "broken", "since": since, "detail": "it said no"},
        {"channel": "hook", "state": "unconfirmed", "since": since, "detail": "it said no"},
    ]
    show_channels(Console(file=(printed := StringIO()), width=120), channels)
    shown = printed.getvalue()
    assert "slack  broken since 2026-11-23 14:02:09 UTC: it said no" in shown
    assert "upstash-monitor test-alerts slack hook" in shown
