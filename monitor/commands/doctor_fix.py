"""`doctor --fix`: shows what would be changed, asks, has it done, and shows the ladder that came of it.

What is planned stands in `core/repair`, what is done in `flow/mend`.
"""

from __future__ import annotations

import asyncio
import os
import time

import click
from rich.console import Console

from monitor.commands.ladder_view import show
from monitor.commands.options import fail
from monitor.core.console import ConsoleDatabase
from monitor.core.ladder import Ladder
from monitor.core.repair import Plan, plan
from monitor.core.tokens import host_of
from monitor.core.verdict import Verdict
from monitor.core.verdicts import judge
from monitor.flow.examine import Examination
from monitor.flow.mend import Mended, mend
from monitor.settings import DatabaseSettings, Settings
from monitor.wiring import now_utc
from monitor.wiring_doctor import build_examiner

_KEYS = ("UPSTASH_EMAIL", "UPSTASH_API_KEY")
_TOKENS = ("RAILWAY_TOKEN", "RAILWAY_API_TOKEN")


def require_keys() -> None:
    """A fix needs the right values and a way in to where they belong; ends with status 3 without them."""
    if not all(os.environ.get(name, "").strip() for name in _KEYS):
        fail(f"wanted {' and '.join(_KEYS)} for --fix, found them unset. Next: set both, from the Upstash console")
    if not any(os.environ.get(name, "").strip() for name in _TOKENS):
        fail(f"wanted {' or '.join(_TOKENS)} for --fix, found neither. Next: make a project token on Railway")


def offer(
    console: Console,
    settings: Settings,
    database: DatabaseSettings,
    examination: Examination,
    *,
    is_agreed: bool,
) -> Verdict | None:
    """Show the plan for one database, ask unless `is_agreed`, act; return the verdict after it.

    `None` when nothing was done, for whatever reason; the reason is printed.
    """
    found, variables = examination.console, examination.variables
    if found is None or variables is None:
        click.echo(f"{database.name}: no fix, since the console's values or the worker's could not be read")
        return None
    urls = (one.url.get_secret_value() for one in settings.databases if one.name != database.name)
    others = frozenset(filter(None, map(host_of, urls)))
    intended = plan(variables, found, service=settings.doctor.service, other_hosts=others)
    click.echo(f"{database.name}: the fix would")
    for line in intended.lines():
        click.echo(f"  - {line}")
    if not intended.redeploys:
        return None
    if not (is_agreed or click.confirm("Do this?", default=False)):
        click.echo("nothing was changed")
        return None
    mended = asyncio.run(_mend(settings, database, intended, found))
    for step in mended.steps:
        click.echo(f"  {step.says}")
    if mended.ladder is None:
        return None
    verdict = judge(mended.ladder, service=settings.doctor.service)
    show(console, mended.ladder, verdict)
    return verdict


async def _mend(settings: Settings, database: DatabaseSettings, intended: Plan, found: ConsoleDatabase) -> Mended:
    """This process still has its own values, so the look after the fix is made with the console's."""
    token = found.rest_token.reveal()
    examiner = build_examiner(settings, clock=now_utc, more_secrets=(token,))
    renewed = database.with_credentials(url=found.url, token=token)

    async def climb() -> Ladder:
        return (await examiner.examine(renewed)).ladder

    if examiner.railway is None:
        raise RuntimeError("the keys were there a moment ago")
    return await mend(intended, examiner.railway, climb, clock=time.monotonic, sleep=asyncio.sleep)
