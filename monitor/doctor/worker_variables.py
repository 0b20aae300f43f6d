"""A worker's variables on its platform: what is wrong with them, and what `doctor --fix` writes in their place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote, urlsplit

from monitor.checks.credentials import host_of, inspect
from monitor.checks.observation import Fact
from monitor.diagnosis.layers import Layer, LayerResult, LayerState
from monitor.doctor.console import ConsoleDatabase
from monitor.lib.secret import Secret

URL_NAME = "UPSTASH_REDIS_REST_URL"
TOKEN_NAME = "UPSTASH_REDIS_REST_TOKEN"
# In place of a value that is in order, so that the other one is inspected alone.
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
    def is_undeployed(self) -> bool:
        """True when it is set, and a deployment would change what the worker has."""
        if self.value is None:
            return False
        return self.value != (self.running if self.is_running_known else self.stored)


class VariableProblem(Enum):
    """What can be wrong with a variable, in words that follow its name."""

    MISSING = "is not set"
    STAGED = "is set but not deployed"
    MALFORMED = "is malformed"
    DIFFERS = "is different from here"
    NOT_THE_CONSOLES = "is different from the console's"
    SEALED = "is not shown, as sealed variables are not"


# `NOT_THE_CONSOLES` has no fact: what it means depends on this process's token, which the console layer compares.
_FACTS = {
    VariableProblem.MISSING: Fact.WORKER_VARIABLE_MISSING,
    VariableProblem.STAGED: Fact.WORKER_VARIABLE_STAGED,
    VariableProblem.MALFORMED: Fact.WORKER_VARIABLE_DIFFERS,
    VariableProblem.DIFFERS: Fact.WORKER_VARIABLE_DIFFERS,
    VariableProblem.SEALED: Fact.WORKER_VARIABLE_SEALED,
}
_FoundProblem = tuple[str, VariableProblem, str]  # name, problem, detail


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedValues:
    """What the worker's values are compared with: this process's, and the console's where they are known."""

    url: str
    token: Secret
    console: ConsoleDatabase | None = None

    @property
    def host(self) -> str | None:
        return host_of(self.url) or (host_of(self.console.url) if self.console else None)

    @property
    def is_well_formed(self) -> bool:
        """False when this process's own values are malformed or missing: then nothing is compared with them."""
        return inspect(self.url, self.token.reveal()) is None


def compare(
    variables: Mapping[str, Variable], expected: ExpectedValues, *, other_hosts: Collection[str] = frozenset()
) -> LayerResult:
    """The platform's layer as far as the variables for one database tell, in words without values.

    `other_hosts` are those of the other databases in the settings: a worker that uses one of them is in order.
    """
    urls = _redis_urls(variables, expected.host)
    if not urls and host_of(variables.get(URL_NAME, Variable(name=URL_NAME)).text) in other_hosts:
        return _result(LayerState.NOT_APPLICABLE, "it uses another of the databases that are watched")
    problems = list(_pair_problems(variables, expected, is_needed=not urls))
    problems += [problem for variable in urls for problem in _redis_url_problems(variable, expected)]
    facts = {_FACTS[problem] for _, problem, _ in problems if problem in _FACTS}
    if _is_the_consoles(variables, urls, expected):
        facts.add(Fact.WORKER_VARIABLE_IS_THE_CONSOLES)
    if problems:
        is_only_sealed = all(problem is VariableProblem.SEALED for _, problem, _ in problems)
        words = ", ".join(f"{name} {problem.value}{detail}" for name, problem, detail in problems)
        return _result(LayerState.UNKNOWN if is_only_sealed else LayerState.FAILED, words, facts)
    pair = [name for name in (URL_NAME, TOKEN_NAME) if name in variables]
    names = list(dict.fromkeys([*pair, *(variable.name for variable in urls)]))
    subject = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'}"
    if expected.console is None and not expected.is_well_formed:
        return _result(LayerState.UNKNOWN, f"{subject} set, with nothing to compare")
    same_as = "the console's" if Fact.WORKER_VARIABLE_IS_THE_CONSOLES in facts else "the same as here"
    return _result(LayerState.PASSED, f"{subject} {same_as}", facts)


def _result(state: LayerState, detail: str, facts: Collection[Fact] = ()) -> LayerResult:
    return LayerResult(layer=Layer.PLATFORM, state=state, detail=detail, facts=frozenset(facts))


def _pair_problems(
    variables: Mapping[str, Variable], expected: ExpectedValues, *, is_needed: bool
) -> Iterator[_FoundProblem]:
    for name in (URL_NAME, TOKEN_NAME):
        variable = variables.get(name, Variable(name=name))
        if variable.is_sealed and variable.value is None:
            yield name, VariableProblem.SEALED, ""
        elif variable.text.strip():
            yield from _value_problems(variable, expected)
        elif is_needed:
            yield name, VariableProblem.MISSING, ""


def _value_problems(variable: Variable, expected: ExpectedValues) -> Iterator[_FoundProblem]:
    value = variable.text
    is_url = variable.name == URL_NAME
    if variable.is_undeployed:
        yield variable.name, VariableProblem.STAGED, ""
    mistake = inspect(value, _ANY_TOKEN) if is_url else inspect(_ANY_URL, value)
    if mistake is not None:
        yield variable.name, VariableProblem.MALFORMED, f" ({mistake.detail})"
        return
    if expected.console is not None:
        if _is_right(variable.name, value, expected.console):
            return
        yield variable.name, VariableProblem.NOT_THE_CONSOLES, ""
    is_same = _is_same_url(value, expected.url) if is_url else expected.token.is_same_as(value)
    if expected.is_well_formed and not is_same:
        yield variable.name, VariableProblem.DIFFERS, ""


def _redis_url_problems(variable: Variable, expected: ExpectedValues) -> Iterator[_FoundProblem]:
    password = _password_in(variable.text)
    differs = expected.is_well_formed and not expected.token.is_same_as(password)
    if variable.is_undeployed:
        yield variable.name, VariableProblem.STAGED, ""
    if expected.console is not None:
        if expected.console.accepts_over_tcp(password):
            return
        yield variable.name, VariableProblem.NOT_THE_CONSOLES, ""
    # On an older database the password is another value than the token, and both are right.
    elif _OLD_PASSWORD.fullmatch(password):
        return
    if differs:
        yield variable.name, VariableProblem.DIFFERS, ""


def _is_the_consoles(
    variables: Mapping[str, Variable], urls: Sequence[Variable], expected: ExpectedValues
) -> bool:
    console = expected.console
    if console is None:
        return False
    url, token = (variables.get(name, Variable(name=name)).text for name in (URL_NAME, TOKEN_NAME))
    if url or token:
        return _is_same_url(url, console.url) and console.accepts_over_rest(token)
    return bool(urls) and all(console.accepts_over_tcp(_password_in(variable.text)) for variable in urls)


def _redis_urls(variables: Mapping[str, Variable], host: str | None) -> list[Variable]:
    """The variables such as `REDIS_URL` that hold a redis:// or rediss:// URL of this host."""
    return [
        variable
        for variable in variables.values()
        if host and is_redis_url(variable.text) and host_of(variable.text) == host
    ]


def is_redis_url(value: str) -> bool:
    return value.strip().lower().startswith(("redis://", "rediss://"))


def _is_same_url(one: str, other: str) -> bool:
    """True when two well-formed REST URLs are the same but for a slash at the end."""
    return one.rstrip("/").lower() == other.rstrip("/").lower()


def _is_right(name: str, value: str, console: ConsoleDatabase) -> bool:
    """True when this value of one of the pair is the console's."""
    return _is_same_url(value, console.url) if name == URL_NAME else console.accepts_over_rest(value)


def _password_in(url: str) -> str:
    """The password in a redis:// or rediss:// URL, without its percent-encoding."""
    try:
        return unquote(urlsplit(url.strip()).password or "")
    except ValueError:
        return ""


class WriteReason(Enum):
    """Why a variable is written."""

    MISSING = "not set"
    DIFFERENT = "different from the console's"
    ANOTHER_HOST = "the URL of another host"
    REFERENCE = "a reference to another variable, which the value replaces"
    SEALED = "not shown, as sealed variables are not, so it cannot be compared"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedWrite:
    """One variable that gets a new value."""

    name: str
    reason: WriteReason
    value: Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class FixPlan:
    """What a fix will do to one service, to be shown before it is done.

    `by_hand` are variables that hold the host with another password: only a person knows how they are made.
    """

    service: str
    writes: tuple[PlannedWrite, ...] = ()
    right: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    redeploys: bool = False
    refusal: str = ""

    def lines(self) -> tuple[str, ...]:
        """The plan for people; no value stands in it."""
        if self.refusal:
            return (self.refusal,)
        of_service = f"of service {self.service}"
        return (
            *(f"write {write.name} {of_service}: it is {write.reason.value}" for write in self.writes),
            *(f"leave {name} {of_service}: it is the console's already" for name in self.right),
            *(
                f"leave {name} {of_service}: its password is another, to be changed by hand"
                for name in self.by_hand
            ),
            f"redeploy service {self.service}" if self.redeploys else "nothing is left for this fix to do",
        )


def plan_fix(
    variables: Mapping[str, Variable],
    console: ConsoleDatabase,
    *,
    service: str,
    other_hosts: Collection[str] = frozenset(),
) -> FixPlan:
    """The smallest change after which a redeployed service has the console's URL and token."""
    present = variables.get(URL_NAME)
    if present is not None and present.stored is not None and host_of(present.stored.reveal()) in other_hosts:
        refusal = f"service {service} uses another of the databases that are watched; nothing is changed"
        return FixPlan(service=service, refusal=refusal)
    urls = _redis_urls(variables, host_of(console.url))
    writes: list[PlannedWrite] = []
    right: list[str] = []
    for name, wanted in ((URL_NAME, Secret(console.url)), (TOKEN_NAME, console.rest_token)):
        reason = _write_reason(variables.get(name, Variable(name=name)), console)
        if reason is None:
            right.append(name)
        # A worker that reads a whole rediss:// URL need not have the pair.
        elif reason is not WriteReason.MISSING or not urls:
            writes.append(PlannedWrite(name=name, reason=reason, value=wanted))
    accepted = [variable for variable in urls if _is_accepted(variable, console)]
    left_alone = [*(variables[name] for name in right), *accepted]
    return FixPlan(
        service=service,
        writes=tuple(writes),
        right=tuple(right),
        by_hand=tuple(
            variable.name for variable in urls if variable not in accepted and not variable.is_reference
        ),
        redeploys=bool(writes) or any(_is_not_running(variable) for variable in left_alone),
    )


def _write_reason(variable: Variable, console: ConsoleDatabase) -> WriteReason | None:
    if variable.stored is None:
        return WriteReason.SEALED if variable.is_sealed else WriteReason.MISSING
    value = variable.stored.reveal()
    if not value.strip():
        return WriteReason.MISSING
    if _is_right(variable.name, value, console):
        return None
    if variable.is_reference:
        return WriteReason.REFERENCE
    if variable.name == URL_NAME and host_of(value) not in (None, host_of(console.url)):
        return WriteReason.ANOTHER_HOST
    return WriteReason.DIFFERENT


def _is_not_running(variable: Variable) -> bool:
    return not variable.is_running_known or variable.running != variable.stored


def _is_accepted(variable: Variable, console: ConsoleDatabase) -> bool:
    return variable.stored is not None and console.accepts_over_tcp(_password_in(variable.stored.reveal()))
