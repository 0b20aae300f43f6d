"""The command `config`: check the settings, show them as understood, describe them to an editor."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from monitor.alerts.apprise import url_mistake
from monitor.alerts.webhook import template_mistake
from monitor.checks.budget import (
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
from monitor.cli.admin.rules_in_words import rules_in_words, unreachable
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
from monitor.lib.text import Scrubber
from monitor.lib.times import write_duration
from monitor.store.file.open import mistake_in

# For the other half of a pair while one half is inspected.
_GOOD_URL, _GOOD_TOKEN = "https://host.example", "token"
_URL_OUTCOMES = (Outcome.URL_MISSING, Outcome.URL_MALFORMED)
_MISSING = (Outcome.URL_MISSING, Outcome.TOKEN_MISSING)
_WANTED = {"url": "the REST URL, https://HOST", "token": "the REST token"}
_NEXT = "copy it from the database's page in the Upstash console"


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
    if is_forgotten_between_runs(settings, os.environ):
        yield "  the history is on no volume: of all runs of `check` only those that start from 00:00 to 00:05 UTC"
        yield "  send one, so none or two a day are possible, and what one found is forgotten with the run"


def _retries(cost: Budget) -> str:
    return f" + at worst {cost.canary_retries:,} while it fails" if cost.canary_retries else ""
