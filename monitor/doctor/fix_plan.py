"""The plan of a fix: what `doctor --fix` writes into a service's variables, and why it leaves the others alone.

Written is only what is missing or was refused by the database when it was tried. A value that is accepted stays,
whatever the console says: an ACL user's token differs from the console's, which has full rights.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from monitor.checks.credentials import hints, host_of, inspect, is_look_alike
from monitor.checks.observation import Fact
from monitor.doctor.console import ConsoleDatabase
from monitor.doctor.tried_values import NOT_TRIED, Attempts, AttemptState, Credentials
from monitor.doctor.worker_variables import (
    ExpectedValues,
    Variable,
    VariablePair,
    credentials_of,
    find_pairs,
    is_blank,
    is_like_old_password,
    is_same_url,
    password_in,
    redis_urls,
    variable_of,
)
from monitor.lib.pasted import unwrapped
from monitor.lib.text import Secret


class WriteReason(Enum):
    """Why a variable is written."""

    MISSING = "it is not set"
    REFUSED = "the database refuses its value"
    REFERENCE = "the database refuses what its reference to another variable stands for, and loses the reference"


class LeaveReason(Enum):
    """Why a variable is left alone."""

    RIGHT = "it is the console's already"
    ACCEPTED = "the database accepts it"
    IN_USE = "the database accepts what runs or is staged in its place"
    MAY_BE_DISABLED = (
        "it may be an ACL user's token that was switched off; the console's token has full rights: "
        "change it by hand if that is meant"
    )
    NOT_TRIED = "whether the database accepts it is not known, so it is to be changed by hand"
    REFUSED_BY_REST = (
        "REST refuses it, and rediss:// could not be asked, where it may be in use: to be changed by hand"
    )
    RUNNING_UNKNOWN = "what the running deployment has in its place is not known: to be set by hand"
    OTHER_NAMES = "the service reads a Redis from other names: to be set by hand if it is to read this one too"
    PASSWORD = "it is the database's password, which rediss:// accepts and REST does not: to be changed by hand"
    SEALED = "its value is not shown (sealed?), so nobody can see whether it works: to be changed by hand"
    ELSEWHERE = "its URL leads to another host: to be changed by hand if this database is meant"
    MALFORMED = "it is malformed: to be changed by hand"
    URL_WORKS = "it leads to this database"
    REDIS_URL = "the database refuses it, and only a person knows how it is made: to be changed by hand"
    READ_ONLY = (
        "it has the form of a read-only token, and the console's has full rights: copy the read-only one by hand"
    )
    SHARED = "another database is read with it too, which may accept it: to be changed by hand"
    NO_URL = "its URL is not set there, so it may be another database's and right: to be changed by hand"
    NO_NAME = "which variable the service reads the token from is not known: to be set by hand"


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedWrite:
    """One variable that gets a new value; `old` is what it has stored, `None` where that is nothing."""

    name: str
    reason: WriteReason
    value: Secret
    old: Secret | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftAlone:
    """One variable that is not written; `detail` is what more is known, without values."""

    name: str
    reason: LeaveReason
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class FixPlan:
    """What a fix will do to one service, to be shown before it is done. `refusal`: why it will do nothing.

    `seen` is what was stored in the variables that were looked at: the plan holds only while that stays. `brings`
    are other variables of which the deployment brings another value than runs.
    """

    service: str
    writes: tuple[PlannedWrite, ...] = ()
    left: tuple[LeftAlone, ...] = ()
    redeploys: bool = False
    refusal: str = ""
    seen: Mapping[str, Secret | None] = field(default_factory=dict)
    brings: tuple[str, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """The plan for people. Values are told apart by the beginning of their SHA-256, and not shown."""
        of_service = f"of service {self.service}"
        lines = []
        for write in self.writes:
            old = "nothing" if write.old is None else write.old.fingerprint()
            change = f"sha256 {old} becomes {write.value.fingerprint()}"
            lines.append(f"write {write.name} {of_service}: {write.reason.value} ({change})")
        for one in self.left:
            detail = f" ({one.detail})" if one.detail else ""
            lines.append(f"leave {one.name} {of_service}: {one.reason.value}{detail}")
        if self.refusal:
            return (*lines, self.refusal)
        if any(write.reason is not WriteReason.MISSING for write in self.writes):
            lines.append("mind that the console's token has full rights, which an ACL user's may not have had")
        if self.brings:
            names = ", ".join(self.brings)
            lines.append(f"mind that the deployment also brings what is stored and does not run yet: {names}")
        return (*lines, f"redeploy service {self.service}" if self.redeploys else "nothing is changed")


_Decision = PlannedWrite | LeftAlone
_MOST_NAMES = 4
_OLD_PASSWORD = "it has the form of an older database's password"
_RUNS_UNKNOWN = "what the running deployment has in its place is not known"


def credentials_for_plan(
    variables: Mapping[str, Variable], expected: ExpectedValues, console: ConsoleDatabase
) -> tuple[Credentials, ...]:
    """What has to be tried before anything is written: all that a write could replace, and the new token."""
    pairs = find_pairs(variables, expected)
    present = [one for pair in pairs for one in credentials_of(variables, pair, expected)]
    urls = redis_urls(variables, host_of(console.url))
    present += [Credentials(url=value) for one in urls for value in (one.value, one.running) if value]
    return tuple(dict.fromkeys([*present, new_credentials(console)]))


def new_credentials(console: ConsoleDatabase) -> Credentials:
    """What a fix would write."""
    return Credentials(url=Secret(console.url), token=console.rest_token)


def plan_fix(
    variables: Mapping[str, Variable],
    expected: ExpectedValues,
    console: ConsoleDatabase,
    attempts: Attempts,
    *,
    service: str,
    other_hosts: Collection[str] = frozenset(),
    other_names: Sequence[str] = (),
    undeployed: Sequence[str] = (),
) -> FixPlan:
    """The smallest change after which a redeployed service has a URL and a token that the database accepts.

    `attempts` are those of `credentials_for_plan`; `other_names` those under which it seems to have another Redis:
    beside them a pair that is wholly missing is not added, since nobody knows that the service would read it.
    `undeployed` are other variables that the deployment would change: where one may belong to a database, nothing
    is done.
    """
    pairs = find_pairs(variables, expected)
    if any(host_of(variable_of(variables, pair.url).text) in other_hosts for pair in pairs):
        return _refused(service, f"service {service} uses another of the databases that are watched")
    urls = redis_urls(variables, host_of(console.url))
    if not pairs and not urls:
        return _refused(
            service,
            f"no variable of service {service} holds this database's URL, and under which names it reads URL and "
            "token is not known, since they are written in the file here: set them by hand",
        )
    plan = _Plan(variables, expected, console, attempts, other_names)
    # Two URLs may go with one token: what is to be left for the sake of one is not written for the other's.
    decisions = list(dict.fromkeys(decision for pair in pairs for decision in plan.decide(pair)))
    to_leave = {one.name for one in decisions if isinstance(one, LeftAlone)}
    writes = tuple(
        one
        for one in decisions
        # A worker that reads a whole rediss:// URL need not have the pair.
        if isinstance(one, PlannedWrite)
        and one.name not in to_leave
        and not (urls and one.reason is WriteReason.MISSING)
    )
    left = (
        *(one for one in decisions if isinstance(one, LeftAlone)),
        *(plan.decide_redis_url(one) for one in urls if not one.is_reference),
    )
    new = attempts.get(new_credentials(console), NOT_TRIED)
    # What `rediss://` alone accepts may be the token from before a rotation; the service reads the pair for REST.
    if writes and (new.state is not AttemptState.ACCEPTED or new.rest_detail):
        what = "refuses" if new.state is AttemptState.REFUSED else "did not accept"
        over = f"over REST: {new.rest_detail}" if new.rest_detail else new.detail
        refusal = f"the database {what} the console's token ({over}), so nothing is written"
        return FixPlan(service=service, left=left, refusal=refusal)
    redeploys = bool(writes) or any(plan.is_to_be_deployed(pair) for pair in pairs)
    if redeploys and any(one.reason is LeaveReason.IN_USE for one in left):
        refusal = "a deployment would also replace a value that works, so nothing is written"
        return FixPlan(service=service, left=left, refusal=refusal)
    of_databases = [name for name in undeployed if name in expected.other_token_variables or is_look_alike(name)]
    if redeploys and of_databases:
        names_of_others = ", ".join(of_databases[:_MOST_NAMES])
        refusal = (
            f"a deployment would also bring {names_of_others}, which is stored and does not run yet, so nothing "
            "is written: deploy it first if it is right, or change it back"
        )
        return FixPlan(service=service, left=left, refusal=refusal)
    names = [name for pair in pairs for name in (pair.url, pair.token) if name]
    seen = {name: variable_of(variables, name).stored for name in (*names, *(one.name for one in urls))}
    brings = tuple(undeployed) if redeploys else ()
    return FixPlan(service=service, writes=writes, left=left, redeploys=redeploys, seen=seen, brings=brings)


def _refused(service: str, why: str) -> FixPlan:
    return FixPlan(service=service, refusal=f"{why}; nothing is changed")


class _Plan:
    """The decisions on one pair after the other."""

    def __init__(
        self,
        variables: Mapping[str, Variable],
        expected: ExpectedValues,
        console: ConsoleDatabase,
        attempts: Attempts,
        other_names: Sequence[str],
    ) -> None:
        self._other_names = other_names
        self._variables = variables
        self._expected = expected
        self._console = console
        self._attempts = attempts
        pairs = find_pairs(variables, expected)
        self._present = [one for pair in pairs for one in credentials_of(variables, pair, expected)]

    def decide(self, pair: VariablePair) -> Iterator[_Decision]:
        url, token = variable_of(self._variables, pair.url), variable_of(self._variables, pair.token)
        if self._other_names and not any(one.is_set or one.running for one in (url, token)):
            detail = ", ".join(self._other_names[:_MOST_NAMES])
            for name in filter(None, (pair.url, pair.token)):
                yield LeftAlone(name=name, reason=LeaveReason.OTHER_NAMES, detail=detail)
            return
        on_url = self._decide_url(url) if pair.url else None
        if isinstance(on_url, PlannedWrite) and any(one != self._expected.token for one in _values(token)):
            on_token = self._decide_token(token)
            if isinstance(on_token, PlannedWrite):
                # Unless it is the one that this process has for this database.
                yield LeftAlone(name=token.name, reason=LeaveReason.NO_URL)
                return
        if on_url is not None:
            yield on_url
        if not pair.token:
            yield LeftAlone(name="the token", reason=LeaveReason.NO_NAME)
        elif isinstance(on_url, LeftAlone) and on_url.reason is LeaveReason.ELSEWHERE:
            yield LeftAlone(name=token.name, reason=LeaveReason.ELSEWHERE)
        elif isinstance(on_url, LeftAlone) and on_url.reason is LeaveReason.SEALED:
            yield LeftAlone(name=token.name, reason=LeaveReason.NOT_TRIED, detail="its URL is sealed")
        else:
            yield self._decide_token(token)

    def decide_redis_url(self, variable: Variable) -> LeftAlone:
        """Never written; but a deployment for the pair's sake would replace what runs."""
        runs = variable.running
        if runs and runs != variable.stored and self._state(Credentials(url=runs)) is AttemptState.ACCEPTED:
            return LeftAlone(name=variable.name, reason=LeaveReason.IN_USE)
        if self._console.accepts_over_tcp(password_in(variable.text)):
            return LeftAlone(name=variable.name, reason=LeaveReason.RIGHT)
        attempt = self._attempts.get(Credentials(url=Secret(variable.text)), NOT_TRIED)
        reasons = {AttemptState.ACCEPTED: LeaveReason.ACCEPTED, AttemptState.NOT_TRIED: LeaveReason.NOT_TRIED}
        reason = reasons.get(attempt.state, LeaveReason.REDIS_URL)
        return LeftAlone(name=variable.name, reason=reason, detail=attempt.detail)

    def is_to_be_deployed(self, pair: VariablePair) -> bool:
        """Whether what is stored is the console's and accepted, and what runs was refused or is missing."""
        url, token = (variable_of(self._variables, name) for name in (pair.url, pair.token))
        if url.stored is None or token.stored is None or not self._is_consoles(token.stored):
            return False
        stored = Credentials(url=url.stored, token=token.stored)
        if not _is_console_url(url.stored, self._console) or self._state(stored) is not AttemptState.ACCEPTED:
            return False
        if not (_is_not_running(url) or _is_not_running(token)):
            return False
        present = credentials_of(self._variables, pair, self._expected)
        return all(self._state(one) is AttemptState.REFUSED for one in present if one != stored)

    def _decide_url(self, variable: Variable) -> _Decision:
        """A URL is written where there is none: whether another one is meant, no answer of a database tells."""
        if variable.is_sealed and variable.stored is None:
            return LeftAlone(name=variable.name, reason=LeaveReason.SEALED)
        for one in _values(variable):
            text = one.reveal()
            if _is_console_url(one, self._console):
                continue
            if host_of(text) not in (None, host_of(self._console.url)):
                return LeftAlone(name=variable.name, reason=LeaveReason.ELSEWHERE)
            mistake = inspect(text, "token")
            if mistake is not None:
                return LeftAlone(name=variable.name, reason=LeaveReason.MALFORMED, detail=mistake.detail)
            return LeftAlone(name=variable.name, reason=LeaveReason.URL_WORKS)
        if is_blank(variable.stored) and self._may_run(variable):
            return LeftAlone(name=variable.name, reason=LeaveReason.RUNNING_UNKNOWN)
        if is_blank(variable.stored):
            return PlannedWrite(
                name=variable.name,
                reason=WriteReason.MISSING,
                value=Secret(self._console.url),
                old=variable.stored,
            )
        return LeftAlone(name=variable.name, reason=LeaveReason.RIGHT)

    def _decide_token(self, variable: Variable) -> _Decision:
        name, new = variable.name, self._console.rest_token
        if variable.is_sealed and variable.stored is None:
            return LeftAlone(name=name, reason=LeaveReason.SEALED)
        if variable.stored is not None and self._is_consoles(variable.stored):
            detail = "" if variable.is_running_known else _RUNS_UNKNOWN
            return LeftAlone(name=name, reason=LeaveReason.RIGHT, detail=detail)
        # All that a write and its deployment replace: also what runs, and what a person has staged; with whichever
        # URL it was tried.
        values = _values(variable)
        replaced = [
            one
            for one in self._present
            if one.token in values
            # The console's own within quotes gives nobody more rights than were meant.
            and one.token != new
            and not (
                self._state(one) is AttemptState.ACCEPTED_UNWRAPPED
                and unwrapped(one.token.reveal()) == new.reveal()
            )
        ]
        if any(one.token and self._is_password(one.token) for one in replaced):
            return LeftAlone(name=name, reason=LeaveReason.PASSWORD)
        # REST refuses the password of an older database, and its port for rediss:// is not the one that was tried.
        if not self._console.password and any(one.token and is_like_old_password(one.token) for one in replaced):
            return LeftAlone(name=name, reason=LeaveReason.NOT_TRIED, detail=_OLD_PASSWORD)
        for state, reason in (
            (AttemptState.ACCEPTED, LeaveReason.ACCEPTED),
            (AttemptState.ACCEPTED_UNWRAPPED, LeaveReason.MALFORMED),
            (AttemptState.MAY_BE_DISABLED, LeaveReason.MAY_BE_DISABLED),
            (AttemptState.REFUSED_BY_REST, LeaveReason.REFUSED_BY_REST),
            (AttemptState.NOT_TRIED, LeaveReason.NOT_TRIED),
        ):
            found = next((one for one in replaced if self._state(one) is state), None)
            if found is not None:
                is_in_use = state is AttemptState.ACCEPTED and found.token != variable.stored
                detail = self._attempts.get(found, NOT_TRIED).detail
                return LeftAlone(name=name, reason=LeaveReason.IN_USE if is_in_use else reason, detail=detail)
        if self._may_run(variable):
            return LeftAlone(name=name, reason=LeaveReason.RUNNING_UNKNOWN)
        if any(Fact.TOKEN_IS_READ_ONLY in hints(self._console.url, one.reveal()) for one in values):
            return LeftAlone(name=name, reason=LeaveReason.READ_ONLY)
        if variable.read_by_others:
            return LeftAlone(name=name, reason=LeaveReason.SHARED, detail=", ".join(variable.read_by_others))
        write_reason = WriteReason.REFERENCE if variable.is_reference else WriteReason.REFUSED
        if is_blank(variable.stored):
            write_reason = WriteReason.MISSING
        return PlannedWrite(name=name, reason=write_reason, value=new, old=variable.stored)

    def _may_run(self, variable: Variable) -> bool:
        """True where the running deployment may have a value here that nobody has seen."""
        return variable.name in self._variables and not variable.is_running_known

    def _state(self, credentials: Credentials) -> AttemptState:
        return self._attempts.get(credentials, NOT_TRIED).state

    def _is_consoles(self, token: Secret) -> bool:
        return self._console.accepts_over_rest(token.reveal())

    def _is_password(self, token: Secret) -> bool:
        return self._console.accepts_over_tcp(token.reveal()) and not self._is_consoles(token)


def _values(variable: Variable) -> list[Secret]:
    """What stands in a variable, in whichever of its three places."""
    return [one for one in (variable.stored, variable.staged, variable.running) if one and not is_blank(one)]


def _is_console_url(value: Secret, console: ConsoleDatabase) -> bool:
    return is_same_url(value.reveal(), console.url)


def _is_not_running(variable: Variable) -> bool:
    """False where it is not known: what is in use may work, and a deployment would replace it."""
    return variable.is_running_known and variable.running != variable.stored
