"""Killed at any instant, nothing is lost: the real program, SIGKILL, three channels, a disk that is often full.

Databases and channels fail and recover all the while. In the end the file and what the channels heard must agree.
"""

from __future__ import annotations

import random
import re
import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import monotonic, sleep

import pytest

from monitor.alerts.retry_policy import LEASE
from monitor.checks.observation import Check, Outcome
from monitor.config.settings import AlertSettings
from monitor.incidents.rules import advance
from monitor.incidents.state import IncidentState
from monitor.sandbox.messaging import MessagingFault, MessagingStandIn
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.judging import explain
from tests.program import TELLS, Program, Running, database, settings, slack, until
from tests.store.disks import ScarceDisk, scarce_disk

# Decisions come quickly, so that a short run sees incidents open and close.
ALERTS = {
    "confirm_interval": "50ms",
    "token": {"failures": 1},
    "failing": {"failures": 2, "for": "0s"},
    # What is unstable is checked every 50 ms until it closes.
    "flapping": {"times": 4, "within": "6s"},
    "recovery": {"checks": 1, "for": "0s"},
    "group_within": "0s",
}
STAND_INS = 4
DATABASES_EACH = 2
# What waits is sent at a pace that the services allow: hundreds of messages take minutes.
CALM_AFTER_SECONDS, CALM_AFTER_MANY_SECONDS = 120.0, 1200.0


# None that takes a message without confirming it, which a repetition must follow, and none that refuses for good.
CHANNEL_FAULTS = (
    MessagingFault.FLAKY,
    MessagingFault.DOWN,
    MessagingFault.REFUSE,
    MessagingFault.RATE_LIMITED,
)


class FaultSwitcher(threading.Thread):
    """Lets databases and channels fail and recover in turn until it is told to clear up."""

    def __init__(
        self, stand_ins: list[UpstashStandIn], inboxes: list[MessagingStandIn], chance: random.Random
    ) -> None:
        super().__init__(daemon=True)
        self._stand_ins = stand_ins
        self._inboxes = inboxes
        self._chance = chance
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(self._chance.uniform(0.05, 0.3)):
            self._switch_database(self._chance.choice(self._stand_ins))
            if self._chance.random() < 0.2:
                inbox = self._chance.choice(self._inboxes)
                fault = MessagingFault.NONE if inbox.slack_fault is not MessagingFault.NONE else None
                inbox.slack_fault = fault or self._chance.choice(CHANNEL_FAULTS)
                fault = MessagingFault.NONE if inbox.telegram_fault is not MessagingFault.NONE else None
                inbox.telegram_fault = fault or self._chance.choice(CHANNEL_FAULTS)

    def _switch_database(self, stand_in: UpstashStandIn) -> None:
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
        for inbox in self._inboxes:
            inbox.fault = MessagingFault.NONE


@contextmanager
def switching_faults(
    stand_ins: list[UpstashStandIn], inboxes: list[MessagingStandIn], chance: random.Random
) -> Iterator[None]:
    """While the block lasts; all is well again after it."""
    switcher = FaultSwitcher(stand_ins, inboxes, chance)
    switcher.start()
    try:
        yield
    finally:
        switcher.clear_up()


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one message said of an incident; `since` is when that began, as far as it was said."""

    channel: str
    incident: int
    kind: str
    database: str
    since: str


@pytest.mark.parametrize(
    ("kills", "kills_when_full", "seed"),
    [
        pytest.param(8, 8, 4711, id="quick"),
        *(pytest.param(100, 100, seed, id=f"seed {seed}", marks=pytest.mark.storm) for seed in (0, 17)),
    ],
)
@pytest.mark.faults("SIGKILL at random instants, faults and a full disk meanwhile")
def test_whenever_it_is_killed_nothing_is_lost(
    tmp_path: Path, kills: int, kills_when_full: int, seed: int
) -> None:
    """First with room on the disk, then on one that is full half of the time: each channel hears of every incident
    and of its end, with at most one repetition a kill; a number is one incident's; and the file agrees."""
    chance = random.Random(seed)
    is_long = kills > 8
    with ExitStack() as stack:
        disk = stack.enter_context(scarce_disk(tmp_path / "disk", "8m"))
        inboxes = [stack.enter_context(MessagingStandIn()) for _ in range(2)]
        stand_ins = [stack.enter_context(UpstashStandIn("t0ken")) for _ in range(STAND_INS)]
        names = [(f"db{n}", stand_ins[n % STAND_INS].url) for n in range(STAND_INS * DATABASES_EACH)]
        file = disk.folder / "history.db"
        config = settings(
            *(database(name, url, timeout="2s") for name, url in names),
            # The doctor slows a short run down; the long storm has time for him.
            alerts={**ALERTS, "diagnose": is_long},
            channels=three_channels(*inboxes),
            history={"path": str(file)},
        )
        program = Program(tmp_path, config)
        program.file = file
        with switching_faults(stand_ins, inboxes, random.Random(seed + 1)):
            logs = [run_until_killed(program, chance) for _ in range(kills)]
        logs.append(run_to_the_end(program, can_wait=is_long))
        arrived = what_was_told(*inboxes)
        for log in logs:
            assert "ERROR" not in log
        check_the_end(file, arrived, kills)
        check_the_incidents(file, least=max(2, kills // 8))

        with switching_faults(stand_ins, inboxes, random.Random(seed + 2)):
            logs = [run_until_killed(program, chance, disk) for _ in range(kills_when_full)]
        if disk.is_full:
            disk.toggle()
        logs.append(run_to_the_end(program, can_wait=is_long))
        arrived = what_was_told(*inboxes)
        for log in logs:
            assert "Traceback" not in log
        in_memory = sum("going on from memory" in log for log in logs)
        assert in_memory >= kills_when_full // 10 + 1, "too little happened for this to be a test"
        check_the_end(file, arrived, kills + kills_when_full)


def run_until_killed(program: Program, chance: random.Random, disk: ScarceDisk | None = None) -> str:
    """A run that ends at a random instant: now and then before the first check, mostly in the midst of it all.

    The disk is filled, or has room again, before it and in the midst of it.
    """
    if disk is not None and chance.random() < 0.5:
        disk.toggle()
    if disk is not None and disk.is_full:
        take_the_room_of_the_log(disk, program.file)
    with program.running() as running:
        if disk is not None:
            disk.holds(running.process.pid)
        if chance.random() < 0.2:
            # From the imports to the first check, and whatever of the store is done between them.
            sleep(chance.uniform(0.1, 1.5))
        else:
            running.wait_for("watching")
            go_on(running, chance)
            if disk is not None and chance.random() < 0.3:
                disk.toggle()
            go_on(running, chance)
        running.kill()
        assert "Traceback" not in running.said
        return running.said


def take_the_room_of_the_log(disk: ScarceDisk, file: Path) -> None:
    """Else a short run may never notice: SQLite writes over what its log holds already, which needs no room."""
    disk.toggle()
    with closing(sqlite3.connect(file)) as shell:
        shell.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    disk.toggle()


def go_on(running: Running, chance: random.Random) -> None:
    """Until it has logged a few lines more, or has nothing to log: as much happens where the machine is slow."""
    lines = len(running.lines) + chance.randrange(8)
    end = monotonic() + 3.0
    while len(running.lines) < lines and monotonic() < end:
        sleep(0.01)
    sleep(chance.uniform(0.0, 0.1))


def run_to_the_end(program: Program, *, can_wait: bool) -> str:
    """A last run in which all is well, until everything is told."""
    if not can_wait:  # waiting for them is for the long storm
        let_leases_run_out(program.file)
    with program.running() as last:
        seconds = CALM_AFTER_MANY_SECONDS if can_wait else CALM_AFTER_SECONDS
        until(lambda: is_calm(program.file), "the last message", seconds=seconds)
        ended = last.end()
    assert ended.status == 0
    return ended.stdout


def let_leases_run_out(file: Path) -> None:
    """As if the last process had started a lease earlier: the times of the outbox messages are moved back."""
    lease_ms = LEASE.total_seconds() * 1000
    with closing(sqlite3.connect(file)) as shell, shell:
        shell.execute("UPDATE outbox SET tried_ms = tried_ms - ?, due_ms = due_ms - ?", (lease_ms, lease_ms))


def is_calm(file: Path) -> bool:
    """No incident is open and no message waits, after a check of each database in this run."""
    with closing(sqlite3.connect(file)) as shell:
        [open_ones] = shell.execute("SELECT count(*) FROM incident_log WHERE closed_at IS NULL").fetchone()
        [waiting] = shell.execute("SELECT count(*) FROM deliveries WHERE delivered_at IS NULL").fetchone()
        [checks] = shell.execute("SELECT count(*) FROM history").fetchone()
    return bool(checks) and not open_ones and not waiting


def three_channels(inbox: MessagingStandIn, other: MessagingStandIn) -> list[dict[str, str]]:
    """Two in Slack and one in Telegram."""
    telegram = {
        "type": "telegram",
        "bot_token": inbox.bot_token,
        "chat_id": inbox.chat_id,
        "api_url": inbox.telegram_api_url,
    }
    return [*slack(inbox), telegram, {"type": "slack", "name": "ops", "webhook_url": other.slack_url}]


def what_was_told(inbox: MessagingStandIn, other: MessagingStandIn) -> list[Told]:
    """The messages about incidents that arrived, each channel's in order."""
    found = []
    for channel, messages in (
        ("slack", [each for each in inbox.messages if each.service == "slack"]),
        ("telegram", [each for each in inbox.messages if each.service == "telegram"]),
        ("ops", other.messages),
    ):
        for message in messages:
            match = TELLS.search(message.text)
            if match:
                name = re.search(r"\bdb\d+\b", message.text)
                since = re.search(r"(?:since|down) (\S+ \S+ UTC)", message.text)
                assert name, message.text
                found.append(
                    Told(
                        channel=channel,
                        incident=int(match[1]),
                        kind=match[2],
                        database=name[0],
                        since=since[1] if since else "",
                    )
                )
    return found


def check_the_end(file: Path, arrived: list[Told], kills: int) -> None:
    """The file is sound, and its views say what each channel was told."""
    with closing(sqlite3.connect(file)) as shell:
        assert shell.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert shell.execute("PRAGMA foreign_key_check").fetchall() == []
        incidents = dict(shell.execute("SELECT id, database FROM incident_log WHERE closed_at IS NOT NULL"))
        [open_ones] = shell.execute("SELECT count(*) FROM incident_log WHERE closed_at IS NULL").fetchone()
        delivered = shell.execute(
            "SELECT DISTINCT channel, incident FROM deliveries"
            " WHERE incident IS NOT NULL AND delivered_at IS NOT NULL"
        ).fetchall()
        times = {
            tuple(key): number
            for *key, number in shell.execute(
                "SELECT channel, incident, kind, count(*) FROM deliveries GROUP BY channel, incident, kind"
            )
        }
    # An incident that opens again within the time of flapping has more than one beginning and end.
    reopened: dict[int, int] = defaultdict(int)
    for (_, number, kind), found in times.items():
        reopened[number] = max(reopened[number], found if kind == "reopened" else 0)
    assert not open_ones
    begun: dict[int, set[tuple[str, str]]] = defaultdict(set)
    kinds: dict[tuple[str, int], list[str]] = defaultdict(list)
    for each in arrived:
        assert incidents.get(each.incident) == each.database, f"{each} is not what the file says"
        kinds[each.channel, each.incident].append(each.kind)
        if each.since:
            begun[each.incident].add((each.database, each.since))
    assert {number: what for number, what in begun.items() if len(what) > 1} == {}, "a number was given twice"
    assert set(delivered) <= set(kinds)
    for channel in ("slack", "telegram", "ops"):
        for number in incidents:
            heard = kinds[channel, number]
            assert {"opened", "ongoing", "missed"} & set(heard), f"{channel}: {number} was opened in silence"
            assert heard[-1] in ("closed", "missed"), f"{channel}: {number} was closed in silence: {heard}"
        repeated = 0
        for number in incidents:
            heard = kinds[channel, number]
            repeated += told_again(heard, reopened[number], f"{channel}: {number} was told as {heard}")
            for kind in ("changed", "reminder"):
                repeated += max(0, heard.count(kind) - times.get((channel, number, kind), 0))
        assert repeated <= kills, channel


def told_again(kinds: list[str], reopened: int, what: str) -> int:
    """How many of the messages about an incident told its reader of a beginning or an end that he knew.

    Whichever kind of message told it; an incident that opened again has that many beginnings more.
    """
    is_open: bool | None = None
    begun = ended = 0
    for kind in kinds:
        match kind:
            case "opened":
                assert is_open is not False, f"{what}: it opens after its end"
                begun, is_open = begun + 1, True
            case "ongoing" | "reopened":
                begun, is_open = begun + 1, True
            case "missed":
                begun, ended, is_open = begun + 1, ended + 1, False
            case "closed":
                assert is_open is not None, f"{what}: the end alone"
                ended, is_open = ended + 1, False
            case _:
                assert is_open, f"{what}: news of what is not open"
    return max(0, begun - reopened - 1) + max(0, ended - reopened - 1)


def check_the_incidents(file: Path, *, least: int) -> None:
    """The incidents of the file are those that its checks lead to, without a hole in their numbers."""
    with closing(sqlite3.connect(file)) as shell:
        checks = shell.execute("SELECT database, at, outcome FROM history ORDER BY database, at").fetchall()
        incidents = shell.execute(
            "SELECT id, database, opened_at, closed_at, cause, checks_failed FROM incident_log ORDER BY id"
        ).fetchall()
    assert len(incidents) >= least, "too little happened for this to be a test"
    assert [number for number, *_ in incidents] == list(range(1, len(incidents) + 1))
    assert sorted(row[1:] for row in incidents) == sorted(replayed(checks))


def replayed(checks: list[tuple[str, str, str]]) -> list[tuple[str, str, str, str, int]]:
    """The incidents that these checks lead to, had one process seen them all."""
    alerts = AlertSettings.model_validate(ALERTS)
    states: dict[str, IncidentState] = defaultdict(IncidentState)
    # By number: one that opens again has a later end.
    ended: dict[int, tuple[str, str, str, str, int]] = {}
    for number, (name, at, outcome) in enumerate(checks, start=1):
        check = Check(database=name, at=datetime.fromisoformat(at), outcome=Outcome(outcome))
        transition = advance(states[name], check, alerts, next_incident=number, explain=explain)
        states[name] = transition.state
        if transition.incident is not None and transition.incident.closed_at is not None:
            row = transition.incident
            assert row.closed_at is not None
            ended[row.id] = (name, iso(row.opened_at), iso(row.closed_at), row.cause.value, row.checks_failed)
    return list(ended.values())


def iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
