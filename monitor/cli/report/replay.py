"""The command `replay`: the stored checks through today's rules, beside what was really told."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta

import click
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from monitor.cli.options import config_option, duration, fail, load_settings
from monitor.cli.terminal import unpadded_console
from monitor.lib.times import format_duration, format_time, now_utc
from monitor.report.formatting import format_causes, format_name
from monitor.report.overview import open_archive
from monitor.report.replay import Replay, counted, differences, in_order
from monitor.report.values import replay_document
from monitor.store.errors import RefusedFileError

_MOST_ROWS = 20
_MOST_DIFFERENCES = 20
_NOTE = (
    "The checks are those that were made, the rules those of `run`; nothing is grouped or silenced, and warnings "
    "of certificates are left out."
)


@click.command()
@click.option(
    "--since",
    type=duration,
    default="30d",
    show_default=True,
    help="How far back.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@config_option
@click.pass_context
def command(context: click.Context, *, since: timedelta, as_json: bool) -> None:
    """Show which messages these settings would have sent over the checks of the past."""
    settings, now = load_settings(context), now_utc()
    try:
        with open_archive(settings, clock=lambda: now) as archive:
            replays = [archive.replay(database.name, start=now - since) for database in settings.databases]
    except RefusedFileError as error:
        fail(str(error))
    if not any(one.checks for one in replays):
        fail(f"wanted checks of the last {format_duration(since)}, found none. Next: a longer --since")
    if as_json:
        click.echo(json.dumps(replay_document(replays), indent=2))
        return
    with unpadded_console() as console:
        _show(console, replays)


def _show(console: Console, replays: Sequence[Replay]) -> None:
    sent: Counter[str] = Counter()
    told: Counter[str] = Counter()
    for one in replays:
        sent.update(counted(one.messages))
        told.update(one.told_messages)
    console.print(Text(f"these settings would have sent {_numbers(sent)}", style="bold"))
    console.print(Text(f"really told were {_numbers(told)}", style="dim"))
    for one in replays:
        span = f"{one.checks:,} checks since {format_time(one.start)}"
        head = Text(f"\n{format_name(one.database)}", style="bold").append(f"  {span}", style="dim not bold")
        console.print(head)
        if one.incidents:
            console.print(Padding(_incidents(one), (0, 0, 0, 2)))
        else:
            console.print(Padding(Text("no incident", style="green"), (0, 0, 0, 2)))
        changes = differences(one)
        if not changes:
            console.print(Padding(Text("told as it was", style="dim"), (0, 0, 0, 2)))
        for line in _at_most(changes, _MOST_DIFFERENCES):
            console.print(Padding(Text(f"≠ {line}"), (0, 0, 0, 2)))
    console.print(Padding(Text(_NOTE, style="dim"), (1, 0, 0, 0)))


def _incidents(replay: Replay) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    for column in ("began", "lasted", "told after", "messages"):
        table.add_column(column, no_wrap=True)
    table.add_column("what", ratio=1, overflow="fold")
    table.add_row(*(Text(str(column.header), style="dim") for column in table.columns), Text(""))
    messages = Counter(message.incident for message in replay.messages)
    for incident in replay.incidents[:_MOST_ROWS]:
        end = incident.closed_at
        table.add_row(
            format_time(incident.opened_at).removesuffix(" UTC"),
            format_duration((end or replay.end) - incident.opened_at) if end else "open",
            format_duration(incident.notified_at - incident.opened_at),
            str(messages[incident.id]),
            format_causes(incident),
        )
    if len(replay.incidents) > _MOST_ROWS:
        table.add_row(f"and {len(replay.incidents) - _MOST_ROWS} more", "", "", "", "")
    return table


def _numbers(kinds: Mapping[str, int]) -> str:
    number = sum(kinds.values())
    parts = ", ".join(f"{count:,} {kind}" for kind, count in in_order(kinds).items())
    return f"{number:,} message{'' if number == 1 else 's'}" + (f": {parts}" if parts else "")


def _at_most(lines: Sequence[str], most: int) -> list[str]:
    return [*lines[:most], f"and {len(lines) - most} more"] if len(lines) > most else list(lines)
