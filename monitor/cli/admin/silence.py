"""The command `silence`: nothing is told of a database for a time; what happens meanwhile is told then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import click

from monitor.alerts.holds import Silence
from monitor.cli.admin.incidents import NUMBER, remembered, save_state, store_to_write
from monitor.cli.options import chosen_databases, config_option, duration, fail, load_settings
from monitor.config.settings import Settings
from monitor.lib.text import one_line
from monitor.lib.times import format_duration, now_utc
from monitor.report.overview import open_archive
from monitor.report.quiet import Quiet, quiet_line, quiet_spans
from monitor.store.errors import MissingFileError, RefusedFileError
from monitor.store.store import Store

_LONGEST = timedelta(days=366)
_REASON_LIMIT = 200
T = TypeVar("T")


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--all", "every", is_flag=True, help="Every database, later ones too.")
@click.option("--for", "lasting", type=duration, metavar="2h", help="For how long.")
@click.option("--reason", default="", help="Why; shown by --list and `incidents`.")
@click.option("--list", "listing", is_flag=True, help="List what is silenced, and maintenance.")
@click.option("--end", "ending", metavar="N", help="End silence N now.")
@config_option
@click.pass_context
def command(
    context: click.Context,
    names: tuple[str, ...],
    *,
    every: bool,
    lasting: timedelta | None,
    reason: str,
    listing: bool,
    ending: str | None,
) -> None:
    """Tell nothing of databases for a time. Checks go on; what is still wrong then is told at its end."""
    wanted = [bool(names or every or lasting or reason), listing, ending is not None]
    if sum(wanted) != 1 or (names and every):
        fail(
            "wanted one of NAME… --for, --all --for, --list and --end N, "
            f"found {'none' if not any(wanted) else 'more than one of them'}. Next: upstash-monitor silence -h"
        )
    settings = load_settings(context)
    now = now_utc()
    if listing:
        spans = _listed(settings, now)
        for span in spans:
            click.echo(quiet_line(span, now))
        if not spans:
            click.echo("nothing is silenced, and no maintenance is to come")
    elif ending is not None:
        _end(settings, ending, now)
    else:
        _begin(settings, names, every=every, lasting=lasting, reason=reason, now=now)


def _begin(
    settings: Settings,
    names: tuple[str, ...],
    *,
    every: bool,
    lasting: timedelta | None,
    reason: str,
    now: datetime,
) -> None:
    if not (names or every):
        fail(f"wanted the name of a database or --all, found neither. Next: name one of {_names(settings)}")
    if lasting is None or lasting > _LONGEST:
        found = "none" if lasting is None else format_duration(lasting)
        fail(f"wanted --for with a duration of at most {_LONGEST.days}d, found {found}. Next: --for 2h")
    databases = () if every else tuple(dict.fromkeys(one.name for one in chosen_databases(settings, names)))
    silence = Silence(
        id=0, databases=databases, start=now, end=now + lasting, reason=one_line(reason, _REASON_LIMIT)
    )
    added = _with_store(settings, lambda store: store.silence(silence))
    if added is None:
        fail(
            f"wanted the history of the monitor, found none at {settings.history.path}. "
            "Next: start the monitor once, or say with --config where it is"
        )
    click.echo(quiet_line(quiet_spans([added], (), now)[0], now))
    click.echo(f"Checks go on; what is still wrong then is told then. `silence --end {added.id}` ends it earlier.")


def _end(settings: Settings, ending: str, now: datetime) -> None:
    def end(store: Store) -> tuple[bool, Sequence[Silence]]:
        is_ended = NUMBER.fullmatch(ending) is not None and store.end_silence(int(ending), now)
        return is_ended, store.silences(now)

    is_ended, others = _with_store(settings, end) or (False, ())
    if not is_ended:
        numbers = ", ".join(str(one.id) for one in others)
        step = f"there is {numbers}" if others else "nothing is silenced"
        fail(one_line(f"wanted the number of a silence, found {ending!r}. Next: {step}", _REASON_LIMIT))
    click.echo(f"silence {ending} ended; what was held back is told within half a minute, or by the next `check`")


def _listed(settings: Settings, now: datetime) -> tuple[Quiet, ...]:
    """What is silenced; whoever may only read the file may ask as well."""
    try:
        with remembered(settings) as there, open_archive(there, clock=now_utc) as archive:
            return archive.quiet()
    except MissingFileError:
        return quiet_spans((), settings.maintenance, now)
    except RefusedFileError as error:
        fail(str(error))


def _with_store(settings: Settings, work: Callable[[Store], T]) -> T | None:
    """What `work` makes of what the file or `state` remembers; `None` where there is nothing yet."""
    with remembered(settings) as there, store_to_write(there) as store:
        if store is None:
            return None
        found = work(store)
        if there is not settings:
            save_state(settings, store.state_document())
        return found


def _names(settings: Settings) -> str:
    return ", ".join(database.name for database in settings.databases)
