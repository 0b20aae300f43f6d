"""A mistake of the user's: where it is, what was wanted, what was found, what to do next.

What is a mistake is decided by whoever reads; here is how it is told, and how much of a value may be shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
_WORD = re.compile(r"[A-Za-z][A-Za-z_-]{0,29}")


def nearest(word: str, known: Iterable[str], *, at_least: float = 0.6) -> str | None:
    """The known word that was probably meant; `at_least`, from 0 to 1, says how much alike they must be."""
    import difflib

    near = difflib.get_close_matches(word, known, 1, cutoff=at_least)
    return near[0] if near else None


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
    """What was wrong so far, one mistake a place: the first says what to mend, the next would follow from it.

    `lines` knows where each value stands in the file, `variables` which of them it was made of.
    """

    lines: Mapping[Place, int] = field(default_factory=dict)
    variables: dict[Place, tuple[str, ...]] = field(default_factory=dict)
    by_place: dict[Place, Mistake] = field(default_factory=dict)

    def add(self, place: Place, *, wanted: str, found: str = "", next_step: str = "") -> None:
        """Note a mistake, unless there is one at this place."""
        self.by_place.setdefault(place, self.at(place, wanted=wanted, found=found, next_step=next_step))

    def at(self, place: Place, *, wanted: str, found: str = "", next_step: str = "") -> Mistake:
        """A mistake with the line it stands on; one that stands in no file is named by its variable."""
        line = self._line(place)
        said = " and ".join(self.variables.get(place, ())) if line is None else ""
        return Mistake(
            place=said or format_place(place), wanted=wanted, found=found, next_step=next_step, line=line
        )

    def found(self, place: Place, value: Any) -> str:
        """What stands there, as far as it may be told."""
        names = " and ".join(self.variables.get(place, ()))
        if not names:
            return show(value)
        if self._line(place) is None:
            return kind(value)
        return f"that {names} is empty" if value in (None, "") else f"what {names} holds"

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
