"""The plan of `doctor --fix`: which variables are written, which are right, which a person must change.

Acting on it is done in `flow/mend`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum

from monitor.checks.credentials import host_of
from monitor.doctor.layers.console import ConsoleDatabase
from monitor.doctor.railway.variables import (
    TOKEN_NAME,
    URL_NAME,
    Variable,
    is_same_place,
    password_in,
    redis_urls,
)
from monitor.lib.secret import Secret


class Reason(Enum):
    """Why a variable is written."""

    MISSING = "not set"
    DIFFERENT = "different from the console's"
    ANOTHER_HOST = "the URL of another host"
    REFERENCE = "a reference to another variable, which the value replaces"
    SEALED = "not shown, as sealed variables are not, so it cannot be compared"


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """One variable that gets a new value."""

    name: str
    reason: Reason
    value: Secret


@dataclass(frozen=True, kw_only=True, slots=True)
class FixPlan:
    """What a fix will do to one service, to be shown before it is done.

    `by_hand` are variables that hold the host with another password: only a person knows how they are made.
    """

    service: str
    writes: tuple[Write, ...] = ()
    right: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()
    redeploys: bool = False
    refusal: str = ""

    def lines(self) -> tuple[str, ...]:
        """The plan as a person reads it; no value stands in it."""
        if self.refusal:
            return (self.refusal,)
        said = [
            f"write {write.name} of service {self.service}: it is {write.reason.value}" for write in self.writes
        ]
        said += [f"leave {name} of service {self.service}: it is the console's already" for name in self.right]
        said += [
            f"leave {name} of service {self.service}: its password is another, to be changed by hand"
            for name in self.by_hand
        ]
        if self.redeploys:
            said.append(f"redeploy service {self.service}")
        else:
            said.append("nothing is left for this fix to do")
        return tuple(said)


def plan(
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
    urls = redis_urls(variables, host_of(console.url))
    writes: list[Write] = []
    right: list[str] = []
    for name, wanted in ((URL_NAME, Secret(console.url)), (TOKEN_NAME, console.rest_token)):
        reason = _reason(variables.get(name, Variable(name=name)), console)
        if reason is None:
            right.append(name)
        # A worker that reads a whole rediss:// URL need not have the pair.
        elif reason is not Reason.MISSING or not urls:
            writes.append(Write(name=name, reason=reason, value=wanted))
    kept = [variables[name] for name in right] + [variable for variable in urls if _opens(variable, console)]
    return FixPlan(
        service=service,
        writes=tuple(writes),
        right=tuple(right),
        by_hand=tuple(
            variable.name for variable in urls if not _opens(variable, console) and not variable.is_reference
        ),
        redeploys=bool(writes) or any(_is_not_running(variable) for variable in kept),
    )


def _reason(variable: Variable, console: ConsoleDatabase) -> Reason | None:
    if variable.stored is None:
        return Reason.SEALED if variable.is_sealed else Reason.MISSING
    value = variable.stored.reveal()
    if not value.strip():
        return Reason.MISSING
    is_url = variable.name == URL_NAME
    if is_same_place(value, console.url) if is_url else console.accepts_over_rest(value):
        return None
    if variable.is_reference:
        return Reason.REFERENCE
    if is_url and host_of(value) not in (None, host_of(console.url)):
        return Reason.ANOTHER_HOST
    return Reason.DIFFERENT


def _is_not_running(variable: Variable) -> bool:
    return not variable.is_running_known or variable.running != variable.stored


def _opens(variable: Variable, console: ConsoleDatabase) -> bool:
    return variable.stored is not None and console.accepts_over_tcp(password_in(variable.stored.reveal()))
