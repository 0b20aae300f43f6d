"""Every knob, its default and one sentence on it; nothing here reads a file or the environment.

Reading config.yaml and telling mistakes apart is done in `config_file`.
The shapes follow the contract (docs/configuration.md); the JSON Schema for editors is made from them.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from monitor.durations import parse_duration, write_duration

_ADDRESS = re.compile(r"^(\[[0-9A-Fa-f:.%]+\]|[^\s:/\[\]]+):([0-9]{1,5})$")


def _to_duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError("wanted a duration such as 500ms, 10s, 5m, 1h30m or 7d")
    return parse_duration(value)


def _at_least_a_second(value: timedelta) -> timedelta:
    if value < timedelta(seconds=1):
        raise ValueError("wanted at least 1s")
    return value


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta(0):
        raise ValueError("wanted more than 0s")
    return value


def _address(value: str) -> str:
    match = _ADDRESS.match(value)
    if match is None or not 0 < int(match.group(2)) < 65536:
        raise ValueError("wanted HOST:PORT such as 1.1.1.1:443")
    return value


def _plain_name(value: str) -> str:
    if not value.strip() or value != value.strip():
        raise ValueError("wanted a name without spaces around it")
    if len(value) > 200 or not value.isprintable():
        raise ValueError("wanted at most 200 printable characters")
    return value


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _empty_is_none(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


Duration = Annotated[
    timedelta,
    BeforeValidator(_to_duration),
    AfterValidator(_positive),
    PlainSerializer(write_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9]+(ms|s|m|h|d|w|y))+$", "examples": ["60s"]}),
]
Interval = Annotated[Duration, AfterValidator(_at_least_a_second)]
Name = Annotated[str, AfterValidator(_plain_name)]
Address = Annotated[str, AfterValidator(_address)]
ChatId = Annotated[str, BeforeValidator(_number_as_text), Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class DatabaseDefaults(_Part):
    """The knobs of a database that `defaults` may set for all of them."""

    interval: Interval = Field(timedelta(seconds=60), description="How often it is looked at; at least 1s.")
    timeout: Duration = Field(timedelta(seconds=10), description="The deadline of one whole look, DNS included.")
    slow: Duration | None = Field(None, description="Above this latency a look is slow; left out: no limit.")
    canary: Duration | None = Field(
        None, description="How often a key is written, read back and deleted (billed); off by default."
    )
    worker: bool = Field(default=False, description="Also look through rediss:// as a worker does.")


class DatabaseSettings(DatabaseDefaults):
    """One database: where it is, how to get in, how often to look."""

    name: Name = Field(description="A short unique name; messages begin with it.")
    url: SecretStr = Field(SecretStr(""), description="The REST URL, https://HOST.")
    token: SecretStr = Field(SecretStr(""), description="The REST token.")


class Rule(_Part):
    """An incident opens when `failures` of the last `within` counted looks went wrong."""

    failures: int = Field(ge=1, le=100)
    within: int = Field(ge=1, le=100)

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.failures > self.within:
            raise ValueError("wanted failures to be at most within")
        return self


class AlertSettings(_Part):
    """When trouble becomes an incident, when it is over, and how often it is told again."""

    confirm_interval: Duration = Field(
        timedelta(seconds=10), description="The pause before the next look while a database is in doubt."
    )
    configuration: Rule = Field(Rule(failures=1, within=1), description="URL or token missing or malformed.")
    token: Rule = Field(Rule(failures=2, within=2), description="Token rejected, permission denied.")
    quota: Rule = Field(Rule(failures=2, within=2), description="Quota, suspension, capacity, rate limit.")
    network: Rule = Field(Rule(failures=3, within=5), description="DNS, connection, TLS, timeouts.")
    service: Rule = Field(Rule(failures=3, within=5), description="Server errors and strange answers.")
    mixture: Rule = Field(Rule(failures=3, within=5), description="Failures of any family, counted together.")
    slow: Rule = Field(Rule(failures=5, within=10), description="Answers above the limit `slow`.")
    recovery: int = Field(2, ge=1, le=100, description="Fine looks in a row that close an incident.")
    reminders: tuple[Duration, ...] = Field(
        (timedelta(hours=1), timedelta(hours=4), timedelta(hours=24)),
        description="When an open incident is told again; the last one repeats.",
    )


class SlackSettings(_Part):
    """A Slack incoming webhook."""

    type: Literal["slack"]
    name: Name = "slack"
    webhook_url: SecretStr = Field(min_length=1, description="https://hooks.slack.com/services/…")


class TelegramSettings(_Part):
    """A Telegram bot and the chat it writes to."""

    type: Literal["telegram"]
    name: Name = "telegram"
    bot_token: SecretStr = Field(min_length=1, description="The token that @BotFather gave.")
    chat_id: ChatId = Field(description="A chat's number, or @name of a channel.")
    api_url: str = Field("https://api.telegram.org", description="Another Bot API server.")


class WebhookSettings(_Part):
    """Any other receiver: the notice as JSON."""

    type: Literal["webhook"]
    name: Name = "webhook"
    url: SecretStr = Field(min_length=1, description="Where the notice is posted as JSON.")


class LogSettings(_Part):
    """The log as a channel; used by itself when no other channel is configured."""

    type: Literal["log"]
    name: Name = "log"


ChannelSettings = Annotated[
    SlackSettings | TelegramSettings | WebhookSettings | LogSettings, Field(discriminator="type")
]


class HistorySettings(_Part):
    """The SQLite file."""

    path: str = Field("history.db", min_length=1, description="Where the SQLite file is.")
    keep: Duration = Field(timedelta(days=90), description="How long single looks are kept.")


class StatusPageSettings(_Part):
    """The HTTP server of `run`."""

    host: str = Field("0.0.0.0", min_length=1, description="The address it listens on.")  # noqa: S104 - the contract's default: Railway routes to every address
    port: Annotated[int | None, BeforeValidator(_empty_is_none)] = Field(
        None, ge=0, le=65535, description="No port, no page."
    )


class HeartbeatSettings(_Part):
    """A dead man's switch that is pinged while the monitor does its job."""

    url: Annotated[SecretStr | None, BeforeValidator(_empty_is_none)] = Field(
        None, description="Fetched about once a minute, as healthchecks.io expects."
    )


class LogsSettings(_Part):
    """How the program talks about itself."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["text", "json"] = Field("text", description="text for people, json for Railway.")


def _first_twin(names: list[str]) -> str | None:
    return next((name for index, name in enumerate(names) if name in names[:index]), None)


class Settings(_Part):
    """The whole program's settings, as `wiring` takes them."""

    databases: tuple[DatabaseSettings, ...] = Field(min_length=1, description="What is watched.")
    alerts: AlertSettings = AlertSettings()
    channels: tuple[ChannelSettings, ...] = Field((), description="Who is told; none: the log.")
    controls: tuple[Address, ...] = Field(
        ("1.1.1.1:443", "8.8.8.8:443"),
        description="Hosts that tell our own network's trouble from Upstash's.",
    )
    maintenance: tuple[Any, ...] = Field((), max_length=0, description="Reserved; must be empty for now.")
    history: HistorySettings = HistorySettings()
    status_page: StatusPageSettings = StatusPageSettings()
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    logs: LogsSettings = LogsSettings()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for kind, names in (
            ("databases", [database.name for database in self.databases]),
            ("channels", [channel.name for channel in self.channels]),
        ):
            twin = _first_twin(names)
            if twin is not None:
                raise ValueError(f"two {kind} are named {twin!r}; wanted unique names")
        return self

    def secrets(self) -> tuple[str, ...]:
        """Every value that must never leave the process, for the scrubber."""
        found = [database.token for database in self.databases]
        for channel in self.channels:
            match channel:
                case SlackSettings():
                    found.append(channel.webhook_url)
                case TelegramSettings():
                    found.append(channel.bot_token)
                case WebhookSettings():
                    found.append(channel.url)
                case LogSettings():
                    pass
        if self.heartbeat.url is not None:
            found.append(self.heartbeat.url)
        return tuple(secret.get_secret_value() for secret in found if secret.get_secret_value())
