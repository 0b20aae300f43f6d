"""Plays the demo's script: deploys the real program as `run` does, and waits in each act for what must happen.

What happens on the other side stands in `sandbox/story`; how it is shown, in `demo_view`.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from monitor.alerts.notification import NotificationKind
from monitor.cli.demo.past import write_past
from monitor.cli.demo.settings import settings_for
from monitor.cli.demo.story import ACTS, CACHE, MAIN, Act, Stage, staged
from monitor.cli.demo.view import Ending, View
from monitor.cli.logs import set_up
from monitor.config.settings import Settings
from monitor.diagnosis.layers import Layer, LayerResults
from monitor.diagnosis.verdicts import Verdict, judge
from monitor.engine.cycle import CycleResult
from monitor.engine.delivery import DeliveryAttempt
from monitor.engine.scheduler import BackgroundTask, HealthTracker, Scheduler
from monitor.engine.wiring import Monitor, build, build_examiner
from monitor.incidents.state import Incident
from monitor.lib.text import Scrubber
from monitor.lib.times import now_utc
from monitor.sandbox.messaging import ReceivedMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class Examined:
    """What the doctor found."""

    layers: LayerResults
    verdict: Verdict


async def examine(stage: Stage, settings: Settings) -> Examined:
    """Climb and judge; raises nothing. The worker's way is left out: TLS to a Redis is nothing a stand-in has."""
    examiner = build_examiner(settings, clock=now_utc, environ=stage.keys)
    database = next(database for database in settings.databases if database.name == MAIN)
    found = await examiner.examine(database, without=(Layer.WORKER,))
    return Examined(layers=found.layers, verdict=judge(found.layers, service=settings.doctor.service))


USUAL_SECONDS = 30
_READING_SECONDS, _READING_A_LADDER_SECONDS = 1.5, 3.0
# How much longer than planned an act may take on a machine that is busy with something else.
_PATIENCE_SECONDS = 20.0


_Event = CycleResult | DeliveryAttempt | ReceivedMessage | Examined | None
_EXAMINED = "the doctor's verdict"


class StoryError(Exception):
    """Something that the script waits for did not happen; the text says what."""


class UnusablePortError(Exception):
    """The port cannot be listened on; the text says what was wanted, found, and what to do next."""


class Performance:
    """One showing of the story, in about `seconds`; with a `port` the program serves its page there.

    With `has_past` the history begins ninety made-up days before.
    """

    def __init__(self, view: View, *, seconds: int, port: int | None, has_past: bool) -> None:
        self._view = view
        self._seconds = seconds
        self._pace = min(max(seconds / USUAL_SECONDS, 0.2), 2.0)
        self._port = port
        self._has_past = has_past
        self._events: asyncio.Queue[_Event] = asyncio.Queue()
        self._examining: asyncio.Task[None] | None = None
        self._began = self._act_began = self._planned_end = self._read_until = 0.0

    async def play(self, folder: Path) -> Ending:
        """Every act in its turn, with the history in `folder`. Raises `StoryError` and `UnusablePortError`."""
        loop = asyncio.get_running_loop()

        def on_message(received: ReceivedMessage) -> None:
            with suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(self._events.put_nowait, received)

        with staged(on_message) as stage:
            incidents = await self._play_on(stage, folder)
        return Ending(
            incidents=tuple(incidents),
            seconds=monotonic() - self._began,
            billed_commands=stage.main.billed_commands + stage.cache.billed_commands,
        )

    async def _play_on(self, stage: Stage, folder: Path) -> list[tuple[str, Incident]]:
        async with AsyncExitStack() as platform:
            settings = settings_for(stage, folder, pace=self._pace)
            monitor = await platform.enter_async_context(self._deployed(settings, stage.keys))
            began = now_utc()
            self._view.intro(settings, seconds=self._seconds, port=self._port)
            self._began = self._planned_end = monotonic()
            for number, act in enumerate(ACTS, start=1):
                self._view.act(number, act)
                self._act_began = monotonic()
                self._planned_end += act.share * self._seconds
                act.cue(stage)
                if act.is_deployment:
                    await platform.aclose()
                    self._view.note(
                        f"stopped as SIGTERM stops it, in {1000 * (monotonic() - self._act_began):.0f} ms"
                    )
                    settings = settings_for(stage, folder, pace=self._pace)
                    monitor = await platform.enter_async_context(self._deployed(settings, stage.keys))
                    remembered = await monitor.store_thread.run(monitor.store.incidents)
                    numbers = " and ".join(f"incident {incident.id}" for _, incident in remembered)
                    self._view.note(f"started with the new token; it remembers {numbers or 'no incident'}")
                await self._until_over(act, stage, settings)
            told = await monitor.store_thread.run(monitor.store.incidents, closed_too=True)
            return [(name, incident) for name, incident in told if incident.opened_at >= began]

    @asynccontextmanager
    async def _deployed(self, settings: Settings, keys: Mapping[str, str]) -> AsyncIterator[Monitor]:
        """The program as `run` joins, starts and stops it."""
        set_up(settings.logs, scrub=Scrubber(settings.secrets()), stream=sys.stderr or io.StringIO())
        health = HealthTracker()
        monitor = build(settings, on_delivery=self._events.put_nowait, environ=keys)
        try:
            beside = self._beside(monitor, health, lambda: scheduler.missed_checks)
            if self._has_past:
                await asyncio.to_thread(write_past, settings, now_utc())
                self._has_past = False
            scheduler = Scheduler(
                monitor, health=health, clock=now_utc, background=beside, on_check=self._events.put_nowait
            )
            running = asyncio.create_task(scheduler.run())
            running.add_done_callback(self._on_end)
            try:
                yield monitor
            finally:
                running.remove_done_callback(self._on_end)
                scheduler.stop()
                await running
        finally:
            monitor.close()

    def _on_end(self, _running: asyncio.Task[None]) -> None:
        self._events.put_nowait(None)

    def _beside(
        self, monitor: Monitor, health: HealthTracker, missed_checks: Callable[[], int]
    ) -> dict[str, BackgroundTask]:
        if self._port is None:
            return {}
        from monitor.web.app import build_server
        from monitor.web.server import CannotListenError

        try:
            server = build_server(monitor, health, host="127.0.0.1", port=self._port, missed_checks=missed_checks)
        except CannotListenError as error:
            what = str(error).partition(" Next:")[0]
            raise UnusablePortError(f"{what} Next: another --port, or 0 for any that is free") from error
        self._port = server.port
        return {"the web server": server.serve}

    async def _until_over(self, act: Act, stage: Stage, settings: Settings) -> None:
        """Show what happens until both databases were looked at, the act's messages are there and can be read."""
        missing: set[object] = {MAIN, CACHE, *act.awaited, *([_EXAMINED] if act.is_examined else [])}
        while True:
            over = max(self._planned_end, self._read_until)
            end = self._planned_end + _PATIENCE_SECONDS if missing else over
            try:
                async with asyncio.timeout(end - monotonic()):
                    event = await self._events.get()
            except TimeoutError:
                break
            shown = self._show(event, act)
            missing.discard(shown)
            if act.is_examined and shown == (act.frame, NotificationKind.OPENED.value):
                self._examining = asyncio.create_task(self._examine(stage, settings))
            stage.make_weather()
        self._view.end_of_act()
        if missing:
            waited = f"within {monotonic() - self._act_began:.0f} s"
            raise StoryError(f"{act.title}: {_said(missing)} did not come {waited}. Is this machine very busy?")

    async def _examine(self, stage: Stage, settings: Settings) -> None:
        """Whoever has read the message asks the doctor."""
        self._events.put_nowait(await examine(stage, settings))

    def _show(self, event: _Event, act: Act) -> object:
        """Show one event and return what the script may wait for."""
        match event:
            case CycleResult():
                self._view.check(event, monotonic() - self._began)
                return event.check.database
            case DeliveryAttempt():
                self._view.attempt(event)
                return None
            case ReceivedMessage():
                self._view.message(event, act, monotonic() - self._act_began)
                self._read_until = monotonic() + self._pace * _READING_SECONDS
                lines = event.text.splitlines()
                return (event.service, lines[-1].split()[-1]) if f" {MAIN}: " in lines[0] else None
            case Examined():
                self._view.examined(event.layers, event.verdict)
                self._read_until = monotonic() + self._pace * _READING_A_LADDER_SECONDS
                return _EXAMINED
            case None:
                raise StoryError("the program ended by itself")


def _said(missing: set[object]) -> str:
    return " and ".join(sorted(map(_word_for, missing)))


def _word_for(thing: object) -> str:
    if isinstance(thing, tuple):
        return f"{thing[0]}: {thing[1]}"
    return str(thing) if thing == _EXAMINED else f"a check of {thing}"
