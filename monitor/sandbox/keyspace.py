"""The few Redis commands that a stand-in needs, on a dictionary; HTTP is spoken in `upstash`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic


class CommandError(Exception):
    """A command that Redis would refuse; the text is what it would say."""


Value = str | int | None | list[str | None]


class Keyspace:
    """Strings with an expiry. Safe to use from several threads."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[str, float | None]] = {}
        self._lock = threading.Lock()
        self._commands: dict[str, tuple[int, Callable[..., Value]]] = {
            "PING": (0, lambda *words: words[0] if words else "PONG"),
            "ECHO": (1, lambda word: word),
            "GET": (1, self._get),
            "SET": (2, self._set),
            "DEL": (1, self._delete),
            "EXISTS": (1, lambda *keys: sum(self._get(key) is not None for key in keys)),
            "INCR": (1, self._increment),
            "TTL": (1, self._time_to_live),
            "DBSIZE": (0, lambda: sum(self._get(key) is not None for key in list(self._values))),
        }

    def run(self, words: list[str]) -> Value:
        """Run one command; raises `CommandError`."""
        name, arguments = words[0].upper(), words[1:]
        if name not in self._commands:
            raise CommandError(f"ERR Command is not available: '{words[0][:40]}'")
        least, command = self._commands[name]
        with self._lock:
            if len(arguments) < least:
                raise CommandError(f"ERR wrong number of arguments for '{name.lower()}' command")
            try:
                return command(*arguments)
            except TypeError:  # too many
                raise CommandError(f"ERR wrong number of arguments for '{name.lower()}' command") from None

    def _get(self, key: str) -> str | None:
        value, expires = self._values.get(key, (None, None))
        if expires is not None and expires <= monotonic():
            del self._values[key]
            return None
        return value

    def _set(self, key: str, value: str, *options: str) -> str:
        expires = None
        if len(options) == 2 and options[0].upper() in ("EX", "PX"):
            expires = monotonic() + float(options[1]) / (1 if options[0].upper() == "EX" else 1000)
        elif options:
            raise CommandError("ERR syntax error")
        self._values[key] = (value, expires)
        return "OK"

    def _delete(self, *keys: str) -> int:
        return sum(self._values.pop(key, None) is not None for key in keys)

    def _increment(self, key: str) -> int:
        try:
            value = int(self._get(key) or "0") + 1
        except ValueError:
            raise CommandError("ERR value is not an integer or out of range") from None
        self._values[key] = (str(value), self._values.get(key, ("", None))[1])
        return value

    def _time_to_live(self, key: str) -> int:
        if self._get(key) is None:
            return -2
        expires = self._values[key][1]
        return -1 if expires is None else round(expires - monotonic())
