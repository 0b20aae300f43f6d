"""The words an operator may type, nothing else. Each word's module is read in only when it is typed."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from typing import Any

import click

from monitor import __version__

_WORDS = {
    "run": ("run", "Look on schedule until stopped."),
    "check": ("check", "Look once, alert, and end with a status."),
    "incidents": ("incidents", "List incidents; acknowledge one."),
    "test-alerts": ("test_alerts", "Send a trial message through each channel."),
    "config": ("config", "Check, show or describe the settings."),
    "init": ("init", "Write a commented config.yaml."),
    "demo": ("demo", "Watch the whole program at work; no account needed."),
}
UNUSABLE = 3  # 2 would tell a plugin host that the database is down
_INTERRUPTED = 130


class _Words(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_WORDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _WORDS:
            return None
        module = importlib.import_module(f"monitor.commands.{_WORDS[cmd_name][0]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0] if args else ""
        if word and not word.startswith("-") and word not in _WORDS:
            near = difflib.get_close_matches(word, _WORDS, 1)
            hint = f"Did you mean {near[0]}?" if near else f"The words are {', '.join(_WORDS)}."
            ctx.fail(f"no such word: {word!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Help without reading every word's module in."""
        with formatter.section("Commands"):
            formatter.write_dl([(word, text) for word, (_, text) in _WORDS.items()])


def _remember(context: click.Context, _param: click.Parameter, value: str | None) -> None:
    context.obj = value


@click.group(cls=_Words, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", metavar="FILE", expose_value=False, callback=_remember, help="The settings.")
@click.version_option(__version__, prog_name="upstash-monitor")
def words() -> None:
    """Watch Upstash Redis databases; say what broke, since when, why, and what to do next."""


def main(arguments: list[str] | None = None) -> None:
    """The console script. Wrong words end with 3, never with a traceback."""
    try:
        status: Any = words.main(arguments, prog_name="upstash-monitor", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = UNUSABLE
    except (click.Abort, KeyboardInterrupt):
        status = _INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has left; the interpreter must not stumble over it while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status if isinstance(status, int) else 0)
