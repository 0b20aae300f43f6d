"""A mistake in the configuration: where it is, what was wanted, what was found, what to do next."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from monitor.config.channel_values import WrongValueError
from monitor.config.settings import (
    MAY_BE_SECRET,
    AlertSettings,
    AppriseSettings,
    ChannelRouting,
    DatabaseDefaults,
    DatabaseSettings,
    LogSettings,
    MaintenanceSettings,
    Settings,
    SlackSettings,
    TelegramSettings,
    WebhookSettings,
)

# The way to a value: keys and positions, such as ("databases", 0, "url").
Place = tuple[str | int, ...]

# Numbers, durations and addresses, as they are typed and mistyped: what a person wants to see again.
# Everything else may be a secret under the wrong key and is not repeated.
_HARMLESS = re.compile(
    r"[-+]?[0-9]{1,6}([.,:][0-9]{1,4})?( ?([a-z]{1,8}|[A-Z]{1,3}))?"
    r"|([0-9]{1,5} ?(ms|[ywdhms]) ?){1,7}"
    r"|[0-9]{1,3}(\.[0-9]{1,3}){3}(:[0-9]{0,6})?"
)
_LONGEST_HARMLESS = 22
SECRETS = {"url", "token", "webhook_url", "bot_token", "password", "template"}
_PORT: Place = ("page", "port")
_WORD = re.compile(r"[A-Za-z][A-Za-z_-]{0,29}")


def nearest(word: str, known: Iterable[str], *, at_least: float = 0.6) -> str | None:
    """The known word that was probably meant, whatever its case and dashes.

    `at_least`, from 0 to 1, says how much alike they must be.
    """
    import difflib

    by_folded = {_folded(one): one for one in known}
    near = difflib.get_close_matches(_folded(word), by_folded, 1, cutoff=at_least)
    return by_folded[near[0]] if near else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Mistake:
    """One mistake, told in one line."""

    place: str
    wanted: str
    found: str = ""
    next_step: str = ""
    line: int | None = None

    def __str__(self) -> str:
        line = f" (line {self.line})" if self.line else ""
        found = f", found {self.found}" if self.found else ""
        next_step = f". Next: {self.next_step}" if self.next_step else ""
        return f"{self.place}{line}: wanted {self.wanted}{found}{next_step}"


class ConfigMistakesError(Exception):
    """Everything that is wrong with the configuration, all at once."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("; ".join(map(str, self.mistakes)))


@dataclass(kw_only=True, slots=True)
class Mistakes:
    """What was wrong so far, one mistake a place: the first tells what to mend, the next would follow from it.

    `lines` knows where each value stands in the file, `variables` which of them it was made of,
    `composed` where there is more to it than one of them.
    """

    lines: dict[Place, int] = field(default_factory=dict)
    variables: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    composed: set[Place] = field(default_factory=set)
    by_place: dict[Place, Mistake] = field(default_factory=dict)

    def add(
        self, place: Place, *, wanted: str, found: str = "", next_step: str = "", line: int | None = None
    ) -> None:
        """Note a mistake, unless there is one at this place."""
        self.by_place.setdefault(place, self.at(place, wanted=wanted, found=found, next_step=next_step, line=line))

    def at(
        self, place: Place, *, wanted: str, found: str = "", next_step: str = "", line: int | None = None
    ) -> Mistake:
        """A mistake with the line it stands on; one that stands in no file is named by its variable."""
        line = line or self._line(place)
        said = " and ".join(self.variables.get(place, ())) if line is None else ""
        return Mistake(
            place=said or format_place(place), wanted=wanted, found=found, next_step=next_step, line=line
        )

    def found(self, place: Place, value: Any) -> str:
        """What stands there, as far as it may be told."""
        names = " and ".join(self.variables.get(place, ()))
        shown = show(value)
        if place[-1] in SECRETS and names:
            shown = kind(value)
        elif place == _PORT and isinstance(value, str) and len(value) <= _LONGEST_HARMLESS:
            # No secret, unless it is one that was pasted there.
            shown = kind(value) if MAY_BE_SECRET.search(value) else repr(value)
        if not names:
            return shown
        if self._line(place) is None:
            return shown
        if shown != kind(value):
            return f"{shown} (in {names})"
        return f"that {names} is empty" if value in (None, "") else f"what {names} holds"

    def has_line(self, place: Place) -> bool:
        """True for a value that stands in a file."""
        return self._line(place) is not None

    def in_order(self) -> list[Mistake]:
        """As they stand in the file, from the top."""
        return sorted(self.by_place.values(), key=lambda mistake: (mistake.line or 0, mistake.place))

    def _line(self, place: Place) -> int | None:
        """Where it stands, or the nearest part around it."""
        around = (place[:end] for end in range(len(place), 0, -1))
        return next((self.lines[part] for part in around if part in self.lines), None)


def format_place(place: Place) -> str:
    """`databases[0].url`; a key that may be no word of a person's is left out."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part if is_word(part) else '…'}" for part in place)
    return "".join(parts).removeprefix(".") or "the settings"


def is_word(text: str) -> bool:
    """True for what looks like a key; tokens are longer or hold digits."""
    return _WORD.fullmatch(text) is not None


def show(value: Any) -> str:
    """What was found, where it cannot be a secret; else only of which kind it is."""
    if isinstance(value, bool):
        return str(value).lower()
    short = len(str(value)) <= _LONGEST_HARMLESS
    if short and (isinstance(value, int | float) or (isinstance(value, str) and _HARMLESS.fullmatch(value))):
        return repr(value)
    return kind(value)


def kind(value: Any) -> str:
    """What sort of value it is, and nothing of the value itself."""
    match value:
        case None:
            return "nothing"
        case int() | float():
            return "a number"
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case str():
            return "a text that is not shown" if value.strip() else "an empty text"
    return "something else"


CHANNELS: dict[str, type[BaseModel]] = {
    "slack": SlackSettings,
    "telegram": TelegramSettings,
    "webhook": WebhookSettings,
    "apprise": AppriseSettings,
    "log": LogSettings,
}
# Keys of builds before the first release, and what they are called since.
_RENAMED = {
    "controls": "connectivity",
    "status_page": "page",
    "verdict": "diagnose",
    "within": "of",
    "network": "failing",
    "service": "failing",
    "mixture": "failing",
}
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
            case "literal_error":
                words = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
                _one_of(words, where, detail["input"], mistakes)
            case "too_short" if detail["input"] and isinstance(detail["input"], list):
                continue  # pydantic counts the entries that are right; the others have been told
            case _:
                _wrong_value(detail, where, mistakes)


def _where(detail: ErrorDetails, place: Place) -> Place:
    """The place in the file: of a channel, pydantic names the type after its number."""
    inside = (*place, *detail["loc"])
    return (*inside[:2], *inside[3:]) if inside[:1] == ("channels",) else inside


def _wrong_value(detail: ErrorDetails, where: Place, mistakes: Mistakes) -> None:
    sort, context = detail["type"], detail.get("ctx", {})
    value = None if sort == "missing" else detail["input"]
    is_secret = where[-1:] and where[-1] in SECRETS and where not in mistakes.variables
    found, step = kind(value) if is_secret else mistakes.found(where, value), ""
    if sort == "value_error" and isinstance(context["error"], WrongValueError):
        error = context["error"]
        wanted, found, step = error.wanted, error.found, error.next_step
        if names := mistakes.variables.get(where):
            found += f" (in {' and '.join(names)})" if mistakes.has_line(where) else ""
    elif sort == "value_error":
        wanted = str(context["error"]).removeprefix("wanted ")
        if isinstance(value, dict):
            found = ""  # the mapping is one; what is wrong in it has been said
        elif "duration" in wanted and isinstance(value, int) and not isinstance(value, bool):
            step = f"did you mean {value}s?"
    else:
        wanted = _WANTED.get(sort, "a value of another kind").format(**context)
        if sort == "string_type" and not isinstance(value, dict | list | None):
            step = "put it in quotes"
        elif where == ("alerts", "recovery") and isinstance(value, int):
            step = f"did you mean {{checks: {value}}}?"
    if where == _PORT:
        step = "set it to a number such as 8080, or to nothing for no page"
    mistakes.add(where, wanted=wanted, found=found, next_step=step)


def _one_of(words: list[str], where: Place, value: Any, mistakes: Mistakes) -> None:
    """A word is shown only when it is nearly one of those that were wanted."""
    near = nearest(value, words) if isinstance(value, str) else None
    found = mistakes.found(where, value)
    if near is not None and where not in mistakes.variables:
        found = repr(value)
    step = f"did you mean {near}?" if near else ""
    mistakes.add(where, wanted=f"one of {', '.join(words)}", found=found, next_step=step)


def _unknown_key(detail: ErrorDetails, place: Place, mistakes: Mistakes) -> Place:
    """Note it, and return the place that was probably meant."""
    where, key = _where(detail, place), str(detail["loc"][-1])
    known = _known_keys((*place, *detail["loc"][:-1]))
    renamed = _RENAMED.get(key)
    near = renamed if renamed in known else nearest(key, known)
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
            return sorted(CHANNELS[channel].model_fields, key=ChannelRouting.model_fields.__contains__)
        case ("maintenance", _):
            return [field.alias or name for name, field in MaintenanceSettings.model_fields.items()]
        case ("alerts", str(rule)):
            rules: Any = AlertSettings.model_fields[rule].annotation
            return [field.alias or name for name, field in rules.model_fields.items()]
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
