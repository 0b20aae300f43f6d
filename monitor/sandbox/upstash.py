"""A stand-in for one Upstash database on loopback, with faults that can be switched while it runs.

Its commands are in `keyspace`, the shapes of requests and replies in `restapi`, sockets in `listener`. It imports
nothing of the house: a fault of ours must not hide here.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from monitor.sandbox import restapi
from monitor.sandbox.keyspace import CommandError, Effect, Keyspace, Value
from monitor.sandbox.listener import Listener, Reply, Request
from monitor.sandbox.restapi import Call, Failed, MalformedError

_WRONG_TOKEN = "WRONGPASS invalid or missing auth token"
_HELP = "https://upstash.com/docs/redis/troubleshooting"
# Read-only tokens may not run these, although they only read.
_RESTRICTED = ("KEYS", "SCAN")


class UpstashFault(Enum):
    """What the stand-in does instead of answering well."""

    NONE = "none"
    HANG = "hang"
    REFUSE = "refuse"
    SERVER_ERROR = "server_error"
    RATE_LIMIT = "rate_limit"
    HTML = "html"
    QUOTA = "quota"
    QUOTA_BUT_PING = "quota_but_ping"
    DAILY_QUOTA = "daily_quota"
    SUSPENDED = "suspended"
    CAPACITY = "capacity"
    NO_PERMISSION = "no_permission"


@dataclass(frozen=True)
class _Refusal:
    """The database's own text, and the commands it is said to."""

    text: str
    concerns: Callable[[Effect], bool] = lambda effect: True


_QUOTA = (
    f"ERR max requests limit exceeded. Limit: 500000, Usage: 500000. See {_HELP}/max_requests_limit for details"
)
_REFUSALS = {
    UpstashFault.QUOTA: _Refusal(_QUOTA),
    UpstashFault.QUOTA_BUT_PING: _Refusal(_QUOTA, lambda effect: effect is not Effect.FREE),
    UpstashFault.DAILY_QUOTA: _Refusal(
        "ERR max daily request limit exceeded. Limit: 10000, Usage: 10001. "
        f"See {_HELP}/max_daily_request_limit for details"
    ),
    UpstashFault.SUSPENDED: _Refusal(
        "ERR This database has been suspended for exceeding the defined budget limit. "
        "Please increase budget or switch to a Fixed plan on Upstash Console"
    ),
    UpstashFault.CAPACITY: _Refusal(
        "ERR DB capacity quota exceeded. Threshold: 268435456 bytes, Usage: 268436112 bytes. "
        f"See {_HELP}/db_capacity_quota_exceeded for details",
        lambda effect: effect is Effect.WRITE,
    ),
    UpstashFault.NO_PERMISSION: _Refusal("NOPERM this user has no permissions to run the '{command}' command"),
}
_PAGES = {
    UpstashFault.SERVER_ERROR: Reply(status=503, body=b"upstream connect error", kind="text/plain"),
    UpstashFault.RATE_LIMIT: Reply(status=429, body=b"Too Many Requests", kind="text/plain"),
    UpstashFault.HTML: Reply(
        status=200, body=b"<html><body>Log in to this network</body></html>", kind="text/html"
    ),
}


class UpstashStandIn:
    """One database. Used as a context manager; `url` and `token` are what a client needs. Encrypted with `tls`.

    `fault`, `delay_seconds`, `token`, `read_only_token` and `silent_on`, commands that are never answered, may be
    changed at any time from any thread.
    `requests` counts what arrived, `billed_commands` what Upstash would have charged for.
    """

    def __init__(
        self,
        token: str,
        *,
        read_only_token: str | None = None,
        port: int = 0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.token = token
        self.read_only_token = read_only_token
        self.silent_on: frozenset[str] = frozenset()
        self.delay_seconds = 0.0
        self.keyspace = Keyspace()
        self.requests = 0
        self.billed_commands = 0
        self._fault = UpstashFault.NONE
        self._changed = threading.Condition()
        self._one_at_a_time = threading.Lock()
        self._listener = Listener("stand-in upstash", self._answer, port=port, tls=tls)

    @property
    def port(self) -> int:
        return self._listener.port

    @property
    def address(self) -> str:
        return self._listener.address

    @property
    def url(self) -> str:
        return self._listener.url

    @property
    def fault(self) -> UpstashFault:
        return self._fault

    @fault.setter
    def fault(self, fault: UpstashFault) -> None:
        """Switch; requests that hang are released."""
        with self._changed:
            self._fault = fault
            self._changed.notify_all()
        if fault is UpstashFault.REFUSE:
            self._listener.stop()
        else:
            self._listener.start()

    def __enter__(self) -> UpstashStandIn:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop listening, let hanging requests go and cut every connection."""
        self.fault = UpstashFault.REFUSE

    def _answer(self, request: Request) -> Reply | None:
        fault = self._wait()
        if fault is UpstashFault.REFUSE:
            return None
        if fault in _PAGES:
            return _PAGES[fault]
        if request.method not in restapi.METHODS:
            return Reply(status=405, body=b"")
        call = Call(request)
        token = call.token
        if not token or token not in (self.token, self.read_only_token):
            return restapi.error(401, _WRONG_TOKEN)
        try:
            call.check_format()
            commands = call.commands()
        except MalformedError as error:
            return restapi.error(400, str(error))
        if not self.silent_on.isdisjoint(words[0].upper() for words in commands):
            with self._changed:
                self._changed.wait_for(lambda: self._fault is UpstashFault.REFUSE)
            return None
        return self._run(call, commands, fault, may_write=token == self.token)

    def _wait(self) -> UpstashFault:
        with self._changed:
            self.requests += 1
            if self.delay_seconds:
                self._changed.wait_for(lambda: self._fault is UpstashFault.REFUSE, self.delay_seconds)
            self._changed.wait_for(lambda: self._fault is not UpstashFault.HANG)
            return self._fault

    def _run(self, call: Call, commands: list[list[str]], fault: UpstashFault, *, may_write: bool) -> Reply:
        if not call.is_transaction:
            return call.reply([self._one(words, fault, may_write=may_write) for words in commands])
        for words in commands:
            refused = self._refused(words[0], fault, may_write=may_write)
            if refused is None and self.keyspace.effect(words[0]) is None:
                refused = Failed(text=f"ERR Command is not available: '{words[0].upper()[:40]}'")
            if refused is not None:
                return restapi.error(400, refused.text)  # discarded as a whole
        with self._one_at_a_time:
            return call.reply([self._execute(words) for words in commands])

    def _one(self, words: list[str], fault: UpstashFault, *, may_write: bool) -> Value | Failed:
        refused = self._refused(words[0], fault, may_write=may_write)
        if refused is not None:
            return refused
        with self._one_at_a_time:
            return self._execute(words)

    def _refused(self, name: str, fault: UpstashFault, *, may_write: bool) -> Failed | None:
        effect = self.keyspace.effect(name)
        if effect is None:
            return None
        refusal = _REFUSALS.get(fault)
        if refusal is None and not may_write and (effect.is_change or name.upper() in _RESTRICTED):
            refusal = _REFUSALS[UpstashFault.NO_PERMISSION]
        if refusal is None or not refusal.concerns(effect):
            return None
        return Failed(text=refusal.text.format(command=name.lower()))

    def _execute(self, words: list[str]) -> Value | Failed:
        if self.keyspace.effect(words[0]) not in (None, Effect.FREE):
            self.billed_commands += 1
        try:
            return self.keyspace.run(words)
        except CommandError as error:
            return Failed(text=str(error))
