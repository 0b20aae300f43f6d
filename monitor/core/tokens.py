"""What the doctor tells from a URL and a token without sending them: where they lead, and what they look like.

Whether they may be sent is told in `credentials`. A token's layout is not documented and may change, so what is
told from it is a hint, and nothing fails by it. No part of a value ever leaves; only facts about it do.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from monitor.core.classify import Finding
from monitor.core.credentials import UPSTASH_DOMAIN, inspect, is_host
from monitor.core.ladder import Fact, Rung, Seen, State
from monitor.core.observation import Outcome

READ_ONLY_USER = "default_ro"

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*$", re.IGNORECASE)
_ASSIGNMENT = re.compile(r"^(export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*")
_AROUND = " \t\r\n\v\f\u00a0\u200b\ufeff\"'`“”‘’«»"
_END_OF_AUTHORITY = re.compile(r"[/\\?#\s\"'`“”‘’«»]")
# Without a scheme in front a value may be anything, a token too: only what looks like a public name counts.
_BARE_NAME = re.compile(r"^(?:[a-z0-9-]+\.)+[a-z]{2,24}$")
_REST_PORT = re.compile(r":[0-9]+(?=/?\s*$)")
_NUMBER_IN_NAME = re.compile(r"^[^.]*-([0-9]{1,6})(?:\.|$)")
_URL_SAFE = re.compile(r"^[A-Za-z0-9_-]+={0,2}$")
_PASSWORD = re.compile(r"^[0-9A-Fa-f]{32}$")
_DROPPED_BY_URL_PARSERS = "\t\r\n"
_HINTS = {
    Fact.TOKEN_IS_READ_ONLY: "the token looks like a read-only one",
    Fact.TOKEN_OF_ANOTHER_DATABASE: "the token looks like another database's",
    Fact.TOKEN_IS_A_PASSWORD: "the token looks like an older database's password",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where REST is to be found, for the rungs below the token."""

    host: str
    port: int
    is_encrypted: bool

    @property
    def url(self) -> str:
        """The REST URL as it should stand, without a path."""
        scheme, usual = ("https", 443) if self.is_encrypted else ("http", 80)
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}" if self.port == usual else f"{scheme}://{host}:{self.port}"


def endpoint_of(url: str) -> Endpoint | None:
    """Where a URL leads, as far as that can be told from a malformed one; `None` where it cannot."""
    before, mark, rest = url.partition("://")
    match = _SCHEME.search(before) if mark else None
    scheme = match.group().lower() if match else ""
    if not mark:
        rest = _ASSIGNMENT.sub("", url.strip(_AROUND)).strip(_AROUND)
    authority = _END_OF_AUTHORITY.split(rest, maxsplit=1)[0].rpartition("@")[2]
    host, port = _host_and_port(authority)
    if not is_host(host) or not (mark or _BARE_NAME.match(host)):
        return None
    is_encrypted = scheme != "http" or host.endswith(UPSTASH_DOMAIN)
    if scheme not in ("http", "https") or port is None or is_encrypted != (scheme == "https"):
        # What was pasted in place of the REST URL has another port than it.
        port = 443 if is_encrypted else 80
    return Endpoint(host=host, port=port, is_encrypted=is_encrypted)


def host_of(url: str) -> str | None:
    """The host of a URL, in lower case, as far as it can be told from a malformed one."""
    endpoint = endpoint_of(url)
    return endpoint.host if endpoint else None


def _host_and_port(authority: str) -> tuple[str, int | None]:
    bracketed, closed, after = authority.partition("]")
    if closed:
        host, port = bracketed.removeprefix("["), after.removeprefix(":")
    else:
        host, _, port = authority.partition(":")
    if port and not re.fullmatch(r"[0-9]+", port):
        return "", None  # a user and a password whose host is missing
    number = int(port[:6] or "0")
    return host.lower().removesuffix("."), number if 0 < number < 65536 else None


def worker_url(url: str, token: str, port: int, *, user: str = "default") -> str:
    """The URL that a worker puts together from the two variables, values as they stand, mistakes and all.

    Only a port in the REST URL is left out: Upstash's has none, and stand-ins for it listen elsewhere for rediss://.
    """
    host = url.removeprefix("https://").removeprefix("http://")
    return f"rediss://{user}:{token}@{_REST_PORT.sub('', host)}:{port}"


def inspect_for_worker(url: str, token: str, port: int) -> Finding | None:
    """What keeps a worker from reading the URL that it puts together, or `None` when it leads to the host.

    URL parsers take the host from the wrong place without a word, and a client then turns to another host.
    """
    mistake = inspect(url, token)
    if mistake is not None and mistake.outcome in (Outcome.URL_MISSING, Outcome.TOKEN_MISSING):
        return mistake
    host = host_of(url)
    if host is None or _host_as_parsed(worker_url(url, "token", port)) != host:
        detail = "the rediss:// URL that a worker builds from this URL leads to no valid host"
        return Finding(outcome=Outcome.URL_MALFORMED, detail=detail)
    if _host_as_parsed(worker_url(url, token, port)) != host:
        detail = "a character of the token, such as / or #, cuts the rediss:// URL that a worker builds from it"
        return Finding(outcome=Outcome.TOKEN_MALFORMED, detail=detail)
    return None


def _host_as_parsed(url: str) -> str | None:
    try:
        url.encode()
        parts = urlsplit(url)
        return None if parts.port == 0 else (parts.hostname or "").removesuffix(".")
    except ValueError:  # its text holds pieces of the token
        return None


def legacy_port(host: str) -> int | None:
    """The port of an older database: the number in its host's name, where that can be a port."""
    number = _number_in(host)
    return number if number is not None and 1024 <= number <= 65535 else None


def _number_in(host: str) -> int | None:
    match = _NUMBER_IN_NAME.match(host)
    return int(match.group(1)) if match else None


def hints(url: str, token: str) -> frozenset[Fact]:
    """What the token's looks suggest. Read only as a hint, and next to what the rungs above found."""
    core = token.strip()
    found: set[Fact] = set()
    around = token.replace(core, "", 1) if core else ""
    if any(character in around for character in _DROPPED_BY_URL_PARSERS):
        found.add(Fact.NEWLINE_AROUND_TOKEN)
    if _PASSWORD.match(core):
        found.add(Fact.TOKEN_IS_A_PASSWORD)
    layout = _legacy_layout(core)
    if layout is not None:
        is_read_only, number = layout
        if is_read_only:
            found.add(Fact.TOKEN_IS_READ_ONLY)
        expected = _number_in(host_of(url) or "")
        # The layout has two bytes for the number; a host with a larger one is of a newer kind.
        if expected is not None and expected < 65536 and expected != number:
            found.add(Fact.TOKEN_OF_ANOTHER_DATABASE)
    return frozenset(found)


def _legacy_layout(token: str) -> tuple[bool, int] | None:
    """Whether an older token is read-only, and the number of its database; `None` for any other token.

    Base64 of: kind (1 standard, 2 read-only), number (two bytes), 1, lengths of id and secret, id, secret.
    """
    if not _URL_SAFE.match(token):
        return None
    core = token.rstrip("=")
    try:
        raw = base64.urlsafe_b64decode(core + "=" * (-len(core) % 4))
    except ValueError:
        return None
    if len(raw) <= 6 or raw[0] not in (1, 2) or raw[3] != 1 or len(raw) != 6 + raw[4] + raw[5]:
        return None
    return raw[0] == 2, int.from_bytes(raw[1:3], "big")


def see_configuration(url: str, token: str) -> Seen:
    """The first rung: URL and token as they stand, and what their looks suggest."""
    mistake = inspect(url, token)
    facts = hints(url, token)
    guesses = [words for fact, words in _HINTS.items() if fact in facts]
    if mistake is not None:
        return Seen(
            rung=Rung.CONFIGURATION,
            state=State.FAILED,
            seen="; ".join([mistake.detail, *guesses]),
            outcome=mistake.outcome,
            facts=facts,
        )
    return Seen(
        rung=Rung.CONFIGURATION,
        state=State.PASSED,
        seen="; ".join(["URL and token are there and well-formed", *guesses]),
        facts=facts,
    )
