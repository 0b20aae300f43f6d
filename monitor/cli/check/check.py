"""The word `check`: one round, its exit status and what is printed; the round itself is `flow/round`."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING

import click

from monitor.alerts.retry_policy import DeliveryStatus
from monitor.cli.check.export import FOR_PUSH, METRICS_FILE, PUSHGATEWAY, export
from monitor.cli.check.output import Answer, CheckedDatabase, SentMessage, document, exit_status, plugin_output
from monitor.cli.options import DURATION, chosen, config_option, fail, load_settings
from monitor.config.settings import Settings
from monitor.engine.delivery import DeliveryAttempt
from monitor.engine.round import Result, Round, diagnosis_wait, run_round, send_timeout
from monitor.engine.wiring import Monitor, build, now_utc
from monitor.lib.deadline import Deadline
from monitor.lib.exit_status import ExitStatus
from monitor.store.errors import RefusedFileError
from monitor.store.rollups.model import Totals

if TYPE_CHECKING:
    from monitor.web.metrics.export import Pushgateway


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 instead of 1 and 2.")
@click.option("--no-alerts", is_flag=True, help="Send nothing; messages wait in the outbox.")
@click.option("--within", type=DURATION, default="60s", show_default=True, help="Never run longer than this.")
@click.option(
    "--metrics",
    "metrics_file",
    type=METRICS_FILE,
    metavar="FILE",
    help="Also write the metrics to a file, as a textfile collector reads it.",
)
@click.option(
    "--push", "gateway", type=PUSHGATEWAY, metavar="URL", help="Also push the metrics to a Prometheus Pushgateway."
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
    """Look at each database once, confirm what is in doubt, alert, and end."""
    # Starting Python and reading ourselves in has cost time already, mostly CPU time.
    spent = timedelta(seconds=process_time())
    deadline = Deadline(within, spent=spent)
    for_push = min(FOR_PUSH, within / 4) if gateway else timedelta(0)
    answer = Answer(deadline.left().total_seconds(), as_json=as_json)
    settings = load_settings(context, on_mistake=answer.unknown)
    chosen(settings, names, on_mistake=answer.unknown)
    try:
        found = asyncio.run(
            _round(
                settings,
                names,
                Deadline(within - for_push, spent=spent),
                send=not no_alerts,
                with_totals=metrics_file is not None or gateway is not None,
            )
        )
    except RefusedFileError as error:
        answer.unknown(str(error))
        fail(str(error))
    except Exception as error:  # the top of the round: a plugin host must not read our bug as a slow database
        logging.getLogger(__name__).exception("the check failed inside")
        answer.unknown(f"the check failed inside ({type(error).__name__})")
        context.exit(int(ExitStatus.UNKNOWN))
    status = exit_status(found.checked)
    if exit_zero and status in (ExitStatus.WARNING, ExitStatus.CRITICAL):
        status = ExitStatus.OK
    if as_json:
        took_ms = (within - deadline.left()) / timedelta(milliseconds=1)
        whole = document(found.checked, found.told, started_at=found.began, took_ms=took_ms, status=status)
        text = json.dumps(whole, indent=2)
    else:
        text = plugin_output(found.checked)
    answer.give(text, status)
    if found.totals is not None:
        export(found.totals, names, file=metrics_file, gateway=gateway, deadline=deadline)
    context.exit(int(status))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """What a round found; `totals` only where metrics were asked for."""

    began: datetime
    checked: list[CheckedDatabase]
    told: list[SentMessage]
    totals: Totals | None


async def _round(
    settings: Settings, names: tuple[str, ...], deadline: Deadline, *, send: bool, with_totals: bool
) -> _Found:
    deliveries: list[DeliveryAttempt] = []
    began = now_utc()
    monitor = build(
        settings,
        tell_unwritable=False,
        send_timeout=partial(send_timeout, deadline),
        on_delivery=deliveries.append,
        patience=partial(diagnosis_wait, deadline) if send else timedelta,
    )
    cycles = [cycle for cycle in monitor.cycles if not names or cycle.name in names]
    plan = Round(
        confirm_interval=settings.alerts.confirm_interval,
        connectivity=monitor.connectivity,
        deliverer=monitor.deliverer if send else None,
        deadline=deadline,
        clock=now_utc,
    )
    try:
        results = await run_round(cycles, plan)
        await monitor.store_thread.run(monitor.store.prune_now_and_then, began, settings.history.keep)
        totals = await _totals(monitor) if with_totals else None
    finally:
        monitor.stop()
        monitor.close()
    limits = {database.name: database.slow for database in settings.databases}
    checked = [_checked(result, limits[result.cycle_result.check.database]) for result in results]
    return _Found(began=began, checked=checked, told=_told(deliveries), totals=totals)


async def _totals(monitor: Monitor) -> Totals:
    from monitor.report.overview import Overview

    return await Overview(monitor.settings, monitor.store, monitor.store_thread, now_utc).totals()


def _checked(result: Result, slow: timedelta | None) -> CheckedDatabase:
    transition = result.cycle_result.recorded.transition
    return CheckedDatabase(
        check=result.cycle_result.check,
        checks=result.checks,
        slow=slow,
        incident=transition.incident or transition.state.incident,
    )


def _told(deliveries: list[DeliveryAttempt]) -> list[SentMessage]:
    """One entry per message, with its last answer."""
    last: dict[tuple[str, str, int | None], SentMessage] = {}
    for delivery in deliveries:
        notification, result = delivery.notification, delivery.result
        sent = result.status is DeliveryStatus.CONFIRMED
        last[delivery.channel, notification.kind.value, notification.incident] = SentMessage(
            channel=delivery.channel,
            kind=notification.kind.value,
            incident=notification.incident,
            sent=sent,
            error=None if sent else result.detail,
        )
    return list(last.values())
