"""Variables in place of `${NAME}` and `${NAME:-default}`, and `$` in place of `$$`.

What a variable holds is text: it is never read as YAML, and never searched for variables again.
Whose variables these are, and what the values mean, is decided in `config_file`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from monitor.config.mistakes import Mistakes, Place, nearest

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"\$\$|\$\{{(?P<name>{_NAME})(?::-(?P<default>(?:\$\$|[^${{}}])*))?\}}|(?P<broken>\$\{{)")


def expand(value: Any, place: Place, environ: Mapping[str, str], mistakes: Mistakes) -> Any:
    """The value with its variables put in; keys with nothing behind them are left out.

    A text of variables that hold nothing is nothing too, so that `${PORT:-}` leaves the port out.
    Which variables a value was made of is noted in `mistakes.variables`, for whoever complains about it later.
    """
    if isinstance(value, dict):
        items = ((key, expand(item, (*place, key), environ, mistakes)) for key, item in value.items())
        return {key: item for key, item in items if item is not None}
    if isinstance(value, list):
        return [expand(item, (*place, number), environ, mistakes) for number, item in enumerate(value)]
    if not isinstance(value, str) or "$" not in value:
        return value
    return _filled(value, place, environ, mistakes)


def _filled(text: str, place: Place, environ: Mapping[str, str], mistakes: Mistakes) -> str | None:
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
    return None if names and not filled else filled


def _has_outcomes(place: Place) -> bool:
    """A URL or token that is missing or malformed is an outcome, which is alerted, and no refusal to start."""
    return len(place) == 3 and place[0] == "databases" and place[2] in ("url", "token")


def _how_to_set(name: str, environ: Mapping[str, str]) -> str:
    near = nearest(name, environ, at_least=0.8)
    return f"set it, or write ${{{name}:-default}}" + (f"; did you mean {near}?" if near else "")
