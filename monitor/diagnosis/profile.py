"""What is known of one database without asking anybody: what its verdicts may speak of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

from monitor.checks.credentials import endpoint_of, is_private_name
from monitor.config.settings import DatabaseSettings, DoctorSettings

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


def profile_to_json(profile: DatabaseProfile) -> dict[str, Any]:
    """The profile as plain JSON values."""
    values = asdict(profile)
    return {**values, "host_kind": profile.host_kind.value, "platform": profile.platform.value}


def profile_from_json(values: Mapping[str, Any]) -> DatabaseProfile:
    """The profile that `profile_to_json` wrote."""
    kinds = {"host_kind": HostKind(values["host_kind"]), "platform": Platform(values["platform"])}
    return DatabaseProfile(**{**values, **kinds})


def _platform(environ: Mapping[str, str]) -> Platform:
    if any(environ.get(name) for name in _RAILWAY_GIVES):
        return Platform.RAILWAY
    return Platform.FLY if environ.get("FLY_APP_NAME") else Platform.OTHER
