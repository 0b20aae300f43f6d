"""What pydantic found wrong, in an operator's words: wanted, found, the nearest valid name, and no secret.

Which values are taken is decided in `settings` and `setting_types`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.config.mistakes import Mistakes, Place, is_word, kind, nearest
from monitor.config.settings import (
    AlertSettings,
    DatabaseDefaults,
    DatabaseSettings,
    LogSettings,
    Rule,
    Settings,
    SlackSettings,
    TelegramSettings,
    WebhookSettings,
)

CHANNELS: dict[str, type[BaseModel]] = {
    "slack": SlackSettings,
    "telegram": TelegramSettings,
    "webhook": WebhookSettings,
    "log": LogSettings,
}
_SECRETS = {"url", "token", "webhook_url", "bot_token"}
_A_MAPPING, _FULL_TEXT = "a mapping with keys of its own", "a text that is not empty"
# What each kind of complaint means here; `{…}` is filled from its context.
_WANTED = {
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "missing": "a value",
    "model_attributes_type": _A_MAPPING,
    "model_type": _A_MAPPING,
    "string_too_short": _FULL_TEXT,
    "string_type": "text",
    "too_long": "an empty list: this release has no maintenance windows yet",
    "too_short": "at least one entry",
    "tuple_type": "a list",
}


def explain(error: ValidationError, place: Place, mistakes: Mistakes) -> None:
    """Note as mistakes what pydantic found wrong in the values that stand at `place`."""
    details = error.errors(include_url=False)
    meant = {_unknown_key(detail, place, mistakes) for detail in details if detail["type"] == "extra_forbidden"}
    for detail in details:
        where = _where(detail, place)
        match detail["type"]:
            case "extra_forbidden" | "default_factory_not_called":
                continue  # told before; or it follows from another value, which is wrong itself
            case "missing" if where in meant:
                continue  # it is there, misspelt
            case "union_tag_invalid" | "union_tag_not_found":
                _one_of(list(CHANNELS), (*where, "type"), detail["input"].get("type"), mistakes)
            case "value_error" if not where:
                continue  # two of one name: told before, with their places
            case "literal_error":
                words = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
                _one_of(words, where, detail["input"], mistakes)
            case "too_short" if detail["input"] and isinstance(detail["input"], list):
                continue  # pydantic counts the entries that are right; the others have been told
            case _:
                _wrong_value(detail, where, mistakes)


def nearest_key(word: str, known: list[str]) -> str | None:
    """The known key that was probably meant."""
    by_folded = {_folded(one): one for one in known}
    near = nearest(_folded(word), by_folded)
    return None if near is None else by_folded[near]


def _where(detail: ErrorDetails, place: Place) -> Place:
    """The place in the file: of a channel, pydantic names the type after its number."""
    inside = (*place, *detail["loc"])
    return (*inside[:2], *inside[3:]) if inside[:1] == ("channels",) else inside


def _wrong_value(detail: ErrorDetails, where: Place, mistakes: Mistakes) -> None:
    sort, context = detail["type"], detail.get("ctx", {})
    value = None if sort == "missing" else detail["input"]
    is_secret = where[-1:] and where[-1] in _SECRETS and where not in mistakes.variables
    found, step = kind(value) if is_secret else mistakes.found(where, value), ""
    if sort == "value_error":
        wanted = str(context["error"]).removeprefix("wanted ")
        if isinstance(value, dict):
            found = ""  # the mapping is one; what is wrong in it has been said
        elif "duration" in wanted and isinstance(value, int) and not isinstance(value, bool):
            step = f"did you mean {value}s?"
    else:
        wanted = _WANTED.get(sort, "a value of another kind").format(**context)
        if sort == "string_type" and not isinstance(value, dict | list | None):
            step = "put it in quotes"
    mistakes.add(where, wanted=wanted, found=found, next_step=step)


def _one_of(words: list[str], where: Place, value: Any, mistakes: Mistakes) -> None:
    """A word is shown only when it is nearly one of those that were wanted."""
    near = nearest_key(value, words) if isinstance(value, str) else None
    found = mistakes.found(where, value)
    if near is not None and where not in mistakes.variables:
        found = repr(value)
    step = f"did you mean {near}?" if near else ""
    mistakes.add(where, wanted=f"one of {', '.join(words)}", found=found, next_step=step)


def _unknown_key(detail: ErrorDetails, place: Place, mistakes: Mistakes) -> Place:
    """Note it, and return the place that was probably meant."""
    where, key = _where(detail, place), str(detail["loc"][-1])
    known = _known_keys((*place, *detail["loc"][:-1]))
    near = nearest_key(key, known)
    step = f"did you mean {near}?" if near else _home(key)
    found = f"the key {key!r}" if is_word(key) else "another key"
    mistakes.add(where, wanted=f"one of {', '.join(known)}", found=found, next_step=step)
    return (*where[:-1], near or key)


def _known_keys(inside: Place) -> list[str]:
    match inside:
        case ():
            return [*Settings.model_fields, "defaults"]
        case ("databases", _):
            return sorted(DatabaseSettings.model_fields, key=DatabaseDefaults.model_fields.__contains__)
        case ("defaults",):
            return list(DatabaseDefaults.model_fields)
        case ("channels", _, str(channel)):
            return list(CHANNELS[channel].model_fields)
        case ("alerts", _):
            return list(Rule.model_fields)
        case (str(section),):
            part: Any = Settings.model_fields[section].annotation
            return list(part.model_fields)
    return []


def _home(key: str) -> str:
    """Where a key belongs that stands in the wrong place."""
    homes: dict[str, type[BaseModel]] = {
        "in an entry of databases, or in defaults": DatabaseDefaults,
        "in an entry of databases": DatabaseSettings,
        "in alerts": AlertSettings,
    }
    found = [home for home, model in homes.items() if key in model.model_fields]
    found += [f"in a channel of type {name}" for name, model in CHANNELS.items() if key in model.model_fields]
    return f"{key} belongs {found[0]}" if found else ""


def _folded(word: str) -> str:
    return word.lower().replace("-", "_")
