"""What can be known of a URL and a token without sending them.

A value is judged as it stands: the worker that reads the same variable gets no repair either. No detail ever holds
the value itself.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from monitor.checks.classify import CheckResult
from monitor.checks.observation import Fact, Outcome
from monitor.lib.pasted import (
    AROUND,
    ASSIGNMENT,
    QUOTES,
    is_masked,
    is_placeholder,
    is_placeholder_host,
    paste_mistake,
)

_WITH_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
# Long, of a token's characters alone, among them a digit and a letter: no word, no name of a host.
_TOKEN = re.compile(r"^(?=.*[0-9])(?=.*[A-Za-z])[A-Za-z0-9+/_=-]{24,}$")
_LOOK_ALIKE = re.compile(
    r"_REST(?:_API)?(?:_READ_?ONLY)?_(?:URL|TOKEN)$|(?:^|_)(?:REDIS|KV)(?:_TLS|_PUBLIC|_PRIVATE)?_(?:URL|TOKEN)$"
)
_MOST_NAMES = 4
_URL_SAFE = re.compile(r"^[A-Za-z0-9_-]+={0,2}$")
_PASSWORD = re.compile(r"^[0-9A-Fa-f]{32}$")
# The padding of base64 ends a token; what a list or a sentence has behind it was copied along.
_BEHIND_PADDING = re.compile(r"^[A-Za-z0-9+/_-]+={1,2}([,;.:])$")
_DROPPED_BY_URL_PARSERS = "\t\r\n"
_REDIS_PORT = 6379
# What is wrong with a value, with what a verdict asks for.
_Mistake = tuple[str, Fact]
_LABEL = re.compile(r"^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$")
UPSTASH_DOMAIN = ".upstash.io"
_UPSTASH_DOMAINS = (UPSTASH_DOMAIN, ".kv.vercel-storage.com")  # Vercel's own names for what Upstash runs
READ_ONLY_USER = "default_ro"


def inspect(url: str, token: str, look_alikes: Sequence[str] = ()) -> CheckResult | None:
    """Return what is wrong with the pair as it stands, or `None` when it is fit to be sent.

    `look_alikes` are names of variables that are set and may be meant; the detail of a missing value tells them.
    """
    if _is_swapped(url, token):
        detail = "stands in the token's place, and the token in its own"
        return CheckResult(outcome=Outcome.URL_MALFORMED, detail=detail, facts=frozenset({Fact.SWAPPED}))
    return _inspect_url(url, look_alikes) or _inspect_token(token, url, look_alikes)


def look_alikes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The names of variables that hold something and look as if a database's URL or token were in them."""
    return tuple(sorted(name for name, value in environ.items() if is_look_alike(name) and value.strip()))


def is_look_alike(name: str) -> bool:
    """True for a variable's name under which some database's URL or token is usually kept."""
    return _LOOK_ALIKE.search(name) is not None


def _inspect_url(url: str, look_alikes: Sequence[str]) -> CheckResult | None:
    if not url.strip():
        names = [name for name in look_alikes if name.endswith("URL")]
        return CheckResult(outcome=Outcome.URL_MISSING, detail=_absence(url, names))
    return _malformed(
        Outcome.URL_MALFORMED,
        _stand_in(url, is_placeholder=_is_placeholder_url(url.strip(AROUND)))
        or paste_mistake(url)
        or _url_mistake(url),
    )


def _inspect_token(token: str, url: str, look_alikes: Sequence[str]) -> CheckResult | None:
    if not token.strip():
        names = [name for name in look_alikes if not name.endswith("URL")]
        return CheckResult(outcome=Outcome.TOKEN_MISSING, detail=_absence(token, names))
    is_upstash = (host_of(url) or "").endswith(_UPSTASH_DOMAINS)
    return _malformed(
        Outcome.TOKEN_MALFORMED,
        _stand_in(token, is_placeholder=is_placeholder(token.strip(AROUND), is_upstash=is_upstash))
        or paste_mistake(token)
        or _token_mistake(token),
    )


def _malformed(outcome: Outcome, mistake: str | _Mistake | None) -> CheckResult | None:
    if mistake is None:
        return None
    if isinstance(mistake, str):
        return CheckResult(outcome=outcome, detail=mistake)
    return CheckResult(outcome=outcome, detail=mistake[0], facts=frozenset({mistake[1]}))


def _absence(value: str, names: Sequence[str]) -> str:
    found = "holds only whitespace" if value else "empty, or its variable is not set"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{found}; set instead: {', '.join(names[:_MOST_NAMES])}{more}" if names else found


def _is_swapped(url: str, token: str) -> bool:
    """True for a token in the URL's place and a URL in the token's."""
    core = url.strip(AROUND)
    is_other = bool(core) and "://" not in core and "." not in core and not is_placeholder(core, is_upstash=True)
    return is_other and not is_masked(core) and _is_url(token.strip(AROUND))


def _is_url(value: str) -> bool:
    return bool(_WITH_SCHEME.match(value)) or value.lower().partition(":")[0].endswith(_UPSTASH_DOMAINS)


def _stand_in(value: str, *, is_placeholder: bool) -> _Mistake | None:
    if is_masked(value.strip(AROUND)):
        return "was copied from where it is hidden", Fact.MASKED
    return ("is a placeholder", Fact.PLACEHOLDER) if is_placeholder else None


def _is_placeholder_url(url: str) -> bool:
    if "://" not in url and "." not in url:
        return is_placeholder(url, is_upstash=True)
    authority = re.split(r"[/?#]", url.partition("://")[2] or url, maxsplit=1)[0]
    return is_placeholder_host(authority.rpartition("@")[2].partition(":")[0], domains=_UPSTASH_DOMAINS)


def _url_mistake(url: str) -> str | _Mistake | None:
    if ASSIGNMENT.match(url):
        return "is an assignment NAME=value; only the value belongs here"
    if " " in url:
        return "holds a space"
    if _TOKEN.match(url):
        return "looks like a token"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "cannot be read as one; REST is at https://HOST"
    if parts.scheme in ("redis", "rediss"):
        return f"begins with {parts.scheme}://; REST is at https:// of the same host"
    if parts.scheme not in ("http", "https") or not parts.netloc:
        return "does not begin with https:// and a host"
    return _place_mistake(url, parts, port)


def _place_mistake(url: str, parts: SplitResult, port: int | None) -> str | _Mistake | None:
    host = parts.hostname or ""
    if "@" in parts.netloc:
        return "holds a user name or password; REST is at https://HOST"
    if not is_host(host):
        return "has no valid host"
    if port == 0 or parts.netloc.endswith(":"):
        return "has no valid port"
    if parts.path not in ("", "/"):
        return "has a path; REST is at https://HOST alone"
    if "?" in url or "#" in url:
        return "has a query; REST is at https://HOST alone"
    if parts.scheme == "http" and host.removesuffix(".").endswith(UPSTASH_DOMAIN):
        return "begins with http://; Upstash is reached with https:// only"
    if _is_redis_port(host, port):
        return f"names port {port}, which is Redis's; REST is on 443", Fact.REDIS_PORT_IN_URL
    return None


def _is_redis_port(host: str, port: int | None) -> bool:
    """True for a port at Upstash that speaks Redis and no REST: 6379, or an older database's own."""
    host = host.lower().removesuffix(".")
    return host.endswith(_UPSTASH_DOMAINS) and port is not None and port in (_REDIS_PORT, legacy_port(host))


def _token_mistake(token: str) -> str | None:
    if _is_url(token):
        return "is a URL"
    if token.lower().startswith("bearer "):
        return "begins with `Bearer `; only what follows belongs here"
    behind = _BEHIND_PADDING.match(token)
    if behind:
        return f"ends with `{behind.group(1)}`, which does not belong to it"
    if ASSIGNMENT.match(token):
        return "is an assignment NAME=value; only the value belongs here"
    if " " in token:
        return "holds a space"
    return "holds a quote" if any(quote in token for quote in QUOTES) else None


def is_host(host: str) -> bool:
    """True for an IP address or a name of valid labels; whether it exists is another question."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        labels = host.removesuffix(".").split(".")
        return len(host) <= 253 and all(_LABEL.match(label) for label in labels)
    return True


def is_private_name(host: str) -> bool:
    """True for a name that only a hosts file or a network of one's own knows; an IP address is no name."""
    name = host.lower().removesuffix(".")
    try:
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return bool(name) and ("." not in name or name.endswith(_PRIVATE_DOMAINS))
    return False


_PRIVATE_DOMAINS = (
    ".localhost", ".localdomain", ".local", ".internal", ".lan", ".home.arpa", ".test", ".flycast", ".svc"
)  # fmt: skip
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*$", re.IGNORECASE)
_NAME_IN_FRONT = re.compile(r"^(export\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*")
_END_OF_AUTHORITY = re.compile(r"[/\\?#\s\"'`“”‘’«»]")
# Without a scheme in front a value may be anything, a token too: only what looks like a public name counts.
_BARE_NAME = re.compile(r"^(?:[a-z0-9-]+\.)+[a-z]{2,24}$")
_REST_PORT = re.compile(r":[0-9]+(?=/?\s*$)")
_NUMBER_IN_NAME = re.compile(r"^[^.]*-([0-9]{1,6})(?:\.|$)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Endpoint:
    """Where REST is to be found, for the layers below the token."""

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
        rest = _NAME_IN_FRONT.sub("", url.strip(AROUND)).strip(AROUND)
    authority = _END_OF_AUTHORITY.split(rest, maxsplit=1)[0].rpartition("@")[2]
    host, port = _host_and_port(authority)
    if not is_host(host) or not (mark or _BARE_NAME.match(host)):
        return None
    is_encrypted = scheme != "http" or host.endswith(UPSTASH_DOMAIN)
    is_rest = scheme in ("http", "https") and not _is_redis_port(host, port)
    if not is_rest or port is None or is_encrypted != (scheme == "https"):
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


def inspect_for_worker(url: str, token: str, port: int) -> CheckResult | None:
    """What keeps a worker from reading the URL that it puts together, or `None` when it leads to the host.

    URL parsers take the host from the wrong place without a word, and a client then turns to another host.
    """
    mistake = inspect(url, token)
    if mistake is not None and mistake.outcome in (Outcome.URL_MISSING, Outcome.TOKEN_MISSING):
        return mistake
    host = host_of(url)
    if host is None or _host_as_parsed(worker_url(url, "token", port)) != host:
        detail = "the rediss:// address that a worker builds from it leads to no valid host"
        return CheckResult(outcome=Outcome.URL_MALFORMED, detail=detail)
    if _host_as_parsed(worker_url(url, token, port)) != host:
        detail = "a character in it, such as / or #, cuts the rediss:// URL that a worker builds"
        return CheckResult(outcome=Outcome.TOKEN_MALFORMED, detail=detail)
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
    number = number_in(host)
    return number if number is not None and 1024 <= number <= 65535 else None


def number_in(host: str) -> int | None:
    match = _NUMBER_IN_NAME.match(host)
    return int(match.group(1)) if match else None


def hints(url: str, token: str) -> frozenset[Fact]:
    """What the form of the token suggests. No proof: verdicts use it only next to what other layers found."""
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
        expected = number_in(host_of(url) or "")
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
