"""The command `check`: one round, its result on stdout, its exit status, and its metrics for others."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click
from loguru import logger

from monitor.checks.canary import USUAL_SCHEDULE, may_be_first
from monitor.checks.rest import RestProbeFactory
from monitor.cli import STARTED
from monitor.cli.check.output import CheckedDatabase, ResultPrinter, document, exit_status, plugin_output
from monitor.cli.options import (
    UnusableError,
    chosen_databases,
    config_option,
    duration,
    fail,
    load_settings,
    print_error,
)
from monitor.config.load import is_forgotten_between_runs, warnings
from monitor.config.settings import Settings
from monitor.diagnosis.verdicts import DatabaseProfile, Verdict
from monitor.engine.delivery import DeliveryAttempt
from monitor.engine.heartbeat import LONGEST_PING, are_stuck, log_unreached, ping
from monitor.engine.round import NoTimeError, Round, RoundResult, run_round
from monitor.engine.wiring import build
from monitor.lib.exit_status import ExitStatus
from monitor.lib.text import Scrubber
from monitor.lib.times import Deadline, now_utc
from monitor.report.verdict import verdict_shown
from monitor.store.errors import RefusedFileError
from monitor.store.rollups.model import Totals

if TYPE_CHECKING:
    from monitor.web.metrics import Pushgateway

# What the round leaves for the push or the heartbeat, of a short time at most a quarter, and what these leave for
# the end.
_FOR_OTHERS = timedelta(seconds=3)
_LONGEST_PUSH = timedelta(seconds=10)
_RESERVE = timedelta(seconds=1)


def _file(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Path | None:
    if value in ("", "-"):
        raise click.BadParameter("wanted the name of a file, found none")
    return None if value is None else Path(value)


def _gateway(value: str) -> Pushgateway:
    from monitor.web.metrics import Pushgateway

    try:
        return Pushgateway(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 instead of 1 and 2.")
@click.option("--no-alerts", is_flag=True, help="Send nothing; messages wait in the outbox.")
@click.option(
    "--within",
    type=duration,
    default="60s",
    show_default=True,
    help="Never run longer than this; timeouts are cut to fit. Nagios and Icinga end a plugin after 60s: give it "
    "45s there.",
)
@click.option(
    "--metrics",
    "metrics_file",
    type=click.Path(),  # so that a shell completes it
    callback=_file,
    metavar="FILE",
    help="Also write the metrics to a file, as a textfile collector reads it.",
)
@click.option(
    "--push", "gateway", type=_gateway, metavar="URL", help="Also push the metrics to a Prometheus Pushgateway."
)
@config_option
@click.pass_context
def command(
    context: click.Context,
    names: tuple[str, ...],
    *,
    as_json: bool,
    exit_zero: bool,
    no_alerts: bool,
    within: timedelta,
    metrics_file: Path | None,
    gateway: Pushgateway | None,
) -> None:
    """Check each database once, go on with those in doubt until decided, alert, and end."""
    # Starting Python and importing ourselves has taken time already.
    spent = timedelta(seconds=monotonic() - STARTED)
    deadline = Deadline(within, spent=spent)
    printer = ResultPrinter(deadline.left().total_seconds(), as_json=as_json)
    with_totals = metrics_file is not None or gateway is not None
    try:
        settings = load_settings(context)
        chosen_databases(settings, names)
        for line in warnings(settings, os.environ, each_run=True):
            logger.warning("{}", line)
        heartbeat = settings.heartbeat.url
        others = sum(one is not None for one in (gateway, heartbeat, settings.state))
        for_others = min(_FOR_OTHERS, within / 4) if others else timedelta(0)
        found = asyncio.run(
            run_check(
                settings,
                names,
                Deadline(within - for_others, spent=spent),
                send=not no_alerts,
                with_totals=with_totals,
                time_to_write=lambda: deadline.left(reserve=_RESERVE) / max(1, others),
            )
        )
    except UnusableError as end:
        printer.print_unknown(end.text)
        raise
    except (RefusedFileError, NoTimeError) as error:
        printer.print_unknown(str(error))
        fail(str(error))
    except Exception as error:  # a plugin host must not take our bug for a slow database
        logging.getLogger(__name__).exception("the check failed inside")
        printer.print_unknown(f"the check failed inside ({type(error).__name__})")
        context.exit(int(ExitStatus.UNKNOWN))
    status = exit_status(found.checked)
    if exit_zero and status in (ExitStatus.WARNING, ExitStatus.CRITICAL):
        status = ExitStatus.OK
    if as_json:
        took_ms = (within - deadline.left()) / timedelta(milliseconds=1)
        values = document(found.checked, found.attempts, started_at=found.began, took_ms=took_ms, status=status)
        text = json.dumps(values, indent=2)
    else:
        text = plugin_output(found.checked)
    printer.print(text, status)
    if heartbeat is not None:
        # Whatever the databases are like: it tells that the monitor ran. A push has its part of the time too.
        left = deadline.left(reserve=_RESERVE) / (2 if gateway else 1)
        timeout = min(LONGEST_PING, left)
        log_unreached(ping(heartbeat.reveal(), has_failed=found.deliveries_are_stuck, timeout=timeout))
    if found.totals is not None:
        _export(found.totals, names, metrics_file, gateway, deadline)
    printer.wait_until_read()
    context.exit(int(status))


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What a round found; `totals` only where metrics are wanted. Without sending no delivery is stuck."""

    began: datetime
    checked: list[CheckedDatabase]
    attempts: list[DeliveryAttempt]
    deliveries_are_stuck: bool
    totals: Totals | None


async def run_check(
    settings: Settings,
    names: tuple[str, ...],
    deadline: Deadline,
    *,
    send: bool,
    with_totals: bool,
    time_to_write: Callable[[], timedelta],
    clock: Callable[[], datetime] = now_utc,
) -> Found:
    """One run: what is remembered, the round, and what the next run shall know; `time_to_write` is for that.

    `deadline` is that of the round. Raises `RefusedFileError` and `NoTimeError`.
    """
    attempts: list[DeliveryAttempt] = []
    began = clock()
    settings = _as_scheduled(settings)
    probes = RestProbeFactory(scrub=Scrubber(settings.secrets()))
    state, remembered = None, None
    if settings.state is not None:
        from monitor.engine.state_database import StateDatabase  # no part of a check without it

        state = StateDatabase(settings.state, probes)
        remembered = await state.read(deadline.left() / 6)
    is_forgotten = is_forgotten_between_runs(settings, os.environ, is_remembered=remembered is not None)
    monitor = build(
        settings,
        clock=clock,
        notify_unwritable=False,
        deadline=deadline,
        on_delivery=attempts.append,
        first_canary=may_be_first(began, is_forgotten=is_forgotten),
        remembered=remembered,
        probes=probes,
    )
    cycles = [cycle for cycle in monitor.cycles if not names or cycle.name in names]
    plan = Round(
        confirm_interval=settings.alerts.confirm_interval,
        connectivity=monitor.connectivity,
        deliverer=monitor.deliverer if send else None,
        diagnoser=monitor.diagnoser,
        deadline=deadline,
        clock=clock,
    )
    try:
        if state is not None and remembered is not None and not may_be_first(began, is_forgotten=True):
            # A canary that the next run does not know of is sent, and billed, by each.
            due = [cycle for cycle in cycles if await cycle.has_canary_due()]
            if due and await state.save(remembered, deadline.left() / 6):
                for cycle in due:
                    cycle.hold_canary()
        results = await run_round(cycles, plan)
        await monitor.store_thread.run(monitor.store.prune_now_and_then, began, settings.history.keep)
        told = {one.id: one.verdict for _, one in await monitor.store_thread.run(monitor.store.incidents)}
        waiting_since = await monitor.store_thread.run(monitor.store.waiting_since)
        limits = {database.name: database.slow for database in settings.databases}
        checked = [_checked(result, limits, told, monitor.profiles) for result in results]
        totals = None
        if with_totals:
            from monitor.report.overview import Archive  # reading back is no part of a check without metrics

            archive = Archive(settings, file=monitor.store, clock=clock)
            totals = await monitor.store_thread.run(archive.totals)
        if state is not None:
            await state.write(await monitor.store_thread.run(monitor.store.state_document), time_to_write())
    finally:
        monitor.stop()
        monitor.close()
    is_stuck = send and are_stuck(waiting_since, now_utc())
    return Found(began=began, checked=checked, attempts=attempts, deliveries_are_stuck=is_stuck, totals=totals)


def _as_scheduled(settings: Settings) -> Settings:
    """The settings with intervals no shorter than a usual schedule: what is between two rounds is no gap."""
    databases = (
        one.model_copy(update={"interval": max(one.interval, USUAL_SCHEDULE)}) for one in settings.databases
    )
    return settings.model_copy(update={"databases": tuple(databases)})


def _checked(
    result: RoundResult,
    limits: Mapping[str, timedelta | None],
    told: Mapping[int, Verdict],
    profiles: Mapping[str, DatabaseProfile],
) -> CheckedDatabase:
    check, transition = result.cycle_result.check, result.cycle_result.recorded.transition
    incident = transition.incident or transition.state.incident
    return CheckedDatabase(
        check=check,
        verdict=verdict_shown(check, told.get(incident.id) if incident else None, profiles[check.database]),
        checks=result.checks,
        slow=limits[check.database],
        incident=incident,
    )


def _export(
    totals: Totals, names: tuple[str, ...], file: Path | None, gateway: Pushgateway | None, deadline: Deadline
) -> None:
    """Write and push the metrics of the databases of these names, or of all; stderr has what did not work."""
    # The others were not checked in this round: their series would show them as they were long ago.
    rows = tuple(row for row in totals.databases if not names or row.database in names)
    try:
        # prometheus_client costs 30 ms, which a check without metrics does not pay.
        from monitor.web.metrics import ExportError, render, write

        exposition = render(replace(totals, databases=rows))
        if file is not None:
            try:
                write(file, exposition.body)
            except ExportError as error:
                print_error(str(error))
        if gateway is not None:
            try:
                gateway.push(exposition, timeout=min(_LONGEST_PUSH, deadline.left(reserve=_RESERVE)))
            except ExportError as error:
                print_error(str(error))
    except Exception:
        # The result is printed by now, and our bug must not end this process with another status.
        logging.getLogger(__name__).exception("exporting the metrics failed inside")
