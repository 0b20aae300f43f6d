"""The verdicts, and what they are judged and worded by: the examined layers, and the profile of a database.

The profile is what is known of a database without asking anybody.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from monitor.checks.credentials import endpoint_of, is_private_name
from monitor.checks.observation import Fact, Outcome
from monitor.config.settings import DatabaseSettings, DoctorSettings


class VerdictCode(Enum):
    """The verdicts. The codes are stable: `doctor --json`, the history and messages use them."""

    OFFLINE = "offline"
    PROXY_NEEDED = "proxy_needed"
    VARIABLE_STAGED = "variable_staged"
    VARIABLE_MISSING = "variable_missing"
    VALUES_SWAPPED = "values_swapped"
    VALUE_IS_A_PLACEHOLDER = "value_is_a_placeholder"
    VALUE_IS_MASKED = "value_is_masked"
    REDIS_PORT_IN_URL = "redis_port_in_url"
    REST_VALUE_MANGLED = "rest_value_mangled"
    VALUE_MALFORMED = "value_malformed"
    NEW_TOKEN_NOT_DEPLOYED = "new_token_not_deployed"
    WORKER_TOKEN_WORKS = "worker_token_works"
    MONITOR_HAS_AN_OLD_TOKEN = "monitor_has_an_old_token"
    ACL_USER_DISABLED = "acl_user_disabled"
    WORKER_HAS_AN_OLD_TOKEN = "worker_has_an_old_token"
    CONSOLE_TOKEN_REFUSED = "console_token_refused"
    CONSOLE_HIDES_TOKEN = "console_hides_token"
    TOKEN_OF_ANOTHER_DATABASE = "token_of_another_database"
    TOKEN_IS_A_PASSWORD = "token_is_a_password"
    REST_TOKEN_WRONG = "rest_token_wrong"
    TOKEN_STALE = "token_stale"
    NAME_FILTERED = "name_filtered"
    PRIVATE_NAME = "private_name"
    KV_NAME_GONE = "kv_name_gone"
    DATABASE_GONE = "database_gone"
    SUSPENDED_FOR_BANDWIDTH = "suspended_for_bandwidth"
    SUSPENDED = "suspended"
    BANDWIDTH_USED_UP = "bandwidth_used_up"
    DAILY_LIMIT_REACHED = "daily_limit_reached"
    QUOTA_BEHIND_PING = "quota_behind_ping"
    DATABASE_FULL = "database_full"
    TOKEN_READ_ONLY = "token_read_only"
    PROVIDER_TROUBLE = "provider_trouble"
    ADDRESS_NOT_ALLOWED = "address_not_allowed"
    NO_ROUTE = "no_route"
    ONE_FAMILY_FAILS = "one_family_fails"
    BLOCKED_OR_DOWN = "blocked_or_down"
    NOT_TLS = "not_tls"
    CERTIFICATE_UNTRUSTED = "certificate_untrusted"
    CERTIFICATE_OUT_OF_DATE = "certificate_out_of_date"
    CERTIFICATE_OF_ANOTHER_NAME = "certificate_of_another_name"
    PROXY_ASKS_LOGIN = "proxy_asks_login"
    PORTAL = "portal"
    BLOCKED_BY_LAW = "blocked_by_law"
    LOGIN_WALL = "login_wall"
    REDIRECT_TO_HTTPS = "redirect_to_https"
    REDIRECT = "redirect"
    REQUEST_TOO_LARGE = "request_too_large"
    COMMAND_NOT_OVER_REST = "command_not_over_rest"
    ERROR_UNKNOWN = "error_unknown"
    OTHER_DATABASE = "other_database"
    WORKER_READ_ONLY = "worker_read_only"
    WORKER_LEGACY_PORT = "worker_legacy_port"
    ACL_USER_TOKEN = "acl_user_token"
    WORKER_URL_WRONG = "worker_url_wrong"
    WORKER_URL_BROKEN = "worker_url_broken"
    WORKER_PORT_BLOCKED = "worker_port_blocked"
    WORKER_NOT_TLS = "worker_not_tls"
    WORKER_NOT_ENCRYPTED = "worker_not_encrypted"
    WORKER_VARIABLE_MISSING = "worker_variable_missing"
    WORKER_USER_DISABLED = "worker_user_disabled"
    WORKER_VALUE_DIFFERS = "worker_value_differs"
    WORKER_FAILS = "worker_fails"
    AS_THE_OUTCOME_SAYS = "as_the_outcome_says"
    SLOW = "slow"
    CANARY_KEY_NOT_ALLOWED = "canary_key_not_allowed"
    CANARY_CANNOT_DELETE = "canary_cannot_delete"
    CERTIFICATE_ENDS_SOON = "certificate_ends_soon"
    ALL_GOOD = "all_good"
    NOT_KNOWN = "not_known"


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What is the matter. `advice.word` puts it into words; it is stored as it stands here.

    `outcome` is that of the check or of the layer that failed first; `None` where nothing failed.
    """

    code: VerdictCode
    outcome: Outcome | None
    profile: DatabaseProfile


def judge_outcome(outcome: Outcome, profile: DatabaseProfile) -> Verdict:
    """The verdict on an outcome of which no more is known."""
    return Verdict(code=VerdictCode.AS_THE_OUTCOME_SAYS, outcome=outcome, profile=profile)


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """The examined layers of a database and the verdict on them."""

    layers: LayerResults
    verdict: Verdict


def verdict_to_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as plain JSON values, for the file."""
    profile = verdict.profile
    kinds = {"host_kind": profile.host_kind.value, "platform": profile.platform.value}
    return {
        "code": verdict.code.value,
        "outcome": verdict.outcome.value if verdict.outcome else None,
        "profile": asdict(profile) | kinds,
    }


def verdict_from_json(values: Mapping[str, Any]) -> Verdict:
    """The verdict that `verdict_to_json` wrote."""
    profile = values["profile"]
    kinds = {"host_kind": HostKind(profile["host_kind"]), "platform": Platform(profile["platform"])}
    return Verdict(
        code=VerdictCode(values["code"]),
        outcome=Outcome(values["outcome"]) if values["outcome"] else None,
        profile=DatabaseProfile(**profile | kinds),
    )


class Layer(Enum):
    """What is examined, in the order in which one causes the next. The codes are stable."""

    CONFIGURATION = "configuration"
    CONNECTIVITY = "connectivity"
    LOOKUP = "lookup"
    CONNECTION = "connection"
    ENCRYPTION = "encryption"
    HTTP = "http"
    TOKEN = "token"
    PING = "ping"
    READING = "reading"
    WRITING = "writing"
    WORKER = "worker"
    STATUS_PAGE = "status_page"
    CONSOLE = "console"
    PLATFORM = "platform"

    @property
    def words(self) -> str:
        """The layer's name for people: `HTTP without a token`."""
        return _WORDS.get(self, self.value.replace("_", " "))

    @property
    def needs(self) -> tuple[Layer, ...]:
        """The layers without which this one is not tried. A failure of any other layer does not stop it."""
        return _NEEDS.get(self, ())


_WORDS = {
    Layer.CONNECTIVITY: "our network",
    Layer.HTTP: "HTTP without a token",
    Layer.PING: "PING",
    Layer.WORKER: "the worker's connection",
    Layer.STATUS_PAGE: "Upstash's status page",
    Layer.CONSOLE: "the Upstash console",
    Layer.PLATFORM: "the platform, Railway",
}
# HTTP does not need the configuration: a host can often be read off a malformed URL, and then everything below the
# token is examined all the same.
_NEEDS = {
    Layer.CONNECTION: (Layer.LOOKUP,),
    Layer.ENCRYPTION: (Layer.CONNECTION,),
    Layer.HTTP: (Layer.ENCRYPTION,),
    Layer.TOKEN: (Layer.CONFIGURATION, Layer.HTTP),
    Layer.PING: (Layer.TOKEN,),
    Layer.READING: (Layer.PING,),
    Layer.WRITING: (Layer.READING,),
    Layer.WORKER: (Layer.LOOKUP,),
}


class LayerState(Enum):
    """How a layer ended. `UNKNOWN`: it could not be examined in time, or the answer is not one we know."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerResult:
    """How one layer ended. `detail` is one line without secrets; `took_ms` is `None` where nothing was tried.

    `outcome` is set where the layer examined the database itself and it was not fine.
    """

    layer: Layer
    state: LayerState
    detail: str = ""
    took_ms: float | None = None
    outcome: Outcome | None = None
    facts: frozenset[Fact] = frozenset()


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerResults:
    """The examined layers of one database, in causal order. Layers that were left out count as not applicable."""

    database: str
    layers: tuple[LayerResult, ...]

    def result_of(self, layer: Layer) -> LayerResult:
        """How a layer ended."""
        not_examined = LayerResult(layer=layer, state=LayerState.NOT_APPLICABLE)
        return next((result for result in self.layers if result.layer is layer), not_examined)

    def passed(self, *layers: Layer) -> bool:
        """True when all of them passed."""
        return all(self.result_of(layer).state is LayerState.PASSED for layer in layers)

    def failed(self, *layers: Layer) -> bool:
        """True when any of them failed."""
        return any(self.result_of(layer).state is LayerState.FAILED for layer in layers)

    def outcome(self) -> Outcome | None:
        """The outcome of the first layer of REST that failed; `None` when none did."""
        for result in self.layers:
            if result.layer in REST_LAYERS and result.state is LayerState.FAILED and result.outcome is not None:
                return result.outcome
        return None

    def has(self, *facts: Fact) -> bool:
        """True when every one of these facts was found, on whichever layer."""
        found = frozenset[Fact]().union(*(result.facts for result in self.layers))
        return found.issuperset(facts)


REST_LAYERS = (
    Layer.CONFIGURATION,
    Layer.LOOKUP,
    Layer.CONNECTION,
    Layer.ENCRYPTION,
    Layer.HTTP,
    Layer.TOKEN,
    Layer.PING,
    Layer.READING,
    Layer.WRITING,
)
# The layers that send something to the database's host, and those of them that cost billed commands.
HOST_LAYERS = frozenset({*REST_LAYERS, Layer.WORKER}) - {Layer.CONFIGURATION}
BILLED_LAYERS = frozenset({Layer.READING, Layer.WRITING})


def blocked_by(layer: Layer, examined: Collection[LayerResult]) -> Layer | None:
    """The failed layer because of which this one cannot be tried; `None` when it can."""
    states = {result.layer: result.state for result in examined}
    for needed in layer.needs:
        if states.get(needed) is LayerState.FAILED:
            return needed
        if states.get(needed) is LayerState.SKIPPED:
            return blocked_by(needed, examined) or needed
    return None


_REAL_CONSOLE = DoctorSettings.model_fields["console_url"].default
RAILWAY_TOKENS = ("RAILWAY_TOKEN", "RAILWAY_API_TOKEN")
# Railway gives these to every deployment (docs.railway.com/reference/variables); people may set the ids of project
# and environment as well, for the doctor's key.
_RAILWAY_GIVES = ("RAILWAY_DEPLOYMENT_ID", "RAILWAY_REPLICA_ID", "RAILWAY_SERVICE_ID", "RAILWAY_ENVIRONMENT_NAME")
_PROXY_VARIABLES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
_PLAIN_PROXY_VARIABLES = ("HTTP_PROXY", "http_proxy")  # which clients use for http:// alone
_KV_DOMAIN = ".kv.vercel-storage.com"


class HostKind(Enum):
    """Whose host the URL names."""

    UPSTASH = "upstash"
    UPSTASH_ON_FLY = "upstash_on_fly"  # fly-….upstash.io: inside Fly's network only
    VERCEL_KV = "vercel_kv"  # Vercel's own name for a database that Upstash runs
    RAILWAY_PRIVATE = "railway_private"
    FLY_PRIVATE = "fly_private"
    PRIVATE = "private"  # a name of a network of one's own, such as a container's
    OTHER = "other"  # a server of somebody else's, such as serverless-redis-http

    @property
    def is_upstash(self) -> bool:
        """True where Upstash's console, status page and support can help."""
        return self in (HostKind.UPSTASH, HostKind.UPSTASH_ON_FLY, HostKind.VERCEL_KV)


class Platform(Enum):
    """Where the monitor runs."""

    RAILWAY = "railway"
    FLY = "fly"
    OTHER = "other"


_PLATFORMS = {
    HostKind.RAILWAY_PRIVATE: Platform.RAILWAY,
    HostKind.FLY_PRIVATE: Platform.FLY,
    HostKind.UPSTASH_ON_FLY: Platform.FLY,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class DatabaseProfile:
    """What the words of a verdict depend on. Nothing in here is secret, and no host is named.

    `url_variable` and `token_variable` are empty where the value stands in the settings file itself; `service` is
    empty where no Railway key is set, so that nothing is known of a worker's service; `proxy_variable` names the
    variable that is set and that checks do not use.
    """

    database: str
    host_kind: HostKind = HostKind.UPSTASH
    url_variable: str = ""
    token_variable: str = ""
    service: str = ""
    platform: Platform = Platform.OTHER
    proxy_variable: str = ""
    canary_prefix: str = ""

    @property
    def is_upstash(self) -> bool:
        return self.host_kind.is_upstash

    @property
    def is_inside(self) -> bool:
        """True where the monitor runs on the platform whose private name the host has."""
        return _PLATFORMS.get(self.host_kind) is self.platform


def profile_of(database: DatabaseSettings, doctor: DoctorSettings, environ: Mapping[str, str]) -> DatabaseProfile:
    """The profile of one database of the settings."""
    url = database.url.reveal()
    endpoint = endpoint_of(url)
    of_plain_http = _PLAIN_PROXY_VARIABLES if endpoint and not endpoint.is_encrypted else ()
    names = (name for name in (*of_plain_http, *_PROXY_VARIABLES) if environ.get(name))
    return DatabaseProfile(
        database=database.name,
        host_kind=host_kind(url, doctor),
        url_variable=database.url_variable,
        token_variable=database.token_variable,
        service=doctor.service if any(environ.get(key, "").strip() for key in RAILWAY_TOKENS) else "",
        platform=_platform(environ),
        proxy_variable=next(names, ""),
        canary_prefix=database.canary_prefix,
    )


def host_kind(url: str, doctor: DoctorSettings) -> HostKind:
    """Whose host a URL names, as far as it can be read. A URL without a host may have been meant for any.

    Whoever sets `doctor.console_url` to another console says that these databases belong to it.
    """
    endpoint = endpoint_of(url)
    host = endpoint.host if endpoint else ""
    if host.endswith(".railway.internal"):
        return HostKind.RAILWAY_PRIVATE
    if host.endswith(".flycast"):
        return HostKind.FLY_PRIVATE
    # Not Fly's alone: Docker, AWS, Google Cloud have names in `.internal` as well.
    if is_private_name(host):
        return HostKind.PRIVATE
    if host.endswith(_KV_DOMAIN):
        return HostKind.VERCEL_KV
    if host.startswith("fly-") and host.endswith(".upstash.io"):
        return HostKind.UPSTASH_ON_FLY
    is_of_upstash = host.endswith((".upstash.io", ".upstash.com")) or host in ("upstash.io", "upstash.com")
    if not host or is_of_upstash or doctor.console_url != _REAL_CONSOLE:
        return HostKind.UPSTASH
    return HostKind.OTHER


def _platform(environ: Mapping[str, str]) -> Platform:
    if any(environ.get(name) for name in _RAILWAY_GIVES):
        return Platform.RAILWAY
    return Platform.FLY if environ.get("FLY_APP_NAME") else Platform.OTHER
