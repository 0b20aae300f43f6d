"""The word `demo`: the real program in front of stand-ins on loopback, and a story that goes wrong on purpose.

The script is `sandbox/story`; it is played in `demo_play` and shown by `demo_view`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from monitor.cli.demo.play import USUAL_SECONDS, Performance, StoryError, UnusablePortError
from monitor.cli.demo.screen import Screen
from monitor.cli.demo.settings import HISTORY
from monitor.cli.demo.view import View
from monitor.cli.options import fail
from monitor.lib.signals import stop_on_signals

if TYPE_CHECKING:
    _Param = click.ParamType[int]
else:
    _Param = click.ParamType
T = TypeVar("T")
_SHORTEST_SECONDS, _LONGEST_SECONDS = 5, 300
_FAILED = 1


class _WholeNumber(_Param):
    """A whole number between two others; a mistake is told with what to type instead."""

    name = "number"

    def __init__(self, least: int, most: int, *, example: str) -> None:
        self._least, self._most, self._example = least, most, example

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = int(value) if str(value).strip().isdecimal() else -1
        if not self._least <= number <= self._most:
            wanted = f"wanted a whole number from {self._least} to {self._most}"
            self.fail(f"{wanted}, found {value!r}. Next: {self._example}", param, ctx)
        return number


@click.command()
@click.option(
    "--port",
    type=_WholeNumber(0, 65535, example="--port 8080, or 0 for any that is free"),
    metavar="N",
    help="Serve the page on this port of 127.0.0.1, with 90 made-up days on it; 0 for any port that is free.",
)
@click.option(
    "--seconds",
    type=_WholeNumber(_SHORTEST_SECONDS, _LONGEST_SECONDS, example=f"--seconds {USUAL_SECONDS}"),
    metavar="N",
    default=USUAL_SECONDS,
    show_default=True,
    help=f"About how long the story takes, {_SHORTEST_SECONDS} to {_LONGEST_SECONDS}.",
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
    view = View(Screen(sys.stdout))
    has_past = port is not None or keep is not None
    performance = Performance(view, seconds=seconds, port=port, has_past=has_past)
    try:
        with _folder() as folder, _undisturbed():
            ending = asyncio.run(_until_stopped(performance.play(folder)))
            if keep is not None:
                _keep(folder, keep)
    except UnusablePortError as error:
        fail(str(error))
    except StoryError as error:
        view.failure(str(error))
        context.exit(_FAILED)
    if ending is None:
        view.stopped()
    else:
        view.summary(ending)


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
def _undisturbed() -> Iterator[None]:
    """Without what the environment says of networks, which are not entered here.

    A proxy would be asked for 127.0.0.1 as well, and certificates that cannot be read would end the show.
    """
    before = dict(os.environ)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        os.environ.pop(name, None)
    os.environ["no_proxy"] = "127.0.0.1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
