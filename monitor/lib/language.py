"""The languages of messages and of the page: English as it stands in the code, and a table for each other one.

A table is `languages/CODE.toml`. Its keys are the English texts; docs/decisions/0019-languages.md has the reasons.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from monitor.lib.times import format_duration

_FOLDER = Path(__file__).parent / "languages"
CODES = ("en", *sorted(file.stem for file in _FOLDER.glob("*.toml")))
Forms = str | list[str]
_PLACE = re.compile(r"\{(\w+)([*,]?)\}")
_DURATION = re.compile(r"([\d.,]+) (d|h|min|s|ms)(?: (\d+) (h|min|s))?")
_SETTING = re.compile(r"(?:\d+(?:ms|[ywdhms]))+")
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)( \d\d:\d\d(?::\d\d)?)?( UTC)?")
_SPAN = re.compile(rf"({_MOMENT.pattern}) to ({_MOMENT.pattern}|\d\d:\d\d)")
_NUMBER = re.compile(r"(\d[\d,]*(?:\.\d+)?)( %)?")
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_DAY = re.compile(rf"(\d+ )?({'|'.join(_MONTHS)})( \d{{4}})?")
# Longer than anything that is written here; a pattern takes long over what is longer still.
_LONGEST = 600
# What one sentence may hold of others.
_DEEPEST = 4


class Language:
    """Puts English texts into one language; what its table does not have stays as it is.

    `texts` are those that `say` fills in, `sentences` what `sentence` recognizes in a finished one. A text that
    holds a number has a list of forms; `plural`, a C expression in `n` as gettext has it, gives the index of one.
    `units`, `date` (as strftime takes it), `months`, `thousands` and `decimal` write durations, dates and numbers.

    In the keys of `sentences` `{n}` is a whole number, `{name}` stays as it is, `{name*}` is translated itself and
    `{name,}` is a list of such, with commas.
    """

    def __init__(
        self,
        *,
        code: str,
        texts: Mapping[str, Forms],
        sentences: Mapping[str, Forms],
        plural: str,
        units: Mapping[str, str],
        date: str,
        thousands: str,
        decimal: str,
        months: Sequence[str] = tuple(_MONTHS),
    ) -> None:
        self.code = code
        self.date = date
        self.known = {**texts, **sentences}
        self._plural = plural
        self._units = units
        self._separators = str.maketrans({",": thousands, ".": decimal})
        self._months = dict(zip(_MONTHS, months, strict=True))
        patterns = [(key, *_pattern(key)) for key in sentences if "{" in key]
        # What has more words of its own says more surely what it is.
        self._patterns = sorted(patterns, key=lambda each: -len(_PLACE.sub("", each[0])))

    def say(self, text: str, **values: object) -> str:
        """A text of ours in this language, filled in."""
        number = {"n": str(values["n"]).translate(self._separators)} if "n" in values else {}
        return _filled(self._form(text, values), {**values, **number})

    def sentence(self, text: str) -> str:
        """A finished English text of ours in this language. What is not ours, or cut short, stays as it is."""
        return self._sentence(text, _DEEPEST) if text else text

    def duration(self, duration: timedelta) -> str:
        """A duration for people, in its two largest units."""
        return self.sentence(format_duration(duration))

    def _form(self, text: str, values: Mapping[str, object]) -> str:
        forms = self.known.get(text, text)
        if isinstance(forms, str):
            return forms
        number = values.get("n", 0)
        return forms[self._index_of(int("".join(filter(str.isdecimal, str(number)))))]

    @cached_property
    def _index_of(self) -> Callable[[int], int]:
        import gettext

        return gettext.c2py(self._plural)

    def _sentence(self, text: str, depth: int) -> str:
        if not self.known or not depth or len(text) > _LONGEST:
            return text
        if isinstance(known := self.known.get(text), str):
            return known
        if (written := self._figure(text)) is not None:
            return written
        for key, pattern, places in self._patterns:
            if found := pattern.fullmatch(text):
                values = {
                    name: self._value(found[name], mark, depth - 1) if mark else found[name]
                    for name, mark in places
                }
                return _filled(self._form(key, values), values)
        return text

    def _value(self, text: str, mark: str, depth: int) -> str:
        parts = text.split(", ") if mark == "," else [text]
        return ", ".join(self._sentence(part, depth) for part in parts)

    def _figure(self, text: str) -> str | None:
        """A duration, a moment, a span or a number; `None` for anything else."""
        if found := _DURATION.fullmatch(text):
            pairs = [(found[1].translate(self._separators), found[2]), (found[3], found[4])]
            return " ".join(f"{count} {self._units[unit]}" for count, unit in pairs if count)
        if _SETTING.fullmatch(text):
            written = re.findall(r"(\d+)(ms|[ywdhms])", text)
            return " ".join(f"{count} {self._units['min' if unit == 'm' else unit]}" for count, unit in written)
        if found := _SPAN.fullmatch(text):
            return " – ".join(self._figure(part) or part for part in text.split(" to "))
        if found := _DAY.fullmatch(text):
            return f"{found[1] or ''}{self._months[found[2]]}{found[3] or ''}"
        if found := _MOMENT.fullmatch(text):
            day = datetime.fromisoformat(found[1]).strftime(self.date)
            return day + (found[2] or "") + (found[3] or "")
        return text.translate(self._separators) if _NUMBER.fullmatch(text) else None


def _pattern(key: str) -> tuple[re.Pattern[str], Sequence[tuple[str, str]]]:
    """What a finished sentence of that key looks like, and its places."""
    return re.compile("".join(_parts(key)), re.DOTALL), _PLACE.findall(key)


def _parts(key: str) -> Iterator[str]:
    end = 0
    for place in _PLACE.finditer(key):
        yield re.escape(key[end : place.start()])
        yield rf"(?P<{place[1]}>{'[0-9,]+' if place[1] == 'n' else '.+?'})"
        end = place.end()
    yield re.escape(key[end:])


def _filled(text: str, values: Mapping[str, object]) -> str:
    """Replaced in one pass: what is filled in may hold braces itself."""
    if not values:
        return text
    return _PLACE.sub(lambda place: str(values.get(place[1], place[0])), text)


ENGLISH = Language(
    code="en", texts={}, sentences={}, plural="n != 1", units={}, date="%Y-%m-%d", thousands=",", decimal="."
)


@cache
def language(code: str) -> Language:
    """The language of that code, one of `CODES`."""
    if code == ENGLISH.code:
        return ENGLISH
    import tomllib  # for those who read another one

    table: dict[str, Any] = tomllib.loads((_FOLDER / f"{code}.toml").read_text(encoding="utf-8"))
    return Language(code=code, **table)
