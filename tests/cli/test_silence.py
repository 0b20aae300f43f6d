"""`silence`: what it adds, lists, ends and refuses, run in this process on a real file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli.main import program
from monitor.lib.times import now_utc
from monitor.store.store import Store

MAINTENANCE = [
    {"databases": ["orders"], "from": "2099-01-05T22:00", "to": "2099-01-06T02:00", "timezone": "Europe/Berlin"},
    {"from": "2020-01-05T22:00", "to": "2020-01-06T02:00"},
]
LISTED = "maintenance: orders · from 2099-01-05 21:00:00 UTC for 4 h"


class Commands:
    """`silence` with one file of settings and a history that has begun."""

    def __init__(self, folder: Path) -> None:
        self.config, self.history = folder / "config.yaml", folder / "history.db"
        names = ("main", "orders")
        values = {
            "databases": [{"name": name, "url": "https://h.upstash.io", "token": "x"} for name in names],
            "history": {"path": str(self.history)},
            "maintenance": MAINTENANCE,
        }
        self.config.write_text(json.dumps(values), encoding="utf-8")
        Store(self.history, channels=(), log=lambda level, text: None, clock=now_utc).close()

    def end(self, *arguments: str) -> Result:
        return CliRunner().invoke(program, ["--config", str(self.config), *arguments])


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    return Commands(tmp_path)


def test_a_silence_is_listed_until_it_is_ended(commands: Commands) -> None:
    """By `incidents` as well; maintenance is listed in UTC unless it is over. A number ends a silence once."""
    added = commands.end("silence", "main", "orders", "main", "--for", "2h", "--reason", "deploy\n\x1b[31m of v2")
    assert added.exit_code == 0
    silence, step = added.output.splitlines()
    assert silence.startswith("silence 1: main, orders · until 20")
    assert "2 h · deploy" in silence
    assert "\x1b" not in silence
    assert "`silence --end 1`" in step
    assert commands.end("silence", "--all", "--for", "1m").output.startswith("silence 2: all databases · until ")

    listed = commands.end("silence", "--list").output.splitlines()
    assert [line.split(":")[0] for line in listed] == ["silence 1", "silence 2", "maintenance"]
    assert listed[-1] == LISTED
    assert "silence 1: main, orders" in commands.end("incidents").output
    quiet = json.loads(commands.end("incidents", "--json").output)["quiet"]
    assert [(one["silence"], one["databases"]) for one in quiet] == [
        (1, ["main", "orders"]),
        (2, None),
        (None, ["orders"]),
    ]

    assert "ended" in commands.end("silence", "--end", "1").output
    again = commands.end("silence", "--end", "1")
    assert (again.exit_code, again.output) == (3, "wanted the number of a silence, found '1'. Next: there is 2\n")
    commands.end("silence", "--end", "2")
    assert commands.end("silence", "--list").output.splitlines() == [LISTED]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["mian", "--for", "2h"], "wanted the name of a database, found 'mian'. Next: did you mean main?"),
        (["--for", "2h"], "wanted the name of a database or --all, found neither. Next: name one of main, orders"),
        (["main"], "wanted --for with a duration of at most 366d, found none. Next: --for 2h"),
        (["main", "--for", "367d"], "wanted --for with a duration of at most 366d, found 367 d. Next: --for 2h"),
        (["main", "--all", "--for", "2h"], "found more than one of them. Next: upstash-monitor silence -h"),
        (["--list", "--end", "1"], "found more than one of them. Next: upstash-monitor silence -h"),
        ([], "found none. Next: upstash-monitor silence -h"),
        (["--end", "one"], "wanted the number of a silence, found 'one'. Next: nothing is silenced"),
        (["--end", "9" * 30], "Next: nothing is silenced"),
    ],
)
def test_a_mistake_is_told_in_a_line_and_nothing_is_silenced(
    commands: Commands, arguments: list[str], told: str
) -> None:
    """Wanted, found, next."""
    refused = commands.end("silence", *arguments)
    assert refused.exit_code == 3
    assert told in refused.output
    assert len(refused.output.splitlines()) == 1
    assert commands.end("silence", "--list").output.splitlines() == [LISTED]


def test_before_the_first_start_there_is_nothing_to_write_it_into(commands: Commands) -> None:
    """No file is made where the settings may name a wrong one."""
    commands.history.unlink()
    refused = commands.end("silence", "main", "--for", "2h")
    assert (refused.exit_code, refused.output) == (
        3,
        f"wanted the history of the monitor, found none at {commands.history}. "
        "Next: start the monitor once, or say with --config where it is\n",
    )
    assert not commands.history.exists()
    assert commands.end("silence", "--list").output.splitlines() == [LISTED]
