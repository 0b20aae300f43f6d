"""The commands, and how the program begins and ends. Each command's module is imported only when it is run."""

from __future__ import annotations

import errno
import importlib
import io
import logging
import os
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TextIO

import click

from monitor import __version__
from monitor.cli.options import UNUSABLE, CommandGroup, config_option, print_error
from monitor.lib.process import stop_on_signals

# The module below monitor.cli whose `command` it is, and the line in the help.
COMMANDS = {
    "run": ("run", "Check on schedule until stopped."),
    "check": ("check.check", "Check once, alert, and end with a status."),
    "doctor": ("doctor", "Find out what is wrong and whose move it is."),
    "report": ("report.report", "The past: uptime, latency, failures, incidents."),
    "replay": ("report.replay", "Which messages these settings would have sent."),
    "incidents": ("admin.incidents", "List incidents; show or acknowledge one."),
    "silence": ("admin.silence", "Tell nothing of a database for a time."),
    "backup": ("admin.backup", "Copy the history to another file."),
    "test-alerts": ("admin.send_test", "Send a test message through each channel."),
    "config": ("admin.config", "Check, show or describe the settings."),
    "init": ("admin.init", "Write a commented config.yaml."),
    "demo": ("demo.demo", "Watch the whole program at work; no account needed."),
}
_NAME = "upstash-monitor"
# Where click's completion scripts put what the shell asks.
_COMPLETE = "_UPSTASH_MONITOR_COMPLETE"
_INTERRUPTED = 130
_DAY_SECONDS = 24 * 3600


class _LazyGroup(CommandGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"monitor.cli.{COMMANDS[cmd_name][0]}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """click would import every module for its help line."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@config_option
@click.version_option(__version__, prog_name=_NAME)
def program() -> None:
    """Watch Upstash Redis databases: what broke, since when, why, and what to do next."""


def main(arguments: list[str] | None = None) -> None:
    """The console script. Wrong arguments end with 3, never with a traceback."""
    _fill_standard_descriptors()
    _mend_time_zone()
    if "run" in (sys.argv[1:] if arguments is None else arguments):
        stop_on_signals(sys.exit)  # importing the rest takes a moment, in which a signal ends it cleanly too
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding cannot show is written as an escape, and is no reason to fail.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _status_of(sys.argv[1:] if arguments is None else arguments)
    finally:
        _flush(sys.stdout, sys.stderr)
    sys.exit(status)


def _fill_standard_descriptors() -> None:
    """Where one was closed at the start, the next file or socket of ours would be what others take for stdout."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free, which is this one


def _mend_time_zone() -> None:
    """The C library takes `UTC+30` for a time zone, and datetime no offset of a day and more."""
    if max(abs(time.timezone), abs(time.altzone)) < _DAY_SECONDS:
        return
    print_error(f"wanted a time zone in TZ, found {os.environ.get('TZ')!r}; times are in UTC")
    os.environ["TZ"] = "UTC"
    time.tzset()


def _status_of(arguments: list[str]) -> int:
    """Run the command and return the status to end with."""
    if instruction := os.environ.get(_COMPLETE):
        from click.shell_completion import shell_complete

        return shell_complete(program, {}, _NAME, _COMPLETE, instruction)
    try:
        with program.make_context(_NAME, list(arguments)) as context:
            program.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        _print_mistake(error)
        return UNUSABLE
    except (click.Abort, KeyboardInterrupt):
        _discard(sys.stdout)  # its reader may stand still, and flushing it would wait once more
        return _INTERRUPTED
    except BrokenPipeError:
        return 0  # whoever read our output has left
    except Exception as error:  # noqa: BLE001 - the last place that can keep a traceback, and secrets in it, away
        _report_bug(error)
        return UNUSABLE
    return 0


def _print_mistake(error: click.ClickException) -> None:
    """One line: what click did not understand, and where to read on."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else _NAME
    message = error.format_message().rstrip(".")
    if ". Next: " not in message:
        message += f"{'' if message.endswith('?') else '.'} Next: {path} -h"
    print_error(f"{path}: {message}")


def _report_bug(error: Exception) -> None:
    """With its traceback where there is a log, which hides secrets; before that, only with its place."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        print_error("wanted to write the output, found: no space left on the disk")
    elif logging.getLogger().handlers:
        logging.getLogger(__name__).exception("the program failed inside")
    else:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(where.filename).name}:{where.lineno}"
        print_error(f"the program failed inside ({type(error).__name__} in {place}); this is a bug")


def _flush(*streams: TextIO | None) -> None:
    """What cannot be written any more must not become the interpreter's own complaint, and its status 120."""
    for stream in filter(None, streams):
        try:
            stream.flush()
        except OSError:
            _discard(stream)


def _discard(stream: TextIO | None) -> None:
    """Whatever is still to be written there goes nowhere; a stream in memory, as in a test, stays as it is."""
    with suppress(OSError, ValueError):
        if stream is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
