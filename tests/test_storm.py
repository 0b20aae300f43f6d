"""Killed at any instant, nothing is lost: the real program, SIGKILL, a channel that fails every other request.

Databases fail and recover all the while. In the end the file and what reached the channel must agree.
"""

from __future__ import annotations

import random
import sqlite3
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from time import sleep

import pytest

from monitor.alerts.retry_policy import LEASE
from monitor.checks.observation import Check, Outcome
from monitor.config.settings import AlertSettings
from monitor.incidents.rules import advance
from monitor.incidents.state import IncidentState
from monitor.sandbox.messaging import MessagingFault, MessagingStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.judging import explain
from tests.program import TELLS, Program, database, settings, slack, told, until
from tests.store.disks import fill, small_disk

# Decisions come quickly, so that a short life sees incidents open and close.
ALERTS = {
    "confirm_interval": "50ms",
    "token": {"failures": 1, "of": 1},
    "service": {"failures": 2},
    "network": {"failures": 2},
    "mixture": {"failures": 2, "of": 3},
    "recovery": 1,
}
STAND_INS = 4
DATABASES_EACH = 2
CALM_AFTER_SECONDS = 120.0


class FaultSwitcher(threading.Thread):
    """Lets the stand-ins fail and recover in turn until it is told to clear up."""

    def __init__(self, stand_ins: list[UpstashStandIn], chance: random.Random) -> None:
        super().__init__(daemon=True)
        self._stand_ins = stand_ins
        self._chance = chance
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._chance.uniform(0.05, 0.3)):
            stand_in = self._chance.choice(self._stand_ins)
            if stand_in.fault is not UpstashFault.NONE or stand_in.token != "t0ken":
                stand_in.fault, stand_in.token = UpstashFault.NONE, "t0ken"
            elif self._chance.random() < 0.5:
                stand_in.token = "rotated"
            else:
                stand_in.fault = self._chance.choice(
                    (UpstashFault.SERVER_ERROR, UpstashFault.REFUSE, UpstashFault.QUOTA)
                )

    def clear_up(self) -> None:
        self._over.set()
        self.join()
        for stand_in in self._stand_ins:
            stand_in.fault, stand_in.token = UpstashFault.NONE, "t0ken"


@contextmanager
def switching_faults(chance: random.Random) -> Iterator[tuple[list[UpstashStandIn], FaultSwitcher]]:
    with ExitStack() as stack:
        stand_ins = [stack.enter_context(UpstashStandIn("t0ken")) for _ in range(STAND_INS)]
        storm = FaultSwitcher(stand_ins, chance)
        storm.start()
        try:
            yield stand_ins, storm
        finally:
            storm.clear_up()


@pytest.mark.parametrize(
    ("kills", "seed"), [(20, 4711), pytest.param(200, 0, marks=pytest.mark.storm)], ids=["20", "200"]
)
def test_whenever_it_is_killed_nothing_is_lost(tmp_path: Path, kills: int, seed: int) -> None:
    """Every opened and every closed incident reaches the channel, at most one message is repeated per kill, and
    what the history says is what the incidents say."""
    chance = random.Random(seed)
    with MessagingStandIn() as inbox, switching_faults(random.Random(seed + 1)) as (stand_ins, storm):
        inbox.slack_fault = MessagingFault.FLAKY
        names = [(f"db{n}", stand_ins[n % STAND_INS].url) for n in range(STAND_INS * DATABASES_EACH)]
        watched = [database(name, url, timeout="2s") for name, url in names]
        # The doctor slows a short life down; the long storm has time for him.
        alerts = {**ALERTS, "diagnose": kills >= 100}
        program = Program(tmp_path, settings(*watched, alerts=alerts, channels=slack(inbox)))
        logs = [live_and_die(program, chance) for _ in range(kills)]
        storm.clear_up()
        inbox.slack_fault = MessagingFault.NONE
        if kills < 100:  # waiting for them is for the storm
            let_leases_run_out(program.file)
        with program.running() as last:
            until(lambda: is_calm(program.file), "the last message", seconds=CALM_AFTER_SECONDS)
            ended = last.end()
        arrived = Counter(told(inbox))
    assert ended.status == 0
    for log in (*logs, ended.stdout):
        assert "ERROR" not in log
        assert "Traceback" not in log
    assert sum(times - 1 for times in arrived.values()) <= kills
    check_the_file(program.file, arrived, least=kills // 2)


def live_and_die(program: Program, chance: random.Random) -> str:
    """A life that ends at a random instant: now and then before the first check, mostly in the midst of it all."""
    with program.running() as life:
        if chance.random() < 0.2:
            sleep(chance.uniform(0.1, 0.5))
        else:
            life.wait_for("watching")
            sleep(chance.uniform(0.0, 0.9))
        life.kill()
        return life.said


def let_leases_run_out(file: Path) -> None:
    """As if the last process had started a lease earlier: the times of the outbox messages are moved back."""
    lease_ms = LEASE.total_seconds() * 1000
    with closing(sqlite3.connect(file)) as shell, shell:
        shell.execute("UPDATE outbox SET tried_ms = tried_ms - ?, due_ms = due_ms - ?", (lease_ms, lease_ms))


def is_calm(file: Path) -> bool:
    """No incident is open and no message waits."""
    with closing(sqlite3.connect(file)) as shell:
        [open_ones] = shell.execute("SELECT count(*) FROM incident_log WHERE closed_at IS NULL").fetchone()
        [waiting] = shell.execute("SELECT count(*) FROM deliveries WHERE delivered_at IS NULL").fetchone()
        [checks] = shell.execute("SELECT count(*) FROM history").fetchone()
    return bool(checks) and not open_ones and not waiting


def check_the_file(file: Path, arrived: Counter[tuple[int, str]], *, least: int) -> None:
    """The file is sound; its incidents are those that its checks lead to, and those the channel heard of."""
    with closing(sqlite3.connect(file)) as shell:
        assert shell.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        checks = shell.execute("SELECT database, at, outcome FROM history ORDER BY database, at").fetchall()
        incidents = shell.execute(
            "SELECT id, database, opened_at, closed_at, cause, checks_failed FROM incident_log ORDER BY id"
        ).fetchall()
    assert len(incidents) >= least, "too little happened for this to be a test"
    assert [number for number, *_ in incidents] == list(range(1, len(incidents) + 1))
    assert sorted(row[1:] for row in incidents) == sorted(replayed(checks))
    for number, *_ in incidents:
        assert arrived[number, "opened"] or arrived[number, "missed"], f"incident {number} was opened in silence"
        assert arrived[number, "closed"] or arrived[number, "missed"], f"incident {number} was closed in silence"
    assert {number for number, _ in arrived} == {number for number, *_ in incidents}


def replayed(checks: list[tuple[str, str, str]]) -> list[tuple[str, str, str, str, int]]:
    """The incidents that these checks lead to, had one process seen them all."""
    alerts = AlertSettings.model_validate(ALERTS)
    states: dict[str, IncidentState] = defaultdict(IncidentState)
    ended = []
    for name, at, outcome in checks:
        check = Check(database=name, at=datetime.fromisoformat(at), outcome=Outcome(outcome))
        transition = advance(states[name], check, alerts, next_incident=1, explain=explain)
        states[name] = transition.state
        if transition.incident is not None and transition.incident.closed_at is not None:
            row = transition.incident
            assert row.closed_at is not None
            ended.append((name, iso(row.opened_at), iso(row.closed_at), row.cause.value, row.checks_failed))
    return ended


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def three_channels(inbox: MessagingStandIn, other: MessagingStandIn) -> list[dict[str, str]]:
    """Two in Slack and one in Telegram."""
    telegram = {
        "type": "telegram",
        "bot_token": inbox.bot_token,
        "chat_id": inbox.chat_id,
        "api_url": inbox.telegram_api_url,
    }
    return [*slack(inbox), telegram, {"type": "slack", "name": "ops", "webhook_url": other.slack_url}]


def words_by_channel(inbox: MessagingStandIn, other: MessagingStandIn) -> dict[str, list[tuple[int, str, str]]]:
    """For each channel: incident, kind and database of each message that arrived, in order."""
    found: dict[str, list[tuple[int, str, str]]] = defaultdict(list)
    for each in (inbox, other):
        for message in each.messages:
            match = TELLS.search(message.text)
            if match:
                name = message.text.split(":")[0].split(" ")[-1].removeprefix("<b>")
                found[f"{message.service} {each is other}"].append((int(match[1]), match[2], name))
    return found


@pytest.mark.parametrize(
    ("kills", "seed"), [pytest.param(120, 17, marks=pytest.mark.storm)], ids=["120 on a full disk"]
)
def test_killed_on_a_full_disk_nothing_is_lost_and_no_number_is_given_twice(
    tmp_path: Path, kills: int, seed: int
) -> None:
    """Three channels, a disk that is full half of the time, kills in start-up and in the midst of it all: each
    channel hears of each incident that any of them heard of, and its end as the last word; a number is one
    database's."""
    chance = random.Random(seed)
    disk = tmp_path / "disk"
    with (
        small_disk(disk, "4m"),
        MessagingStandIn() as inbox,
        MessagingStandIn() as other,
        switching_faults(random.Random(seed + 1)) as (stand_ins, storm),
    ):
        names = [(f"db{n}", stand_ins[n % STAND_INS].url) for n in range(STAND_INS * DATABASES_EACH)]
        config = settings(
            *(database(name, url, timeout="2s") for name, url in names),
            alerts=ALERTS,
            channels=three_channels(inbox, other),
            history={"path": str(disk / "history.db")},
        )
        program = Program(tmp_path, config)
        program.file = disk / "history.db"
        ballast: Path | None = None
        in_memory = 0
        for _ in range(kills):
            if ballast is None and program.file.exists() and chance.random() < 0.6:
                ballast = fill(disk)
            elif ballast is not None and chance.random() < 0.5:
                ballast.unlink()
                ballast = None
            log = live_and_die(program, chance)
            assert "Traceback" not in log
            in_memory += "going on from memory" in log
        if ballast is not None:
            ballast.unlink()
        storm.clear_up()
        with program.running() as last:
            until(lambda: is_calm(program.file), "the last message", seconds=CALM_AFTER_SECONDS)
            last.end()
        heard = words_by_channel(inbox, other)
    assert in_memory >= kills // 10, "too little happened for this to be a test"
    assert len(heard) == 3
    databases = defaultdict(set)
    for words in heard.values():
        for number, _, name in words:
            databases[number].add(name)
    assert {number: names for number, names in databases.items() if len(names) > 1} == {}
    for channel, words in heard.items():
        last_words = {number: kind for number, kind, _ in words}
        assert {n: kind for n, kind in last_words.items() if kind not in ("closed", "missed")} == {}, channel
    with closing(sqlite3.connect(program.file)) as shell:
        assert shell.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
