"""Asks the Upstash Developer API about one database, with calls that only read: list, database, stats.

What the data mean is decided in `core/console`. The key opens the whole account, so it goes nowhere but into the
request, and no other call may ever be made with it: above all not the one that resets a password.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Self

from monitor.core.console import ConsoleDatabase, Reading, absent, find, read
from monitor.core.ladder import Rung, Seen, State
from monitor.core.secret import Secret
from monitor.probes.web import Deadline, WebError, fetch, read_json

__all__ = ["ConsoleDatabase", "ConsoleKey", "Reading", "look_at_console"]

_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_ODD = "its answer has another shape than the Developer API's"


@dataclass(frozen=True, kw_only=True, slots=True)
class ConsoleKey:
    """What opens the Developer API: an account's e-mail address and one of its API keys."""

    email: str
    api_key: Secret

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self | None:
        """The key in `UPSTASH_EMAIL` and `UPSTASH_API_KEY`; `None` when one of them is not set."""
        email, api_key = (environment.get(name, "").strip() for name in ("UPSTASH_EMAIL", "UPSTASH_API_KEY"))
        return cls(email=email, api_key=Secret(api_key)) if email and api_key else None

    def header(self) -> dict[str, str]:
        pair = f"{self.email}:{self.api_key.reveal()}".encode("utf-8", "surrogatepass")
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def look_at_console(
    key: ConsoleKey,
    *,
    console_url: str,
    origin: str,
    token: str,
    timeout: timedelta,
) -> Reading:
    """What the console says of the database at `origin` (`https://HOST`). Blocks at most `timeout`.

    `token` is the one this process has, compared in memory. Anything unexpected is unknown, never a verdict.
    """
    api = _Api(key, f"{console_url.rstrip('/')}/v2/redis", Deadline(timeout))
    try:
        entry = find(api.databases(), origin)
        if entry is None:
            return absent()
        details = api.details(entry)
    except WebError as error:
        return Reading(seen=Seen(rung=Rung.CONSOLE, state=State.UNKNOWN, seen=f"not read: {error}"))
    except ValueError:  # from urlsplit
        return Reading(seen=Seen(rung=Rung.CONSOLE, state=State.UNKNOWN, seen="no host to look for"))
    return read(details, api.stats(details), origin=origin, token=token)


class _Api:
    def __init__(self, key: ConsoleKey, base: str, deadline: Deadline) -> None:
        self._key = key
        self._base = base
        self._deadline = deadline

    def databases(self) -> list[Mapping[str, Any]]:
        entries = self._get("/databases")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise WebError(_ODD)
        return entries

    def details(self, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        identity = entry.get("database_id")
        if not isinstance(identity, str) or not _ID.fullmatch(identity):
            raise WebError(_ODD)
        details = self._get(f"/database/{identity}")
        if not isinstance(details, dict) or details.get("database_id") != identity:
            raise WebError(_ODD)
        return details

    def stats(self, details: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """`None` where they cannot be read: the rung says so, and stands all the same."""
        try:
            stats = self._get(f"/stats/{details['database_id']}")
        except WebError:
            return None
        return stats if isinstance(stats, dict) else None

    def _get(self, path: str) -> Any:
        return read_json(fetch("GET", f"{self._base}{path}", deadline=self._deadline, headers=self._key.header()))
