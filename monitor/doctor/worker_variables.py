"""A worker's variables on its platform: which of them lead to one database, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from urllib.parse import unquote, urlsplit

from monitor.checks.credentials import endpoint_of, host_of, inspect
from monitor.checks.observation import Fact
from monitor.diagnosis.verdicts import Layer, LayerResult, LayerState
from monitor.doctor.console import ConsoleDatabase
from monitor.doctor.tried_values import NOT_TRIED, Attempt, Attempts, AttemptState, Credentials
from monitor.lib.text import Secret

# In place of a value that is in order, so that the other one is inspected alone.
_ANY_URL, _ANY_TOKEN = "https://example.com", "token"
_OLD_PASSWORD = re.compile(r"[0-9a-f]{32}")
# As Upstash and Vercel name the two, with whatever stands in front: CACHE_REST_URL goes with CACHE_REST_TOKEN.
_END_OF_URL_NAME = re.compile(r"(?:(?<=REST_)|(?<=REST_API_))URL$")
_END_OF_TOKEN_NAME = re.compile(r"(?:(?<=REST_)|(?<=REST_API_))TOKEN$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Variable:
    """One variable of a service. `None` where it is not set, or where its value is not known.

    `stored` is what the next deployment by a redeploy gets, `staged` what a person has staged and not deployed,
    `running` what the running deployment was started with.
    `read_by_others` are names, its own or of references to it, from which another database's token is read.
    """

    name: str
    stored: Secret | None = None
    staged: Secret | None = None
    running: Secret | None = None
    is_running_known: bool = False
    is_sealed: bool = False
    is_reference: bool = False
    read_by_others: tuple[str, ...] = ()

    @property
    def value(self) -> Secret | None:
        """What a person sees as set: the staged value before the stored one."""
        return self.stored if self.staged is None else self.staged

    @property
    def text(self) -> str:
        """The value itself, empty where there is none."""
        return "" if self.value is None else self.value.reveal()

    @property
    def is_set(self) -> bool:
        """True when the service has it, its value shown or not."""
        return self.is_sealed or bool(self.value)

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
    REFUSED = "is refused by the database"
    NOT_TRIED = "is different, and whether the database accepts it is not known"
    SEALED = "is not shown, as sealed variables are not"


# `NOT_THE_CONSOLES` has no fact: what it means depends on this process's token, which the console layer compares.
# That of `REFUSED` is given where it is found, since it has two.
_FACTS = {
    VariableProblem.MISSING: Fact.WORKER_VARIABLE_MISSING,
    VariableProblem.STAGED: Fact.WORKER_VARIABLE_STAGED,
    VariableProblem.MALFORMED: Fact.WORKER_VARIABLE_DIFFERS,
    VariableProblem.DIFFERS: Fact.WORKER_VARIABLE_DIFFERS,
    VariableProblem.SEALED: Fact.WORKER_VARIABLE_SEALED,
}
_NOT_KNOWN = frozenset({VariableProblem.NOT_TRIED, VariableProblem.SEALED})
_THE_CONSOLES, _AS_HERE = "the console's", "the same as here"
_NOTHING_TO_COMPARE = "set, with nothing to compare"


@dataclass(frozen=True, kw_only=True, slots=True)
class ExpectedValues:
    """What the worker's values are compared with: this process's, and the console's where they are known.

    `url_variable` and `token_variable` are this database's own; empty where a value is written in the file.
    `other_token_variables` are those of the other databases in the settings.
    """

    url: str
    token: Secret
    url_variable: str
    token_variable: str
    console: ConsoleDatabase | None = None
    other_token_variables: frozenset[str] = frozenset()

    @property
    def host(self) -> str | None:
        return host_of(self.url) or (host_of(self.console.url) if self.console else None)

    @property
    def is_well_formed(self) -> bool:
        """False when this process's own values are malformed or missing: then nothing is compared with them."""
        return inspect(self.url, self.token.reveal()) is None

    @property
    def right_url(self) -> str:
        """The database's REST URL, as it should stand where the console is known."""
        return self.url if self.console is None else self.console.url

    def is_consoles_token(self, text: str) -> bool:
        """True for one of the REST tokens that the console shows."""
        return self.console is not None and self.console.accepts_over_rest(text)


@dataclass(frozen=True, kw_only=True, slots=True)
class VariablePair:
    """The names of the variables from which a service reads one database; empty where a name is not known."""

    url: str
    token: str


def find_pairs(variables: Mapping[str, Variable], expected: ExpectedValues) -> tuple[VariablePair, ...]:
    """The pairs through which the service reads this database; none where no name is known.

    By the names that this process reads, unless the URL there leads elsewhere and another variable's leads here: a
    service may use other names. Where nothing leads here, the names of this process are those that are missing.
    """
    own = VariablePair(url=expected.url_variable, token=expected.token_variable)
    own_url, host = variable_of(variables, own.url), expected.host
    if own_url.is_set and host_of(own_url.text) in (None, host):
        return (_completed(own.url, variables, expected),)
    by_host = tuple(
        _completed(name, variables, expected)
        for name, variable in variables.items()
        if host and _is_rest_url(variable.text) and _leads_here(variable.text, expected)
    )
    return by_host or ((own,) if own.url or own.token else ())


def _completed(url: str, variables: Mapping[str, Variable], expected: ExpectedValues) -> VariablePair:
    """With the token's name: this process's own, the URL's sibling, or one that holds a token known here."""
    own_url, own_token = expected.url_variable, expected.token_variable
    if own_token and url == own_url:
        return VariablePair(url=url, token=own_token)
    sibling = _END_OF_URL_NAME.sub("TOKEN", url) if _END_OF_URL_NAME.search(url) else ""
    known = next((name for name, one in variables.items() if _is_known_token(one.text, expected)), "")
    # Beside a URL of its own that leads elsewhere, the own token is that database's.
    is_own_free = variable_of(variables, own_token).is_set and not variable_of(variables, own_url).is_set
    if variable_of(variables, sibling).is_set:
        return VariablePair(url=url, token=sibling)
    return VariablePair(url=url, token=known or (own_token if is_own_free else sibling))


def _leads_here(url: str, expected: ExpectedValues) -> bool:
    """True for this database's host and port: behind another port of one host is another database."""
    here, there = endpoint_of(expected.url) or endpoint_of(expected.right_url), endpoint_of(url)
    return here is not None and there is not None and (here.host, here.port) == (there.host, there.port)


def url_name_of(token_name: str) -> str:
    """The name of the URL that goes with a token by its name, as `CACHE_REST_URL`; empty where it has none."""
    return _END_OF_TOKEN_NAME.sub("URL", token_name) if _END_OF_TOKEN_NAME.search(token_name) else ""


def _is_known_token(text: str, expected: ExpectedValues) -> bool:
    return bool(text.strip()) and (expected.token.is_same_as(text) or expected.is_consoles_token(text))


def variable_of(variables: Mapping[str, Variable], name: str) -> Variable:
    """The variable of that name, or one that is not set."""
    return variables.get(name, Variable(name=name))


def credentials_of(
    variables: Mapping[str, Variable], pair: VariablePair, expected: ExpectedValues
) -> tuple[Credentials, ...]:
    """What a service has in a pair, where there is a token: as a person sees it set, as stored, as it runs.

    A token without a URL goes with this database's. Behind a sealed URL may be any host.
    """
    url, token = variable_of(variables, pair.url), variable_of(variables, pair.token)
    if url.is_sealed and url.value is None:
        return ()
    running_url = url.running if url.is_running_known else url.stored
    usual = Secret(expected.right_url)
    sides = ((url.value, token.value), (url.stored, token.stored), (running_url, token.running))
    return tuple(
        dict.fromkeys(
            Credentials(url=address if address and not is_blank(address) else usual, token=value)
            for address, value in sides
            if value is not None and not is_blank(value)
        )
    )


def credentials_to_try(variables: Mapping[str, Variable], expected: ExpectedValues) -> tuple[Credentials, ...]:
    """What has to be tried before the variables can be compared: all but what is known to be this database's."""
    pairs = find_pairs(variables, expected)
    return tuple(
        dict.fromkeys(
            [
                *(
                    credentials
                    for pair in pairs
                    for credentials in credentials_of(variables, pair, expected)
                    if not _is_known(credentials, expected)
                ),
                *(Credentials(url=one.value) for one in redis_urls(variables, expected.host) if one.value),
            ]
        )
    )


def _is_known(credentials: Credentials, expected: ExpectedValues) -> bool:
    token = credentials.token.reveal() if credentials.token else ""
    if host_of(credentials.url.reveal()) != expected.host:
        return False
    return expected.is_consoles_token(token) or (expected.console is None and expected.token.is_same_as(token))


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finding:
    """What was found of one variable: a problem, or what it is where there is none."""

    name: str
    problem: VariableProblem | None = None
    words: str = ""
    facts: frozenset[Fact] = frozenset()


def compare(
    variables: Mapping[str, Variable],
    expected: ExpectedValues,
    attempts: Attempts,
    *,
    other_hosts: Collection[str] = frozenset(),
) -> LayerResult:
    """The platform's layer as far as the variables for one database tell, in words without values.

    `attempts` are those of `credentials_to_try`. `other_hosts` are those of the other databases in the settings: a
    worker that uses one of them is in order.
    """
    urls, pairs = redis_urls(variables, expected.host), find_pairs(variables, expected)
    if not urls and any(host_of(variable_of(variables, pair.url).text) in other_hosts for pair in pairs):
        return _result(LayerState.NOT_APPLICABLE, "it uses another of the databases that are watched")
    if not urls and not pairs:
        return _result(LayerState.UNKNOWN, "no variable holds this database's URL, and their names are not known")
    found = [
        finding
        for pair in pairs
        for finding in _pair_findings(pair, variables, expected, attempts, is_needed=not urls)
    ]
    for variable in urls:
        attempt = attempts.get(Credentials(url=Secret(variable.text)), NOT_TRIED)
        found += _redis_url_findings(variable, expected, attempt)
    facts = {fact for finding in found for fact in finding.facts}
    facts |= {_FACTS[finding.problem] for finding in found if finding.problem in _FACTS}
    if _are_the_consoles(variables, pairs, expected):
        facts.add(Fact.WORKER_VARIABLE_IS_THE_CONSOLES)
    return _summarize(found, facts)


def _summarize(found: Collection[_Finding], facts: Collection[Fact]) -> LayerResult:
    problems = [(one, one.problem) for one in found if one.problem is not None]
    if problems:
        is_unknown = all(problem in _NOT_KNOWN for _, problem in problems)
        wrong: dict[str, list[str]] = {}
        for one, problem in problems:
            wrong.setdefault(one.name, []).append(f"{problem.value.removeprefix('is ')}{one.words}")
        words = ", ".join(f"{name} is {' and '.join(some)}" for name, some in wrong.items())
        return _result(LayerState.UNKNOWN if is_unknown else LayerState.FAILED, words, facts)
    names: dict[str, list[str]] = {}
    for one in found:
        names.setdefault(one.words, []).append(one.name)
    subjects = (
        f"{' and '.join(some)} {'is' if len(some) == 1 else 'are'} {words}" for words, some in names.items()
    )
    state = LayerState.UNKNOWN if _NOTHING_TO_COMPARE in names else LayerState.PASSED
    return _result(state, ", ".join(subjects), facts)


def _result(state: LayerState, detail: str, facts: Collection[Fact] = ()) -> LayerResult:
    return LayerResult(layer=Layer.PLATFORM, state=state, detail=detail, facts=frozenset(facts))


def _pair_findings(
    pair: VariablePair,
    variables: Mapping[str, Variable],
    expected: ExpectedValues,
    attempts: Attempts,
    *,
    is_needed: bool,
) -> Iterator[_Finding]:
    url, token = variable_of(variables, pair.url), variable_of(variables, pair.token)
    seen = next(iter(credentials_of(variables, pair, expected)), None)
    attempt = NOT_TRIED if seen is None else attempts.get(seen, NOT_TRIED)
    is_elsewhere = host_of(url.text) not in (None, expected.host)
    if is_elsewhere and attempt.state is AttemptState.ACCEPTED:
        facts = frozenset({Fact.WORKER_USES_ANOTHER_DATABASE})
        yield from (_Finding(name=one.name, words="another database's", facts=facts) for one in (url, token))
        return
    for variable in (url, token):
        if not variable.name:
            continue
        if variable.is_sealed and variable.value is None:
            yield _Finding(name=variable.name, problem=VariableProblem.SEALED)
        elif not variable.text.strip():
            if is_needed:
                yield _Finding(name=variable.name, problem=VariableProblem.MISSING)
        elif variable is url:
            yield from _url_findings(url, expected)
        elif not is_elsewhere or _is_known_token(token.text, expected):
            yield from _token_findings(token, expected, attempt)


def _url_findings(variable: Variable, expected: ExpectedValues) -> Iterator[_Finding]:
    name, value, console = variable.name, variable.text, expected.console
    if variable.is_undeployed:
        yield _Finding(name=name, problem=VariableProblem.STAGED)
    mistake = inspect(value, _ANY_TOKEN)
    if mistake is not None:
        yield _Finding(name=name, problem=VariableProblem.MALFORMED, words=f" ({mistake.detail})")
    elif console is not None and is_same_url(value, console.url):
        yield _Finding(name=name, words=_THE_CONSOLES)
    elif console is None and is_same_url(value, expected.url):
        yield _Finding(name=name, words=_AS_HERE)
    elif console is None and not expected.is_well_formed:
        yield _Finding(name=name, words=_NOTHING_TO_COMPARE)
    else:
        yield from _differing(name, expected, is_same=is_same_url(value, expected.url))


def _token_findings(variable: Variable, expected: ExpectedValues, attempt: Attempt) -> Iterator[_Finding]:
    name, value = variable.name, variable.text
    if variable.is_undeployed:
        yield _Finding(name=name, problem=VariableProblem.STAGED)
    mistake = inspect(_ANY_URL, value)
    if mistake is not None:
        yield _Finding(name=name, problem=VariableProblem.MALFORMED, words=f" ({mistake.detail})")
    elif expected.is_consoles_token(value):
        yield _Finding(name=name, words=_THE_CONSOLES)
    elif expected.console is None and expected.token.is_same_as(value):
        yield _Finding(name=name, words=_AS_HERE)
    else:
        yield from _tried(name, expected, attempt, is_same=expected.token.is_same_as(value), what="token")


def _redis_url_findings(variable: Variable, expected: ExpectedValues, attempt: Attempt) -> Iterator[_Finding]:
    name, password = variable.name, password_in(variable.text)
    is_same = expected.token.is_same_as(password)
    if variable.is_undeployed:
        yield _Finding(name=name, problem=VariableProblem.STAGED)
    if expected.console is not None and expected.console.accepts_over_tcp(password):
        yield _Finding(name=name, words=_THE_CONSOLES)
    elif expected.console is None and is_same:
        yield _Finding(name=name, words=_AS_HERE)
    # On an older database the password is another value than the token, and both are right.
    elif (
        expected.console is None and attempt.state is AttemptState.NOT_TRIED and _OLD_PASSWORD.fullmatch(password)
    ):
        yield _Finding(name=name, words="an older database's by its form")
    else:
        # Over rediss:// every refusal is worded so that it fits a user who is switched off.
        if attempt.state is AttemptState.MAY_BE_DISABLED:
            attempt = Attempt(state=AttemptState.REFUSED, detail=attempt.detail)
        yield from _tried(name, expected, attempt, is_same=is_same, what="password")


def _tried(
    name: str, expected: ExpectedValues, attempt: Attempt, *, is_same: bool, what: str
) -> Iterator[_Finding]:
    """A secret that is not the console's, by what the database answered to it."""
    match attempt.state:
        case AttemptState.ACCEPTED if is_same:
            yield _Finding(name=name, words=_AS_HERE)
        case AttemptState.ACCEPTED:
            facts = frozenset({Fact.WORKER_HAS_ANOTHER_TOKEN})
            yield _Finding(name=name, words=f"another {what} that works", facts=facts)
        case AttemptState.NOT_TRIED if expected.console is None and not expected.is_well_formed:
            yield _Finding(name=name, words=_NOTHING_TO_COMPARE)
        case AttemptState.NOT_TRIED:
            yield _Finding(name=name, problem=VariableProblem.NOT_TRIED, words=f" ({attempt.detail})")
        case _:
            is_perhaps_disabled = attempt.state is AttemptState.MAY_BE_DISABLED
            more = {Fact.WORKER_USER_MAY_BE_DISABLED} if is_perhaps_disabled else set()
            facts = frozenset({Fact.WORKER_TOKEN_REFUSED, *more})
            yield _Finding(name=name, problem=VariableProblem.REFUSED, facts=facts)
            yield from _differing(name, expected, is_same=is_same)


def _differing(name: str, expected: ExpectedValues, *, is_same: bool) -> Iterator[_Finding]:
    """From the console's where that is known, and from this process's where that can be right."""
    if expected.console is not None:
        yield _Finding(name=name, problem=VariableProblem.NOT_THE_CONSOLES)
    if expected.is_well_formed and not is_same:
        yield _Finding(name=name, problem=VariableProblem.DIFFERS)


def _are_the_consoles(
    variables: Mapping[str, Variable], pairs: Collection[VariablePair], expected: ExpectedValues
) -> bool:
    console = expected.console
    if console is None:
        return False
    texts = [[variable_of(variables, name).text for name in (pair.url, pair.token)] for pair in pairs]
    if any(url or token for url, token in texts):
        return any(is_same_url(url, console.url) and console.accepts_over_rest(token) for url, token in texts)
    urls = redis_urls(variables, expected.host)
    return bool(urls) and all(console.accepts_over_tcp(password_in(variable.text)) for variable in urls)


def redis_urls(variables: Mapping[str, Variable], host: str | None) -> list[Variable]:
    """The variables such as `REDIS_URL` that hold a redis:// or rediss:// URL of this host."""
    return [
        variable
        for variable in variables.values()
        if host and is_redis_url(variable.text) and host_of(variable.text) == host
    ]


def is_redis_url(value: str) -> bool:
    return value.strip().lower().startswith(("redis://", "rediss://"))


def _is_rest_url(value: str) -> bool:
    return value.strip().lower().startswith(("http://", "https://"))


def is_same_url(one: str, other: str) -> bool:
    """True when two well-formed REST URLs are the same but for a slash at the end."""
    return one.rstrip("/").lower() == other.rstrip("/").lower()


def is_blank(value: Secret | None) -> bool:
    return value is None or not value.reveal().strip()


def is_like_old_password(value: Secret) -> bool:
    """True for the form of the passwords of older databases, which differ from their REST tokens."""
    return _OLD_PASSWORD.fullmatch(value.reveal().strip()) is not None


def password_in(url: str) -> str:
    """The password in a redis:// or rediss:// URL, without its percent-encoding."""
    try:
        return unquote(urlsplit(url.strip()).password or "")
    except ValueError:
        return ""
