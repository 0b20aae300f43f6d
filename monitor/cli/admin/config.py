"""The command `config`: check the settings, show them and what their rules come to, describe them to an editor."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from math import ceil
from pathlib import Path
from typing import Any

import click

from monitor.alerts.apprise import url_mistake
from monitor.alerts.webhook import template_mistake
from monitor.checks.canary import (
    CANARY_COMMANDS,
    CANARY_FINDS,
    FREE_PLAN_COMMANDS,
    MONTH,
    STATE_COMMANDS,
    USUAL_SCHEDULE,
    Budget,
    budget,
)
from monitor.checks.classify import CheckResult
from monitor.checks.credentials import inspect
from monitor.checks.observation import Outcome
from monitor.cli.options import (
    UNUSABLE,
    CommandGroup,
    config_option,
    print_error,
    print_mistakes,
    read_settings,
    settings_source,
)
from monitor.config.channel_values import slack_warning
from monitor.config.load import Configuration, is_forgotten_between_runs, readable_secrets, warnings
from monitor.config.mistakes import Mistake, Place
from monitor.config.schema import file_schema
from monitor.config.settings import (
    AlertSettings,
    AppriseSettings,
    ChannelRouting,
    DatabaseDefaults,
    DatabaseSettings,
    Settings,
    SlackSettings,
    StateSettings,
    WebhookSettings,
)
from monitor.config.strict_yaml import write_values
from monitor.incidents.rules import LONGEST_PAUSE, RECENT_FOR
from monitor.lib.text import Scrubber
from monitor.lib.times import format_duration, write_duration
from monitor.store.file.open import mistake_in

_ROUNDED_TO = timedelta(seconds=5)
# For the other half of a pair while one half is inspected.
_GOOD_URL, _GOOD_TOKEN = "https://host.example", "token"
_URL_OUTCOMES = (Outcome.URL_MISSING, Outcome.URL_MALFORMED)
_MISSING = (Outcome.URL_MISSING, Outcome.TOKEN_MISSING)
_WANTED = {"url": "the REST URL, https://HOST", "token": "the REST token"}
_NEXT = "copy it from the database's page in the Upstash console"


def rules_in_words(settings: Settings) -> Iterator[str]:
    """One line for each thing that people ask: when am I told, when not, and when is it over."""
    alerts = settings.alerts
    failing, flapping, recovery = alerts.failing, alerts.flapping, alerts.recovery
    yield "When it is told:"
    if failing.lasting:
        yield f"  an outage shorter than {format_duration(failing.lasting)} never wakes you"
    for names, (usual, most) in _by_delay(settings).items():
        told = f"{format_duration(usual)}, {format_duration(most)} at most"
        yield f"  {names}: an outage that lasts is told after about {told}"
    many = f"{failing.failures} failed checks in a row, or as many with a fine one among them"
    yield (
        f"  that takes {'1 failed check' if failing.failures == 1 else many};"
        f" configuration {alerts.configuration.failures}, token {alerts.token.failures},"
        f" quota {alerts.quota.failures} in a row; slow {alerts.slow.failures} of {alerts.slow.of}"
    )
    if flapping.within:
        within = format_duration(flapping.within)
        yield f"  what fails {flapping.times} separate times within {within} is told as unstable,"
        yield f"  and an incident that opens again within {within} is the same one, unstable"
    over = f"over after {format_duration(recovery.lasting)} without a failure" if recovery.lasting else "over"
    checks = f"{recovery.checks} check{'s' * (recovery.checks != 1)}"
    yield f"  {over}, by {checks} at least; configuration, token and quota after {checks} in a row"
    if flapping.within:
        yield f"  what is unstable is over after {format_duration(flapping.within / 2)} without a failure"


def unreachable(settings: Settings) -> Iterator[str]:
    """Settings that never come to anything, or not to what they look like."""
    alerts = settings.alerts
    failing, flapping = alerts.failing, alerts.flapping
    if failing.failures == 1 and failing.lasting:
        most = max(_delay(database, alerts)[1] for database in settings.databases)
        yield (
            f"alerts.failing: one failure opens nothing before another {write_duration(failing.lasting)} later:"
            f" that takes up to {format_duration(most)}. Next: `for: 0s`, or more failures"
        )
    for database in settings.databases:
        pause = min(alerts.confirm_interval, database.interval)
        if failing.failures > 1 and pause > LONGEST_PAUSE:
            yield (
                f"alerts.failing: {database.name} is checked every {write_duration(pause)} in doubt, and a failure"
                f" counts for {format_duration(LONGEST_PAUSE)}: it is never told. Next: a shorter confirm_interval"
            )
        if database.slow and (alerts.slow.failures - 1) * database.interval > RECENT_FOR:
            yield (
                f"alerts.slow: {alerts.slow.failures} slow checks of {database.name} never come within a day,"
                f" with one every {write_duration(database.interval)}. Next: fewer"
            )
        # From the first failing check of the first run to that of the last, with a fine one between two runs.
        if flapping.within and 2 * (flapping.times - 1) * pause > flapping.within:
            yield (
                f"alerts.flapping: {flapping.times} runs of failures of {database.name} never begin within"
                f" {write_duration(flapping.within)}. Next: fewer times, or a shorter confirm_interval"
            )


def _by_delay(settings: Settings) -> dict[str, tuple[timedelta, timedelta]]:
    """The usual and the longest delay of an outage, by the names of the databases that have them."""
    names: defaultdict[tuple[timedelta, timedelta], list[str]] = defaultdict(list)
    for database in settings.databases:
        names[_delay(database, settings.alerts)].append(database.name)
    return {", ".join(some): delays for delays, some in names.items()}


def _delay(database: DatabaseSettings, alerts: AlertSettings) -> tuple[timedelta, timedelta]:
    """A fault that refuses is found out quickly, one that hangs takes the timeout of each check."""
    pause = min(alerts.confirm_interval, database.interval)
    quick = _deciding(pause, alerts)
    hung = _deciding(pause + database.timeout, alerts) + database.timeout
    usual = database.interval / 2 + (quick + hung) / 2
    return max(_ROUNDED_TO, round(usual / _ROUNDED_TO) * _ROUNDED_TO), database.interval + hung


def _deciding(apart: timedelta, alerts: AlertSettings) -> timedelta:
    """From the first failing check to the one that opens, with checks so far apart."""
    failing = alerts.failing
    return max(failing.failures - 1, ceil(failing.lasting / apart)) * apart


@click.group(cls=CommandGroup)
@config_option
def command() -> None:
    """Check, show or describe the settings."""


@command.command("check")
@config_option
@click.pass_context
def check(context: click.Context) -> None:
    """Show every mistake at once, each with its place."""
    configuration = read_settings(context)
    mistakes = [
        *configuration.mistakes,
        *credential_mistakes(configuration),
        *channel_mistakes(configuration),
        *history_mistakes(configuration),
    ]
    if mistakes:
        print_mistakes(context, mistakes)
        context.exit(UNUSABLE)
    settings = configuration.settings
    for line in (
        *warnings(settings, os.environ),
        *_slack_warnings(settings),
        *_untold(settings),
        *_history_warnings(settings),
        *unreachable(settings),
        *state_warnings(settings),
        *_open_file(context),
    ):
        print_error(f"warning: {line}")
    click.echo(f"{settings_source(context)}: fine, {_count(settings)}")


@command.command("show")
@config_option
@click.pass_context
def show(context: click.Context) -> None:
    """Show the settings as understood, what the alert rules come to, and what it costs."""
    configuration = read_settings(context)
    settings = configuration.settings
    scrub = Scrubber(settings.secrets())
    click.echo(scrub(write_values(shown(settings))))
    for line in (*rules_in_words(settings), *month_in_words(settings)):
        click.echo(scrub(f"# {line}"))
    if configuration.mistakes:
        print_mistakes(context, configuration.mistakes)
        context.exit(UNUSABLE)


@command.command("schema")
@config_option
def schema() -> None:
    """Print a JSON Schema of config.yaml, for editors."""
    click.echo(json.dumps(file_schema(), indent=2))


def credential_mistakes(configuration: Configuration) -> Iterator[Mistake]:
    """URLs and tokens that cannot be right. `run` and `check` start all the same and tell of them at once."""
    settings = configuration.settings
    entries: list[tuple[Place, DatabaseSettings | StateSettings]] = [
        (("databases", number), database) for number, database in enumerate(settings.databases)
    ]
    for section, entry in [*entries, *([(("state",), settings.state)] if settings.state else [])]:
        for result in _results(entry):
            key = "url" if result.outcome in _URL_OUTCOMES else "token"
            place = (*section, key)
            variables = " and ".join(configuration.origins.variables.get(place, ()))
            found = "nothing" if result.outcome in _MISSING else f"one that {result.detail}"
            if variables:
                found += f" (in {variables})"
            yield configuration.origins.at(place, wanted=_WANTED[key], found=found, next_step=_NEXT)


def channel_mistakes(configuration: Configuration) -> Iterator[Mistake]:
    """What only a library can tell of a channel; `run` tells it through the others, soon after its start."""
    for number, channel in enumerate(configuration.settings.channels):
        if isinstance(channel, AppriseSettings) and (found := url_mistake(channel.url.reveal())):
            what, _, step = found.partition(". Next: ")
            wanted = f"what Apprise can send to (channel {channel.name})"
            yield configuration.origins.at(("channels", number, "url"), wanted=wanted, found=what, next_step=step)
        if (
            isinstance(channel, WebhookSettings)
            and channel.template
            and (found := template_mistake(channel.template.reveal()))
        ):
            place = ("channels", number, "template")
            yield configuration.origins.at(place, wanted="a template that makes JSON", found=found)


def history_mistakes(configuration: Configuration) -> Iterator[Mistake]:
    """A path at which no file can ever be. `run` and `check` go on from memory all the same."""
    found = mistake_in(Path(configuration.settings.history.path))
    if found is not None and found[1]:
        wanted, step = "a path for a file", "name a file in a folder of its own"
        yield configuration.origins.at(("history", "path"), wanted=wanted, found=found[0], next_step=step)


def _open_file(context: click.Context) -> Iterator[str]:
    if found := readable_secrets(Path(settings_source(context))):
        yield found


def _slack_warnings(settings: Settings) -> Iterator[str]:
    for channel in settings.channels:
        if isinstance(channel, SlackSettings) and (text := slack_warning(channel.webhook_url.reveal())):
            yield f"channel {channel.name}: {text}"


def _untold(settings: Settings) -> Iterator[str]:
    """Databases whose outages are told to nobody, because of what the channels are meant to hear."""
    for database in settings.databases:
        if settings.channels and not any(
            (not one.only or database.name in one.only) and (not one.severities or "critical" in one.severities)
            for one in settings.channels
        ):
            yield (
                f"nobody is told when {database.name} fails. "
                "Next: see `only` and `severities` of the channels, or add one of type log"
            )


def _history_warnings(settings: Settings) -> Iterator[str]:
    """What may be otherwise by the time that the program starts, or for the user that it runs as."""
    found = mistake_in(Path(settings.history.path))
    if found is not None:
        yield f"history.path: {found[0]}; run and check would go on from memory"


def state_warnings(settings: Settings) -> Iterator[str]:
    """What remembers should not be down together with what is checked."""
    url = "" if settings.state is None else settings.state.url.reveal().rstrip("/").lower()
    same = ", ".join(one.name for one in settings.databases if url == one.url.reveal().rstrip("/").lower() != "")
    if same:
        what = f"state: it is the database of {same}, so while that one is down nothing is remembered"
        yield f"{what}. Next: make another one for it in the Upstash console"


def shown(settings: Settings) -> dict[str, Any]:
    """The settings as plain values, secrets masked; what is left out has none."""
    values: dict[str, Any] = settings.model_dump(mode="json", exclude_none=True)
    values["databases"] = [_own_keys_first(database) for database in values["databases"]]
    values["channels"] = [_without_routing_of_all(channel) for channel in values["channels"]]
    return values


def _own_keys_first(database: dict[str, Any]) -> dict[str, Any]:
    database = {"canary": "off", **database}  # off is no value, and yet not left out
    return {key: database[key] for key in sorted(database, key=DatabaseDefaults.model_fields.__contains__)}


def _without_routing_of_all(channel: dict[str, Any]) -> dict[str, Any]:
    routing = {key: channel.pop(key) for key in ChannelRouting.model_fields}
    return channel | {key: value for key, value in routing.items() if value}


def _results(entry: DatabaseSettings | StateSettings) -> Iterator[CheckResult]:
    url, token = entry.url.reveal(), entry.token.reveal()
    yield from filter(None, (inspect(url, _GOOD_TOKEN), inspect(_GOOD_URL, token)))


def _count(settings: Settings) -> str:
    databases, channels = len(settings.databases), len(settings.channels)
    receivers = f"{channels} channel{'s' * (channels != 1)}" if channels else "no channel but the log"
    return f"{databases} database{'s' * (databases != 1)}, {receivers}"


def month_in_words(settings: Settings) -> Iterator[str]:
    """What the schedule sends in 30 days, and what of it is billed."""
    yield f"Commands in 30 days; the free plan has {FREE_PLAN_COMMANDS:,}. PING is not billed, nor is AUTH."
    confirm = settings.alerts.confirm_interval
    costs = [budget(database.interval, confirm, database.canary) for database in settings.databases]
    for database, cost in zip(settings.databases, costs, strict=True):
        yield (
            f"  {database.name}: {cost.checks:,} checks, one every {write_duration(database.interval)}"
            f" + at worst {cost.confirmations:,} confirmations + {cost.canary:,} for the canary{_retries(cost)}"
            f" = at worst {cost.sent:,}, billed {cost.billed:,}"
        )
    sent, billed = sum(cost.sent for cost in costs), sum(cost.billed for cost in costs)
    share = billed / FREE_PLAN_COMMANDS
    yield from _canary_lines(settings)
    yield f"  in all: at worst {sent:,}, billed {billed:,}, which is {share:.1%} of the free plan"
    if settings.state is not None:
        runs = MONTH // USUAL_SCHEDULE
        share = STATE_COMMANDS * runs / FREE_PLAN_COMMANDS
        yield (
            f"  state, in a database of its own: {STATE_COMMANDS} billed commands for each run of `check`; every"
            f" {write_duration(USUAL_SCHEDULE)} {STATE_COMMANDS * runs:,}, {share:.1%} of the free plan"
        )


def _canary_lines(settings: Settings) -> Iterator[str]:
    """What the canary costs and finds, and where it is not sent as often as it is set."""
    canaries = [database.canary for database in settings.databases]
    if None in canaries:
        without = ", ".join(database.name for database in settings.databases if database.canary is None)
        yield f"  no canary for {without}: {CANARY_FINDS} are not noticed"
    if not any(canaries):
        return
    cost = f"{CANARY_COMMANDS} billed commands"
    yield f"  a canary writes, reads back and deletes a key ({cost}): it finds {CANARY_FINDS}"
    if is_forgotten_between_runs(settings, os.environ, is_remembered=settings.state is not None):
        yield "  the history is on no volume: of all runs of `check` only those that start from 00:00 to 00:05 UTC"
        yield "  send one, so none or two a day are possible, and what one found is forgotten with the run"


def _retries(cost: Budget) -> str:
    return f" + at worst {cost.canary_retries:,} while it fails" if cost.canary_retries else ""
