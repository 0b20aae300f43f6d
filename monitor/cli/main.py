"""The words an operator may type, nothing else. Each word's module is read in only when it is typed."""

from __future__ import annotations

import errno
import importlib
import io
import logging
import os
import sys
import traceback
from typing import TextIO

import click

from monitor import __version__
from monitor.cli.options import UNUSABLE, Words

_WORDS = {
    "run": ("run", "Check on schedule until stopped."),
    "check": ("check.check", "Look once, alert, and end with a status."),
    "doctor": ("doctor", "Find out what is wrong and whose move it is."),
    "report": ("report.report", "Look back: uptime, latency, failures, incidents."),
    "incidents": ("admin.incidents", "List incidents; acknowledge one."),
    "backup": ("admin.backup", "Copy the history to another file."),
    "test-alerts": ("admin.send_test", "Send a test message through each channel."),
    "config": ("admin.config", "Check, show or describe the settings."),
    "init": ("admin.init", "Write a commented config.yaml."),
    "demo": ("demo.demo", "Watch the whole program at work; no account needed."),
}
_NAME = "upstash-monitor"
_INTERRUPTED = 130


class _LazyWords(Words):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_WORDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _WORDS:
            return None
        module = importlib.import_module(f"monitor.cli.{_WORDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help without reading every word's module in."""
        with formatter.section("Commands"):
            formatter.write_dl([(word, text) for word, (_, text) in _WORDS.items()])


def _remember(context: click.Context, param: click.Parameter, value: str | None) -> None:
    if value == "":
        raise click.BadParameter("wanted the name of a file, found nothing", context, param)
    context.obj = value


@click.group(cls=_LazyWords, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", metavar="FILE", expose_value=False, callback=_remember, help="The settings.")
@click.version_option(__version__, prog_name=_NAME)
def words() -> None:
    """Watch Upstash Redis databases; say what broke, since when, why, and what to do next."""


def main(arguments: list[str] | None = None) -> None:
    """The console script. Wrong words end with 3, never with a traceback."""
    _write_anything(sys.stdout, sys.stderr)
    try:
        status = _do(sys.argv[1:] if arguments is None else arguments)
    finally:
        _let_go(sys.stdout, sys.stderr)
    sys.exit(status)


def _do(arguments: list[str]) -> int:
    """Do what the words say, and return the status to end with."""
    try:
        with words.make_context(_NAME, list(arguments)) as context:
            words.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        _complain(error)
        return UNUSABLE
    except (click.Abort, KeyboardInterrupt):
        return _INTERRUPTED
    except BrokenPipeError:
        return 0  # whoever read our output has left
    except Exception as error:  # noqa: BLE001 - the top of a climb: the message goes without an opinion
        _own_up(error)
        return UNUSABLE
    return 0


def _complain(error: click.ClickException) -> None:
    """One line: what click did not understand, and where to read on."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else _NAME
    said = error.format_message().rstrip(".")
    stop = "" if said.endswith("?") else "."
    click.echo(f"{path}: {said}" + ("" if ". Next: " in said else f"{stop} Next: {path} -h"), err=True)


def _own_up(error: Exception) -> None:
    """Tell a bug with its traceback once there is a log that hides secrets; before that, with its place alone."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        click.echo("wanted to write the answer, found: no space left on the disk", err=True)
    elif logging.getLogger().handlers:
        logging.getLogger(__name__).exception("the program failed inside")
    else:
        where = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{os.path.basename(where.filename)}:{where.lineno}"  # noqa: PTH119 - a name to read, not a path to use
        click.echo(f"the program failed inside ({type(error).__name__} in {place}); this is a bug", err=True)


def _write_anything(*streams: TextIO | None) -> None:
    """What a terminal's encoding has no letter for is written as its code, and is no reason to fail."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _let_go(*streams: TextIO | None) -> None:
    """What cannot be written any more must not become the interpreter's own complaint, and its status 120."""
    for stream in filter(None, streams):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
