"""Started by `tests.faults.test_kills`: runs on one file, each a fork, killed where it was asked.

A line of JSON on its input is a `StoreRun`, a line on its output how it ended: its status, negative for a signal,
and how many commits there were. Only the kill is not the program's: checks, store and deliveries are its own.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import sleep
from typing import Any

from loguru import logger

from monitor.alerts.channel import Channel
from monitor.alerts.retry_policy import LEASE
from monitor.alerts.slack import SlackChannel
from monitor.alerts.telegram import TelegramChannel
from monitor.checks.observation import Check, Outcome
from monitor.engine.delivery import Deliverer
from monitor.lib.text import Scrubber
from monitor.lib.threads import SerialThread
from monitor.store.store import Store
from monitor.store.tables.outbox import messages_pending
from tests.judging import judge

START, MINUTE = datetime(2026, 11, 23, 14, 0, tzinfo=UTC), timedelta(minutes=1)
OK, REJECTED, REFUSED = Outcome.OK, Outcome.TOKEN_REJECTED, Outcome.CONNECTION_REFUSED
# Two incidents, one of which changes its cause.
OUTCOMES = (REJECTED, REJECTED, REJECTED, OK, OK, REFUSED, REFUSED, REFUSED, REJECTED, REJECTED, OK, OK)


@dataclass(frozen=True, kw_only=True)
class StoreRun:
    """The outcomes that are checked, `rounds` times over, and where it ends: at a commit, just before it or just
    after it; after so many seconds; or, with neither, when all is told."""

    path: str
    slack_url: str
    telegram: tuple[str, str, str]
    rounds: int = 1
    at_commit: int | None = None
    is_before: bool = False
    after_seconds: float | None = None

    def json(self) -> str:
        return json.dumps(asdict(self))


class CountingConnection(sqlite3.Connection):
    """Calls `before` and `after` around each commit."""

    before: Callable[[], None]
    after: Callable[[], None]

    def execute(self, sql: str, *values: Any) -> sqlite3.Cursor:
        if sql != "COMMIT":
            return super().execute(sql, *values)
        CountingConnection.before()
        done = super().execute(sql)
        CountingConnection.after()
        return done


def main() -> None:
    logger.remove()
    for line in sys.stdin:
        run = StoreRun(**json.loads(line))
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            count_and_run(run, writing)
            os._exit(0)
        os.close(writing)
        if run.after_seconds is not None:
            sleep(run.after_seconds)
            os.kill(child, signal.SIGKILL)
        commits = 0
        with open(reading, "rb") as told:  # noqa: PTH123 - a descriptor
            commits = len(told.read())
        _, status = os.waitpid(child, 0)
        sys.stdout.write(json.dumps([os.waitstatus_to_exitcode(status), commits]) + "\n")
        sys.stdout.flush()


def count_and_run(run: StoreRun, counted: int) -> None:
    """Go on where the file says that the run before ended; each commit is a byte to `counted`."""
    commits, lock = 0, threading.Lock()

    def note(*, is_before: bool) -> None:
        nonlocal commits
        with lock:
            commits += is_before
            if is_before:
                os.write(counted, b".")
            if commits == run.at_commit and is_before is run.is_before:
                os.kill(os.getpid(), signal.SIGKILL)

    CountingConnection.before = staticmethod(lambda: note(is_before=True))
    CountingConnection.after = staticmethod(lambda: note(is_before=False))
    connect = sqlite3.connect
    sqlite3.connect = lambda *words, **options: connect(*words, **options, factory=CountingConnection)  # type: ignore[assignment]
    check_and_deliver(run)


def check_and_deliver(run: StoreRun) -> None:
    now = START
    channels: dict[str, Channel] = {
        "slack": SlackChannel(name="slack", webhook_url=run.slack_url, scrub=Scrubber([])),
        "telegram": TelegramChannel(
            name="telegram",
            bot_token=run.telegram[0],
            chat_id=run.telegram[1],
            api_url=run.telegram[2],
            scrub=Scrubber([]),
        ),
    }
    store = Store(Path(run.path), channels=list(channels), log=lambda level, text: None, clock=lambda: now)
    store_thread = SerialThread("store")

    def deliver() -> None:
        deliverer = Deliverer(
            channels,
            store=store,
            store_thread=store_thread,
            clock=lambda: now,
            jitter=lambda: 0.0,
            pace=timedelta(0),
        )
        asyncio.run(deliverer.send_due())

    done = store.read(lambda connection: connection.execute("SELECT count(*) FROM history").fetchone()[0])
    now = START + done * MINUTE
    store.begin(databases={"main"}, destinations={name: name for name in channels})
    for outcome in (OUTCOMES * run.rounds)[done:]:
        now += MINUTE
        check = Check(database="main", at=now, outcome=outcome, detail="" if outcome is OK else "seen")
        store.record(check, judge(check), interval=MINUTE)
        deliver()
    while store.read(messages_pending):
        now += LEASE
        deliver()
    store_thread.stop(store.close)


if __name__ == "__main__":
    main()
