"""One database and every source that the doctor asks: real servers on loopback, examined in this process."""

from __future__ import annotations

import asyncio
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import trustme
from redis import Redis

from monitor.checks.connection import AddressInfo, Resolver
from monitor.checks.observation import Check
from monitor.checks.rest import RestProbeFactory
from monitor.config.settings import DatabaseSettings, Settings
from monitor.diagnosis.verdicts import BILLED_LAYERS, DatabaseProfile, Layer, LayerResults, profile_of
from monitor.doctor.examine import OTHERS_TIMEOUT, WITHIN
from monitor.engine.cycle import Connectivity, Cycle
from monitor.engine.wiring import build_examiner, worker_probes
from monitor.lib.text import Scrubber
from monitor.lib.threads import SerialThread
from monitor.lib.times import now_utc
from monitor.sandbox.console import ConsoleStandIn, StatusPageStandIn
from monitor.sandbox.railway import RailwayStandIn
from monitor.sandbox.upstash import ServerlessRedisHttpStandIn, UpstashStandIn
from monitor.store.store import Store
from tests.checks.faulty_server import Behaviour, Certificates, faulty_server
from tests.checks.listener import Conduct, Listener, port_that_drops
from tests.checks.redis_server import RedisServer, redis_server

_PIECE = 10  # no ten characters of a secret in a row may be shown
NAME = "merry-cat"
TOKEN, READ_ONLY_TOKEN = "AXstandardToken-0f_the_tests", "AXreadOnlyToken-0f_the_tests"
URL_NAME, TOKEN_NAME = "UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN"
ENVIRONMENT = {
    "UPSTASH_EMAIL": "ops@example.com",
    "UPSTASH_API_KEY": "console-key-0123456789abcdef",
    "RAILWAY_TOKEN": "railway-project-token-0123456789",
}


@dataclass(frozen=True, kw_only=True)
class SharedServers:
    """What takes long to start and is shared: a redis-server, and the authority of its certificate."""

    redis: RedisServer
    admin: Redis
    certificates: Certificates
    trust: Path

    def set_password(self, token: str) -> None:
        """From now on this is the password of `rediss://`, and no other."""
        self.admin.execute_command("ACL", "SETUSER", "default", "resetpass", f">{token}")  # type: ignore[no-untyped-call]  # redis-py has no type here


@contextmanager
def open_shared_servers(folder: Path) -> Iterator[SharedServers]:
    authority = trustme.CA()
    trust = folder / "ca.pem"
    with (
        redis_server(
            folder, token=TOKEN, read_only_token=READ_ONLY_TOKEN, names=("localhost", "*.upstash.io"), ca=authority
        ) as redis,
        Redis(host="localhost", port=redis.port, password=TOKEN, ssl=True, ssl_ca_certs=str(trust)) as admin,
    ):
        yield SharedServers(redis=redis, admin=admin, certificates=Certificates(authority), trust=trust)


class ExaminedDatabase:
    """Everything works until a test changes it. Names lead to `addresses`, unless they are `gone`.

    `lookup_failure` is the code with which the resolver fails, whatever it is asked.
    """

    def __init__(self, shared: SharedServers, stack: ExitStack) -> None:
        self.shared = shared
        self._stack = stack
        tls = shared.certificates.server("*.upstash.io")
        self.upstash = stack.enter_context(UpstashStandIn(TOKEN, read_only_token=READ_ONLY_TOKEN, tls=tls))
        self.console = stack.enter_context(
            ConsoleStandIn(email=ENVIRONMENT["UPSTASH_EMAIL"], api_key=ENVIRONMENT["UPSTASH_API_KEY"])
        )
        self.railway = stack.enter_context(
            RailwayStandIn(project_token=ENVIRONMENT["RAILWAY_TOKEN"], account_token="unused")
        )
        self.page = stack.enter_context(StatusPageStandIn())
        self.connectivity_host = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.environment = dict(ENVIRONMENT)
        self.name, self.domain, self.token = NAME, ".upstash.io", TOKEN
        self.port = self.upstash.port
        self.url = self.rest_url
        self.database = self.console.add(self.host, rest_token=TOKEN)
        self.database.read_only_rest_token = READ_ONLY_TOKEN
        self.worker = self.railway.add("worker", UPSTASH_REDIS_REST_URL=self.url, UPSTASH_REDIS_REST_TOKEN=TOKEN)
        self.connectivity = [f"127.0.0.1:{self.connectivity_host.getsockname()[1]}"]
        self.worker_port = shared.redis.port
        self.settings: dict[str, Any] = {"timeout": "5s"}
        self.doctor: dict[str, Any] = {
            "status_url": self.page.url,
            "console_url": self.console.url,
            "railway_url": self.railway.url,
        }
        self.others_timeout = OTHERS_TIMEOUT
        self.gone: set[str] = set()
        self.lookup_failure: int | None = None
        # A public name that led to loopback alone would be one that a filter has sunk. The kernel refuses a
        # link-local address without an interface before anything is sent.
        self.addresses = ["127.0.0.1", "fe80::1"]
        self.resolver_answers = threading.Event()
        self.resolver_answers.set()
        stack.callback(self.resolver_answers.set)
        shared.set_password(TOKEN)

    @property
    def host(self) -> str:
        return f"{self.name}{self.domain}"

    @property
    def rest_url(self) -> str:
        return f"https://{self.host}:{self.port}"

    @property
    def profile(self) -> DatabaseProfile:
        """What is known of the database, of real settings and of this environment."""
        settings = self._settings()
        return profile_of(self._named(settings), settings.doctor, self.environment)

    def move_to(self, *, name: str = NAME, domain: str = ".upstash.io", port: int | None = None) -> None:
        """Give the database another place, known everywhere."""
        self.name, self.domain, self.port = name, domain, port or self.port
        self.url, self.database.endpoint = self.rest_url, self.host
        self.deploy(UPSTASH_REDIS_REST_URL=self.url)

    def certificate(self, name: str = "*.upstash.io", **validity: Any) -> ssl.SSLContext:
        return self.shared.certificates.server(name, **validity)

    def serve(self, behaviour: Behaviour, *, tls: ssl.SSLContext | None) -> int:
        """An HTTP server of another kind, for as long as the test lasts; its port."""
        return self._stack.enter_context(faulty_server(behaviour, tls=tls)).port

    def renew(self, tls: ssl.SSLContext) -> None:
        """The database has another certificate."""
        self.upstash = self._stack.enter_context(UpstashStandIn(TOKEN, read_only_token=READ_ONLY_TOKEN, tls=tls))
        self.move_to(port=self.upstash.port)

    def listen(
        self, conduct: Conduct, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> int:
        """A server below HTTP, for as long as the test lasts; its port."""
        return self._stack.enter_context(Listener(conduct, host=host, port=port, tls=tls)).port

    def drop(self) -> int:
        """A port where connections never come about, for as long as the test lasts."""
        return self._stack.enter_context(port_that_drops())

    def own_redis(self, **special: Any) -> RedisServer:
        """A redis-server of this test's alone."""
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        return self._stack.enter_context(redis_server(folder, token=TOKEN, **special))

    def connect_to(self, port: int) -> None:
        """A connection that stays open for as long as the test lasts."""
        self._stack.enter_context(socket.create_connection(("127.0.0.1", port)))

    def self_host(self, **special: Any) -> ServerlessRedisHttpStandIn:
        """The URL is that of a serverless-redis-http instead, which is no database of Upstash's."""
        server = self._stack.enter_context(ServerlessRedisHttpStandIn(TOKEN, **special))
        del self.doctor["console_url"]
        self.url = server.url.replace("127.0.0.1", "localhost")
        return server

    def rotate(self) -> str:
        """Somebody resets the credentials in the console; the new token."""
        self.database.rotate()
        self.accept(self.database.rest_token)
        return self.database.rest_token

    def accept(self, token: str) -> None:
        """This is the database's token now, over REST and over `rediss://`."""
        self.upstash.token = token
        self.shared.set_password(token)

    def deploy(self, **variables: str) -> None:
        """Set variables of the worker and deploy them."""
        self.worker.store(variables)
        self.worker.deploy()

    def without_keys(self) -> None:
        """Take away the keys of the console and of Railway."""
        self.environment.clear()

    def examine(self, *, is_billed: bool = True, within: timedelta = WITHIN) -> LayerResults:
        """Examine all layers, as the doctor does; no detail may hold a piece of a secret."""
        layers = asyncio.run(self._examine(is_billed=is_billed, within=within))
        details = " ".join(result.detail for result in layers.layers)
        secrets = (self.token, TOKEN, READ_ONLY_TOKEN, self.upstash.token, self.database.rest_token)
        for secret in (*secrets, self.database.password, *ENVIRONMENT.values()):
            pieces = {secret[start : start + _PIECE] for start in range(len(secret) - _PIECE + 1)}
            assert not [piece for piece in pieces if piece in details]
        return layers

    async def _examine(self, *, is_billed: bool, within: timedelta) -> LayerResults:
        settings = self._settings()
        examiner = build_examiner(settings, clock=now_utc, environ=self.environment)
        # A test resolves no public names, so only the lookup is replaced.
        probes = RestProbeFactory(scrub=examiner.scrub, resolver=Resolver(self.lookup))
        examiner = replace(examiner, probes=probes, others_timeout=self.others_timeout)
        without = frozenset[Layer]() if is_billed else BILLED_LAYERS
        examined = await examiner.examine(self._named(settings), without=without, within=within)
        return examined.layers

    def check(self) -> Check:
        """What a check comes to, its canary and what it asks beside REST included; nothing is remembered."""
        settings = self._settings()
        scrub = Scrubber(settings.secrets())
        probes = RestProbeFactory(scrub=scrub, resolver=Resolver(self.lookup))
        [worker] = worker_probes(settings, probes, scrub)
        hosts = settings.connectivity
        with tempfile.TemporaryDirectory() as folder:
            store_thread = SerialThread("store")
            store = Store(Path(folder) / "history.db", channels=(), log=lambda *_: None, clock=now_utc)
            connectivity = Connectivity(
                hosts,
                store=store,
                store_thread=store_thread,
                clock=now_utc,
            )
            cycle = Cycle(
                self._named(settings),
                alerts=settings.alerts,
                probes=probes,
                connectivity=connectivity,
                store=store,
                store_thread=store_thread,
                clock=now_utc,
                profile=self.profile,
                worker=worker,
                worker_port=settings.doctor.worker_port,
            )
            try:
                return asyncio.run(cycle.check())
            finally:
                store_thread.stop(store.close)

    def _settings(self) -> Settings:
        return Settings.model_validate(
            {
                "databases": [{"name": "main", "url": self.url, "token": self.token, **self.settings}],
                "connectivity": self.connectivity,
                "doctor": {"worker_port": self.worker_port, **self.doctor},
            }
        )

    def _named(self, settings: Settings) -> DatabaseSettings:
        """As where both are read from the environment."""
        return settings.databases[0].with_variables(url=URL_NAME, token=TOKEN_NAME)

    def lookup(self, host: str, port: int) -> Sequence[AddressInfo]:
        """What the resolver knows; it blocks, as a real one may."""
        self.resolver_answers.wait()
        if self.lookup_failure is not None:
            raise socket.gaierror(self.lookup_failure, "the resolver failed")
        if host in self.gone:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [address_info(address, port) for address in self.addresses]


def address_info(address: str, port: int) -> AddressInfo:
    if ":" in address:
        return (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (address, port, 0, 0))
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
