"""The platform's layer: the worker's service on Railway, its variables, deployments and log. Only reads.

Beyond the variables everything is best effort: where Railway does not answer, the layer is known without it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TypeVar

from monitor.checks.credentials import host_of, is_look_alike
from monitor.diagnosis.verdicts import Layer, LayerResult, LayerState
from monitor.doctor.railway import REFERENCE, Deployment, Railway, ServiceVariables
from monitor.doctor.tried_values import Attempts, Credentials
from monitor.doctor.web import WebError
from monitor.doctor.worker_variables import (
    ExpectedValues,
    Variable,
    compare,
    credentials_to_try,
    find_pairs,
    redis_urls,
    url_name_of,
)
from monitor.lib.text import Scrubber, Secret, mask_credentials, one_line
from monitor.lib.threads import on_daemon_thread
from monitor.lib.times import Deadline

LINES = 3
LINE_LIMIT = 160
_READ_LIMIT = 4000
_ABOUT_REDIS = re.compile(
    r"redis(?!cover|trib)|upstash|wrongpass|noauth|noperm|econn[a-z]+|etimedout|enotfound|eai_again"
    r"|time(?:d[ -]?)?[ -]?out|max (?:daily )?requests? limit|capacity quota",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[0-9]+")
# Shorter values, such as `true` and `8080`, are no secrets, and to hide them would hide half the log.
_LEAST_SECRET = 8
_RAILWAYS_OWN = "RAILWAY_"
_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True, slots=True)
class PlatformResult:
    """The layer, and the variables for the plan of a fix; `None` where they could not be read.

    `other_names` are those under which the service seems to have another Redis, `undeployed` the other variables
    that a deployment would change.
    """

    result: LayerResult
    variables: Mapping[str, Variable] | None = None
    other_names: tuple[str, ...] = ()
    undeployed: tuple[str, ...] = ()


async def read_platform(
    railway: Railway,
    expected: ExpectedValues,
    *,
    timeout: timedelta,
    try_all: Callable[[Collection[Credentials]], Awaitable[Attempts]],
    other_hosts: Collection[str] = frozenset(),
) -> PlatformResult:
    """The worker's variables compared with ours and the console's. Takes at most `timeout`, and `try_all`'s time.

    `try_all` asks the database what it accepts. `other_hosts`: see `compare`. Anything unexpected is unknown and
    never a verdict.
    """
    deadline = Deadline(timeout)
    try:
        service = await _read(railway, deadline)
    except WebError as error:
        unknown = LayerResult(layer=Layer.PLATFORM, state=LayerState.UNKNOWN, detail=f"not read: {error}")
        return PlatformResult(result=unknown)
    variables = service.variables(expected)
    attempts = await try_all(credentials_to_try(variables, expected))
    compared = compare(variables, expected, attempts, other_hosts=other_hosts)
    parts = [f"service {railway.service}: {compared.detail}"]
    if compared.state is not LayerState.NOT_APPLICABLE:
        parts += service.format_deployments()
        scrub = service.scrubber(railway.scrub, expected)
        parts += [f"log: {line}" for line in lines_about_redis(service.log, scrub=scrub)]
    result = replace(compared, detail=" · ".join(parts))
    return PlatformResult(
        result=result,
        variables=variables,
        other_names=service.other_names(variables),
        undeployed=service.undeployed(variables),
    )


def lines_about_redis(messages: Sequence[str], *, scrub: Callable[[str], str]) -> tuple[str, ...]:
    """The last few different lines about Redis, oldest first, scrubbed and cut.

    Lines that differ in their numbers alone, such as a retry's, count as one.
    """
    found: dict[str, str] = {}
    for message in reversed(messages):
        text = message[:_READ_LIMIT]
        if _ABOUT_REDIS.search(text) is None:
            continue
        line = one_line(scrub(mask_credentials(text)), LINE_LIMIT)
        found.setdefault(_NUMBER.sub("#", line), line)
        if len(found) == LINES:
            break
    return tuple(reversed(found.values()))


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class _ServiceAnswers:
    """What Railway answered about one service, values in the clear: never printed, and not kept for long."""

    set_variables: ServiceVariables
    staged: Mapping[str, str]
    deployments: Sequence[Deployment] | None
    running: Mapping[str, str] | None
    log: Sequence[str]

    def variables(self, expected: ExpectedValues) -> dict[str, Variable]:
        """The variables that have to do with this database."""
        names = {**self.set_variables.stored, **self.staged, **dict.fromkeys(self.set_variables.sealed)}
        own = (expected.url_variable, expected.token_variable)
        known = {name: self._variable(name, expected) for name in (*names, *filter(None, own))}
        relevant = [name for pair in find_pairs(known, expected) for name in (pair.url, pair.token) if name]
        relevant += [variable.name for variable in redis_urls(known, expected.host)]
        found = {name: known.get(name) or self._variable(name, expected) for name in dict.fromkeys(relevant)}
        # A name that is not among them is known to stand for nothing.
        return {name: one for name, one in found.items() if one.is_set or one.running or not one.is_running_known}

    def other_names(self, variables: Collection[str]) -> tuple[str, ...]:
        """The names under which the service seems to have another Redis than that of these variables."""
        names = {**self.set_variables.stored, **self.staged, **dict.fromkeys(self.set_variables.sealed)}
        return tuple(sorted(name for name in names if name not in variables and is_look_alike(name)))

    def undeployed(self, variables: Collection[str]) -> tuple[str, ...]:
        """Besides these, the variables of which a redeploy would bring another value than runs, as far as known.

        Railway's own change with each deployment.
        """
        stored, running = self.set_variables.stored, self.running
        if running is None:
            return ()
        return tuple(
            sorted(
                name
                for name in {*stored, *running}
                if name not in variables
                and name not in self.set_variables.sealed
                and not name.startswith(_RAILWAYS_OWN)
                and REFERENCE not in running.get(name, "")
                and stored.get(name) != running.get(name)
            )
        )

    def _variable(self, name: str, expected: ExpectedValues) -> Variable:
        variables = self.set_variables
        stored = variables.stored.get(name)
        is_sealed = name in variables.sealed or (stored is None and not variables.is_sealing_known)
        running, is_running_known = None, False
        if self.running is not None and not is_sealed:
            running = self.running.get(name)
            # A reference that was not resolved tells nothing about the value behind it.
            is_running_known = REFERENCE not in (running or "")
        elif variables.next.get(name, stored) != stored:
            running, is_running_known = variables.next[name], True
        return Variable(
            name=name,
            stored=_secret(stored),
            staged=_secret(self.staged.get(name)),
            running=_secret(running) if is_running_known else None,
            is_running_known=is_running_known,
            is_sealed=is_sealed,
            is_reference=REFERENCE in variables.unrendered.get(name, ""),
            read_by_others=self._read_by_others(name, expected),
        )

    def _read_by_others(self, name: str, expected: ExpectedValues) -> tuple[str, ...]:
        """As in `Variable`: by the settings, or since the URL that goes with it by its name leads elsewhere."""
        stored = self.set_variables.stored
        return tuple(
            one
            for one in self._followers(name)
            if one in expected.other_token_variables
            or host_of(stored.get(url_name_of(one), "")) not in (None, expected.host)
        )

    def _followers(self, name: str) -> list[str]:
        """The variable, those that refer to it, those that refer to these, and so on."""
        found = [name]
        for one in found:  # grows on the way
            reference = re.compile(rf"\$\{{\{{\s*(?:[^{{}}.]+\.)?{re.escape(one)}\s*\}}\}}")
            followers = (
                other for other, value in self.set_variables.unrendered.items() if reference.search(value)
            )
            found += [other for other in followers if other not in found]
        return found

    def format_deployments(self) -> list[str]:
        if self.deployments is None:
            return ["its deployments were not read"]
        if not self.deployments:
            return ["it was never deployed"]
        newest, lines = self.deployments[0], []
        if newest.is_in_progress or newest.has_failed:
            lines.append(f"its newest deployment is {newest.status}")
        if self.running is None:
            lines.append("what the running deployment has is not known")
        return lines

    def scrubber(self, scrub: Callable[[str], str], expected: ExpectedValues) -> Callable[[str], str]:
        """`scrub`, and besides it every value that was read here, and the console's credentials."""
        variables = self.set_variables
        values = [*variables.stored.values(), *variables.next.values(), *self.staged.values()]
        values += (self.running or {}).values()
        if (console := expected.console) is not None:
            secrets = (console.rest_token, console.read_only_rest_token, console.password)
            values += [secret.reveal() for secret in secrets]
        own = Scrubber({value for value in values if len(value) >= _LEAST_SECRET})
        return lambda line: own(scrub(line))


async def _read(railway: Railway, deadline: Deadline) -> _ServiceAnswers:
    """All answers, asked side by side so that one that hangs costs only itself; raises without the variables."""

    async def deployed() -> tuple[Sequence[Deployment] | None, Mapping[str, str] | None, Sequence[str] | None]:
        deployments = await _optional(lambda: railway.deployments(deadline))
        if not deployments:
            # Where nothing was ever deployed nothing runs, and that is known.
            return deployments, None if deployments is None else {}, None
        ran = next((deployment for deployment in deployments if deployment.has_run), None)
        running, log = await asyncio.gather(
            _optional(lambda: railway.started_with(ran, deadline) if ran else None),
            _optional(lambda: railway.log(ran or deployments[0], deadline)),
        )
        return deployments, running, log

    await on_daemon_thread(lambda: railway.find_service(deadline), name="railway")
    variables, staged, (deployments, running, log) = await asyncio.gather(
        on_daemon_thread(lambda: railway.variables(deadline), name="railway"),
        _optional(lambda: railway.staged(deadline)),
        deployed(),
    )
    return _ServiceAnswers(
        set_variables=variables, staged=staged or {}, deployments=deployments, running=running, log=log or ()
    )


async def _optional(query: Callable[[], _T]) -> _T | None:
    try:
        return await on_daemon_thread(query, name="railway")
    except WebError:  # what is missing is told in the layer
        return None


def _secret(value: str | None) -> Secret | None:
    return None if value is None else Secret(value)
