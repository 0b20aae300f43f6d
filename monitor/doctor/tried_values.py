"""What the database answers to the values that a service has: each is sent as a worker would send it.

A token that differs from the console's may be an ACL user's, and right. Only the database knows, so it is asked.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import Enum
from urllib.parse import urlsplit

from monitor.checks.classify import CheckResult, classify
from monitor.checks.credentials import READ_ONLY_USER, Endpoint, endpoint_of, inspect_for_worker
from monitor.checks.observation import Fact, Outcome
from monitor.checks.redis_tcp import WorkerProbe
from monitor.checks.rest import RestProbeFactory
from monitor.lib.pasted import unwrapped
from monitor.lib.text import Scrubber, Secret

# Whoever may not run PING has shown a token that is good. Other refusals may come before the token is looked at.
_ACCEPTED = (Outcome.OK, Outcome.SLOW, Outcome.PERMISSION_DENIED)
_DEFAULT_USER = "default"
_REDIS_PORT = 6379


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """A URL and a token as they stand in two variables; `token` is `None` where the URL holds it (`rediss://`)."""

    url: Secret
    token: Secret | None = None


class AttemptState(Enum):
    """What the database answered. `MAY_BE_DISABLED`: refused in words that also fit a user who is switched off.

    `REFUSED_BY_REST`: refused there, and nothing came back over `rediss://`, where it may be the right password.
    `ACCEPTED_UNWRAPPED`: what is left without quotes, `Bearer` or `NAME=` around it is accepted, the value is not.
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    REFUSED_BY_REST = "refused_by_rest"
    MAY_BE_DISABLED = "may_be_disabled"
    ACCEPTED_UNWRAPPED = "accepted_unwrapped"
    NOT_TRIED = "not_tried"


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """How one attempt ended. `detail` is the answer, or why there is none, in one line without secrets.

    `rest_detail` is what REST answered where only `rediss://` accepted a pair.
    """

    state: AttemptState
    detail: str = ""
    rest_detail: str = ""


NOT_TRIED = Attempt(state=AttemptState.NOT_TRIED, detail="it was not tried")
Attempts = Mapping[Credentials, Attempt]


@dataclass(frozen=True, kw_only=True)
class CredentialsTester:
    """Sends `PING` with credentials to the host in their URL, and to no other. Nothing is billed.

    `worker_port` is the port of the `rediss://` URL that a worker builds from URL and token. With `has_worker` it
    does so beside an `http://` URL too.
    """

    probes: RestProbeFactory
    worker_port: int
    worker_tls: ssl.SSLContext | None
    scrub: Callable[[str], str]
    has_worker: bool = False

    async def try_all(self, credentials: Iterable[Credentials], *, timeout: timedelta) -> Attempts:
        """Try them side by side, each for at most `timeout`. Raises nothing."""
        distinct = list(dict.fromkeys(credentials))
        attempts = await asyncio.gather(*(self._try(one, timeout) for one in distinct))
        return dict(zip(distinct, attempts, strict=True))

    async def _try(self, credentials: Credentials, timeout: timedelta) -> Attempt:
        url, token = credentials.url.reveal(), credentials.token
        # The other side may repeat what was sent to it.
        scrub = Scrubber([url, *([token.reveal()] if token else [])])
        if token is None:
            attempt = await self._try_redis_url(url, timeout)
        else:
            attempt = await self._try_pair(url, token.reveal(), timeout)
        return replace(attempt, detail=scrub(attempt.detail), rest_detail=scrub(attempt.rest_detail))

    async def _try_pair(self, url: str, token: str, timeout: timedelta) -> Attempt:
        """Over REST, and over `rediss://` where a worker can build such a URL: one of the two is enough."""
        endpoint = endpoint_of(url)
        if endpoint is None:
            return _not_tried("no host can be read off its URL")
        over_rest, over_tcp = await asyncio.gather(
            self._try_rest(endpoint, token, timeout), self._try_built_url(endpoint, url, token, timeout)
        )
        # A refusal over one of the two decides nothing: on older databases the password is another value.
        if over_tcp.state is AttemptState.ACCEPTED:
            is_by_both = over_rest.state is AttemptState.ACCEPTED
            return over_tcp if is_by_both else replace(over_tcp, rest_detail=over_rest.detail)
        if over_rest.state is AttemptState.REFUSED and over_tcp.state is AttemptState.NOT_TRIED:
            if not self._has_rediss(endpoint, url, token):
                return over_rest
            detail = f"REST: {over_rest.detail}; rediss://: {over_tcp.detail}"
            return Attempt(state=AttemptState.REFUSED_BY_REST, detail=detail)
        return over_rest

    async def _try_rest(self, endpoint: Endpoint, token: str, timeout: timedelta) -> Attempt:
        # Many clients drop whitespace around a header's value, so that such a token works for them.
        core, meant = token.strip(), unwrapped(token)
        if core == meant:
            return await self._ping(endpoint, token, core, timeout)
        attempt = await self._ping(endpoint, token, core, timeout / 2)
        if attempt.state is AttemptState.ACCEPTED:
            return attempt
        inner = await self._ping(endpoint, meant, meant, timeout / 2)
        if inner.state is not AttemptState.ACCEPTED:
            return attempt
        detail = "the database accepts it without what stands around it, such as quotes"
        return Attempt(state=AttemptState.ACCEPTED_UNWRAPPED, detail=detail)

    async def _ping(self, endpoint: Endpoint, token: str, core: str, timeout: timedelta) -> Attempt:
        if not core.isascii() or not core.isprintable():
            return _not_tried("it holds characters that cannot be sent")
        probe = self.probes.probe(url=endpoint.url, token=core)
        attempt = _judge(classify(await probe.ping(timeout=timeout), slow=None))
        if attempt.state is AttemptState.ACCEPTED and core != token:
            return Attempt(state=attempt.state, detail="without the whitespace around it")
        return attempt

    async def _try_built_url(self, endpoint: Endpoint, url: str, token: str, timeout: timedelta) -> Attempt:
        """As a worker that builds `rediss://default:TOKEN@HOST` from the pair, with the user of readers too."""
        if not (endpoint.is_encrypted or self.has_worker):
            return _not_tried("no rediss:// belongs to http://")
        return await self._log_in(url, token, self.worker_port, (_DEFAULT_USER, READ_ONLY_USER), timeout)

    def _has_rediss(self, endpoint: Endpoint, url: str, token: str) -> bool:
        """False where no worker can build a `rediss://` URL from the pair, so that REST's word is all there is."""
        is_built = endpoint.is_encrypted or self.has_worker
        return is_built and inspect_for_worker(url, token, self.worker_port) is None

    async def _try_redis_url(self, url: str, timeout: timedelta) -> Attempt:
        try:
            parts = urlsplit(url.strip())
            host, port, user, password = parts.hostname, parts.port, parts.username, parts.password
        except ValueError:
            return _not_tried("it is not a URL")
        if parts.scheme != "rediss":
            return _not_tried("it is not encrypted")
        if not host or not password:
            return _not_tried("it has no host or no password")
        users = (user or _DEFAULT_USER,)
        return await self._log_in(f"https://{host}", password, port or _REDIS_PORT, users, timeout)

    async def _log_in(
        self, url: str, token: str, port: int, users: tuple[str, ...], timeout: timedelta
    ) -> Attempt:
        probe = WorkerProbe(
            url=url, token=token, port=port, scrub=self.scrub, tls=self.worker_tls, resolver=self.probes.resolver
        )
        if probe.mistake is not None:
            return _not_tried(probe.mistake.detail)
        attempts = []
        for user in users:
            attempts.append(_judge(classify(await probe.ping(timeout=timeout / len(users), user=user), slow=None)))
            if attempts[-1].state in (AttemptState.ACCEPTED, AttemptState.NOT_TRIED):
                break
        return attempts[-1]


def _judge(result: CheckResult) -> Attempt:
    if result.outcome in _ACCEPTED:
        return Attempt(state=AttemptState.ACCEPTED)
    if result.outcome is not Outcome.TOKEN_REJECTED:
        return _not_tried(result.summary)
    is_perhaps_disabled = Fact.USER_MAY_BE_DISABLED in result.facts
    state = AttemptState.MAY_BE_DISABLED if is_perhaps_disabled else AttemptState.REFUSED
    return Attempt(state=state, detail=result.summary)


def _not_tried(why: str) -> Attempt:
    return Attempt(state=AttemptState.NOT_TRIED, detail=why)
