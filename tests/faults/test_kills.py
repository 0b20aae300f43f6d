"""Killed just before and just after each single commit, and at any other instant: nothing is lost or told wrongly.

The storm (tests/test_storm.py) kills the whole program at random; here no boundary is missed.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from monitor.sandbox.messaging import MessagingStandIn
from tests.faults.killed_run import StoreRun
from tests.program import ROOT, TELLS

Run = Callable[[StoreRun], tuple[int, int]]
Told = dict[str, list[str]]


@contextmanager
def forks() -> Iterator[Run]:
    """What makes a run and returns how it ended: the status, and how many commits it began."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.killed_run"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        reading, writing = process.stdout, process.stdin

        def run(one: StoreRun) -> tuple[int, int]:
            print(one.json(), file=writing, flush=True)
            status, commits = json.loads(reading.readline())
            return status, commits

        yield run
        writing.close()


def store_run(path: Path, people: MessagingStandIn, **where: object) -> StoreRun:
    telegram = (people.bot_token, people.chat_id, people.telegram_api_url)
    return StoreRun(path=str(path), slack_url=people.slack_url, telegram=telegram, **where)  # type: ignore[arg-type]


def told(people: MessagingStandIn, *, after: int = 0) -> Told:
    """What each service was told, in order: "1 opened"."""
    found: Told = {"slack": [], "telegram": []}
    for message in people.messages[after:]:
        match = TELLS.search(message.text)
        assert match, message.text
        found[message.service].append(f"{match[1]} {match[2]}")
    return found


def rows(path: Path) -> list[list[tuple[object, ...]]]:
    """What anybody would find in the file, but for how often was tried what."""
    with closing(sqlite3.connect(path)) as shell:
        assert shell.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return [
            shell.execute(sql).fetchall()
            for sql in (
                "SELECT * FROM history ORDER BY at, database",
                "SELECT * FROM incident_log ORDER BY id",
                "SELECT incident, kind, channel, delivered_at IS NULL FROM deliveries ORDER BY 1, 2, 3",
            )
        ]


def check_telling(texts: list[str], undisturbed: list[str], *, kills: int) -> None:
    """Each incident's beginning and end, in order; in one message where it ended before a second try."""
    by_incident: dict[str, list[str]] = {}
    for text in texts:
        number, _, kind = text.partition(" ")
        by_incident.setdefault(number, []).append(kind)
    assert by_incident.keys() == {text.partition(" ")[0] for text in undisturbed}
    for kinds in by_incident.values():
        assert kinds[0] in ("opened", "missed")
        assert kinds[-1] in ("closed", "missed")
    assert sum(number - 1 for number in Counter(texts).values()) <= kills


def without_repetitions(texts: list[str]) -> list[str]:
    return list(dict.fromkeys(texts))


@pytest.mark.long
@pytest.mark.faults("SIGKILL just before and just after every commit")
def test_a_kill_at_any_commit_loses_nothing(tmp_path: Path) -> None:
    """The next run goes on: the same rows in the file, each message in its order, at most one of them twice."""
    with MessagingStandIn() as people, forks() as run:
        status, commits = run(store_run(tmp_path / "undisturbed.db", people))
        assert status == 0
        wanted, heard = rows(tmp_path / "undisturbed.db"), told(people)
        assert commits > 25
        assert len(heard["slack"]) >= 4
        for at in range(1, commits + 1):
            for is_before in (True, False):
                path, before = tmp_path / f"{at}-{is_before}.db", len(people.messages)
                killed, _ = run(store_run(path, people, at_commit=at, is_before=is_before))
                assert killed == -signal.SIGKILL
                status, _ = run(store_run(path, people))
                assert status == 0
                where = f"{'before' if is_before else 'after'} commit {at} of {commits}"
                assert rows(path) == wanted, where
                for service, texts in told(people, after=before).items():
                    assert without_repetitions(texts) == heard[service], where
                    assert len(texts) <= len(heard[service]) + 1, where


@pytest.mark.storm
@pytest.mark.faults("SIGKILL a thousand times at random")
def test_a_thousand_kills_at_random_lose_nothing(tmp_path: Path) -> None:
    """At any instant, of a run that is long enough: the file agrees with an undisturbed one, and the channels
    heard everything, with at most one repetition a kill."""
    chance = random.Random(4711)
    rounds, kills = 20, 0
    with forks() as run:
        with MessagingStandIn() as people:
            assert run(store_run(tmp_path / "undisturbed.db", people, rounds=rounds))[0] == 0
            wanted, heard = rows(tmp_path / "undisturbed.db"), told(people)
        while kills < 1000:
            with MessagingStandIn() as people:
                path, of_this = tmp_path / f"{kills}.db", 0
                while run(store_run(path, people, rounds=rounds, after_seconds=chance.uniform(0.01, 0.4)))[0] != 0:
                    of_this += 1
                assert rows(path) == wanted
                for service, texts in told(people).items():
                    check_telling(texts, heard[service], kills=of_this)
                kills += of_this
