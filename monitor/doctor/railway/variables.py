"""A worker's variables on its platform against those of this process and the console's: what is amiss with them.

Fetching them is done in `probes/railway`; what is written to put them right is decided in `repair`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote, urlsplit

from monitor.checks.credentials import host_of, inspect
from monitor.diagnosis.layers import Fact, LayerState
from monitor.doctor.layers.console import ConsoleDatabase
from monitor.lib.secret import Secret

URL_NAME = "UPSTASH_REDIS_REST_URL"
TOKEN_NAME = "UPSTASH_REDIS_REST_TOKEN"
# Stand for a value that is in order, so that the other one is judged alone.
_ANY_URL, _ANY_TOKEN = "https://example.com", "token"
_OLD_PASSWORD = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """One variable of a service. `None` where it is not set, or where its value is not known.

    `stored` is what the next deployment by a redeploy gets, `staged` what a person has staged and not deployed,
    `running` what the running deployment was started with.
    """

    name: str
    stored: Secret | None = None
    staged: Secret | None = None
    running: Secret | None = None
    is_running_known: bool = False
    is_sealed: bool = False
    is_reference: bool = False

    @property
    def value(self) -> Secret | None:
        """What a person sees as set: the staged value before the stored one."""
        return self.stored if self.staged is None else self.staged

    @property
    def text(self) -> str:
        """The value itself, empty where there is none."""
        return "" if self.value is None else self.value.reveal()

    @property
    def is_waiting(self) -> bool:
        """True when it is set, and a deployment would change what the worker has."""
        if self.value is None:
            return False
        return self.value != (self.running if self.is_running_known else self.stored)


class Ailment(Enum):
    """What can be amiss with a variable, in words that follow its name."""

    MISSING = "is not set"
    STAGED = "is set but not deployed"
    MALFORMED = "is malformed"
    DIFFERS = "is different from here"
    NOT_THE_CONSOLES = "is different from the console's"
    SEALED = "is not shown, as sealed variables are not"


# What a value that is not the console's means depends on ours, and that is known to the console's layer.
_FACTS = {
    Ailment.MISSING: Fact.WORKER_VARIABLE_MISSING,
    Ailment.STAGED: Fact.WORKER_VARIABLE_STAGED,
    Ailment.MALFORMED: Fact.WORKER_VARIABLE_DIFFERS,
    Ailment.DIFFERS: Fact.WORKER_VARIABLE_DIFFERS,
    Ailment.SEALED: Fact.WORKER_VARIABLE_SEALED,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How the layer ended, in words without values, with its facts."""

    state: LayerState
    words: str
    facts: frozenset[Fact] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What the worker's values are held against: this process's pair, and the console's where it is known."""

    url: str
    token: Secret
    console: ConsoleDatabase | None = None

    @property
    def host(self) -> str | None:
        return host_of(self.url) or (host_of(self.console.url) if self.console else None)

    @property
    def is_fit(self) -> bool:
        """False when this process's own pair is malformed or missing: then nothing is compared with it."""
        return inspect(self.url, self.token.reveal()) is None


def compare(
    variables: Mapping[str, Variable], known: Known, *, other_hosts: Collection[str] = frozenset()
) -> Comparison:
    """What is amiss with the worker's variables for one database.

    `other_hosts` are those of the other databases that are watched: to use one of them is no fault.
    """
    urls = redis_urls(variables, known.host)
    if not urls and host_of(variables.get(URL_NAME, Variable(name=URL_NAME)).text) in other_hosts:
        return Comparison(
            state=LayerState.NOT_APPLICABLE, words="it uses another of the databases that are watched"
        )
    ailments = list(_pair_ailments(variables, known, is_needed=not urls))
    ailments += [ailment for variable in urls for ailment in _url_ailments(variable, known)]
    facts = {_FACTS[ailment] for _, ailment, _ in ailments if ailment in _FACTS}
    if _is_the_consoles(variables, urls, known):
        facts.add(Fact.WORKER_VARIABLE_IS_THE_CONSOLES)
    if ailments:
        is_only_sealed = all(ailment is Ailment.SEALED for _, ailment, _ in ailments)
        return Comparison(
            state=LayerState.UNKNOWN if is_only_sealed else LayerState.FAILED,
            words=", ".join(f"{name} {ailment.value}{detail}" for name, ailment, detail in ailments),
            facts=frozenset(facts),
        )
    names = [name for name in (URL_NAME, TOKEN_NAME) if name in variables]
    names = list(dict.fromkeys([*names, *(variable.name for variable in urls)]))
    said, verb = " and ".join(names), "is" if len(names) == 1 else "are"
    if known.console is None and not known.is_fit:
        return Comparison(state=LayerState.UNKNOWN, words=f"{said} {verb} set, with nothing to compare")
    whose = "the console's" if Fact.WORKER_VARIABLE_IS_THE_CONSOLES in facts else "the same as here"
    return Comparison(state=LayerState.PASSED, words=f"{said} {verb} {whose}", facts=frozenset(facts))


def redis_urls(variables: Mapping[str, Variable], host: str | None) -> list[Variable]:
    """The variables such as `REDIS_URL` that hold a redis:// or rediss:// URL of this host."""
    return [variable for variable in variables.values() if host and _is_redis_url(variable.text, host)]


def is_same_place(one: str, other: str) -> bool:
    """True when two well-formed REST URLs are the same but for a slash at the end."""
    return one.rstrip("/").lower() == other.rstrip("/").lower()


def password_in(url: str) -> str:
    """The password in a redis:// or rediss:// URL, as its reader gets it."""
    try:
        return unquote(urlsplit(url.strip()).password or "")
    except ValueError:
        return ""


_Found = tuple[str, Ailment, str]


def _pair_ailments(variables: Mapping[str, Variable], known: Known, *, is_needed: bool) -> Iterator[_Found]:
    for name in (URL_NAME, TOKEN_NAME):
        variable = variables.get(name, Variable(name=name))
        if variable.is_sealed and variable.value is None:
            yield name, Ailment.SEALED, ""
        elif not variable.text.strip():
            if is_needed:
                yield name, Ailment.MISSING, ""
        else:
            yield from _value_ailments(variable, known)


def _value_ailments(variable: Variable, known: Known) -> Iterator[_Found]:
    value = variable.text
    is_url = variable.name == URL_NAME
    if variable.is_waiting:
        yield variable.name, Ailment.STAGED, ""
    mistake = inspect(value, _ANY_TOKEN) if is_url else inspect(_ANY_URL, value)
    if mistake is not None:
        yield variable.name, Ailment.MALFORMED, f" ({mistake.detail})"
        return
    console = known.console
    if console is not None:
        if is_same_place(value, console.url) if is_url else console.accepts_over_rest(value):
            return
        yield variable.name, Ailment.NOT_THE_CONSOLES, ""
    if known.is_fit and not (is_same_place(value, known.url) if is_url else known.token.is_same_as(value)):
        yield variable.name, Ailment.DIFFERS, ""


def _url_ailments(variable: Variable, known: Known) -> Iterator[_Found]:
    password = password_in(variable.text)
    if variable.is_waiting:
        yield variable.name, Ailment.STAGED, ""
    if known.console is not None:
        if not known.console.accepts_over_tcp(password):
            yield variable.name, Ailment.NOT_THE_CONSOLES, ""
            if known.is_fit and not known.token.is_same_as(password):
                yield variable.name, Ailment.DIFFERS, ""
    # On an older database the password is another value than the token, and both are right.
    elif known.is_fit and not known.token.is_same_as(password) and not _OLD_PASSWORD.fullmatch(password):
        yield variable.name, Ailment.DIFFERS, ""


def _is_the_consoles(variables: Mapping[str, Variable], urls: list[Variable], known: Known) -> bool:
    console = known.console
    if console is None:
        return False
    url, token = (variables.get(name, Variable(name=name)).text for name in (URL_NAME, TOKEN_NAME))
    if url or token:
        return is_same_place(url, console.url) and console.accepts_over_rest(token)
    return bool(urls) and all(console.accepts_over_tcp(password_in(variable.text)) for variable in urls)


def _is_redis_url(value: str, host: str) -> bool:
    return value.strip().lower().startswith(("redis://", "rediss://")) and host_of(value) == host
