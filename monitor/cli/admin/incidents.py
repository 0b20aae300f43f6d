"""The command `incidents`: list them, show all of one, acknowledge one."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from monitor.checks.rest import RestProbeFactory
from monitor.cli.options import CommandGroup, config_option, fail, load_settings, print_error
from monitor.config.settings import Settings
from monitor.engine.state_database import StateDatabase, StateUnreadableError
from monitor.engine.wiring import log_line, open_store
from monitor.incidents.state import Incident
from monitor.lib.text import Scrubber, one_line
from monitor.lib.times import format_duration, format_time, now_utc
from monitor.report.formatting import format_causes
from monitor.report.overview import open_archive
from monitor.report.quiet import quiet_line, quiet_spans, quiet_values
from monitor.report.values import VERSION, incident_record_values, incident_values
from monitor.store.errors import MissingFileError, RefusedFileError, UnreadableFileError
from monitor.store.file.document import StateDocument
from monitor.store.file.open import is_file
from monitor.store.read_only import open_read_only
from monitor.store.store import Store
from monitor.store.tables.times import latest_check

NUMBER = re.compile(r"[1-9][0-9]{0,17}")
_LINE_LIMIT = 200
# A person waits for it; it is two commands.
_LONGEST_STATE = timedelta(seconds=10)


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--all", "closed_too", is_flag=True, help="Closed incidents too.")
@config_option
@click.pass_context
def command(context: click.Context, *, as_json: bool, closed_too: bool) -> None:
    """List incidents; show all that is known of one; acknowledge one, so that it does not remind."""
    if context.invoked_subcommand is not None:
        return
    configured = load_settings(context)
    try:
        with remembered(configured) as settings, open_archive(settings, clock=now_utc) as archive:
            found, quiet = archive.incidents(closed_too=closed_too), archive.quiet()
    except MissingFileError:
        found, quiet = [], quiet_spans((), configured.maintenance, now_utc())
    except RefusedFileError as error:
        fail(str(error))
    now = now_utc()
    if as_json:
        rows = [
            {"id": incident.id, "database": database, **incident_values(incident, now=now)}
            for database, incident in found
        ]
        values = {"version": VERSION, "incidents": rows, "quiet": [quiet_values(one) for one in quiet]}
        click.echo(json.dumps(values, indent=2))
        return
    for database, incident in found:
        end = incident.closed_at
        lasted = format_duration((end or now) - incident.opened_at)
        closed = "not watched any more" if incident.is_unwatched else "closed"
        state = f"{closed} after {lasted}" if end else f"open for {lasted}"
        acknowledged = ", acknowledged" if incident.acknowledged_at else ""
        causes = format_causes(incident)
        since = format_time(incident.opened_at)
        click.echo(f"{incident.id:>4}  {database}: {causes} · since {since} · {state}{acknowledged}")
    if not found:
        click.echo("no incidents" if closed_too else "no open incidents")
    for span in quiet:
        click.echo(quiet_line(span, now))


@command.command("show")
@click.argument("number", metavar="N")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@config_option
@click.pass_context
def show(context: click.Context, number: str, *, as_json: bool) -> None:
    """Show incident N: its checks, its verdict, every message about it, acknowledgement and gaps."""
    now = now_utc()
    try:
        with remembered(load_settings(context)) as settings, open_archive(settings, clock=now_utc) as archive:
            record = archive.incident(int(number)) if NUMBER.fullmatch(number) else None
            latest = [] if record is not None else archive.incidents(closed_too=True)[:1]
    except MissingFileError:
        record, latest = None, []
    except RefusedFileError as error:
        fail(str(error))
    if record is None:
        step = f"the latest is {latest[0][1].id}, `incidents --all` lists them" if latest else "there is none yet"
        fail(one_line(f"wanted the number of an incident, found {number!r}. Next: {step}", _LINE_LIMIT))
    if as_json or (context.parent is not None and context.parent.params["as_json"]):
        values = incident_record_values(record, now=now)
        click.echo(json.dumps({"version": VERSION, "incident": values}, indent=2))
        return
    from monitor.cli.admin.incident_view import show_incident
    from monitor.cli.terminal import unpadded_console

    with unpadded_console() as console:
        show_incident(console, record, now=now)


@command.command("ack")
@click.argument("number", metavar="N")
@config_option
@click.pass_context
def acknowledge(context: click.Context, number: str) -> None:
    """Acknowledge incident N: somebody knows of it, no more reminders."""
    configured = load_settings(context)
    with remembered(configured) as settings, store_to_write(settings) as store:
        found = store.find_incident(int(number)) if store is not None and NUMBER.fullmatch(number) else None
        if store is None or found is None or found[1].closed_at is not None:
            numbers = [] if store is None else [str(incident.id) for _, incident in store.incidents()]
            open_ones = f"open are {', '.join(numbers)}" if numbers else "none is open"
            what = repr(number) if found is None else f"{number}, {_over(*found)}"
            fail(f"wanted the number of an open incident, found {what}. Next: {open_ones}")
        others = store.told_with(int(number))
        store.acknowledge_incident(int(number), now_utc())
        if settings is not configured:
            save_state(configured, store.state_document())
    if others:
        listed = ", ".join(map(str, others))
        click.echo(f"with it {listed}, told in one message with it or right after it")
    name, _ = found
    if name in {database.name for database in configured.databases}:
        click.echo(f"incident {number} acknowledged; no more reminders, its end will be reported")
    else:
        click.echo(
            f"incident {number} acknowledged; no more reminders. {name} is not configured any more: nobody checks "
            "whether it recovers, and the next start of the monitor closes the incident as unwatched"
        )


def _over(name: str, incident: Incident) -> str:
    why = f": {name} is not configured any more, and nobody checks it" if incident.is_unwatched else ""
    return f"which is {'unwatched' if incident.is_unwatched else 'closed'}{why}"


@contextmanager
def remembered(settings: Settings) -> Iterator[Settings]:
    """The settings; where `state` remembers something later, with a copy of it in place of the history file.

    A cron service without a disk has nothing else; beside a `run`, which leaves state alone, the file is later.
    Ends the program with status 3 where state cannot be read and there is no file.
    """
    document = None if settings.state is None else _load_state(settings)
    if document is None or _is_later_in_file(settings, document):
        yield settings
        return
    with TemporaryDirectory() as folder:
        history = settings.history.model_copy(update={"path": str(Path(folder) / "history.db")})
        copy = settings.model_copy(update={"history": history})
        with closing(open_store(copy)) as store:
            store.take_up(document)
        yield copy


def _is_later_in_file(settings: Settings, document: StateDocument) -> bool:
    """True where the file has later checks, or others that are not three intervals older: of a `run` beside it.

    A `check` that has a disk as well leaves the same in both, and takes from state what is changed there.
    """
    there = document.checked_at
    try:
        with open_read_only(Path(settings.history.path)) as file:
            here = file.read(latest_check)
    except RefusedFileError:
        return False
    if here is None or there is None or here == there:
        return False
    is_later = there - here < 3 * max(database.interval for database in settings.databases)
    if not is_later:
        place, since = settings.history.path, format_time(here)
        print_error(f"state: what follows is what it remembers, since the last check in {place} is of {since}")
    return is_later


def _load_state(settings: Settings) -> StateDocument | None:
    try:
        return asyncio.run(_state_database(settings).load(_LONGEST_STATE))
    except StateUnreadableError as error:
        if is_file(Path(settings.history.path)):
            print_error(f"state: {error}; what follows is of {settings.history.path}")
            return None
        fail(f"state: wanted what the runs of `check` remember, found that {error}. Next: try again")


def save_state(settings: Settings, document: StateDocument) -> None:
    """Leave it for the runs of `check`; ends the program with status 3 where it cannot be written."""
    trouble = asyncio.run(_state_database(settings).save(document, _LONGEST_STATE))
    if trouble:
        fail(f"state: wanted to write it there, found: {trouble}. Next: try again")


def _state_database(settings: Settings) -> StateDatabase:
    if settings.state is None:
        raise ValueError("no state is configured")
    return StateDatabase(settings.state, RestProbeFactory(scrub=Scrubber(settings.secrets())))


@contextmanager
def store_to_write(settings: Settings) -> Iterator[Store | None]:
    """The history of the settings, to be written; `None` where there is none yet.

    Ends the program with status 3 where what was done could not be written.
    """
    path = Path(settings.history.path)
    lines: list[tuple[str, str]] = []
    try:
        has_file = is_file(path)
        if has_file:
            path.open("rb").close()
            store = open_store(settings, log=lambda level, text: lines.append((level, text)))
    except OSError as error:
        fail(str(UnreadableFileError(path, error)))
    except RefusedFileError as error:
        fail(str(error))
    if not has_file:
        yield None
        return
    try:
        with closing(store):
            yield store
    finally:
        # What would be logged of a file that cannot be written is about a monitor that goes on.
        for line in () if store.is_in_memory else lines:
            log_line(*line)
    if store.is_in_memory:
        fail(f"wanted to write it into {path}, found: {store.reason_for_memory}. Next: mend that, then try again")
