"""config.yaml and the environment become Settings, or a list of mistakes (docs/configuration.md).

The knobs and their defaults stand in `settings`; reading YAML strictly, in `config_yaml`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.config_yaml import ConfigMistakesError, Document, Mistake, Path_, read_document
from monitor.settings import (
    AlertSettings,
    DatabaseDefaults,
    DatabaseSettings,
    HeartbeatSettings,
    HistorySettings,
    LogSettings,
    LogsSettings,
    Rule,
    Settings,
    SlackSettings,
    StatusPageSettings,
    TelegramSettings,
    WebhookSettings,
)

URL_VARIABLE, TOKEN_VARIABLE = "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"
_PLACEHOLDER = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_SECRET_KEYS = {"url", "token", "webhook_url", "bot_token", "chat_id"}
_CHANNELS: dict[str, type[BaseModel]] = {
    "slack": SlackSettings,
    "telegram": TelegramSettings,
    "webhook": WebhookSettings,
    "log": LogSettings,
}
_SECTIONS: dict[str, type[BaseModel]] = {
    "defaults": DatabaseDefaults,
    "databases": DatabaseSettings,
    "alerts": AlertSettings,
    "history": HistorySettings,
    "status_page": StatusPageSettings,
    "heartbeat": HeartbeatSettings,
    "logs": LogsSettings,
}


@dataclass(kw_only=True, slots=True)
class _Reading:
    """One reading of a configuration: where values came from, and what was wrong so far."""

    environ: Mapping[str, str]
    document: Document
    mistakes: list[Mistake] = field(default_factory=list)
    from_variable: set[Path_] = field(default_factory=set)


def locate(option: str | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read: `--config`, else `$MONITOR_CONFIG`, else ./config.yaml if there is one, else none."""
    chosen = option or environ.get("MONITOR_CONFIG")
    if chosen:
        return Path(chosen)
    usual = Path("config.yaml")
    return usual if usual.exists() else None


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The settings of a file, or of the environment alone; raises `ConfigMistakesError` with all mistakes."""
    document = read_document(path) if path is not None else Document()
    reading = _Reading(environ=environ, document=document)
    values = _without_nothing(_expanded(document.values, (), reading))
    if path is None:
        values |= _from_environment_alone(environ)
    if isinstance(values.get("history", {}), dict) and environ.get("RAILWAY_VOLUME_MOUNT_PATH"):
        default = f"{environ['RAILWAY_VOLUME_MOUNT_PATH'].rstrip('/')}/history.db"
        values["history"] = {"path": default} | values.get("history", {})
    values.setdefault("databases", [_implicit_database(environ)])
    values.setdefault("channels", _implicit_channels(environ))
    defaults = _take_defaults(values, reading)
    databases = values["databases"]
    if isinstance(databases, list):
        values["databases"] = [{**defaults, **entry} if isinstance(entry, dict) else entry for entry in databases]
    _find_twins(values, reading)
    settings: Settings | None = _validated(Settings, values, (), reading)
    if reading.mistakes or settings is None:
        raise ConfigMistakesError(_in_order(reading.mistakes))
    return settings


def warnings(settings: Settings, environ: Mapping[str, str]) -> tuple[str, ...]:
    """What is allowed and yet worth a line at the start."""
    found = []
    for database in settings.databases:
        if database.canary is not None:
            found.append(f"{database.name}: canary is set, but this release does not write one yet")
        if database.worker:
            found.append(f"{database.name}: worker is set, but this release does not look through rediss:// yet")
    bot, chat = environ.get("TELEGRAM_BOT_TOKEN"), environ.get("TELEGRAM_CHAT_ID")
    if bool(bot) != bool(chat) and not any(isinstance(one, TelegramSettings) for one in settings.channels):
        found.append("only one of TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID is set, so Telegram is not used")
    return tuple(found)


def _from_environment_alone(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if environ.get("PORT"):
        values["status_page"] = {"port": environ["PORT"]}
    if environ.get("HEARTBEAT_URL"):
        values["heartbeat"] = {"url": environ["HEARTBEAT_URL"]}
    return values


def _implicit_database(environ: Mapping[str, str]) -> dict[str, Any]:
    return {"name": "main", "url": environ.get(URL_VARIABLE, ""), "token": environ.get(TOKEN_VARIABLE, "")}


def _implicit_channels(environ: Mapping[str, str]) -> list[dict[str, Any]]:
    channels = []
    if environ.get("SLACK_WEBHOOK_URL"):
        channels.append({"type": "slack", "webhook_url": environ["SLACK_WEBHOOK_URL"]})
    if environ.get("TELEGRAM_BOT_TOKEN") and environ.get("TELEGRAM_CHAT_ID"):
        token, chat = environ["TELEGRAM_BOT_TOKEN"], environ["TELEGRAM_CHAT_ID"]
        channels.append({"type": "telegram", "bot_token": token, "chat_id": chat})
    return channels


def _expanded(value: Any, place: Path_, reading: _Reading) -> Any:
    """Put variables in place of `${NAME}`; what they hold is text and never read as YAML again."""
    if isinstance(value, dict):
        return {key: _expanded(item, (*place, key), reading) for key, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item, (*place, number), reading) for number, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value

    def fill(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        if name is None:
            return "$"
        reading.from_variable.add(place)
        content = reading.environ.get(name)
        if default is not None:
            return content or default
        if content is None and not _may_be_unset(place):
            _complain(
                reading, place, f"the variable {name} to be set", "", f"set it, or write ${{{name}:-default}}"
            )
        return content or ""

    return _PLACEHOLDER.sub(fill, value)


def _may_be_unset(place: Path_) -> bool:
    """A database without URL or token is an outcome that is alerted, not a refusal to start."""
    return len(place) == 3 and place[0] == "databases" and place[2] in ("url", "token")


def _without_nothing(value: Any) -> Any:
    """A key with nothing behind it is a key left out."""
    if isinstance(value, dict):
        return {key: _without_nothing(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nothing(item) for item in value]
    return value


def _take_defaults(values: dict[str, Any], reading: _Reading) -> dict[str, Any]:
    defaults = values.pop("defaults", {})
    if _validated(DatabaseDefaults, defaults, ("defaults",), reading) is None:
        return {}
    return dict(defaults)


def _find_twins(values: dict[str, Any], reading: _Reading) -> None:
    for kind in ("databases", "channels"):
        names: set[Any] = set()
        entries = values[kind] if isinstance(values[kind], list) else []
        for number, entry in enumerate(entries):
            name = entry.get("name", entry.get("type")) if isinstance(entry, dict) else None
            if isinstance(name, str) and name in names:
                _complain(reading, (kind, number, "name"), "a name of its own", f"{name!r} again", "rename one")
            elif isinstance(name, str):
                names.add(name)


def _validated(model: type[BaseModel], values: Any, place: Path_, reading: _Reading) -> Any:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False):
            # Twins are found before, with their place; the model says it once more for those who skip this file.
            if detail["loc"] or place:
                _explain(detail, place, reading)
        return None


def _explain(detail: ErrorDetails, place: Path_, reading: _Reading) -> None:
    parts = list(detail["loc"])
    if parts[:1] == ["channels"] and len(parts) > 2:
        del parts[2]  # pydantic names the kind of channel there
    full = (*place, *parts)
    if detail["type"] == "extra_forbidden":
        key, known = str(full[-1]), _known_names(full[:-1], reading.document.values)
        near = difflib.get_close_matches(key, known, 1)
        step = f"did you mean {near[0]}?" if near else ""
        _complain(reading, full, f"one of {', '.join(known)}", f"the key {key!r}", step)
        return
    wanted = re.sub(r"^(Value error, )?(wanted |Input should be )?", "", detail["msg"])
    missing = detail["type"] == "missing"
    found = "nothing" if missing else _show(detail["input"], full, reading)
    if missing:
        wanted = "a value"
    elif detail["type"] == "string_type" and isinstance(detail["input"], int | float | bool):
        _complain(reading, full, "text", found, "put it in quotes")
        return
    _complain(reading, full, wanted, found, "")


def _show(value: Any, place: Path_, reading: _Reading) -> str:
    """What was found, unless it may be a secret: then only that there was something."""
    if place in reading.from_variable or (place and place[-1] in _SECRET_KEYS):
        return "the value of a variable that is not fit" if place in reading.from_variable else "something else"
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"


def _known_names(place: Path_, values: dict[str, Any]) -> list[str]:
    if not place:
        return ["databases", "defaults", "alerts", "channels", "controls", "maintenance", *list(_SECTIONS)[3:]]
    section = str(place[0])
    if section == "channels" and len(place) > 1:
        try:
            kind = values["channels"][place[1]]["type"]
        except (KeyError, IndexError, TypeError):
            return ["type", "name"]
        return list(_CHANNELS.get(kind, LogSettings).model_fields)
    if section == "alerts" and len(place) > 1:
        return list(Rule.model_fields)
    return list(_SECTIONS[section].model_fields) if section in _SECTIONS else []


def _complain(reading: _Reading, place: Path_, wanted: str, found: str, next_step: str) -> None:
    line = next(
        (
            reading.document.lines[place[:end]]
            for end in range(len(place), 0, -1)
            if place[:end] in reading.document.lines
        ),
        None,
    )
    reading.mistakes.append(
        Mistake(place=_say_place(place), wanted=wanted, found=found, next_step=next_step, line=line)
    )


def _say_place(place: Path_) -> str:
    said = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return said.lstrip(".") or "the settings"


def _in_order(mistakes: list[Mistake]) -> list[Mistake]:
    return sorted(mistakes, key=lambda mistake: (mistake.line or 0, mistake.place))
