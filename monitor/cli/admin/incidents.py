"""The word `incidents`: list them, acknowledge one. When they open and close is decided in `core/incident`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from monitor.cli.options import Words, config_option, fail, load_settings
from monitor.engine.wiring import open_store
from monitor.incidents.state import Incident
from monitor.lib.clock import now_utc
from monitor.lib.times import format_duration, format_time, iso
from monitor.store.errors import RefusedFileError
from monitor.store.store import Store

_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


@click.group(cls=Words, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--all", "closed_too", is_flag=True, help="Closed incidents too.")
@config_option
@click.pass_context
def command(context: click.Context, *, as_json: bool, closed_too: bool) -> None:
    """List incidents; `incidents ack N` acknowledges one, so that it does not remind."""
    if context.invoked_subcommand is not None:
        return
    with _store(context) as store:
        found = [] if store is None else store.incidents(closed_too=closed_too)
    if as_json:
        rows = [_row(database, incident) for database, incident in found]
        click.echo(json.dumps({"version": 1, "incidents": rows}, indent=2))
        return
    for database, incident in found:
        click.echo(_line(database, incident))
    if not found:
        click.echo("no incidents" if closed_too else "no open incidents")


@command.command("ack")
@click.argument("number", metavar="N")
@config_option
@click.pass_context
def acknowledge(context: click.Context, number: str) -> None:
    """Acknowledge incident N: somebody knows of it, no more reminders."""
    with _store(context) as store:
        is_known = store is not None and _NUMBER.fullmatch(number) and store.acknowledge(int(number), now_utc())
        if store is None or not is_known:
            numbers = [] if store is None else [str(incident.id) for _, incident in store.incidents()]
            open_ones = f"open are {', '.join(numbers)}" if numbers else "none is open"
            fail(f"wanted the number of an open incident, found {number!r}. Next: {open_ones}")
        if store.is_in_memory:
            fail(
                "wanted to write it into the history file, found that it cannot be written. Next: mend that first"
            )
    click.echo(f"incident {number} acknowledged; it does not remind any more, its end will be told")


@contextmanager
def _store(context: click.Context) -> Iterator[Store | None]:
    """The history of the settings; `None` where nothing has been looked at yet. Whoever only asks begins none."""
    settings = load_settings(context)
    path = Path(settings.history.path)
    try:
        path.open("rb").close()
        store = open_store(settings)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        said = (error.strerror or "an error").lower()
        fail(f"wanted a history file that can be read at {path}, found: {said}. Next: set history.path")
    except RefusedFileError as error:
        fail(str(error))
    with closing(store):
        yield store


def _row(database: str, incident: Incident) -> dict[str, Any]:
    return {
        "id": incident.id,
        "database": database,
        "state": "open" if incident.closed_at is None else "closed",
        "opened_at": iso(incident.opened_at),
        "closed_at": iso(incident.closed_at) if incident.closed_at else None,
        "acknowledged_at": iso(incident.acknowledged_at) if incident.acknowledged_at else None,
        "cause": incident.cause.value,
        "causes": [cause.value for cause in incident.causes],
        "severity": incident.severity.value,
        "checks_failed": incident.checks_failed,
    }


def _line(database: str, incident: Incident) -> str:
    end = incident.closed_at
    lasted = format_duration((end or now_utc()) - incident.opened_at)
    state = f"closed after {lasted}" if end else f"open for {lasted}"
    known = ", acknowledged" if incident.acknowledged_at else ""
    causes = ", then ".join(cause.words for cause in incident.causes)
    return f"{incident.id:>4}  {database}: {causes} · since {format_time(incident.opened_at)} · {state}{known}"
