"""The command `test-alerts`: a marked test message through each channel, and what the channel answers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import click

from monitor.alerts.channel import Channel
from monitor.alerts.notification import Notification, NotificationKind, Severity
from monitor.alerts.retry_policy import DeliveryResult, DeliveryStatus
from monitor.cli.options import config_option, load_settings, require_known
from monitor.engine.delivery import SEND_TIMEOUT
from monitor.engine.wiring import build_channels
from monitor.lib.exit_status import ExitStatus
from monitor.lib.text import Scrubber
from monitor.lib.times import now_utc


@click.command("test-alerts")
@click.argument("names", nargs=-1, metavar="[CHANNEL]...")
@config_option
@click.pass_context
def command(context: click.Context, names: tuple[str, ...]) -> None:
    """Send a test message through each channel and show its answer."""
    settings = load_settings(context)
    channels = build_channels(settings, Scrubber(settings.secrets()))
    left_out = {
        part.name.removeprefix("channel "): part.mistake
        for part in settings.unusable
        if part.name.startswith("channel ")
    }
    require_known("channel", names, (*channels, *left_out))
    chosen = {name: channel for name, channel in channels.items() if not names or name in names}
    with ThreadPoolExecutor(max_workers=min(32, len(chosen) or 1)) as threads:
        results = dict(zip(chosen, threads.map(_send, chosen.values()), strict=True))
    for name, result in results.items():
        click.echo(f"{name}: {_outcome(result)}")
    wrong = {name: mistake for name, mistake in left_out.items() if not names or name in names}
    for name, mistake in wrong.items():
        click.echo(f"{name}: NOT delivered ({mistake})")
    if wrong or any(result.status is not DeliveryStatus.CONFIRMED for result in results.values()):
        context.exit(int(ExitStatus.CRITICAL))


def _outcome(result: DeliveryResult) -> str:
    outcome = {
        DeliveryStatus.CONFIRMED: "delivered",
        DeliveryStatus.UNCONFIRMED: "sent, NOT confirmed",
    }.get(result.status, "NOT delivered")
    moved = f"; the chat has moved, set chat_id to {result.move.new_chat_id}" if result.move else ""
    return f"{outcome} ({result.detail}{moved})"


def _send(channel: Channel) -> DeliveryResult:
    notification = Notification(
        kind=NotificationKind.TEST,
        created_at=now_utc(),
        title=f"upstash-monitor: a test message for {channel.name}; nothing is wrong",
        severity=Severity.WARNING,
        detail="If you can read this, alerts will arrive here.",
    )
    return channel.send(notification, timeout=SEND_TIMEOUT)
