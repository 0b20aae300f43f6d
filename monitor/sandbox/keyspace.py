"""The few Redis commands that a stand-in needs, on a dictionary: what they answer, and what Upstash bills."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from time import monotonic


class CommandError(Exception):
    """A command that Redis would refuse; the text is what it would say."""


class Effect(Enum):
    """What a command does to the data and to the bill. Upstash charges for everything that is not `FREE`."""

    FREE = "free"
    READ = "read"
    WRITE = "write"
    DELETE = "delete"

    @property
    def is_change(self) -> bool:
        return self in (Effect.WRITE, Effect.DELETE)


Value = str | int | None | list["Value"]

_NOT_AN_INTEGER = "ERR value is not an int or out of range"
_ANY = 1_000_000


@dataclass(frozen=True, slots=True)
class _Command:
    effect: Effect
    least: int
    most: int
    run: Callable[..., Value]


class Keyspace:
    """Strings with an expiry. Safe to use from several threads."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[str, float | None]] = {}
        self._lock = threading.Lock()
        self._commands = {
            "PING": _Command(Effect.FREE, 0, 1, lambda *words: words[0] if words else "PONG"),
            "INFO": _Command(Effect.FREE, 0, _ANY, self._info),
            "ECHO": _Command(Effect.READ, 1, 1, lambda word: word),
            "GET": _Command(Effect.READ, 1, 1, self._get),
            "MGET": _Command(Effect.READ, 1, _ANY, lambda *keys: [self._get(key) for key in keys]),
            "EXISTS": _Command(
                Effect.READ, 1, _ANY, lambda *keys: sum(self._get(key) is not None for key in keys)
            ),
            "TTL": _Command(Effect.READ, 1, 1, self._time_to_live),
            "DBSIZE": _Command(Effect.READ, 0, 0, lambda: len(self._keys("*"))),
            "KEYS": _Command(Effect.READ, 1, 1, lambda pattern: list(self._keys(pattern))),
            "SCAN": _Command(Effect.READ, 1, 5, self._scan),
            "SET": _Command(Effect.WRITE, 2, _ANY, self._set),
            "DEL": _Command(Effect.DELETE, 1, _ANY, self._delete),
            "INCR": _Command(Effect.WRITE, 1, 1, self._increment),
        }

    def effect(self, name: str) -> Effect | None:
        """What a command does; `None` for one that this database does not know."""
        command = self._commands.get(name.upper())
        return None if command is None else command.effect

    def run(self, words: Sequence[str]) -> Value:
        """Run one command; raises `CommandError`."""
        name, arguments = words[0].upper(), words[1:]
        command = self._commands.get(name)
        if command is None:
            # The texts are Upstash's own; the compatibility page is what its error points to.
            page = "https://upstash.com/docs/redis/overall/rediscompatibility"
            raise CommandError(f"ERR Command is not available: '{name[:40]}'. See {page} for details")
        if not command.least <= len(arguments) <= command.most:
            raise CommandError(f"ERR wrong number of arguments for '{name.lower()}' command")
        with self._lock:
            return command.run(*arguments)

    def _get(self, key: str) -> str | None:
        value, expires = self._values.get(key, (None, None))
        if expires is not None and expires <= monotonic():
            del self._values[key]
            return None
        return value

    def _keys(self, pattern: str) -> list[str]:
        return sorted(
            key for key in list(self._values) if fnmatchcase(key, pattern) and self._get(key) is not None
        )

    def _scan(self, _cursor: str, *options: str) -> Value:
        """Everything in one step, so the cursor is always at the end."""
        given = {name.upper(): value for name, value in zip(options[::2], options[1::2], strict=False)}
        return ["0", list(self._keys(given.get("MATCH", "*")))]

    def _set(self, key: str, value: str, *options: str) -> str | None:
        """`EX`, `PX`, `NX`, `XX` and `GET`, in any order."""
        left, given = list(options), dict[str, str]()
        while left:
            name = left.pop(0).upper()
            if name not in ("EX", "PX", "NX", "XX", "GET") or (name in ("EX", "PX") and not left):
                raise CommandError("ERR syntax error")
            given[name] = left.pop(0) if name in ("EX", "PX") else ""
        seconds = None
        for name, divisor in (("EX", 1), ("PX", 1000)):
            if name in given:
                seconds = _integer(given[name]) / divisor
        if seconds is not None and seconds <= 0:
            raise CommandError("ERR invalid expire time in 'set' command")
        before = self._get(key)
        if ("NX" in given and before is not None) or ("XX" in given and before is None):
            return before if "GET" in given else None
        self._values[key] = (value, None if seconds is None else monotonic() + seconds)
        return before if "GET" in given else "OK"

    def _delete(self, *keys: str) -> int:
        return sum(self._get(key) is not None and self._values.pop(key, None) is not None for key in keys)

    def _increment(self, key: str) -> int:
        value = _integer(self._get(key) or "0") + 1
        self._values[key] = (str(value), self._values.get(key, ("", None))[1])
        return value

    def _time_to_live(self, key: str) -> int:
        if self._get(key) is None:
            return -2
        expires = self._values[key][1]
        return -1 if expires is None else round(expires - monotonic())

    def _info(self, *_sections: str) -> str:
        lines = ("# Server", "redis_version:6.2.6", "redis_mode:standalone", "# Keyspace")
        return "\r\n".join((*lines, f"db0:keys={len(self._keys('*'))}", ""))


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise CommandError(_NOT_AN_INTEGER) from None
