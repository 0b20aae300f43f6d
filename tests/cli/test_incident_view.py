"""One incident on a terminal: everything that happened, in order, and nothing that steers the terminal."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from rich.console import Console

from monitor.checks.observation import Outcome
from monitor.cli.admin.incident_view import show_incident
from monitor.config.settings import AlertSettings
from monitor.report.values import incident_record_values
from monitor.store.queries import IncidentRecord, incident_record
from tests.store.conftest import INTERVAL, StoreSetup

OK, REJECTED = Outcome.OK, Outcome.TOKEN_REJECTED


def recorded(setup: StoreSetup, number: int = 1) -> IncidentRecord:
    found = setup.store.read(lambda c: incident_record(c, number, intervals={"main": INTERVAL}, now=setup.now))
    assert found is not None
    return found


def shown(found: IncidentRecord, setup: StoreSetup) -> list[str]:
    console = Console(file=io.StringIO(), width=100, highlight=False)
    with console.capture() as captured:
        show_incident(console, found, now=setup.now)
    return [line.rstrip() for line in captured.get().splitlines()]


def test_an_incident_is_told_from_the_first_failure_to_its_end(tmp_path: Path) -> None:
    """Checks, messages, acknowledgement and the time in which nobody checked, each at its time."""
    setup = StoreSetup(tmp_path / "history.db", ("slack",))
    setup.checks(OK, REJECTED, REJECTED)
    setup.deliver()
    setup.now += timedelta(seconds=30)
    setup.store.acknowledge_incident(1, setup.now)
    setup.check(REJECTED, after=timedelta(hours=1))
    setup.checks(OK, OK)
    lines = shown(recorded(setup), setup)
    setup.store.close()
    assert lines[0] == "incident 1 · main: token rejected  closed after 1 h 2 min"
    assert "  whose move: yours" in lines
    start = lines.index("  2026-11-23 UTC")
    assert lines[start + 1 :] == [
        "  14:02:00 – 14:03:00 ✗ token rejected, 2 checks · what was seen",
        "  14:03:00            ● opened",
        "  14:03:00            ✉ opened to slack · delivered",
        "  14:03:00 – 15:03:30 · nobody checked for 1 h",
        "  14:03:30            ● acknowledged",
        "  15:03:30            ✗ token rejected · what was seen",
        "  15:04:30 – 15:05:30 ✓ ok, 2 checks",
        "  15:05:30            ✉ closed to slack · waits, not tried yet",
    ]


def test_an_incident_that_opened_again_has_both_beginnings(tmp_path: Path) -> None:
    """The first one stays where it was."""
    setup = StoreSetup(tmp_path / "history.db", ("slack", "telegram"), alerts=AlertSettings())
    setup.checks(REJECTED, REJECTED, OK, OK, REJECTED, REJECTED)
    lines = shown(recorded(setup), setup)
    setup.store.close()
    assert [line for line in lines if "●" in line] == [
        "  14:02:00            ● opened",
        "  14:06:00            ● opened again",
    ]


def test_what_a_message_is_held_for_is_shown(tmp_path: Path) -> None:
    """Until when and why, as long as it was not tried; of one that is told with others with which incident."""
    setup = StoreSetup(tmp_path / "history.db", ("slack",), group_within=timedelta(minutes=1))
    setup.check(REJECTED)
    setup.check(REJECTED, hold=timedelta(seconds=20))
    held = recorded(setup)
    [values] = incident_record_values(held, now=setup.now)["deliveries"]
    assert (values["held_for"], values["held_until"]) == ("diagnosis", "2026-11-23T14:02:20.000Z")
    lines = shown(held, setup)
    assert "✉ opened to slack · held until 14:02:20, for the doctor's verdict" in lines[-1]
    for _ in range(2):
        setup.check(REJECTED, database="cache", after=timedelta(0))
    lines = shown(recorded(setup, 2), setup)
    setup.store.close()
    assert lines[-1].endswith("✉ opened to slack · held until 14:02:15, to be told with incident 1")


def test_foreign_text_steers_no_terminal(tmp_path: Path) -> None:
    """Neither a database's name nor what a host answered; markup of rich's own is text."""
    setup = StoreSetup(tmp_path / "history.db", ("slack",))
    setup.checks(REJECTED, REJECTED)
    found = recorded(setup)
    setup.store.close()
    hostile = "a\x1b[2Jb\r\n[red]c"
    run = replace(found.runs[0], detail=hostile)
    message = replace(found.messages[0], attempts=1, last_error=hostile)
    told = "\n".join(shown(replace(found, database=hostile, runs=(run,), messages=(message,)), setup))
    assert "\x1b" not in told
    assert told.count("[red]c") == 3
