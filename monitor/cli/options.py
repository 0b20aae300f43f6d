"""What the commands share: `--config`, durations, logs to the right stream, and how a mistake is reported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

import click

from monitor.lib.exit_status import ExitStatus
from monitor.lib.line_writer import write_line
from monitor.lib.text import Scrubber, one_line
from monitor.lib.times import parse_duration

if TYPE_CHECKING:
    from monitor.config.load import Configuration
    from monitor.config.mistakes import Mistake
    from monitor.config.settings import DatabaseSettings, Settings

# click ends with 2, which would tell a plugin host that the database is down.
UNUSABLE = int(ExitStatus.UNKNOWN)
_LINE_LIMIT = 2000

F = TypeVar("F", bound=Callable[..., Any])


class UnusableError(SystemExit):
    """The end with status 3, after `text` was printed on stderr."""

    def __init__(self, text: str) -> None:
        super().__init__(UNUSABLE)
        self.text = text


class CommandGroup(click.Group):
    """Wrong arguments end with 3, in the shape of every mistake: wanted, found, next."""

    def __init__(self, *args: Any, **attrs: Any) -> None:
        attrs["no_args_is_help"] = False  # click's own status for it differs from release to release
        super().__init__(*args, **attrs)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not (args or self.invoke_without_command or ctx.resilient_parsing):
            print_error(ctx.get_help())
            ctx.exit(UNUSABLE)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, known = args[0] if args else "", self.list_commands(ctx)
        if name and not name.startswith("-") and name not in known and not ctx.resilient_parsing:
            from monitor.config.mistakes import nearest

            near = nearest(name, known)
            step = f". Next: did you mean {near}?" if near else ""
            ctx.fail(f"wanted one of {', '.join(known)}, found {name!r}{step}")
        return super().resolve_command(ctx, args)


def duration(value: str) -> timedelta:
    """The type of an option that is a duration."""
    try:
        found = parse_duration(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}, found {value!r}") from None
    if found <= timedelta(0):
        raise click.BadParameter(f"wanted more than 0s, found {value!r}")
    return found


def config_option(command: F) -> F:
    """`--config FILE`, before or after the command; where both are given, the later one counts."""

    def remember(context: click.Context, param: click.Parameter, value: str | None) -> None:
        if value == "":
            raise click.BadParameter("wanted the name of a file, found nothing", context, param)
        if value is not None:
            context.find_root().obj = value

    option = click.option(
        "--config",
        type=click.Path(),  # so that a shell completes it
        metavar="FILE",
        help="The settings; else $MONITOR_CONFIG, ./config.yaml, or the environment.",
        expose_value=False,
        callback=remember,
    )
    return option(command)


def settings_source(context: click.Context) -> Path | str:
    """The file the settings come from, or `environment`."""
    from monitor.config.load import locate

    return locate(context.find_root().obj, os.environ) or "environment"


def read_settings(context: click.Context, *, stream: TextIO | None = None) -> Configuration:
    """The settings and where each came from, with logs set up to `stream` (stderr where left out).

    Mistakes are printed on stderr, each on its line; then `UnusableError` is raised with the first of them.
    """
    # pydantic and loguru take half a second of CPU on a slow machine: `--help` and each press of Tab would wait.
    from monitor.cli.logs import set_up
    from monitor.config.load import locate, read
    from monitor.config.mistakes import ConfigMistakesError
    from monitor.diagnosis.verdicts import RAILWAY_TOKENS

    try:
        configuration = read(locate(context.find_root().obj, os.environ), os.environ)
    except ConfigMistakesError as error:
        print_mistakes(context, error.mistakes)
        raise UnusableError(str(error.mistakes[0])) from None
    settings = configuration.settings
    # What opens the doctor's other sources is in no settings.
    keys = (os.environ.get(name, "").strip() for name in ("UPSTASH_API_KEY", *RAILWAY_TOKENS))
    scrub = Scrubber((*settings.secrets(), *filter(None, keys)))
    set_up(settings.logs, scrub=scrub, stream=stream or sys.stderr)
    return configuration


def load_settings(context: click.Context, *, stream: TextIO | None = None) -> Settings:
    """The settings alone; otherwise as `read_settings`. A part that is left out of them is a line in the log."""
    settings = read_settings(context, stream=stream).settings
    for part in settings.unusable:
        from loguru import logger

        logger.error("{} is left out: {}", part.name, part.mistake)
    return settings


def print_mistakes(context: click.Context, mistakes: Iterable[Mistake]) -> None:
    """Each on its line on stderr, after the file it is in."""
    where = str(settings_source(context))
    for mistake in mistakes:
        print_error(str(mistake) if mistake.place == where else f"{where}: {mistake}")


def chosen_databases(settings: Settings, names: tuple[str, ...]) -> tuple[DatabaseSettings, ...]:
    """The databases of these names, or all of them; an unknown name ends the program with status 3."""
    require_known("database", names, [database.name for database in settings.databases])
    return tuple(database for database in settings.databases if not names or database.name in names)


def require_known(what: str, names: Iterable[str], known: Collection[str]) -> None:
    """End with status 3 at a name that is not known, with the nearest one or all that are."""
    for name in names:
        if name not in known:
            from monitor.config.mistakes import nearest

            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else f"name one of {', '.join(known)}"
            # Names that only the history file knows may be anybody's.
            fail(one_line(f"wanted the name of a {what}, found {name!r}. Next: {hint}", _LINE_LIMIT))


def print_error(text: str) -> None:
    """Print on stderr, in order with the log; a reader that stands still holds up nothing."""
    write_line(sys.stderr, text)


def fail(text: str) -> NoReturn:
    """Print a mistake of the user's in one line on stderr and end with status 3."""
    print_error(text)
    raise UnusableError(text)


def fail_to_write(path: Path, error: OSError) -> NoReturn:
    """End with status 3 because a file cannot be written."""
    fail(f"wanted to write {path}, found: {reason(error)}. Next: name another place")


def reason(error: OSError) -> str:
    """What the system says of it, to stand after `found: `."""
    return (error.strerror or str(error) or "an error").lower()
