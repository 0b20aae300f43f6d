"""How the demo is shown: lines and panels that read the same on a terminal and in a file."""

from __future__ import annotations

import io
import os
import re
import shutil
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from monitor.alerts.notification import NotificationKind
from monitor.checks.observation import Family
from monitor.cli.demo.steps import CACHE, MAIN, STEPS, Step
from monitor.cli.doctor import show
from monitor.config.settings import AlertSettings, DatabaseDefaults, Settings
from monitor.diagnosis.verdicts import LayerResults, Verdict
from monitor.engine.cycle import CycleResult
from monitor.engine.delivery import DeliveryAttempt
from monitor.incidents.state import Incident
from monitor.lib.times import format_duration, write_duration
from monitor.sandbox.messaging import ReceivedMessage

_NARROWEST, _WIDEST, _WITHOUT_TERMINAL = 50, 100, 80
_NAMES = {"slack": "Slack", "telegram": "Telegram"}
_STYLES = {Family.FINE: "green", Family.SLOW: "yellow", Family.UNKNOWN: "dim"}
_NUMBERED = re.compile(r"(\d+\.) (.+)")
_NEXT_COMMANDS = (
    ("init", "every setting, explained"),
    ("config check", "all mistakes at once"),
    ("test-alerts", "a test message to each channel"),
    ("run", "check until stopped"),
    ("doctor", "whose move it is in a failure"),
)


class _Output(Console):
    def on_broken_pipe(self) -> None:
        """Whoever read the output has left: `main` ends the program with 0, where rich would end it with 1."""
        raise BrokenPipeError


def open_console(stream: TextIO | None) -> Console:
    """Colours only on a terminal and without NO_COLOR; without a stream, when stdout is closed, nothing at all."""
    is_terminal = stream is not None and stream.isatty()
    columns = shutil.get_terminal_size().columns if is_terminal else _WITHOUT_TERMINAL
    return _Output(
        file=stream or io.StringIO(),
        quiet=stream is None,
        force_terminal=is_terminal,
        # rich's own reading of NO_COLOR would leave bold and dim.
        color_system=None if os.environ.get("NO_COLOR") else "auto",
        width=max(_NARROWEST, min(columns, _WIDEST)),
        highlight=False,
    )


@dataclass(frozen=True, kw_only=True)
class DemoResult:
    """What the demo came to."""

    incidents: tuple[tuple[str, Incident], ...]
    seconds: float
    billed_commands: int


class View:
    """Prints what happens, and counts it for the summary."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._is_message_shown = False
        self._held_back: list[str] = []
        self._checks: dict[str, Counter[str]] = defaultdict(Counter)
        self._messages: Counter[str] = Counter()
        self._refused: Counter[str] = Counter()
        self._first_messages: dict[str, str] = {}

    def intro(self, settings: Settings, *, seconds: int, port: int | None) -> None:
        """What the reader is about to see."""
        database, alerts, usual = settings.databases[0], settings.alerts, DatabaseDefaults()
        self._console.print(Text("upstash-monitor demo", style="bold cyan"))
        self._paragraph(
            "The program itself, as `run` starts it, checks two databases and tells Slack and Telegram what "
            "breaks. Upstash, Slack and Telegram are stand-ins on 127.0.0.1: no account is needed, nothing leaves "
            f"this machine, and it ends by itself in about {seconds} s."
        )
        self._paragraph(
            f"A check every {write_duration(database.interval)}, at most {write_duration(database.timeout)} each, "
            f"in doubt the next after {write_duration(alerts.confirm_interval)}. Out of the box it is "
            f"{write_duration(usual.interval)}, {write_duration(usual.timeout)} and "
            f"{write_duration(AlertSettings().confirm_interval)}, and what fails is told only when it has lasted "
            f"{write_duration(AlertSettings().failing.lasting)}, as over when it is fine for "
            f"{write_duration(AlertSettings().recovery.lasting)}.",
            "dim",
        )
        if port is not None:
            self._paragraph(
                f"While it runs, its page is on http://127.0.0.1:{port}/, with ninety made-up days before today; "
                f"ask it how it is: curl http://127.0.0.1:{port}/healthz"
            )

    def step(self, number: int, step: Step) -> None:
        """A step begins."""
        self._is_message_shown = False
        self._console.print()
        self._rule(f"Step {number} of {len(STEPS)} · {step.title}")
        self._console.print(Text(step.caption, style="dim"), "")

    def check(self, result: CycleResult, seconds: float) -> None:
        """One check as it ends: seconds since the start, database, latency, outcome, what the rules make of it."""
        check = result.check
        self._checks[check.database][check.outcome.words] += 1
        latency = "–" if check.latency_ms is None else f"{check.latency_ms:.0f} ms"
        self._console.print(
            Text.assemble(
                (f"{seconds:6.1f} s  ", "dim"),
                f"{check.database:<5}  {latency:>6}  ",
                (f"{check.outcome.words:<18}", _STYLES.get(check.outcome.family, "red")),
                _judgement(result),
            )
        )

    def delivery(self, attempt: DeliveryAttempt) -> None:
        """A message that the channel did not take; one that it took is shown when it arrives."""
        if attempt.result.is_sent:
            return
        self._refused[attempt.channel] += 1
        name = _NAMES.get(attempt.channel, attempt.channel)
        self.note(f"{name} did not take it: {attempt.result.detail}. It waits in the outbox.", "yellow")

    def message(self, received: ReceivedMessage, step: Step, seconds: float) -> None:
        """A message as its reader sees it, in full for one service and in short for the other."""
        name, after = _NAMES.get(received.service, received.service), f"{seconds:.1f} s after {step.event}"
        self._messages[name] += 1
        lines = received.text.splitlines()
        if received.text.endswith("opened"):
            self._first_messages.setdefault(lines[-1], after)
        if received.service == step.shown_in:
            panel = Panel(
                Group(*_message_lines(lines)),
                title=name,
                title_align="left",
                subtitle=f"arrived {after}",
                subtitle_align="left",
                border_style="dim",
            )
            self._console.print(Padding(panel, (0, 0, 0, 4)))
            self._is_message_shown = True
        else:
            self._held_back.append(f"{name} has it too, {after}")
        if self._is_message_shown:
            self.end_of_step()

    def end_of_step(self) -> None:
        """Print what waited for the message in full."""
        while self._held_back:
            self.note(self._held_back.pop(0), "dim")

    def diagnosis(self, layers: LayerResults, verdict: Verdict) -> None:
        """What the doctor finds, as the command `doctor` shows it."""
        self.note("what `doctor` says now; its check through rediss:// is left out here", "dim")
        self._console.print()
        show(self._console, layers, verdict)

    def note(self, text: str, style: str = "") -> None:
        """Something else that happened."""
        self._console.print(Padding(Text.assemble(("→ ", "dim"), (text, style)), (0, 0, 0, 4), expand=False))

    def failure(self, text: str) -> None:
        """The demo did not come to its end."""
        self._paragraph(text, "red")

    def stopped(self) -> None:
        """A signal ended it."""
        self._paragraph("Stopped before the end. Nothing is left behind.")

    def summary(self, result: DemoResult) -> None:
        """What was seen, in figures, and what to type next."""
        self._console.print()
        self._rule("What you saw")
        table = Table.grid(padding=(0, 2, 0, 0))
        for database in (MAIN, CACHE):
            checks = self._checks[database]
            outcomes = ", ".join(f"{count} {words}" for words, count in checks.most_common())
            _add(table, database, f"{checks.total()} checks: {outcomes}")
        for name, incident in reversed(result.incidents):
            closed = incident.closed_at
            end = f"over after {format_duration(closed - incident.opened_at)}" if closed else "still open"
            _add(table, f"incident {incident.id}", f"{name}: {incident.cause.words}, {end}")
        sent = ", ".join(f"{count} in {name}" for name, count in sorted(self._messages.items()))
        refused = f"; {self._refused.total()} refused, tried again, none lost" if self._refused else ""
        _add(table, "messages", f"{sent}{refused}")
        _add(table, "first message", ", ".join(self._first_messages.values()))
        _add(table, "billed", f"{result.billed_commands} commands: PING is free, a canary is three")
        _add(table, "took", f"{result.seconds:.0f} s; nothing is left behind")
        self._console.print(table)
        self._paragraph("Your own database next:", "bold")
        commands = Table.grid(padding=(0, 2, 0, 0))
        commands.add_column(no_wrap=True)
        for command, does in _NEXT_COMMANDS:
            commands.add_row(Text.assemble(f"{_program()} ", (command, "bold")), Text(does, style="dim"))
        self._console.print(Padding(commands, (0, 0, 0, 2), expand=False))

    def _paragraph(self, text: str, style: str = "") -> None:
        self._console.print("", Text(text, style=style), sep="\n")

    def _rule(self, title: str) -> None:
        self._console.print(Rule(Text(title, style="bold cyan"), align="left", style="dim"))


def _message_lines(lines: list[str]) -> Iterable[RenderableType]:
    """The headline bold, the last line, which names the incident, dim; a step beside its number."""
    for number, line in enumerate(lines):
        step = _NUMBERED.fullmatch(line)
        if step:
            grid = Table.grid(padding=(0, 1, 0, 0))
            grid.add_row(step[1], Text(step[2]))
            yield grid
        else:
            yield Text(line, style="bold" if number == 0 else "dim" if number == len(lines) - 1 else "")


def _judgement(result: CycleResult) -> tuple[str, str]:
    """What the rules make of a check, and its style."""
    transition = result.recorded.transition
    for notification in transition.notifications:
        style = "green" if notification.kind is NotificationKind.CLOSED else "bold"
        return f"  incident {notification.incident} {notification.kind.value}", style
    incident = transition.state.incident
    if result.is_in_doubt:
        is_recovery = incident is not None and result.check.outcome.family is Family.FINE
        return "  nearly over" if is_recovery else "  in doubt", "yellow"
    return f"  incident {incident.id} is open" if incident else "", "dim"


def _add(table: Table, label: str, text: str) -> None:
    table.add_row(Text(label, style="dim"), Text(text))


def _program() -> str:
    """What to type before a command, as this program was started."""
    if Path(sys.argv[0]).name != "__main__.py":
        return "upstash-monitor"
    python, here = Path(sys.executable), Path.cwd()
    return f"{python.relative_to(here)} -m monitor" if python.is_relative_to(here) else "python -m monitor"
