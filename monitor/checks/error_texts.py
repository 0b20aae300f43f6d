"""The error texts that Upstash and Redis are known to answer with, and the outcome that each stands for.

Tails vary between versions and carry figures, beginnings do not. Where a text is known from few reports, the words
that its kind cannot do without are asked for in place of a longer beginning.
Sources: upstash.com/docs/redis/troubleshooting (a page for each), reports of users (Upstash documents no text for
suspension, its allowlist, bandwidth, commands per second, NOPERM and what REST does not have), and Redis's source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from monitor.checks import redis_errors
from monitor.checks.observation import Fact, Outcome

_DOCS, _REPORT, _REDIS, _ASSUMED = "Upstash's docs", "reports", "Redis", "nobody; what it says is plain"

_ALLOWED = "allowed|allowlist|allowlisted|whitelist|whitelisted"
_SUSPENDED = "database|account|subscription|team"
_USED_UP = "exceeded|reached|exhausted|limit|quota"
_COMMANDS = "request|requests|command|commands"
_RATE = "per second|per sec|per minute|ops/sec|commands/sec|requests/sec"
_REST = "REST API|over REST|via REST|with REST|in REST"


@dataclass(frozen=True, kw_only=True, slots=True)
class KnownError:
    """A text by its beginning, in which `#` stands for a number, and the outcome that it means.

    Each of `words` must stand somewhere in the text; `a|b` is one word or the other.
    `is_whole`: nothing but a full stop follows.
    """

    prefix: str
    outcome: Outcome
    facts: frozenset[Fact] = frozenset()
    words: tuple[str, ...] = ()
    is_whole: bool = False
    source: str = _REDIS

    def fits(self, text: str) -> bool:
        """True when this is the error that a server's own text, on one line, begins with."""
        return bool(_beginning(self).match(text)) and all(_word(word).search(text) for word in self.words)


def _known(
    prefix: str,
    outcome: Outcome,
    *facts: Fact,
    words: tuple[str, ...] = (),
    is_whole: bool = False,
    source: str = _REDIS,
) -> KnownError:
    return KnownError(
        prefix=prefix, outcome=outcome, facts=frozenset(facts), words=words, is_whole=is_whole, source=source
    )


# Ordered: the first that fits counts, so the longer of two beginnings stands first.
KNOWN_ERRORS: tuple[KnownError, ...] = (
    # The token. The text of a wrong password is the same as that of a user who was switched off.
    _known("WRONGPASS", Outcome.TOKEN_REJECTED, Fact.USER_MAY_BE_DISABLED, words=("user|username",), source=_DOCS),
    _known("WRONGPASS", Outcome.TOKEN_REJECTED, source=_DOCS),
    _known("NOAUTH", Outcome.TOKEN_REJECTED, source=_DOCS),
    _known("Unauthorized", Outcome.TOKEN_REJECTED, is_whole=True, source=_REPORT),
    _known("Unauthorised", Outcome.TOKEN_REJECTED, is_whole=True, source=_REPORT),
    _known("ERR invalid password", Outcome.TOKEN_REJECTED),  # before Redis 6
    _known("NOPERM", Outcome.PERMISSION_DENIED, source=_REPORT),
    # The database's own passing state. Before the texts that are known by words anywhere in them.
    _known("LOADING", Outcome.UNAVAILABLE),
    _known("READONLY", Outcome.UNAVAILABLE),
    _known("MASTERDOWN", Outcome.UNAVAILABLE),
    _known("CLUSTERDOWN", Outcome.UNAVAILABLE),
    _known("TRYAGAIN", Outcome.UNAVAILABLE),
    _known("BUSY", Outcome.UNAVAILABLE),  # and neither BUSYGROUP nor BUSYKEY, which are about one key
    _known("MISCONF", Outcome.UNAVAILABLE),
    _known("NOREPLICAS", Outcome.UNAVAILABLE),
    _known("NOTREADY", Outcome.UNAVAILABLE),  # a node of a cluster while slots move
    # The plan. A size stands before the quotas: its text speaks of a request and a limit too.
    _known("max", Outcome.COMMAND_ERROR, Fact.TOO_LARGE, words=("size", "exceeded"), source=_DOCS),
    _known("", Outcome.SUSPENDED, Fact.BANDWIDTH, words=("suspended", _SUSPENDED, "bandwidth"), source=_REPORT),
    _known("", Outcome.SUSPENDED, words=("suspended", _SUSPENDED), source=_REPORT),
    _known("max", Outcome.RATE_LIMITED, words=(_RATE,), source=_REPORT),
    _known(
        "ERR",
        Outcome.QUOTA_EXCEEDED,
        Fact.BANDWIDTH,
        Fact.DAILY_LIMIT,
        words=("daily", "bandwidth", _USED_UP),
        source=_REPORT,
    ),
    _known(
        "ERR",
        Outcome.QUOTA_EXCEEDED,
        Fact.BANDWIDTH,
        words=("bandwidth", _USED_UP),
        source=_REPORT,
    ),
    _known("max daily", Outcome.QUOTA_EXCEEDED, Fact.DAILY_LIMIT, words=("limit|quota",), source=_DOCS),
    _known("ERR", Outcome.QUOTA_EXCEEDED, Fact.DAILY_LIMIT, words=("daily", _COMMANDS, _USED_UP), source=_REPORT),
    _known("max requests limit exceeded", Outcome.QUOTA_EXCEEDED, source=_DOCS),
    _known("max monthly", Outcome.QUOTA_EXCEEDED, words=("limit|quota",), source=_REPORT),
    _known("ERR", Outcome.QUOTA_EXCEEDED, words=("monthly", _COMMANDS, _USED_UP), source=_REPORT),
    *(
        _known(f"max {what} exceeded", Outcome.QUOTA_EXCEEDED, source=_REPORT)
        for what in ("request limit", "commands limit", "command limit", "requests quota", "commands quota")
    ),
    _known("DB capacity quota exceeded", Outcome.CAPACITY_FULL, source=_DOCS),
    _known("OOM", Outcome.CAPACITY_FULL),
    _known("max concurrent connections exceeded", Outcome.TOO_MANY_CONNECTIONS, source=_DOCS),
    _known("max", Outcome.TOO_MANY_CONNECTIONS, words=("connections", _USED_UP), source=_REPORT),
    _known("max number of clients", Outcome.TOO_MANY_CONNECTIONS),
    # An allowlist; before 401 is asked, which would call it a matter of the token.
    _known("", Outcome.ACCESS_DENIED, words=("ip|ips", "not", _ALLOWED), source=_ASSUMED),
    _known("DENIED", Outcome.ACCESS_DENIED, words=("protected mode",)),  # from other machines, without a password
    # What is wrong with the one command that was sent.
    _known("ERR string exceeds maximum allowed size", Outcome.COMMAND_ERROR, Fact.TOO_LARGE),
    _known("ERR Command is not available", Outcome.COMMAND_ERROR, Fact.NOT_OVER_REST, source=_REPORT),
    _known("ERR", Outcome.COMMAND_ERROR, Fact.NOT_OVER_REST, words=("command", "not", _REST), source=_REPORT),
    _known("ERR XReadGroup is cancelled", Outcome.COMMAND_ERROR, source=_DOCS),
    _known("ERR Wrong password or user", Outcome.COMMAND_ERROR, source=_DOCS),  # the answer to ACL RESTTOKEN
    *(_known(code, Outcome.COMMAND_ERROR) for code in (*redis_errors.CODES, "MOVED #", "ASK #")),
    *(_known(f"ERR {text}", Outcome.COMMAND_ERROR) for text in redis_errors.TEXTS),
)

# What clients and tools put in front of the server's text.
_INTRODUCTION = re.compile(r"^(?:(?:command failed|[\w.]*error)\s*:\s*|\(error\)\s*|[-\"'\[]\s*)+", re.IGNORECASE)


def known_error(text: str) -> KnownError | None:
    """The known error that a text is, whatever the HTTP status; `None` for a text that is on no list."""
    bare = _INTRODUCTION.sub("", " ".join(text.split()))
    return next((known for known in KNOWN_ERRORS if known.fits(bare)), None)


@cache
def _beginning(known: KnownError) -> re.Pattern[str]:
    end = r"\.?$" if known.is_whole else r"(?!\w)" if known.prefix else ""
    # Scripts and proxies put ERR in front of a code that is one by itself.
    start = "" if known.prefix.startswith("ERR") else r"(?:ERR:?\s)?"
    return re.compile(start + re.escape(known.prefix).replace(r"\#", "[0-9]+") + end, re.IGNORECASE)


@cache
def _word(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{word})(?!\w)", re.IGNORECASE)
