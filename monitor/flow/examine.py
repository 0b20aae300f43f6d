"""The doctor's examination of one database: which hand sees which rung, and what one rung leaves for the next.

The order of the climb is `climb`'s business, what a hand does that of `probes`; verdicts are in `core/verdicts`.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from monitor.core.console import ConsoleDatabase
from monitor.core.ladder import REST_WAY, Ladder, Rung, Seen, State
from monitor.core.secret import Secret
from monitor.core.tokens import Endpoint, endpoint_of, host_of, see_configuration
from monitor.core.worker_variables import Known, Variable
from monitor.flow.climb import Hand, climb
from monitor.flow.threads import on_daemon_thread
from monitor.probes.console import ConsoleKey, look_at_console
from monitor.probes.layers import connect, encrypt, look_up
from monitor.probes.railway import look_at_platform
from monitor.probes.railway_api import Railway
from monitor.probes.resolver import AddressInfo
from monitor.probes.rest_rungs import see_http, see_reading, see_token, see_writing
from monitor.probes.status_page import read_status_page
from monitor.probes.surroundings import Surroundings
from monitor.probes.upstash import UpstashProbes
from monitor.settings import DatabaseSettings, DoctorSettings

WITHIN = timedelta(seconds=28)
# Each rung has its own end, so that a host that hangs leaves time to see everything else.
_RUNG_TIMEOUT = timedelta(seconds=5)
OTHERS_TIMEOUT = timedelta(seconds=10)


@dataclass(frozen=True, kw_only=True)
class Examiner:
    """What all examinations share. `console` and `railway` are `None` where no key was given.

    `worker_tls` is as in `WorkerProbe`; one is made for each examination where it is left out.
    `others_timeout` is for the status page, the console and the platform, each.
    """

    probes: UpstashProbes
    surroundings: Surroundings
    controls: Sequence[str]
    doctor: DoctorSettings
    console: ConsoleKey | None
    railway: Railway | None
    hosts: Collection[str]
    scrub: Callable[[str], str]
    clock: Callable[[], datetime]
    worker_tls: ssl.SSLContext | None = None
    others_timeout: timedelta = OTHERS_TIMEOUT

    async def examine(
        self,
        database: DatabaseSettings,
        *,
        without: Collection[Rung] = frozenset(),
        within: timedelta = WITHIN,
    ) -> Examination:
        """Climb the ladder of one database, some rungs left out; ends after at most `within`. Raises nothing."""
        visit = _Visit(self, database)
        hands = {rung: hand for rung, hand in visit.hands().items() if rung not in without}
        ladder = await climb(database.name, hands, within=within)
        return Examination(ladder=ladder, console=visit.console, variables=visit.variables)


@dataclass(frozen=True, kw_only=True, slots=True)
class Examination:
    """A ladder, and what the fix needs of the two sources behind it; `None` where they were not read."""

    ladder: Ladder
    console: ConsoleDatabase | None
    variables: Mapping[str, Variable] | None


class _Visit:
    """One climb: the hands, and what they leave for each other."""

    def __init__(self, examiner: Examiner, database: DatabaseSettings) -> None:
        self._examiner = examiner
        self._database = database
        self._url = database.url.get_secret_value()
        self._token = database.token.get_secret_value()
        self._timeout = min(database.timeout, _RUNG_TIMEOUT)
        self._endpoint = endpoint_of(self._url)
        self._addresses: tuple[AddressInfo, ...] = ()
        self.console: ConsoleDatabase | None = None
        self.variables: Mapping[str, Variable] | None = None

    def hands(self) -> dict[Rung, Hand]:
        hands: dict[Rung, Hand] = {
            Rung.CONFIGURATION: self._configuration,
            Rung.OUR_NETWORK: self._our_network,
            Rung.WORKER: self._worker,
            Rung.STATUS_PAGE: self._status_page,
            Rung.CONSOLE: self._console,
            Rung.PLATFORM: self._platform,
        }
        if self._endpoint is None:
            return {**{rung: partial(_no_host, rung) for rung in REST_WAY}, **hands}
        return {**hands, **self._network(self._endpoint), **self._rest(self._endpoint)}

    def _network(self, endpoint: Endpoint) -> dict[Rung, Hand]:
        probes = self._examiner.probes

        async def lookup() -> Seen:
            seen, self._addresses = await look_up(
                endpoint.host, endpoint.port, timeout=self._timeout, resolver=probes.resolver
            )
            return seen

        async def connection() -> Seen:
            seen, self._addresses = await connect(self._addresses, timeout=self._timeout)
            return seen

        async def encryption() -> Seen:
            if not endpoint.is_encrypted:
                words = "http:// in the URL: nothing is encrypted"
                return Seen(rung=Rung.ENCRYPTION, state=State.NOT_APPLICABLE, seen=words)
            now = self._examiner.clock()
            return await encrypt(endpoint.host, self._addresses, timeout=self._timeout, tls=probes.tls, now=now)

        return {Rung.LOOKUP: lookup, Rung.CONNECTION: connection, Rung.ENCRYPTION: encryption}

    def _rest(self, endpoint: Endpoint) -> dict[Rung, Hand]:
        # With the URL as it should stand, so that a mangled one still shows what is behind it.
        probe = self._examiner.probes.database(url=endpoint.url, token=self._token)
        return {
            Rung.HTTP: lambda: see_http(probe, timeout=self._timeout),
            Rung.TOKEN: lambda: see_token(probe, timeout=self._timeout, slow=self._database.slow),
            Rung.READING: lambda: see_reading(probe, timeout=self._timeout),
            Rung.WRITING: lambda: see_writing(probe, timeout=self._timeout),
        }

    async def _configuration(self) -> Seen:
        return see_configuration(self._url, self._token)

    async def _our_network(self) -> Seen:
        controls = self._examiner.controls
        if not controls:
            return Seen(rung=Rung.OUR_NETWORK, state=State.NOT_APPLICABLE, seen="no control hosts are set")
        answered = await self._examiner.surroundings.reachable(self._timeout)
        return Seen(
            rung=Rung.OUR_NETWORK,
            state=State.PASSED if answered else State.FAILED,
            seen=f"{len(answered) or 'none'} of {len(controls)} control hosts accept a connection",
        )

    async def _worker(self) -> Seen:
        # redis-py is 10 MB that only this rung needs.
        from monitor.probes.worker import WorkerProbe  # noqa: PLC0415 - see above
        from monitor.probes.worker_rung import see_worker  # noqa: PLC0415 - see above

        probe = WorkerProbe(
            url=self._url,
            token=self._token,
            port=self._examiner.doctor.worker_port,
            scrub=self._examiner.scrub,
            tls=self._examiner.worker_tls,
            resolver=self._examiner.probes.resolver,
        )
        return await see_worker(probe, timeout=self._timeout)

    async def _status_page(self) -> Seen:
        url, timeout = self._examiner.doctor.status_url, self._examiner.others_timeout
        return await on_daemon_thread(lambda: read_status_page(url, timeout=timeout), name="status page")

    async def _console(self) -> Seen:
        key, endpoint = self._examiner.console, self._endpoint
        if key is None:
            words = "UPSTASH_EMAIL and UPSTASH_API_KEY are not set"
            return Seen(rung=Rung.CONSOLE, state=State.NOT_APPLICABLE, seen=words)
        if endpoint is None:
            return Seen(rung=Rung.CONSOLE, state=State.SKIPPED, seen="no host can be told from the URL")
        reading = await on_daemon_thread(
            lambda: look_at_console(
                key,
                console_url=self._examiner.doctor.console_url,
                origin=endpoint.url,
                token=self._token,
                timeout=self._examiner.others_timeout,
            ),
            name="console",
        )
        self.console = reading.database
        return reading.seen

    async def _platform(self) -> Seen:
        railway, timeout = self._examiner.railway, self._examiner.others_timeout
        if railway is None:
            words = "RAILWAY_TOKEN is not set"
            return Seen(rung=Rung.PLATFORM, state=State.NOT_APPLICABLE, seen=words)
        known = Known(url=self._url, token=Secret(self._token), console=self.console)
        others = frozenset(self._examiner.hosts) - {host_of(self._url)}
        reading = await on_daemon_thread(
            lambda: look_at_platform(railway, known, timeout=timeout, other_hosts=others), name="platform"
        )
        self.variables = reading.variables
        return reading.seen


async def _no_host(rung: Rung) -> Seen:
    return Seen(rung=rung, state=State.SKIPPED, seen="no host can be told from the URL")
