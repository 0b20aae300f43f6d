"""How the demo is shown: checks, messages and their totals as lines on a screen.

What happens is decided in `sandbox/story` and played in `demo`; how lines are drawn, in `sandbox/screen`.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from monitor.alerts.notification import NotificationKind
from monitor.alerts.retry_policy import DeliveryStatus
from monitor.checks.observation import Family
from monitor.cli.demo.screen import Line, Screen, Tone, slack_lines, sparkline, telegram_lines, wrapped
from monitor.cli.demo.story import ACTS, CACHE, MAIN, SLACK, Act
from monitor.cli.doctor import show
from monitor.config.settings import AlertSettings, DatabaseDefaults, Settings
from monitor.diagnosis.layers import LayerResults
from monitor.diagnosis.verdicts import Verdict
from monitor.engine.cycle import CycleResult
from monitor.engine.delivery import DeliveryAttempt
from monitor.incidents.state import Incident
from monitor.lib.times import format_duration, write_duration
from monitor.sandbox.messaging import ReceivedMessage

_SPARKS = 8
_TOP_MS = 80.0
_NAMES = {"slack": "Slack", "telegram": "Telegram"}
_LABEL, _MARGIN = 13, 2
_TONES = {Family.FINE: Tone.GOOD, Family.SLOW: Tone.WARN, Family.UNKNOWN: Tone.DIM}


@dataclass(frozen=True, kw_only=True)
class Ending:
    """What the story came to."""

    incidents: tuple[tuple[str, Incident], ...]
    seconds: float
    billed_commands: int


@dataclass(kw_only=True)
class _Tally:
    """What was shown so far, for the last page."""

    checks: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    messages: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    first_notified: dict[str, str] = field(default_factory=dict)


class View:
    """Writes on the screen what it is told, and counts it. `clock` is in seconds since the start."""

    def __init__(self, screen: Screen) -> None:
        self._tally = _Tally()
        self._screen = screen
        self._has_framed = False
        self._held_back: list[str] = []
        self._latencies: dict[str, deque[float | None]] = defaultdict(lambda: deque(maxlen=_SPARKS))

    def intro(self, settings: Settings, *, seconds: int, port: int | None) -> None:
        """What the viewer is about to see."""
        database, alerts, usual = settings.databases[0], settings.alerts, DatabaseDefaults()
        screen = self._screen
        screen.write(Line("upstash-monitor demo", Tone.TITLE))
        screen.write()
        screen.paragraph(
            "The program itself, as `run` starts it, watches two databases and tells Slack and Telegram what "
            "breaks. Upstash, Slack and Telegram are stand-ins on 127.0.0.1: no account is needed, nothing leaves "
            f"this machine, and it ends by itself in about {seconds} s."
        )
        screen.write()
        screen.paragraph(
            f"A check every {write_duration(database.interval)}, at most {write_duration(database.timeout)} each, "
            f"in doubt the next after {write_duration(alerts.confirm_interval)}. Out of the box it is "
            f"{write_duration(usual.interval)}, {write_duration(usual.timeout)} and "
            f"{write_duration(AlertSettings().confirm_interval)}.",
            Tone.DIM,
        )
        if port is not None:
            screen.write()
            screen.paragraph(
                f"While it runs, its page is on http://127.0.0.1:{port}/, with ninety made-up days before today; "
                f"ask it how it is: curl http://127.0.0.1:{port}/healthz"
            )

    def act(self, number: int, act: Act) -> None:
        """A new act begins."""
        self._has_framed = False
        self._screen.rule(f"Act {number} of {len(ACTS)} · {act.title}")
        self._screen.paragraph(act.caption, Tone.DIM)
        self._screen.write()

    def check(self, cycle_result: CycleResult, clock: float) -> None:
        """One check as it ends: when, whose, the last latencies, this one, the outcome, what the rules say."""
        check = cycle_result.check
        family = check.outcome.family
        latencies = self._latencies[check.database]
        latencies.append(check.latency_ms)
        self._tally.checks[check.database][check.outcome.words] += 1
        latency = "–" if check.latency_ms is None else f"{check.latency_ms:.0f} ms"
        self._screen.write(
            Line(f"  {clock:5.1f} s  ", Tone.DIM),
            f"{check.database:<5}  ",
            Line(sparkline(latencies, top=_TOP_MS, length=_SPARKS), _TONES.get(family, Tone.BAD)),
            f"  {latency:>6}  ",
            Line(f"{check.outcome.words:<18}", _TONES.get(family, Tone.BAD)),
            _judgement(cycle_result),
        )

    def attempt(self, delivery: DeliveryAttempt) -> None:
        """A message that the channel did not take; one that it took is shown when it arrives."""
        if delivery.result.status is DeliveryStatus.CONFIRMED:
            return
        self._tally.refused[delivery.channel] += 1
        name = _NAMES.get(delivery.channel, delivery.channel)
        self.note(f"{name} did not take it: {delivery.result.detail}. It waits in the outbox.", Tone.WARN)

    def message(self, received: ReceivedMessage, act: Act, seconds: float) -> None:
        """A message as it reads where it arrived, in full for one service and in short for the other."""
        name, after = _NAMES.get(received.service, received.service), f"{seconds:.1f} s after {act.event}"
        self._tally.messages[name] += 1
        if received.text.endswith("opened"):
            self._tally.first_notified.setdefault(received.text.splitlines()[-1], after)
        if received.service == act.frame:
            read = slack_lines if received.service == SLACK else telegram_lines
            self._screen.frame(name, read(received.payload), note=f"arrived {after}")
            self._has_framed = True
        else:
            self._held_back.append(f"{name} has it too, {after}")
        if self._has_framed:
            self.end_of_act()

    def end_of_act(self) -> None:
        """What waited for the message in full is said now."""
        while self._held_back:
            self.note(self._held_back.pop(0), Tone.DIM)

    def examined(self, layers: LayerResults, verdict: Verdict) -> None:
        """What the doctor finds, as the word `doctor` shows it."""
        screen = self._screen
        if screen.stream is None:
            return
        self.note("what `doctor` says now; its check through rediss:// is left out here", Tone.DIM)
        screen.write()
        console = Console(file=screen.stream, width=screen.width - _MARGIN, highlight=False)
        with console.capture() as captured:
            show(console, layers, verdict)
        for line in captured.get().splitlines():
            screen.write(" " * _MARGIN, line)

    def note(self, text: str, tone: Tone = Tone.PLAIN) -> None:
        """Something else that happened."""
        self._screen.write("    ", Line("→ ", Tone.DIM), Line(text, tone))

    def failure(self, text: str) -> None:
        """The story came to no good end."""
        self._screen.write()
        self._screen.paragraph(text, Tone.BAD)

    def stopped(self) -> None:
        """Somebody has seen enough."""
        self._screen.write()
        self._screen.paragraph("Stopped before the end. Nothing is left behind.")

    def summary(self, ending: Ending) -> None:
        """What was seen, in figures, and what to type next."""
        tally, screen = self._tally, self._screen
        screen.rule("What you saw")
        for database in (MAIN, CACHE):
            checks = tally.checks[database]
            told = ", ".join(f"{count} {words}" for words, count in checks.most_common())
            self._fact(database, f"{checks.total()} checks: {told}")
        for name, incident in reversed(ending.incidents):
            end = f"over after {_span(incident)}" if incident.closed_at else "still open"
            self._fact(f"incident {incident.id}", f"{name}: {incident.cause.words}, {end}")
        sent = ", ".join(f"{count} in {name}" for name, count in sorted(tally.messages.items()))
        lost = f"; {tally.refused.total()} refused, tried again, none lost" if tally.refused else ""
        self._fact("messages", f"{sent}{lost}")
        self._fact("first heard", ", ".join(tally.first_notified.values()))
        self._fact("billed", f"{ending.billed_commands} commands: PING is free")
        self._fact("took", f"{ending.seconds:.0f} s; nothing is left behind")
        screen.write()
        screen.paragraph("Your own database next:", Tone.BOLD)
        for word, does in (
            ("init", "every knob, explained"),
            ("config check", "all mistakes at once"),
            ("test-alerts", "a test message to each channel"),
            ("run", "watch until stopped"),
            ("doctor", "whose move it is when something fails"),
        ):
            screen.write(f"    {_program()} ", Line(f"{word:<14}", Tone.BOLD), Line(does, Tone.DIM))

    def _fact(self, label: str, text: str) -> None:
        lines = wrapped(text, self._screen.width - _LABEL - 2)
        for shown, line in zip([label] + [""] * len(lines), lines, strict=False):
            self._screen.write(Line(f"  {shown:<{_LABEL}}", Tone.DIM), line)


def _judgement(cycle_result: CycleResult) -> Line:
    """What the rules make of a check."""
    notifications, incident = (
        cycle_result.recorded.transition.notifications,
        cycle_result.recorded.transition.state.incident,
    )
    for notification in notifications:
        tone = Tone.GOOD if notification.kind is NotificationKind.CLOSED else Tone.BOLD
        return Line(f"  incident {notification.incident} {notification.kind.value}", tone)
    if cycle_result.is_in_doubt:
        is_recovery = incident is not None and cycle_result.check.outcome.family is Family.FINE
        return Line("  nearly over" if is_recovery else "  in doubt", Tone.WARN)
    return Line(f"  incident {incident.id} is open" if incident else "", Tone.DIM)


def _span(incident: Incident) -> str:
    return format_duration((incident.closed_at or incident.opened_at) - incident.opened_at)


def _program() -> str:
    """What to type before a word, as this program was started."""
    if Path(sys.argv[0]).name != "__main__.py":
        return "upstash-monitor"
    python, here = Path(sys.executable), Path.cwd()
    return f"{python.relative_to(here)} -m monitor" if python.is_relative_to(here) else "python -m monitor"
