"""What the words share: `--config`, durations, logs to the right stream, and how a mistake is told."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

import click

from monitor.cli.logs import set_up
from monitor.config.load import Configuration, locate, read, warnings
from monitor.config.mistakes import ConfigMistakesError, Mistake, nearest
from monitor.config.settings import DatabaseSettings, Settings
from monitor.lib.text import Scrubber
from monitor.lib.times import parse_duration

UNUSABLE = 3  # 2 would tell a plugin host that the database is down


class Words(click.Group):
    """Wrong words end with 3, in the shape of every mistake: wanted, found, next."""

    def __init__(self, *args: Any, **attrs: Any) -> None:
        attrs["no_args_is_help"] = False  # click's own answer differs from release to release
        super().__init__(*args, **attrs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not self.invoke_without_command:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(UNUSABLE)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word, known = args[0] if args else "", self.list_commands(ctx)
        if word and not word.startswith("-") and word not in known:
            near = nearest(word, known)
            step = f". Next: did you mean {near}?" if near else ""
            ctx.fail(f"wanted one of {', '.join(known)}, found {word!r}{step}")
        return super().resolve_command(ctx, args)


# What opens the doctor's other sources; they stand in no settings.
_KEYS = ("UPSTASH_API_KEY", "RAILWAY_TOKEN", "RAILWAY_API_TOKEN")

# click's parameter types are generic for a type checker since 8.2, and never were before.
if TYPE_CHECKING:
    _Param = click.ParamType[timedelta]
else:
    _Param = click.ParamType
F = TypeVar("F", bound=Callable[..., Any])


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


def _remember(context: click.Context, param: click.Parameter, value: str | None) -> None:
    if value == "":
        raise click.BadParameter("wanted the name of a file, found nothing", context, param)
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


def source(context: click.Context) -> Path | str:
    """Where the settings come from, as a person reads it."""
    return locate(context.find_root().obj, os.environ) or "environment"


def read_settings(
    context: click.Context, *, stream: TextIO | None = None, on_mistake: Callable[[str], None] | None = None
) -> Configuration:
    """The settings and where they came from, with logs set up to `stream` (stderr where left out).

    Mistakes are told on stderr, each on its line, and end the program with status 3; `on_mistake` is called
    before with the first of them.
    """
    try:
        configuration = read(locate(context.find_root().obj, os.environ), os.environ)
    except ConfigMistakesError as error:
        if on_mistake is not None:
            on_mistake(str(error.mistakes[0]))
        format_mistakes(context, error.mistakes)
        sys.exit(UNUSABLE)
    settings = configuration.settings
    keys = (os.environ.get(name, "").strip() for name in _KEYS)
    scrub = Scrubber((*settings.secrets(), *filter(None, keys)))
    set_up(settings.logs, scrub=scrub, stream=stream or sys.stderr)
    return configuration


def load_settings(
    context: click.Context, *, stream: TextIO | None = None, on_mistake: Callable[[str], None] | None = None
) -> Settings:
    """The settings alone; otherwise as `read_settings`."""
    return read_settings(context, stream=stream, on_mistake=on_mistake).settings


def format_mistakes(context: click.Context, mistakes: Iterable[Mistake]) -> None:
    """Tell each on its line on stderr, after the file it stands in."""
    where = str(source(context))
    for mistake in mistakes:
        click.echo(str(mistake) if mistake.place == where else f"{where}: {mistake}", err=True)


def chosen(
    settings: Settings, names: tuple[str, ...], *, on_mistake: Callable[[str], None] | None = None
) -> tuple[DatabaseSettings, ...]:
    """The databases of these names, or all of them.

    A name that is not known ends the program with status 3; `on_mistake` is called before with what is said.
    """
    known = [database.name for database in settings.databases]
    for name in names:
        if name not in known:
            text = unknown_name(name, known, known_to="the settings know")
            if on_mistake is not None:
                on_mistake(text)
            fail(text)
    return tuple(database for database in settings.databases if not names or database.name in names)


def unknown_name(name: str, known: Sequence[str], *, known_to: str) -> str:
    """What is said of a name that is no database's: the nearest one, or all that are known."""
    near = nearest(name, known)
    hint = f"did you mean {near}?" if near else f"{known_to} {', '.join(known)}"
    return f"wanted the name of a database, found {name!r}. Next: {hint}"


def settings_warnings(settings: Settings) -> tuple[str, ...]:
    """What is allowed and yet worth a line."""
    return warnings(settings, os.environ)


def fail(text: str) -> NoReturn:
    """Tell a mistake of the user's in one line on stderr and end with status 3."""
    click.echo(text, err=True)
    sys.exit(UNUSABLE)
