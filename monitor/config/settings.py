"""Every setting, its default and one sentence on it (docs/configuration.md).

Nothing here reads a file or the environment. The JSON Schema for editors is made from these models.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import ModuleType, SimpleNamespace
from typing import Annotated, Literal, Self, cast

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from monitor.config.setting_types import (
    Address,
    AppriseUrl,
    BotApiUrl,
    BotToken,
    ChatId,
    CronExpression,
    Duration,
    DurationOrOff,
    DurationOrZero,
    Interval,
    KeyPrefix,
    LanguageCode,
    LocalTime,
    Name,
    OptionalName,
    OptionalPassword,
    OptionalSecretUrl,
    PageUrl,
    Port,
    SecretText,
    SecretUrl,
    SlackMention,
    SlackWebhook,
    Switch,
    TimeZone,
    WholeNumber,
)
from monitor.config.windows import Window, local_window, recurring_after, shortest_pause
from monitor.lib.text import Secret

# Else pydantic asks every installed package for plugins: a tenth of the time that `check` takes to start. The
# variable PYDANTIC_DISABLE_PLUGINS saves that alone, and not the 0.5 MB of the modules that would be asked with.
sys.modules.setdefault("pydantic.plugin._loader", cast("ModuleType", SimpleNamespace(get_plugins=tuple)))

# Letters and digits in one long word, within a text that is no secret as a whole.
MAY_BE_SECRET = re.compile(r"(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{12,}")


class _Section(BaseModel):
    # Validators are built for the sections that are validated, which halves the time that this import takes.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, defer_build=True)


class DatabaseDefaults(_Section):
    """The settings of a database that `defaults` may give to all of them."""

    interval: Interval = Field(timedelta(seconds=60), description="How often it is checked; at least 1s.")
    timeout: Duration = Field(timedelta(seconds=10), description="The deadline of one whole check, DNS included.")
    slow: Duration | None = Field(None, description="Above this latency a check is slow; left out: no limit.")
    canary: DurationOrOff = Field(
        timedelta(days=1), description="How often a key is written, read back and deleted: three billed commands."
    )
    canary_prefix: KeyPrefix = Field(
        "upstash-monitor:canary:", description="What the names of those keys begin with."
    )
    worker: Switch = Field(default=False, description="Also check through rediss:// as a worker does.")


class DatabaseSettings(DatabaseDefaults):
    """One database: where it is, its credentials, how often it is checked."""

    name: Name = Field(description="A short unique name; messages begin with it.")
    url: SecretText = Field(Secret(""), description="The REST URL, https://HOST.")
    token: SecretText = Field(Secret(""), description="The REST token.")
    # Private, so that no file can set them and the JSON Schema does not show them; a copy keeps them.
    _url_variable: str = PrivateAttr("")
    _token_variable: str = PrivateAttr("")

    @property
    def url_variable(self) -> str:
        """The environment variable that the URL is read from; empty: it is put together in the file."""
        return self._url_variable

    @property
    def token_variable(self) -> str:
        """The environment variable that the token is read from, as `url_variable`."""
        return self._token_variable

    def with_variables(self, *, url: str, token: str) -> Self:
        """The same database, read from the environment variables of these names."""
        copy = self.model_copy()
        copy._url_variable, copy._token_variable = url, token
        return copy

    def with_credentials(self, *, url: str, token: str) -> Self:
        """The same database with other credentials; its variables are still those that it was read from."""
        return self.model_copy(update={"url": Secret(url), "token": Secret(token)})


class Rule(_Section):
    """An incident opens when `failures` of the last `of` counted checks went wrong."""

    failures: WholeNumber = Field(ge=1, le=100)
    of: WholeNumber = Field(
        default_factory=lambda values: values["failures"], ge=1, le=100, description="Left out: as `failures`."
    )

    @model_validator(mode="after")
    def _can_be_reached(self) -> Self:
        if self.failures > self.of:
            raise ValueError(f"wanted failures to be at most `of`, which is {self.of}")
        return self


class InARow(_Section):
    """An incident opens when so many checks in a row went wrong in this way."""

    failures: WholeNumber = Field(ge=1, le=100)


class EvidenceRule(_Section):
    """An incident opens when failures outweigh what speaks against them, and not before `for` has passed.

    A failure weighs three times what a fine check does, so `failures` in a row are needed, or as many with one
    fine check among them.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    failures: WholeNumber = Field(4, ge=1, le=100, description="How many in a row are enough.")
    lasting: DurationOrZero = Field(
        timedelta(seconds=40), alias="for", description="From the first that counts to the one that opens."
    )


class FlappingRule(_Section):
    """A database is unstable when `times` runs of failures began `within` this time; 0s turns it off."""

    times: WholeNumber = Field(8, ge=2, le=100, description="Runs of failures, with fine checks between them.")
    within: DurationOrZero = Field(
        timedelta(minutes=20), description="An incident that opens again so soon is the same one."
    )


class RecoveryRule(_Section):
    """An incident is over after `checks` fine checks without a failure, and not before `for` has passed."""

    model_config = ConfigDict(serialize_by_alias=True)

    checks: WholeNumber = Field(2, ge=1, le=100, description="In a row; enough for configuration, token, quota.")
    lasting: DurationOrZero = Field(
        timedelta(minutes=2), alias="for", description="Since when it is fine, for all others."
    )


class AlertSettings(_Section):
    """When trouble becomes an incident, when it is over, and how often it is told again."""

    language: LanguageCode = Field("en", description="What messages and the page are written in: en or ru.")
    confirm_interval: Duration = Field(
        timedelta(seconds=5), description="The pause before the next check while a database is in doubt."
    )
    configuration: InARow = Field(InARow(failures=1), description="URL or token missing or malformed.")
    token: InARow = Field(InARow(failures=2), description="Token rejected, permission denied.")
    quota: InARow = Field(InARow(failures=2), description="Quota, suspension, capacity, rate limit.")
    failing: EvidenceRule = Field(EvidenceRule(), description="Failures of any kind, these included.")
    slow: Rule = Field(Rule(failures=5, of=10), description="Answers above the limit `slow`.")
    flapping: FlappingRule = Field(FlappingRule(), description="When a database is unstable.")
    recovery: RecoveryRule = Field(RecoveryRule(), description="When an incident is over.")
    group_within: DurationOrZero = Field(
        timedelta(seconds=60),
        description="Openings, reminders and ends of one cause so close are told in one message; 0s turns it off.",
    )
    reminders: tuple[Duration, ...] = Field(
        (timedelta(hours=1), timedelta(hours=4), timedelta(hours=24)),
        description="When an open incident is told again; the last one repeats.",
    )
    diagnose: Switch = Field(
        default=True, description="Ask the doctor when an incident opens; the message waits 10 s at most."
    )


class ChannelRouting(_Section):
    """What every channel may have: which notifications it is meant to hear."""

    only: tuple[str, ...] = Field(
        (), min_length=1, description="The databases that it is told of, by name; left out: all."
    )
    severities: tuple[Literal["critical", "warning"], ...] = Field(
        (), min_length=1, description="How severe what it is told of must be; left out: all."
    )


class SlackSettings(ChannelRouting):
    """A Slack incoming webhook."""

    type: Literal["slack"]
    name: Name = "slack"
    webhook_url: SlackWebhook = Field(description="https://hooks.slack.com/services/…")
    mention: SlackMention = Field(
        "", description="Whom a critical opening calls: <!here>, <!channel>, <@U…> or <!subteam^S…>."
    )


class TelegramSettings(ChannelRouting):
    """A Telegram bot and the chat it writes to."""

    type: Literal["telegram"]
    name: Name = "telegram"
    bot_token: BotToken = Field(description="The token that @BotFather gave.")
    chat_id: ChatId = Field(description="A chat's number, or @name of a channel.")
    topic: WholeNumber | None = Field(None, ge=1, le=2**53, description="The topic of a forum: message_thread_id.")
    api_url: BotApiUrl = Field("https://api.telegram.org", description="Another Bot API server.")


class WebhookSettings(ChannelRouting):
    """Any other receiver: the notification as JSON."""

    type: Literal["webhook"]
    name: Name = "webhook"
    url: SecretUrl = Field(description="Where the notification is posted as JSON.")
    template: SecretText = Field(
        Secret(""), description="Jinja2 that makes another JSON of the notification (docs/webhook.md)."
    )


class AppriseSettings(ChannelRouting):
    """Any service that Apprise knows; an optional extra: pip install 'upstash-monitor[apprise]'."""

    type: Literal["apprise"]
    name: Name = "apprise"
    url: AppriseUrl = Field(description="An Apprise URL, such as ntfy://topic or discord://ID/TOKEN.")


class LogSettings(ChannelRouting):
    """The log as a channel; used by itself when no other channel is configured."""

    type: Literal["log"]
    name: Name = "log"


ChannelSettings = Annotated[
    SlackSettings | TelegramSettings | WebhookSettings | AppriseSettings | LogSettings, Field(discriminator="type")
]


class MaintenanceSettings(_Section):
    """One or many windows of time: `cron` and `for`, or `from` and `to`."""

    model_config = ConfigDict(serialize_by_alias=True)

    databases: tuple[str, ...] = Field((), min_length=1, description="Which, by name; left out: all.")
    cron: CronExpression | None = Field(None, description="When it begins, again and again.")
    lasting: Duration | None = Field(None, alias="for", description="How long each lasts that begins by `cron`.")
    start: LocalTime | None = Field(None, alias="from", description="When a single one begins.")
    end: LocalTime | None = Field(None, alias="to", description="When that one is over.")
    timezone: TimeZone = Field("UTC", description="The zone of these times, such as Europe/Berlin.")

    @model_validator(mode="after")
    def _is_one_or_recurring(self) -> Self:
        recurring, single = (self.cron, self.lasting), (self.start, self.end)
        if not (None not in recurring and single == (None, None)) and not (
            None not in single and recurring == (None, None)
        ):
            raise ValueError("wanted either `cron` and `for`, or `from` and `to`")
        if self.cron and self.lasting and self.lasting >= shortest_pause(self.cron):
            raise ValueError("wanted a window that ends before the next begins; this one never does")
        if self.start and self.end and self.start >= self.end:
            raise ValueError("wanted `from` to be before `to`")
        return self

    def is_of(self, database: str) -> bool:
        """True where a database is meant."""
        return not self.databases or database in self.databases

    def window_after(self, moment: datetime) -> Window | None:
        """The window in which a moment is, or else the next one; `None` where none comes."""
        if self.cron and self.lasting:
            return recurring_after(self.cron, self.lasting, self.timezone, moment)
        if self.start and self.end:
            window = local_window(self.start, self.end, self.timezone)
            return window if window.end > moment else None
        return None


class HistorySettings(_Section):
    """The SQLite file."""

    path: str = Field("history.db", min_length=1, description="Where the SQLite file is.")
    keep: Duration = Field(timedelta(days=90), description="How long single checks are kept.")


class StateSettings(_Section):
    """A second Upstash database that remembers for a `check` without a disk."""

    url: SecretText = Field(Secret(""), description="The REST URL of that database, https://HOST.")
    token: SecretText = Field(Secret(""), description="Its REST token; it must be allowed to write.")
    key: KeyPrefix = Field("upstash-monitor:state", description="The key that holds what is remembered.")


class PageSettings(_Section):
    """The HTTP server of `run`."""

    host: str = Field("0.0.0.0", min_length=1, description="The address it listens on.")  # noqa: S104 - the contract's default: Railway routes to every address
    port: Port = Field(None, ge=0, le=65535, description="No port, no page; 0 takes any that is free.")
    password: OptionalPassword = Field(
        None, description="Asked for by everything but /healthz; left out: nobody is."
    )
    title: str = Field("upstash-monitor", min_length=1, description="The name at the head of the page.")
    url: PageUrl = Field(None, description="Where people reach the page; messages link to it.")


class HeartbeatSettings(_Section):
    """A dead man's switch that is pinged while the monitor does its job."""

    url: OptionalSecretUrl = Field(None, description="Fetched about once a minute, and by each `check`.")


class DoctorSettings(_Section):
    """What the doctor needs beyond the databases: the worker, and the services that it asks."""

    service: str = Field("worker", min_length=1, description="The worker's service on Railway, by its name.")
    worker_port: int = Field(6379, ge=1, le=65535, description="The port of the worker's rediss:// URL.")
    status_url: str = Field(
        "https://status.upstash.com", description="The provider's status page; empty: not asked."
    )
    console_url: str = Field("https://api.upstash.com", description="The Upstash Developer API.")
    railway_url: str = Field("https://backboard.railway.com/graphql/v2", description="Railway's GraphQL API.")


class LogsSettings(_Section):
    """The program's own log."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["text", "json"] = Field("text", description="text for people, json for Railway.")


@dataclass(frozen=True, kw_only=True, slots=True)
class UnusablePart:
    """A part that is left out because a value of it cannot be right: its name, and the mistake in one line."""

    name: str
    mistake: str


class Settings(_Section):
    """The settings of the whole program."""

    environment: OptionalName = Field(None, description="Shown in messages: main (staging): token rejected.")
    databases: tuple[DatabaseSettings, ...] = Field(min_length=1, description="What is watched.")
    alerts: AlertSettings = AlertSettings()
    channels: tuple[ChannelSettings, ...] = Field((), description="Who is told; none: the log.")
    connectivity: tuple[Address, ...] = Field(
        ("1.1.1.1:443", "8.8.8.8:443"),
        description="Hosts that tell our own network's trouble from Upstash's.",
    )
    maintenance: tuple[MaintenanceSettings, ...] = Field(
        (), description="When trouble is expected: what happens then is told when it is over."
    )
    history: HistorySettings = HistorySettings()
    state: StateSettings | None = Field(
        None, description="A second Upstash database that remembers for a `check` without a disk."
    )
    region: OptionalName = Field(
        None, description="Where this monitor runs: a label of its metrics, shown in messages."
    )
    page: PageSettings = PageSettings()
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    doctor: DoctorSettings = DoctorSettings()
    logs: LogsSettings = LogsSettings()
    # As with a database's variables: no file can set them, and a copy keeps them.
    _unusable: tuple[UnusablePart, ...] = PrivateAttr(())
    _unusable_secrets: tuple[str, ...] = PrivateAttr(())

    @property
    def unusable(self) -> tuple[UnusablePart, ...]:
        """What is left out of these settings, though it was meant to be in them."""
        return self._unusable

    def with_unusable(self, parts: tuple[UnusablePart, ...], secrets: tuple[str, ...]) -> Self:
        """The same settings, with what was left out of them and the values of it that must stay secret."""
        copy = self.model_copy()
        copy._unusable, copy._unusable_secrets = parts, secrets
        return copy

    def secrets(self) -> tuple[str, ...]:
        """Every value that must never leave the process, for the scrubber."""
        # A URL that was pasted wrong may hold the token, or be it.
        found = [secret for database in self.databases for secret in (database.token, database.url)]
        for channel in self.channels:
            match channel:
                case SlackSettings():
                    found.append(channel.webhook_url)
                case TelegramSettings():
                    found.append(channel.bot_token)
                case WebhookSettings():
                    found.append(channel.url)
                    # What looks like a key in it: the rest is in every log, and hiding it would blacken them.
                    found += map(Secret, MAY_BE_SECRET.findall(channel.template.reveal()))
                case AppriseSettings():
                    # In the place of a host there may be a token.
                    found += [channel.url, Secret(channel.url.reveal().partition("://")[2])]
                case LogSettings():
                    pass
        if self.state is not None:
            found += [self.state.token, self.state.url]
        if self.heartbeat.url is not None:
            found.append(self.heartbeat.url)
        if self.page.password is not None:
            found.append(self.page.password)
        return (*(secret.reveal() for secret in found if secret.reveal()), *self._unusable_secrets)
