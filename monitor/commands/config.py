"""The word `config`: check the settings, show them as understood, describe them to an editor."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from monitor.commands.options import config_option, load_settings, settings_warnings
from monitor.config_file import locate
from monitor.core.budget import FREE_PLAN_COMMANDS, Budget, budget
from monitor.durations import write_duration
from monitor.settings import DatabaseDefaults, DatabaseSettings, Settings


@click.group()
def command() -> None:
    """Check, show or describe the settings."""


@command.command("check")
@config_option
@click.pass_context
def check(context: click.Context) -> None:
    """Say every mistake at once, with its place; status 3 when there is one."""
    settings = load_settings(context)
    for line in settings_warnings(settings):
        click.echo(f"warning: {line}", err=True)
    source = locate(context.find_root().obj, os.environ) or "the environment"
    click.echo(f"{source}: fine, {_count(settings)}")


@command.command("show")
@config_option
@click.pass_context
def show(context: click.Context) -> None:
    """The settings as understood, secrets masked, and what the schedule costs a month."""
    settings = load_settings(context)
    click.echo(json.dumps(masked(settings), indent=2, ensure_ascii=False))
    click.echo()
    for line in _cost(settings):
        click.echo(line)


@command.command("schema")
def schema() -> None:
    """JSON Schema of config.yaml, for editors."""
    click.echo(json.dumps(file_schema(), indent=2))


def masked(settings: Settings) -> dict[str, Any]:
    """The settings as plain values; of a secret only whether it is set."""
    values: dict[str, Any] = settings.model_dump(mode="json")
    for database, shown in zip(settings.databases, values["databases"], strict=True):
        shown["url"] = _mask(database.url.get_secret_value())
        shown["token"] = _mask(database.token.get_secret_value())
    return values


def file_schema() -> dict[str, Any]:
    """The schema of the file as people write it: with `defaults`, and `${NAME}` wherever a value may stand."""
    described = Settings.model_json_schema(mode="validation")
    defaults = DatabaseDefaults.model_json_schema(mode="validation")
    described["properties"]["defaults"] = {**defaults, "title": "Defaults"}
    described.pop("required", None)  # the environment may give what the file leaves out
    described["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    described["title"] = "upstash-monitor config.yaml"
    allowed: dict[str, Any] = _with_variables(described)
    return allowed


def _with_variables(node: Any) -> Any:
    """Allow a text with a variable in place of a number or a switch."""
    if isinstance(node, list):
        return [_with_variables(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("type") in ("integer", "boolean"):
        return {"anyOf": [node, {"type": "string", "pattern": r"\$\{.+\}"}]}
    if node.get("type") == "string" and "pattern" in node:
        return {**node, "pattern": rf"{node['pattern']}|\$\{{.+\}}"}
    return {key: _with_variables(value) for key, value in node.items()}


def _mask(secret: str) -> str:
    return "********" if secret else "(not set)"


def _count(settings: Settings) -> str:
    databases, channels = len(settings.databases), len(settings.channels)
    told = f"{channels} channel{'s' * (channels != 1)}" if channels else "no channel but the log"
    return f"{databases} database{'s' * (databases != 1)}, {told}"


def _cost(settings: Settings) -> list[str]:
    lines = ["commands in 30 days (free plan: 500,000 billed):"]
    budgets = [_budget(database, settings) for database in settings.databases]
    for database, cost in zip(settings.databases, budgets, strict=True):
        lines.append(
            f"  {database.name}: {cost.looks:,} looks every {write_duration(database.interval)}"
            f" + {cost.confirmations:,} confirmations at worst (PING, not billed)"
            f" + {cost.canary:,} canary (billed) = {cost.billed:,} billed"
        )
    billed = sum(cost.billed for cost in budgets)
    sent = sum(cost.sent for cost in budgets)
    share = billed / FREE_PLAN_COMMANDS
    lines.append(f"  in all: {sent:,} sent at worst, {billed:,} billed, {share:.1%} of the free plan")
    return lines


def _budget(database: DatabaseSettings, settings: Settings) -> Budget:
    return budget(database.interval, settings.alerts.confirm_interval, database.canary)
