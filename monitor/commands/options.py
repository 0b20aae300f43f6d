"""What the words share: `--config`, durations, logs to the right stream, and how a mistake is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

import click

from monitor.config_file import load, locate, warnings
from monitor.config_yaml import ConfigMistakesError
from monitor.core.scrub import Scrubber
from monitor.durations import parse_duration
from monitor.logs import set_up
from monitor.settings import Settings

# click's parameter types are generic for a type checker since 8.2, and never were before.
if TYPE_CHECKING:
    _Param = click.ParamType[timedelta]
else:
    _Param = click.ParamType
F = TypeVar("F", bound=Callable[..., Any])
UNUSABLE = 3


class _Duration(_Param):
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        if isinstance(value, timedelta):
            return value
        try:
            duration = parse_duration(value)
        except ValueError as error:
            self.fail(f"{error}, found {value!r}", param, ctx)
        if duration <= timedelta(0):
            self.fail(f"wanted more than 0s, found {value!r}", param, ctx)
        return duration


DURATION = _Duration()


def _remember(context: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.find_root().obj = value


def config_option(command: F) -> F:
    """`--config FILE`, before or after the word; where both stand, the later one counts."""
    option = click.option(
        "--config",
        metavar="FILE",
        help="The settings; else $MONITOR_CONFIG, ./config.yaml, or the environment.",
        expose_value=False,
        callback=_remember,
    )
    return option(command)


def load_settings(
    context: click.Context, *, stream: TextIO | None = None, on_mistake: Callable[[str], None] | None = None
) -> Settings:
    """The settings, with logs set up to `stream` (stderr where left out).

    Mistakes are told on stderr, each on its line, and end the program with status 3; `on_mistake` is called
    before with the first of them.
    """
    path = locate(context.find_root().obj, os.environ)
    try:
        settings = load(path, os.environ)
    except ConfigMistakesError as error:
        if on_mistake is not None:
            on_mistake(str(error.mistakes[0]))
        for mistake in error.mistakes:
            click.echo(f"{path or 'environment'}: {mistake}", err=True)
        sys.exit(UNUSABLE)
    set_up(settings.logs, scrub=Scrubber(settings.secrets()), stream=stream or sys.stderr)
    return settings


def settings_warnings(settings: Settings) -> tuple[str, ...]:
    """What is allowed and yet worth a line."""
    return warnings(settings, os.environ)


def fail(text: str) -> NoReturn:
    """Tell a mistake of the user's in one line on stderr and end with status 3."""
    click.echo(text, err=True)
    sys.exit(UNUSABLE)
