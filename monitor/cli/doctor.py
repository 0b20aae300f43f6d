"""The command `doctor`: examines the layers of each database, shows them with the verdict, and offers the fix."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from time import monotonic
from typing import Any

import click
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.checks.connectivity import COUNTS_FOR
from monitor.checks.credentials import host_of
from monitor.checks.observation import Fact, Outcome
from monitor.cli.options import chosen_databases, config_option, fail, load_settings
from monitor.config.settings import DatabaseSettings, Settings
from monitor.diagnosis.advice import WhoseMove, word
from monitor.diagnosis.rules import judge, worst_status
from monitor.diagnosis.verdicts import (
    RAILWAY_TOKENS,
    Layer,
    LayerResult,
    LayerResults,
    LayerState,
    Verdict,
    blocked_by,
    profile_of,
)
from monitor.doctor.console import ConsoleDatabase
from monitor.doctor.examine import Examination
from monitor.doctor.fix import STEP_TIMEOUT, FixResult, apply_fix
from monitor.doctor.fix_plan import FixPlan, credentials_for_plan, plan_fix
from monitor.doctor.worker_variables import Variable
from monitor.engine.wiring import build_examiner, connectivity_hosts, profiles_of
from monitor.lib.times import format_time, iso, now_utc
from monitor.report.overview import open_archive
from monitor.report.values import advice_values
from monitor.store.errors import RefusedFileError
from monitor.store.tables.channels import ChannelState

_KEYS = ("UPSTASH_EMAIL", "UPSTASH_API_KEY")


def require_keys() -> None:
    """A fix needs the keys of the console and of Railway; without them the command ends with status 3."""
    if not all(os.environ.get(name, "").strip() for name in _KEYS):
        fail(f"wanted {' and '.join(_KEYS)} for --fix, found them unset. Next: set both, from the Upstash console")
    if not any(os.environ.get(name, "").strip() for name in RAILWAY_TOKENS):
        fail(
            f"wanted {' or '.join(RAILWAY_TOKENS)} for --fix, found neither. Next: make a project token on Railway"
        )


def offer_fix(
    console: Console,
    settings: Settings,
    database: DatabaseSettings,
    examination: Examination,
    *,
    is_agreed: bool,
) -> Verdict | None:
    """Show the plan for one database, ask unless `is_agreed`, carry it out; return the verdict after it.

    `None` when nothing was done, for whatever reason; the reason is printed.
    """
    console_database, variables = examination.expected.console, examination.variables
    if console_database is None or variables is None:
        hides = examination.layers.has(Fact.CONSOLE_HIDES_TOKEN)
        what = "the console does not show the token" if hides else "the console's values could not be read"
        what = "the worker's variables could not be read" if console_database is not None else what
        click.echo(f"{database.name}: no fix, since {what}; nothing was changed")
        return None
    plan = asyncio.run(_plan(settings, database, examination, console_database, variables))
    click.echo(f"{database.name}: the fix would" if plan.redeploys else f"{database.name}: no fix")
    for line in plan.lines():
        click.echo(f"  - {line}")
    if not plan.redeploys:
        return None
    if not is_agreed:
        if not click.confirm("Do this?", default=False):
            click.echo("nothing was changed")
            return None
        # The answer may have taken long, and a user may have been switched on again in the meantime.
        again = asyncio.run(_plan(settings, database, examination, console_database, variables))
        if (again.writes, again.redeploys) != (plan.writes, plan.redeploys):
            click.echo("by now the database answers otherwise; nothing was changed. Next: run the doctor again")
            return None
    try:
        result = asyncio.run(_apply(plan, settings, database, console_database))
    except KeyboardInterrupt:
        # On stderr, as nothing that stdout holds is written any more.
        click.echo(
            f"{database.name}: interrupted; what was under way at service {plan.service} may or may not be done. "
            "Next: run the doctor again",
            err=True,
        )
        raise
    for step in result.steps:
        click.echo(f"  {step.detail}")
    if result.layers is None:
        return None
    verdict = judge(result.layers, profile_of(database, settings.doctor, os.environ))
    show(console, result.layers, verdict)
    # Not only where they differ: an ACL user's token does too, and works.
    if examination.layers.result_of(Layer.TOKEN).outcome is Outcome.TOKEN_REJECTED:
        name = database.token_variable or "the token in the settings"
        click.echo(
            f"{database.name}: this monitor itself still has the token that is refused. "
            f"Next: set {name} where the monitor runs, and restart it"
        )
    return verdict


async def _plan(
    settings: Settings,
    database: DatabaseSettings,
    examination: Examination,
    console_database: ConsoleDatabase,
    variables: Mapping[str, Variable],
) -> FixPlan:
    """The plan, once the database was asked what it accepts."""
    expected = examination.expected
    credentials = credentials_for_plan(variables, expected, console_database)
    secrets = [secret.reveal() for one in credentials for secret in (one.url, one.token) if secret]
    tester = build_examiner(settings, clock=now_utc, more_secrets=secrets).tester(database)
    attempts = await tester.try_all(credentials, timeout=min(database.timeout, STEP_TIMEOUT))
    urls = (one.url.reveal() for one in settings.databases)
    others = frozenset(filter(None, map(host_of, urls))) - {expected.host}
    return plan_fix(
        variables,
        expected,
        console_database,
        attempts,
        service=settings.doctor.service,
        other_hosts=others,
        other_names=examination.other_names,
        undeployed=examination.undeployed,
    )


async def _apply(
    plan: FixPlan, settings: Settings, database: DatabaseSettings, console_database: ConsoleDatabase
) -> FixResult:
    """This process still has its own values, so the examination after the fix uses the console's."""
    token = console_database.rest_token.reveal()
    examiner = build_examiner(settings, clock=now_utc, more_secrets=(token,))
    renewed = database.with_credentials(url=console_database.url, token=token)

    async def examine() -> LayerResults:
        return (await examiner.examine(renewed)).layers

    if examiner.railway is None:
        raise RuntimeError("the keys were there a moment ago")
    return await apply_fix(
        plan,
        examiner.railway,
        examine,
        profile=profile_of(database, settings.doctor, os.environ),
        clock=monotonic,
        sleep=asyncio.sleep,
    )


_SYMBOLS = {
    LayerState.PASSED: ("✓", "ok", "green"),
    LayerState.FAILED: ("✗", "FAIL", "bold red"),
    LayerState.SKIPPED: ("·", "-", "dim"),
    LayerState.NOT_APPLICABLE: ("·", "-", "dim"),
    LayerState.UNKNOWN: ("?", "?", "yellow"),
}
_DIM = (LayerState.SKIPPED, LayerState.NOT_APPLICABLE)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Whoever read it has left; rich would end with 1, which says slow."""
        self.quiet = True


def show(console: Console, layers: LayerResults, verdict: Verdict) -> None:
    """Print one database: the layers in causal order, then the verdict, whose move it is, and the steps."""
    symbols = _can_show_symbols(console)
    console.print(Text(layers.database, style="bold"))
    console.print(Padding(_layer_table(layers, symbols=symbols), (0, 0, 0, 2)))
    console.print(Padding(_verdict_panel(verdict, symbols=symbols), (0, 0, 1, 2)))


def channels_in_trouble(settings: Settings) -> tuple[ChannelState, ...]:
    """The channels that are in trouble, as the history file has it; none where there is no file."""
    try:
        with open_archive(settings, clock=now_utc) as archive:
            return tuple(one for one in archive.channels() if one.trouble)
    except RefusedFileError:
        return ()


def show_channels(console: Console, channels: Sequence[ChannelState]) -> None:
    """Print the channels in trouble, each with its reason, which says what to do."""
    if not channels:
        return
    symbols = _can_show_symbols(console)
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    for one in channels:
        state, since = _trouble_of(one)
        symbol, word, style = _SYMBOLS[LayerState.UNKNOWN if one.is_ok else LayerState.FAILED]
        told = f"{state} since {format_time(since)}: {one.reason}"
        table.add_row(Text(symbol if symbols else word, style=style), Text(one.name), Text(told))
    console.print(Text("channels", style="bold"))
    console.print(Padding(table, (0, 0, 0, 2)))
    names = " ".join(one.name for one in channels)
    console.print(Text(f"  Next: correct it, restart, then try it: upstash-monitor test-alerts {names}"))


def channel_to_json(channel: ChannelState) -> dict[str, Any]:
    """One channel of `doctor --json`."""
    state, since = _trouble_of(channel)
    return {"channel": channel.name, "state": state, "since": iso(since), "detail": channel.reason}


def _trouble_of(channel: ChannelState) -> tuple[str, datetime]:
    if channel.trouble is None:
        raise ValueError(f"{channel.name} is in no trouble")
    return channel.trouble


def diagnosis_to_json(layers: LayerResults, verdict: Verdict) -> dict[str, Any]:
    """One database of `doctor --json`; `took_ms` is `null` for a layer without a request of its own."""
    return {
        "database": layers.database,
        "layers": [
            {
                "layer": result.layer.value,
                "state": result.state.value,
                "detail": _detail(result, layers),
                "took_ms": None if result.took_ms is None else round(result.took_ms, 3),
                "outcome": None if result.outcome is None else result.outcome.value,
                "facts": sorted(fact.value for fact in result.facts),
            }
            for result in layers.layers
        ],
        "verdict": {"code": verdict.code.value, **advice_values(word(verdict))},
    }


def _layer_table(layers: LayerResults, *, symbols: bool) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for result in layers.layers:
        symbol, word, style = _SYMBOLS[result.state]
        dim = "dim" if result.state in _DIM else ""
        table.add_row(
            Text(symbol if symbols else word, style=style),
            Text(result.layer.words, style=dim or ("bold" if result.state is LayerState.FAILED else "")),
            Text(_told(result, layers), style=dim),
            Text("" if result.took_ms is None else _format_ms(result.took_ms), style="dim"),
        )
    return table


def _verdict_panel(verdict: Verdict, *, symbols: bool) -> RenderableType:
    advice = word(verdict)
    colour = "green" if advice.whose_move is WhoseMove.NOBODY else "red"
    steps = Table.grid(padding=(0, 1, 0, 0))
    for number, step in enumerate(advice.next_steps, start=1):
        steps.add_row(f"{number}.", Text(step))
    lines: list[RenderableType] = [
        Text(advice.meaning, style="bold"),
        Text(f"whose move: {advice.whose_move.words}", style=colour),
        steps,
    ]
    if not symbols:
        return Group(*lines)
    return Panel(Group(*lines), title="verdict", title_align="left", border_style=colour, expand=False)


def _told(result: LayerResult, layers: LayerResults) -> str:
    """The detail, behind the outcome's own words where that is why the layer failed."""
    detail = _detail(result, layers)
    if result.state is not LayerState.FAILED or result.outcome is None:
        return detail
    return ": ".join(filter(None, (result.outcome.words, detail)))


def _detail(result: LayerResult, layers: LayerResults) -> str:
    if result.detail or result.state is not LayerState.SKIPPED:
        return result.detail
    cause = blocked_by(result.layer, layers.layers)
    return "not tried" if cause is None else f"not tried because of {cause.words}"


def _format_ms(took_ms: float) -> str:
    """Shorter than a latency is written: what a layer took stands beside a text that needs the room."""
    return f"{took_ms:.1f} ms" if took_ms < 10 else f"{took_ms:,.0f} ms"


def _can_show_symbols(console: Console) -> bool:
    """Where the stream's encoding has no check mark, printing one would be an error."""
    try:
        "✓✗·╭".encode(console.encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option(
    "--fix", is_flag=True, help="Replace what the database refuses of the worker's values, after asking."
)
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
    databases = chosen_databases(settings, names)
    examinations = asyncio.run(_examine(settings, databases))
    profiles = profiles_of(settings, os.environ)
    verdicts = [judge(each.layers, profiles[each.layers.database]) for each in examinations]
    if as_json:
        rows = [
            diagnosis_to_json(each.layers, verdict) for each, verdict in zip(examinations, verdicts, strict=True)
        ]
        took_ms = round((monotonic() - started) * 1000, 1)
        status = worst_status(verdicts)
        head = {"version": 1, "started_at": iso(began), "took_ms": took_ms, "exit_status": int(status)}
        with suppress(BrokenPipeError):  # whoever read it has left, and the status is for the others
            channels = [channel_to_json(one) for one in channels_in_trouble(settings)]
            click.echo(json.dumps({**head, "databases": rows, "channels": channels}, indent=2))
        context.exit(int(status))
    console = _Console(file=sys.stdout or io.StringIO(), highlight=False)
    for each, verdict in zip(examinations, verdicts, strict=True):
        show(console, each.layers, verdict)
    show_channels(console, channels_in_trouble(settings))
    if fix:
        for number, (database, each) in enumerate(zip(databases, examinations, strict=True)):
            verdicts[number] = offer_fix(console, settings, database, each, is_agreed=yes) or verdicts[number]
    context.exit(int(worst_status(verdicts)))


async def _examine(settings: Settings, databases: tuple[DatabaseSettings, ...]) -> list[Examination]:
    """All at once, so that many databases take no longer than one."""
    examiner = build_examiner(settings, clock=now_utc, answered_lately=_answered_lately(settings))
    return await asyncio.gather(*(examiner.examine(database) for database in databases))


def _answered_lately(settings: Settings) -> bool:
    """Whether a connectivity host answered within the last day, as the history file has it."""
    try:
        with open_archive(settings, clock=now_utc) as archive:
            return bool(archive.connectivity_answered(now_utc() - COUNTS_FOR) & {*connectivity_hosts(settings)})
    except RefusedFileError:
        return False
