"""The word `doctor`: climb the ladder of each database and show it with its verdict.

The climb is `flow/examine`, the verdict `core/verdicts`; how both look is `ladder_view`'s business, `--fix`
`doctor_fix`'s.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import monotonic

import click
from rich.console import Console

from monitor.commands.doctor_fix import offer, require_keys
from monitor.commands.ladder_view import document, show
from monitor.commands.options import chosen, config_option, fail, load_settings
from monitor.core.plugin import iso
from monitor.core.verdicts import judge, worst_status
from monitor.flow.examine import Examination
from monitor.settings import DatabaseSettings, Settings
from monitor.wiring import now_utc
from monitor.wiring_doctor import build_examiner


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--fix", is_flag=True, help="Put the console's values into the worker's variables, after asking.")
@click.option("--yes", is_flag=True, help="Do not ask before --fix acts.")
@config_option
@click.pass_context
def command(context: click.Context, names: tuple[str, ...], *, as_json: bool, fix: bool, yes: bool) -> None:
    """Find out what is wrong, whose move it is, and what to do next."""
    settings = load_settings(context)
    if fix and as_json:
        fail("wanted --fix or --json, found both. Next: leave one out")
    if fix:
        require_keys()
    began, started = now_utc(), monotonic()
    databases = chosen(settings, names)
    examined = asyncio.run(_examine(settings, databases))
    verdicts = [judge(examination.ladder, service=settings.doctor.service) for examination in examined]
    if as_json:
        rows = [document(each.ladder, verdict) for each, verdict in zip(examined, verdicts, strict=True)]
        took_ms = round((monotonic() - started) * 1000, 1)
        status = worst_status(verdicts)
        head = {"version": 1, "started_at": iso(began), "took_ms": took_ms, "exit_status": int(status)}
        click.echo(json.dumps({**head, "databases": rows}, indent=2))
        context.exit(int(status))
    console = Console(file=sys.stdout, highlight=False)
    for each, verdict in zip(examined, verdicts, strict=True):
        show(console, each.ladder, verdict)
    if fix:
        for number, (database, each) in enumerate(zip(databases, examined, strict=True)):
            verdicts[number] = offer(console, settings, database, each, is_agreed=yes) or verdicts[number]
    context.exit(int(worst_status(verdicts)))


async def _examine(settings: Settings, databases: tuple[DatabaseSettings, ...]) -> list[Examination]:
    """All at once, so that many databases take no longer than one."""
    examiner = build_examiner(settings, clock=now_utc)
    return await asyncio.gather(*(examiner.examine(database) for database in databases))
