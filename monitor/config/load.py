"""config.yaml and the environment become Settings, or a list of mistakes (docs/configuration.md)."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from monitor.config.mistakes import (
    SECRETS,
    ConfigMistakesError,
    Mistake,
    Mistakes,
    Place,
    explain,
    format_place,
    is_word,
    nearest,
)
from monitor.config.settings import MAY_BE_SECRET, DatabaseDefaults, Settings, TelegramSettings, UnusablePart
from monitor.config.strict_yaml import Document, read_document

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"\$\$|\$\{{(?P<name>{_NAME})(?::-(?P<default>(?:\$\$|[^${{}}])*))?\}}|(?P<broken>\$\{{)")


_USUAL_FILE = "config.yaml"
# Where URL and token stand without `databases`: the first pair of which something is set, else the first pair.
_USUAL_PAIRS = (
    ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"),
    ("KV_REST_API_URL", "KV_REST_API_TOKEN"),  # Vercel's integration
)
# Which channels there are without `channels`, and the variables that must be set for each.
_USUAL_CHANNELS: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = (
    (("SLACK_WEBHOOK_URL",), {"type": "slack", "webhook_url": "${SLACK_WEBHOOK_URL}"}),
    (
        ("TELEGRAM_BOT_TOKEN", "TELEGRAM_CHAT_ID"),
        {"type": "telegram", "bot_token": "${TELEGRAM_BOT_TOKEN}", "chat_id": "${TELEGRAM_CHAT_ID}"},
    ),
)
# What remembers for a `check` without a disk, without `state`; both must be set.
_STATE_PAIR = ("STATE_REDIS_REST_URL", "STATE_REDIS_REST_TOKEN")
# What a part without its only value is called.
_PARTS: dict[Place, str] = {("page", "port"): "page", ("heartbeat", "url"): "heartbeat"}
# What says where a channel sends, and with which key.
_CHANNEL_VALUES = ("webhook_url", "bot_token", "chat_id", "api_url", "url")
_PASSWORD: Place = ("page", "password")
_PAGE_URL: Place = ("page", "url")
_VOLUME = "RAILWAY_VOLUME_MOUNT_PATH"
# What else the environment gives for a key that the file does not set, and the variable that must hold something.
_GIVEN: tuple[tuple[Place, str, str], ...] = (
    (("page", "port"), "PORT", "${PORT}"),
    (_PASSWORD, "STATUS_PASSWORD", "${STATUS_PASSWORD}"),
    (("heartbeat", "url"), "HEARTBEAT_URL", "${HEARTBEAT_URL}"),
    (("history", "path"), _VOLUME, f"${{{_VOLUME}}}/history.db"),
    (("environment",), "RAILWAY_ENVIRONMENT_NAME", "${RAILWAY_ENVIRONMENT_NAME}"),
    (_PAGE_URL, "RAILWAY_PUBLIC_DOMAIN", "${RAILWAY_PUBLIC_DOMAIN}"),
)
# What is otherwise on Railway, unless the file sets it: its log reads JSON, and the private network of older
# environments is IPv6 only (docs.railway.com, private networking); `::` is IPv4 as well.
_ON_RAILWAY: tuple[tuple[Place, str], ...] = ((("logs", "format"), "json"), (("page", "host"), "::"))
# What may be set anywhere, for the doctor.
_RAILWAY_KEYS = ("RAILWAY_TOKEN", "RAILWAY_API_TOKEN", "RAILWAY_PROJECT_ID", "RAILWAY_ENVIRONMENT_ID")
Section = TypeVar("Section", bound=BaseModel)
_FILE, _FOLDER = "SSL_CERT_FILE", "SSL_CERT_DIR"
_NEXT = "correct {}, or unset it to trust certifi's list"


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """The settings, and where each of their values came from.

    `mistakes` are those of parts that were left out, so that the rest goes on (`Settings.unusable`).
    """

    settings: Settings
    origins: Mistakes
    mistakes: tuple[Mistake, ...] = ()


def locate(option: str | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read: `--config`, else `$MONITOR_CONFIG`, else ./config.yaml if there is one, else none."""
    chosen = option or environ.get("MONITOR_CONFIG")
    if chosen:
        return Path(chosen)
    try:
        # A link that leads nowhere is a file that cannot be read, not one that is not there.
        os.lstat(_USUAL_FILE)
    except FileNotFoundError:
        return None
    except OSError:
        pass  # in a folder that may not be searched there may be one; reading it tells what is wrong
    return Path(_USUAL_FILE)


def read(path: Path | None, environ: Mapping[str, str]) -> Configuration:
    """The settings of a file, or of the environment alone; raises `ConfigMistakesError` with all mistakes.

    Where only values of a channel, the heartbeat's URL or a port from the environment are wrong, those parts are
    left out (docs/decisions/0015): one mistake must not silence the rest.
    """
    document = read_document(path) if path is not None else Document(values={})
    mistakes = document.mistakes
    values: dict[str, Any] = _expand(document.values, (), environ, mistakes)
    for key, implied in _implied(environ).items():
        if key not in values:
            values[key] = _expand(implied, (key,), environ, mistakes)
    _take_given(values, document.values, environ, mistakes)
    _apply_defaults(values, mistakes)
    _find_equal_names(values, mistakes)
    _find_unknown_databases(values, mistakes)
    _check_certificates(environ, mistakes)
    is_file_right = not mistakes.by_place
    settings = _validated(Settings, values, (), mistakes)
    left_out: tuple[Mistake, ...] = ()
    if (
        settings is None
        and is_file_right
        and all(_is_of_a_part(one, values, mistakes) for one in mistakes.by_place)
    ):
        left_out = tuple(mistakes.in_order())
        settings = _without_parts(values, mistakes)
    if settings is None or (mistakes.by_place and not left_out):
        raise ConfigMistakesError(mistakes.in_order())
    return Configuration(settings=_with_variables(settings, mistakes), origins=mistakes, mistakes=left_out)


def _is_of_a_part(place: Place, values: dict[str, Any], mistakes: Mistakes) -> bool:
    """True for a value without which the watch goes on; a key that is missing or unknown is a mistake of the file.

    A port, the page's address and where we are count only where they come from the environment: the platform gives
    them, and nobody wrote them down.
    """
    match place:
        case ("channels", int(number), str(key)) if key in _CHANNEL_VALUES:
            return key in values["channels"][number] or place in mistakes.variables
        case ("heartbeat", "url"):
            return True
        case ("page", "port" | "url") | ("environment",) | ("region",):
            return place in mistakes.variables
    return False


def _without_parts(values: dict[str, Any], mistakes: Mistakes) -> Settings | None:
    """The settings without the parts that a mistake is in."""
    parts: dict[str, str] = {}
    secrets: list[str] = []
    rest, channels = dict(values), dict(enumerate(values.get("channels", ())))
    for place, mistake in mistakes.by_place.items():
        if place[0] == "channels":
            entry = values["channels"][place[1]]
            channels.pop(int(place[1]), None)
            parts.setdefault(f"channel {entry.get('name', entry['type'])}", str(mistake))
            secrets += [str(entry[key]) for key in _CHANNEL_VALUES if key in entry]
        else:
            secrets.append(str(_remove(rest, place)))
            parts[_PARTS.get(place) or format_place(place)] = str(mistake)
    rest["channels"] = list(channels.values())
    settings = _validated(Settings, rest, (), mistakes)
    if settings is None:
        return None
    unusable = tuple(UnusablePart(name=name, mistake=mistake) for name, mistake in parts.items())
    # A word that anybody may write is no secret, and hiding it would make the mistake unreadable.
    return settings.with_unusable(unusable, tuple(run for one in secrets for run in MAY_BE_SECRET.findall(one)))


def _remove(values: dict[str, Any], place: Place) -> Any:
    """Take a value out of the settings, whose other sections stay the same objects, and return it."""
    if len(place) == 1:
        return values.pop(str(place[0]))
    section = dict(values[str(place[0])])
    values[str(place[0])] = section
    return section.pop(str(place[1]))


def warnings(settings: Settings, environ: Mapping[str, str], *, each_run: bool = False) -> tuple[str, ...]:
    """What is allowed and yet worth a line at the start.

    For `check` the disk may be empty at `each_run`, and is not missed where there is `state`.
    """
    found = []
    bot, chat = environ.get("TELEGRAM_BOT_TOKEN"), environ.get("TELEGRAM_CHAT_ID")
    if bool(bot) != bool(chat) and not any(isinstance(one, TelegramSettings) for one in settings.channels):
        found.append("only one of TELEGRAM_BOT_TOKEN and TELEGRAM_CHAT_ID is set, so Telegram is not used")
    if settings.state is None and any(map(environ.get, _STATE_PAIR)) and not all(map(environ.get, _STATE_PAIR)):
        found.append(f"only one of {' and '.join(_STATE_PAIR)} is set, so no state is read or written")
    if not _is_disk_kept(settings, environ) and not (each_run and settings.state):
        found.append(_disk_warning(environ.get(_VOLUME), each_run=each_run))
    return tuple(found)


def _disk_warning(volume: str | None, *, each_run: bool) -> str:
    """Railway's disk is thrown away with each deployment, and each run by cron has another."""
    where = f"the history is not on the volume at {volume}" if volume else "no Railway volume"
    if each_run:
        lost = "all is forgotten with each run, so each run alerts again, and none tells the recovery"
        return f"{where}, and no state: {lost}. Next: set {' and '.join(_STATE_PAIR)} (docs/railway.md)"
    step = "leave history.path out" if volume else "attach one (docs/railway.md)"
    return f"{where}: {'it' if volume else 'the history'} is lost with each deployment. Next: {step}"


def readable_secrets(path: Path) -> str | None:
    """A warning where a file with secrets in it may be read by every user of the machine."""
    try:
        found = path.stat()
        if not found.st_mode & stat.S_IROTH or not _holds_secrets(read_document(path).values):
            return None
    except (OSError, ConfigMistakesError):
        return None
    return f"{path} holds secrets and every user may read it. Next: {_own(path, found)}, or name variables in it"


def _own(path: Path, found: os.stat_result) -> str:
    """What makes a file readable for this process alone. One of another user's must become ours first.

    A mode of 600 alone would keep this process from its next start.
    """
    user = os.geteuid()
    chown = "" if found.st_uid == user else f"chown {user} {path} && "
    return f"{chown}chmod 600 {path}"


def _holds_secrets(values: Any, secrets: set[str] = SECRETS) -> bool:
    if isinstance(values, dict):
        return any(
            (key in secrets and isinstance(one, str) and one and "${" not in one)
            or _holds_secrets(one, secrets - {"url"} if key == "page" else secrets)
            for key, one in values.items()
            if key != "doctor"
        )
    return isinstance(values, list) and any(_holds_secrets(one, secrets) for one in values)


def is_on_railway(environ: Mapping[str, str]) -> bool:
    """True inside a Railway service, which has many such variables; the doctor's keys may be set anywhere."""
    return any(name.startswith("RAILWAY_") and name not in _RAILWAY_KEYS for name in environ)


def is_forgotten_between_runs(settings: Settings, environ: Mapping[str, str], *, is_remembered: bool) -> bool:
    """True where nothing goes from run to run: `is_remembered` by no `state`, and the disk may be empty each time.

    With `state` that may be anywhere, since it is for those without a disk; and one that holds nothing may be one
    that cannot be written. The disk may hold a history file all the same, and what that remembers counts.
    """
    return not is_remembered and (settings.state is not None or not _is_disk_kept(settings, environ))


def _is_disk_kept(settings: Settings, environ: Mapping[str, str]) -> bool:
    """False on Railway with the history on no volume (docs.railway.com, volumes)."""
    volume = environ.get(_VOLUME)
    is_on_volume = volume and Path(settings.history.path).absolute().is_relative_to(volume)
    return not is_on_railway(environ) or bool(is_on_volume)


def _implied(environ: Mapping[str, str]) -> dict[str, Any]:
    """What the environment gives where the file has nothing."""
    channels = [channel for needed, channel in _USUAL_CHANNELS if all(environ.get(name) for name in needed)]
    pairs = (pair for pair in _USUAL_PAIRS if any(environ.get(name, "").strip() for name in pair))
    url, token = next(pairs, _USUAL_PAIRS[0])
    database = {"name": "main", "url": f"${{{url}}}", "token": f"${{{token}}}"}
    state_url, state_token = _STATE_PAIR
    state = {"url": f"${{{state_url}}}", "token": f"${{{state_token}}}"}
    remembered = {"state": state} if all(environ.get(name) for name in _STATE_PAIR) else {}
    return {"databases": [database], "channels": channels, **remembered}


def _take_given(
    values: dict[str, Any], written: dict[str, Any], environ: Mapping[str, str], mistakes: Mistakes
) -> None:
    """Put what the environment gives into `values`, for each key that the file does not set.

    `written` are the values of the file as they stand there. Nothing, written out (`port: null`, `url: ""`), sets
    a key and so turns it off; a variable that holds nothing does not set it. A password is asked for all the same:
    that a page is open to everybody must not hang on an empty text.
    """
    given = [(place, text) for place, variable, text in _GIVEN if environ.get(variable)]
    if is_on_railway(environ):
        given += _ON_RAILWAY
    for place, text in given:
        section, key = values.get(str(place[0]), {}) if len(place) == 2 else values, str(place[-1])
        if not isinstance(section, dict) or (place == _PAGE_URL and not section.get("port")):
            continue  # a mistake, which is told; or there is no page at that domain
        if not section.get(key) if place == _PASSWORD else key not in section and not _is_nothing(written, place):
            value = _expand(text, place, environ, mistakes)
            values[str(place[0])] = {**section, key: value} if len(place) == 2 else value


def _is_nothing(written: Any, place: Place) -> bool:
    """True where the file has a null at this place itself, and not for a section without any keys."""
    *sections, key = place
    for one in sections:
        written = written.get(one)
        if not isinstance(written, dict):
            return False
    return key in written and written[key] is None


def _apply_defaults(values: dict[str, Any], mistakes: Mistakes) -> None:
    """Give `defaults` to every database that has no value of its own."""
    defaults = values.pop("defaults", {})
    databases = values["databases"]
    if _validated(DatabaseDefaults, defaults, ("defaults",), mistakes) is not None and isinstance(databases, list):
        values["databases"] = [{**defaults, **one} if isinstance(one, dict) else one for one in databases]


def _find_equal_names(values: dict[str, Any], mistakes: Mistakes) -> None:
    """Databases and channels are known by their names; the model alone does not ask for different ones."""
    for key in ("databases", "channels"):
        entries = values[key] if isinstance(values[key], list) else []
        names: set[str] = set()
        for number, entry in enumerate(entries):
            name = entry.get("name", entry.get("type")) if isinstance(entry, dict) else None
            if isinstance(name, str) and name in names:
                step = "give it another" if "name" in entry else "give it a name of its own"
                found = f"{name!r} again" if is_word(name) else "that of an entry above"
                mistakes.add((key, number, "name"), wanted="a name that no other has", found=found, next_step=step)
            elif isinstance(name, str):
                names.add(name)


def _find_unknown_databases(values: dict[str, Any], mistakes: Mistakes) -> None:
    """What names databases, a channel or a window of maintenance, names those of this file."""

    def entries(key: str) -> list[Any]:
        return values[key] if isinstance(values.get(key), list) else []

    named = [one.get("name") for one in entries("databases") if isinstance(one, dict)]
    known = [name for name in named if isinstance(name, str)]
    for section, key in (("channels", "only"), ("maintenance", "databases")):
        for number, entry in enumerate(entries(section)):
            names = entry.get(key) if isinstance(entry, dict) else None
            for position, name in enumerate(names if isinstance(names, list) else ()):
                if isinstance(name, str) and name not in known:
                    near = nearest(name, known)
                    mistakes.add(
                        (section, number, key, position),
                        wanted="the name of a database",
                        found=repr(name) if is_word(name) else "another text",
                        next_step=f"did you mean {near}?" if near else f"name one of {', '.join(known)}",
                    )


def _with_variables(settings: Settings, mistakes: Mistakes) -> Settings:
    """The settings with the names of the variables that each database was read from."""

    def variable(number: int, key: str) -> str:
        place: Place = ("databases", number, key)
        return "" if place in mistakes.composed else next(iter(mistakes.variables.get(place, ())), "")

    databases = tuple(
        database.with_variables(url=variable(number, "url"), token=variable(number, "token"))
        for number, database in enumerate(settings.databases)
    )
    return settings.model_copy(update={"databases": databases})


def _validated(model: type[Section], values: Any, place: Place, mistakes: Mistakes) -> Section | None:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        explain(error, place, mistakes)
        return None


def _expand(value: Any, place: Place, environ: Mapping[str, str], mistakes: Mistakes) -> Any:
    """The value with its variables put in; keys with nothing behind them are left out.

    A text of variables that hold nothing is nothing too, so that `${PORT:-}` leaves the port out.
    Which variables a value was made of is noted in `mistakes.variables`, for the mistakes that are found later.
    """
    if isinstance(value, dict):
        items = ((key, _expand(item, (*place, key), environ, mistakes)) for key, item in value.items())
        return {key: item for key, item in items if item is not None}
    if isinstance(value, list):
        return [_expand(item, (*place, number), environ, mistakes) for number, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value
    return _fill_in(value, place, environ, mistakes)


def _fill_in(text: str, place: Place, environ: Mapping[str, str], mistakes: Mistakes) -> str | None:
    names: list[str] = []

    def fill(reference: re.Match[str]) -> str:
        name, default = reference["name"], reference["default"]
        if name is None:
            if reference["broken"] and not _has_outcomes(place):
                wanted, step = "${NAME} or ${NAME:-default}", "write $$ where a dollar is meant"
                mistakes.add(place, wanted=wanted, found="another `${`", next_step=step)
            return reference["broken"] or "$"
        names.append(name)
        if default is not None:
            return environ.get(name) or default.replace("$$", "$")
        if name not in environ and not _has_outcomes(place):
            mistakes.add(place, wanted=f"the variable {name} to be set", next_step=_how_to_set(name, environ))
        return environ.get(name, "")

    filled = _REFERENCE.sub(fill, text)
    if names:
        mistakes.variables[place] = tuple(dict.fromkeys(names))
        if not _REFERENCE.fullmatch(text):
            mistakes.composed.add(place)
    return None if names and not filled else filled


def _has_outcomes(place: Place) -> bool:
    """A URL or token that is missing or malformed is an outcome, which is alerted, and no refusal to start.

    So it is with what remembers: the checks go on without it.
    """
    return place[-1] in ("url", "token") and (place[0] == "state" or (len(place) == 3 and place[0] == "databases"))


def _how_to_set(name: str, environ: Mapping[str, str]) -> str:
    near = nearest(name, environ, at_least=0.8)
    return f"set it, or write ${{{name}:-default}}" + (f"; did you mean {near}?" if near else "")


def _check_certificates(environ: Mapping[str, str], mistakes: Mistakes) -> None:
    """Note what is wrong with the file, or, where no file is named, with the folder; httpx asks in that order."""
    if environ.get(_FILE):
        found = _wrong_with_file(environ[_FILE])
        if found:
            mistakes.add((_FILE,), wanted="a file of certificates", found=found, next_step=_NEXT.format(_FILE))
    elif environ.get(_FOLDER) and not Path(environ[_FOLDER]).is_dir():
        wanted = "a folder of certificates"
        mistakes.add((_FOLDER,), wanted=wanted, found="no folder", next_step=_NEXT.format(_FOLDER))


def _wrong_with_file(name: str) -> str | None:
    import ssl

    try:
        ssl.create_default_context(cafile=name)
    except ssl.SSLError:
        return "no certificate in it"
    except OSError as error:
        return (error.strerror or "an error").lower()
    return None
