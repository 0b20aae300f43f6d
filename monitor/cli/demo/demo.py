"""The command `demo`: the real program in front of stand-ins on loopback, and faults made on purpose."""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import click

from monitor.alerts.notification import NotificationKind
from monitor.cli.demo.made_history import write_history
from monitor.cli.demo.steps import CACHE, HISTORY, MAIN, STEPS, StandIns, Step, settings_for, stand_ins
from monitor.cli.demo.view import DemoResult, View, open_console
from monitor.cli.logs import set_up
from monitor.cli.options import fail, print_error
from monitor.config.settings import Settings
from monitor.diagnosis.rules import judge
from monitor.diagnosis.verdicts import Diagnosis, Layer, profile_of
from monitor.engine.cycle import CycleResult
from monitor.engine.delivery import DeliveryAttempt
from monitor.engine.scheduler import BackgroundTask, HealthTracker, Scheduler
from monitor.engine.wiring import Monitor, build, build_examiner
from monitor.incidents.state import Incident
from monitor.lib.line_writer import flush
from monitor.lib.process import stop_on_signals
from monitor.lib.text import Scrubber
from monitor.lib.times import now_utc
from monitor.sandbox.messaging import ReceivedMessage

T = TypeVar("T")
_SHORTEST_SECONDS, _LONGEST_SECONDS = 5, 300
_USUAL_SECONDS = 30
_READING_SECONDS, _READING_A_DIAGNOSIS_SECONDS = 1.5, 3.0
# How much longer than planned a step may take on a machine that is busy with something else.
_GRACE_SECONDS = 20.0
# How long after the longest that all steps may take it ends though nobody has read what it showed.
_UNREAD_SECONDS = 60.0
_DIAGNOSIS = "the doctor's verdict"
_FAILED = 1


def _whole_number(least: int, most: int, *, example: str) -> Callable[[str | int], int]:
    """The type of an option between two numbers; a mistake is told with what to type instead."""

    def number(value: str | int) -> int:
        found = int(value) if str(value).strip().isdecimal() else -1
        if not least <= found <= most:
            wanted = f"wanted a whole number from {least} to {most}"
            raise click.BadParameter(f"{wanted}, found {value!r}. Next: {example}")
        return found

    return number


@click.command()
@click.option(
    "--port",
    type=_whole_number(0, 65535, example="--port 8080, or 0 for any that is free"),
    metavar="N",
    help="Serve the page on this port of 127.0.0.1, with 90 made-up days on it; 0 for any port that is free.",
)
@click.option(
    "--seconds",
    type=_whole_number(_SHORTEST_SECONDS, _LONGEST_SECONDS, example=f"--seconds {_USUAL_SECONDS}"),
    metavar="N",
    default=_USUAL_SECONDS,
    show_default=True,
    help=f"About how long it takes, {_SHORTEST_SECONDS} to {_LONGEST_SECONDS}.",
)
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Leave the history there, 90 made-up days included, for `report` and a SQLite shell.",
)
@click.pass_context
def command(context: click.Context, *, port: int | None, seconds: int, keep: Path | None) -> None:
    """Watch the whole program at work against stand-ins on this machine; no account needed."""
    stop_on_signals(sys.exit)
    if keep is not None and keep.exists():
        fail(f"wanted a new file for the history, found {keep}. Next: --keep another one")
    console = open_console(sys.stdout)
    view = View(console)
    demo = _Demo(view, seconds=seconds, port=port, has_made_history=port is not None or keep is not None)
    try:
        with _folder() as folder, _without_networks_of_the_environment(), ExitStack() as stack:
            if not console.is_terminal:  # there a person has stopped the output, and goes on when they like
                most_seconds = seconds + len(STEPS) * _GRACE_SECONDS + _UNREAD_SECONDS
                stack.enter_context(_ended_unread(most_seconds, folder))
            result = asyncio.run(_until_stopped(demo.run(folder)))
            if keep is not None:
                _keep(folder, keep)
    except _DemoError as error:
        view.failure(str(error))
        context.exit(_FAILED)
    if result is None:
        view.stopped()
    else:
        view.summary(result)


class _DemoError(Exception):
    """Something that a step waits for did not happen; the text says what."""


_Event = CycleResult | DeliveryAttempt | ReceivedMessage | Diagnosis | None


class _Demo:
    """One run of all steps, in about `seconds`; with a `port` the program serves its page there.

    With `has_made_history` the history begins ninety made-up days before.
    """

    def __init__(self, view: View, *, seconds: int, port: int | None, has_made_history: bool) -> None:
        self._view = view
        self._seconds = seconds
        self._pace = min(max(seconds / _USUAL_SECONDS, 0.2), 2.0)
        self._port = port
        self._has_made_history = has_made_history
        self._events: asyncio.Queue[_Event] = asyncio.Queue()
        self._examining: asyncio.Task[None] | None = None
        self._began = self._step_began = self._planned_end = self._read_until = 0.0

    async def run(self, folder: Path) -> DemoResult:
        """Every step in its turn, with the history in `folder`. Raises `_DemoError`."""
        loop = asyncio.get_running_loop()

        def on_message(received: ReceivedMessage) -> None:
            with suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(self._events.put_nowait, received)

        with stand_ins(on_message) as made:
            incidents = await self._run_steps(made, folder)
        return DemoResult(
            incidents=tuple(incidents),
            seconds=monotonic() - self._began,
            billed_commands=made.main.billed_commands + made.cache.billed_commands,
        )

    async def _run_steps(self, made: StandIns, folder: Path) -> list[tuple[str, Incident]]:
        async with AsyncExitStack() as platform:
            settings = settings_for(made, folder, pace=self._pace)
            monitor = await platform.enter_async_context(self._deployed(settings, made.environ))
            began = now_utc()
            self._view.intro(settings, seconds=self._seconds, port=self._port)
            self._began = self._planned_end = monotonic()
            for number, step in enumerate(STEPS, start=1):
                self._view.step(number, step)
                self._step_began = monotonic()
                self._planned_end += step.share * self._seconds
                step.change(made)
                if step.is_deployment:
                    await platform.aclose()
                    took_ms = 1000 * (monotonic() - self._step_began)
                    self._view.note(f"stopped as SIGTERM stops it, in {took_ms:.0f} ms")
                    settings = settings_for(made, folder, pace=self._pace)
                    monitor = await platform.enter_async_context(self._deployed(settings, made.environ))
                    remembered = await monitor.store_thread.run(monitor.store.incidents)
                    numbers = " and ".join(f"incident {incident.id}" for _, incident in remembered)
                    self._view.note(f"started with the new token; it remembers {numbers or 'no incident'}")
                await self._until_over(step, made, settings)
            recorded = await monitor.store_thread.run(monitor.store.incidents, closed_too=True)
            return [(name, incident) for name, incident in recorded if incident.opened_at >= began]

    @asynccontextmanager
    async def _deployed(self, settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Monitor]:
        """The program as `run` joins, starts and stops it."""
        set_up(settings.logs, scrub=Scrubber(settings.secrets()), stream=sys.stderr or io.StringIO())
        health = HealthTracker()
        monitor = build(settings, on_delivery=self._events.put_nowait, environ=environ)
        try:
            background = self._web_server(monitor, health, lambda: scheduler.missed_checks)
            if self._has_made_history:
                await asyncio.to_thread(write_history, settings, now_utc())
                self._has_made_history = False
            scheduler = Scheduler(
                monitor, health=health, clock=now_utc, background=background, on_check=self._events.put_nowait
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

    def _web_server(
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
            fail(f"{what} Next: another --port, or 0 for any that is free")
        self._port = server.port
        return {"the web server": server.serve}

    async def _until_over(self, step: Step, made: StandIns, settings: Settings) -> None:
        """Show what happens until both databases were checked, the step's messages are there and can be read."""
        missing: set[object] = {MAIN, CACHE, *step.awaited, *([_DIAGNOSIS] if step.is_diagnosed else [])}
        while True:
            end = self._planned_end + _GRACE_SECONDS if missing else max(self._planned_end, self._read_until)
            try:
                async with asyncio.timeout(end - monotonic()):
                    event = await self._events.get()
            except TimeoutError:
                break
            shown = self._show(event, step)
            missing.discard(shown)
            if step.is_diagnosed and shown == (step.shown_in, NotificationKind.OPENED.value):
                self._examining = asyncio.create_task(self._examine(made, settings))
            made.vary_latency()
        self._view.end_of_step()
        if missing:
            waited = f"within {monotonic() - self._step_began:.0f} s"
            what = " and ".join(sorted(map(_words_for, missing)))
            raise _DemoError(f"{step.title}: {what} did not come {waited}. Is this machine very busy?")

    async def _examine(self, made: StandIns, settings: Settings) -> None:
        """What `doctor` would find. Without the worker's layer: a stand-in has no Redis behind TLS."""
        examiner = build_examiner(settings, clock=now_utc, environ=made.environ)
        database = next(database for database in settings.databases if database.name == MAIN)
        found = await examiner.examine(database, without=(Layer.WORKER,))
        verdict = judge(found.layers, profile_of(database, settings.doctor, made.environ))
        self._events.put_nowait(Diagnosis(layers=found.layers, verdict=verdict))

    def _show(self, event: _Event, step: Step) -> object:
        """Show one event and return what the step may wait for."""
        match event:
            case CycleResult():
                self._view.check(event, monotonic() - self._began)
                return event.check.database
            case DeliveryAttempt():
                self._view.delivery(event)
                return None
            case ReceivedMessage():
                self._view.message(event, step, monotonic() - self._step_began)
                self._read_until = monotonic() + self._pace * _READING_SECONDS
                lines = event.text.splitlines()
                return (event.service, lines[-1].split()[-1]) if f" {MAIN}: " in lines[0] else None
            case Diagnosis():
                self._view.diagnosis(event.layers, event.verdict)
                self._read_until = monotonic() + self._pace * _READING_A_DIAGNOSIS_SECONDS
                return _DIAGNOSIS
            case None:
                raise _DemoError("the program ended by itself")


def _words_for(missing: object) -> str:
    if isinstance(missing, tuple):
        return f"{missing[0]}: {missing[1]}"
    return str(missing) if missing == _DIAGNOSIS else f"a check of {missing}"


async def _until_stopped(work: Coroutine[Any, Any, T]) -> T | None:
    """What `work` returns, or `None` when a signal came; the work has cleaned up by then."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)

    def stop() -> None:
        with suppress(RuntimeError):  # the loop has ended already
            loop.call_soon_threadsafe(task.cancel)

    stop_on_signals(stop)
    try:
        return await task
    except asyncio.CancelledError:
        return None


@contextmanager
def _ended_unread(after_seconds: float, folder: Path) -> Iterator[None]:
    """End the process if it lasts longer: whoever should read our output stands still, and the loop with them."""

    def end() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        print_error("nobody read what the demo showed")
        flush()
        os._exit(_FAILED)

    timer = threading.Timer(after_seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _keep(folder: Path, place: Path) -> None:
    try:
        shutil.copyfile(folder / HISTORY, place)
    except OSError as error:
        fail(f"wanted to leave the history in {place}, found {error.strerror}. Next: --keep it elsewhere")


@contextmanager
def _folder() -> Iterator[Path]:
    """Where the history is kept meanwhile."""
    try:
        folder = tempfile.TemporaryDirectory(prefix="upstash-monitor-demo-")
    except OSError:
        fail("wanted a folder for the history of the demo, found none that can be written. Next: set TMPDIR")
    with folder as path:
        yield Path(path)


@contextmanager
def _without_networks_of_the_environment() -> Iterator[None]:
    """A proxy would be asked for 127.0.0.1 as well, and certificates that cannot be read would end the demo."""
    before = dict(os.environ)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        os.environ.pop(name, None)
    os.environ["no_proxy"] = "127.0.0.1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
