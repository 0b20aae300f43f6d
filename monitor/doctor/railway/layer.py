"""Looks at the worker's service on Railway: its variables, its deployments, its log's lines on Redis. Only reads.

What is amiss with the variables is decided in `core/worker_variables`. All that is beyond them is best effort:
where Railway does not answer a question, the layer is seen without that answer.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from monitor.diagnosis.layers import Layer, LayerResult, LayerState
from monitor.doctor.railway.api import (
    Deployment,
    Place,
    Railway,
    Values,
    ask_deployments,
    ask_log,
    ask_snapshot,
    ask_staged,
    ask_values,
)
from monitor.doctor.railway.variables import TOKEN_NAME, URL_NAME, Known, Variable, compare
from monitor.doctor.web import Deadline, WebError
from monitor.lib.secret import Secret
from monitor.lib.text import Scrubber, mask_credentials, one_line

LINES = 3
LINE_LIMIT = 160
_READ_LIMIT = 4000
_TELLING = re.compile(
    r"redis(?!cover|trib)|upstash|wrongpass|noauth|noperm|econn[a-z]+|etimedout|enotfound|eai_again"
    r"|time(?:d[ -]?)?[ -]?out|max (?:daily )?requests? limit|capacity quota",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"[0-9]+")


def telling_lines(messages: Sequence[str], *, scrub: Callable[[str], str]) -> tuple[str, ...]:
    """The last few different lines that speak of Redis, oldest first, scrubbed and cut.

    Lines that differ in their numbers alone, such as a retry's, count as one.
    """
    found: dict[str, str] = {}
    for message in reversed(messages):
        text = message[:_READ_LIMIT]
        if _TELLING.search(text) is None:
            continue
        # Scrubbed before it is cut: half a secret would not be found any more.
        line = one_line(mask_credentials(scrub(text)), LINE_LIMIT)
        found.setdefault(_NUMBER.sub("#", line), line)
        if len(found) == LINES:
            break
    return tuple(reversed(found.values()))


_Answer = TypeVar("_Answer")
_REFERENCE = "${{"
# Shorter values, such as `true` and `8080`, are no secrets, and to hide them would hide half the log.
_LEAST_SECRET = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class PlatformReading:
    """The layer, and the variables for the plan of a fix; `None` where they could not be read."""

    result: LayerResult
    variables: Mapping[str, Variable] | None = None


def read_platform(
    railway: Railway, known: Known, *, timeout: timedelta, other_hosts: Collection[str] = frozenset()
) -> PlatformReading:
    """The worker's variables against ours and the console's. Blocks at most `timeout`.

    `other_hosts`: see `compare`. Anything unexpected is unknown, never a verdict.
    """
    deadline = Deadline(timeout)
    try:
        place = railway.place(deadline)
        answers = _read(railway, place, deadline)
    except WebError as error:
        return PlatformReading(
            result=LayerResult(layer=Layer.PLATFORM, state=LayerState.UNKNOWN, detail=f"not read: {error}")
        )
    variables = answers.variables()
    comparison = compare(variables, known, other_hosts=other_hosts)
    said = [f"service {railway.service}: {comparison.words}"]
    if comparison.state is not LayerState.NOT_APPLICABLE:
        said += answers.format_deployments()
        said += [
            f"log: {line}" for line in telling_lines(answers.log, scrub=answers.scrubber(railway.scrub, known))
        ]
    result = LayerResult(
        layer=Layer.PLATFORM, state=comparison.state, detail=" · ".join(said), facts=comparison.facts
    )
    return PlatformReading(result=result, variables=variables)


def newest_deployment(railway: Railway, *, timeout: timedelta) -> Deployment | None:
    """The service's newest deployment; `None` when there is none. Raises `WebError`."""
    deadline = Deadline(timeout)
    deployments = ask_deployments(railway, railway.place(deadline), deadline)
    return deployments[0] if deployments else None


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class _Answers:
    """What Railway said of one service, values in the clear: it is never printed and does not live long."""

    values: Values
    staged: Mapping[str, str]
    deployments: Sequence[Deployment] | None
    running: Mapping[str, str] | None
    log: Sequence[str]

    def variables(self) -> dict[str, Variable]:
        """The variables that can hold a way to a database."""
        values = self.values
        names = [URL_NAME, TOKEN_NAME]
        names += [name for name, value in {**values.stored, **self.staged}.items() if _is_redis_url(value)]
        found = {name: self._variable(name) for name in dict.fromkeys(names)}
        return {name: variable for name, variable in found.items() if variable.is_sealed or variable.value}

    def _variable(self, name: str) -> Variable:
        values = self.values
        stored = values.stored.get(name)
        is_sealed = name in values.sealed or (stored is None and not values.is_sealing_known)
        running, is_running_known = None, False
        if self.running is not None and not is_sealed:
            running = self.running.get(name)
            # A reference that was not resolved says nothing of the value behind it.
            is_running_known = _REFERENCE not in (running or "")
        elif values.next.get(name, stored) != stored:
            running, is_running_known = values.next[name], True
        return Variable(
            name=name,
            stored=_secret(stored),
            staged=_secret(self.staged.get(name)),
            running=_secret(running) if is_running_known else None,
            is_running_known=is_running_known,
            is_sealed=is_sealed,
            is_reference=_REFERENCE in values.unrendered.get(name, ""),
        )

    def format_deployments(self) -> list[str]:
        if self.deployments is None:
            return ["its deployments were not read"]
        if not self.deployments:
            return ["it was never deployed"]
        newest = self.deployments[0]
        said = []
        if newest.is_on_its_way or newest.went_wrong:
            said.append(f"its newest deployment is {newest.status}")
        if self.running is None:
            said.append("what the running deployment has is not known")
        return said

    def scrubber(self, scrub: Callable[[str], str], known: Known) -> Callable[[str], str]:
        """`scrub`, and besides it every value that was read here, and the console's credentials."""
        values = [*self.values.stored.values(), *self.values.next.values(), *self.staged.values()]
        values += (self.running or {}).values()
        if known.console is not None:
            console = known.console
            secrets = (console.rest_token, console.read_only_rest_token, console.password)
            values += [secret.reveal() for secret in secrets]
        own = Scrubber({value for value in values if len(value) >= _LEAST_SECRET})
        return lambda line: own(scrub(line))


def _read(railway: Railway, place: Place, deadline: Deadline) -> _Answers:
    """All answers, asked side by side so that one that hangs costs only itself; raises without the variables."""
    values = _aside(lambda: ask_values(railway, place, deadline))
    staged = _aside(lambda: _optional(lambda: ask_staged(railway, place, deadline)))
    deployments = _optional(lambda: ask_deployments(railway, place, deadline))
    ran = next((deployment for deployment in deployments or () if deployment.has_run), None)
    shown = ran or (deployments[0] if deployments else None)
    running = _aside(lambda: _optional(lambda: ask_snapshot(railway, ran, deadline)) if ran else None)
    log = _optional(lambda: ask_log(railway, shown, deadline)) if shown else None
    return _Answers(
        values=values.result(),
        staged=staged.result() or {},
        deployments=deployments,
        running=running.result(),
        log=log or (),
    )


def _aside(query: Callable[[], _Answer]) -> Future[_Answer]:
    """Ask on a thread of its own, which keeps nobody from ending: it is a daemon."""
    future: Future[_Answer] = Future()

    def ask() -> None:
        try:
            future.set_result(query())
        except BaseException as error:  # noqa: BLE001 - handed over whole to whoever waits
            future.set_exception(error)

    threading.Thread(target=ask, name="railway", daemon=True).start()
    return future


def _optional(query: Callable[[], _Answer]) -> _Answer | None:
    try:
        return query()
    except WebError:  # what is missing is said in the layer
        return None


def _secret(value: str | None) -> Secret | None:
    return None if value is None else Secret(value)


def _is_redis_url(value: str) -> bool:
    return value.strip().lower().startswith(("redis://", "rediss://"))
