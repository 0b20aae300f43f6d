"""The metrics of docs/metrics.md as text for Prometheus, made from `Totals`; for `check` also a file or a push.

Nothing here imports the web server: `check` writes metrics too, and would pay 2 MB for one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector, CollectorRegistry

from monitor import __version__
from monitor.alerts.notification import Severity
from monitor.checks.observation import Check, Outcome, is_up
from monitor.config.channel_values import web_url
from monitor.lib.bounded_http import NoAnswerError, ask
from monitor.lib.files import replace_file
from monitor.lib.text import Secret
from monitor.store.rollups.model import DatabaseTotals, Totals

# From a database in the same rack to the longest sensible timeout; finer where people set their limits.
_BOUNDS_SECONDS = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25),
    *(0.5, 1.0, 2.5, 5.0, 10.0),
)
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_RESULTS = ("sent", "failed")
_LABEL_LIMIT = 200
_CHECKSUM = re.compile(r"~[0-9a-f]{16}\Z")
# Readable for everybody: the collector runs as somebody else, and nothing in metrics is secret.
_MODE = 0o644
# Without `instance`: whichever container ran the last round, the figures are of the same monitor. Whoever runs
# several monitors adds labels in the URL.
_GROUP = "/metrics/job/upstash-monitor"
_HAS_GROUP = re.compile(r"/metrics/job(@base64)?/[^/]")
_NEXT_STEPS = {
    HTTPStatus.BAD_REQUEST: "read its log, it did not accept what was sent",
    HTTPStatus.UNAUTHORIZED: "put user and password into the URL, https://USER:PASSWORD@HOST",
    HTTPStatus.FORBIDDEN: "see who may push there",
    HTTPStatus.NOT_FOUND: "check the path of the URL, and whether this is a Pushgateway",
}
_NEXT_STEP = "check the URL, and whether the Pushgateway works"


@dataclass(frozen=True, kw_only=True, slots=True)
class Exposition:
    """The metrics as they go out, and the content type that goes with them."""

    body: bytes
    content_type: str


def render(
    totals: Totals, *, missed_checks: int | None = None, accept: str = "", of_process: bool = False
) -> Exposition:
    """All metrics, as text version 0.0.4 or as OpenMetrics where `accept`, an HTTP header, asks for it.

    `missed_checks` is `None` where there is no schedule. `of_process` adds `process_*` of this process, where the
    system has /proc; not for a file of node_exporter, which has series of these names itself.
    `upstash_probe_success` is missing, and not 0, while nothing is known of a database: before its first check,
    and when the latest one could not tell (offline, or the fault was our own). A failed scrape does the same to
    any `probe_success`: the series ends, and an alert on 0 does not fire. When our own network is down, nobody
    must be paged for their database.

    Takes about a millisecond of CPU per database.
    """
    registry = CollectorRegistry()
    registry.register(_TotalsCollector(totals, missed_checks))
    if of_process:
        ProcessCollector(registry=registry)
    if totals.region:
        registry = _in_region(registry, label_value(totals.region))
    if _wants_openmetrics(accept):
        body = openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call]  # the library has no types here
        return Exposition(body=body, content_type=_OPENMETRICS)
    return Exposition(body=generate_latest(registry), content_type=_TEXT)


def _in_region(registry: CollectorRegistry, region: str) -> CollectorRegistry:
    """A registry of the same families as they are now, with the label on every sample."""
    families = list(registry.collect())
    for family in families:
        family.samples = [one._replace(labels={**one.labels, "region": region}) for one in family.samples]
    labelled = CollectorRegistry()
    labelled.register(_Families(families))
    return labelled


def label_value(name: str) -> str:
    """A name as a label: never empty, at most 200 printable characters, different for every other name.

    A name that the settings accept is unchanged. Any other is cut and cleaned, and ends in a checksum of it all.
    """
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
    # A name that ends like one with a checksum gets its own as well, or two names could become one label.
    if name and shown == name and len(name) <= _LABEL_LIMIT and not _CHECKSUM.search(name):
        return name
    checksum = "~" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return shown[: _LABEL_LIMIT - len(checksum)] + checksum


def _wants_openmetrics(accept: str) -> bool:
    """True where the header names OpenMetrics at all, as Prometheus has done since it reads it.

    The library's own choice parses the version in the header, raises for a malformed one, and sends it back.
    """
    kinds = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return _OPENMETRICS.partition(";")[0] in kinds


class _Families(Collector):
    """Families that are there already."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


class _TotalsCollector(Collector):
    """The metric families, in the order of docs/metrics.md."""

    def __init__(self, totals: Totals, missed_checks: int | None) -> None:
        self._totals = totals
        self._missed_checks = missed_checks

    def collect(self) -> Iterator[Metric]:
        databases = [(label_value(row.database), row) for row in self._totals.databases]
        known = [(label, check) for label, row in databases if (check := _known(row)) is not None]
        yield _gauge(
            "upstash_probe_success",
            "Whether the latest check found the database usable (a slow answer is one). Missing while unknown.",
            ((label, float(bool(is_up(check.outcome.family)))) for label, check in known),
        )
        yield _duration(databases)
        yield _phases(known)
        yield _outcomes(databases)
        yield _gauge(
            "upstash_probe_last_timestamp_seconds",
            "When a check last ended, however it ended, in seconds since 1970. Missing before the first.",
            ((label, row.latest.at.timestamp()) for label, row in databases if row.latest),
        )
        yield _gauge(
            "upstash_probe_last_success_timestamp_seconds",
            "When a check last ended well, in seconds since 1970. Missing before the first.",
            ((label, row.last_success_at.timestamp()) for label, row in databases if row.last_success_at),
        )
        yield _gauge(
            "upstash_probe_certificate_expiry_timestamp_seconds",
            "When the certificate of the latest TLS connection ends, in seconds since 1970. Missing for http://.",
            ((label, row.certificate_ends_at.timestamp()) for label, row in databases if row.certificate_ends_at),
        )
        yield _incidents(databases)
        yield _causes(databases)
        yield _gauge(
            "upstash_quiet",
            "Whether a silence or maintenance holds the messages about the database.",
            ((label, float(row.database in self._totals.quiet)) for label, row in databases),
        )
        yield _notifications(self._totals)
        yield _gauge(
            "upstash_channel_ok",
            "0 while the channel is known to be broken or out of reach: it refuses messages, or answers nothing.",
            ((label_value(name), float(is_ok)) for name, is_ok in self._totals.channel_is_ok.items()),
            label="channel",
        )
        yield GaugeMetricFamily(
            "upstash_outbox_pending",
            "Messages that wait to be sent, or are on their way.",
            value=self._totals.outbox_pending,
        )
        if self._missed_checks is not None:
            yield CounterMetricFamily(
                "upstash_monitor_missed_checks",
                "Checks that were left out because the one before still ran or their time had passed.",
                value=self._missed_checks,
            )
        yield InfoMetricFamily(
            "upstash_monitor_build", "The version of the monitor.", value={"version": __version__}
        )


def _known(row: DatabaseTotals) -> Check | None:
    """The latest check, unless it says nothing about the database."""
    return None if row.latest is None or is_up(row.latest.outcome.family) is None else row.latest


def _gauge(
    name: str, documentation: str, values: Iterable[tuple[str, float]], *, label: str = "database"
) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[label])
    for value_of_label, value in values:
        family.add_metric([value_of_label], value)
    return family


def _duration(databases: Iterable[tuple[str, DatabaseTotals]]) -> Metric:
    family = HistogramMetricFamily(
        "upstash_probe_duration_seconds",
        "Latency of checks that ended fine (ok), from the request sent to the last byte of the answer.",
        labels=["database"],
    )
    for label, row in databases:
        latency = row.latency
        buckets = [(str(bound), latency.count_at_most(bound * 1000)) for bound in _BOUNDS_SECONDS]
        family.add_metric([label], buckets=[*buckets, ("+Inf", latency.count)], sum_value=latency.sum_ms / 1000)
    return family


def _phases(known: Iterable[tuple[str, Check]]) -> Metric:
    family = GaugeMetricFamily(
        "upstash_probe_phase_seconds",
        "How long each part of the latest check took. A part that was not reached is missing.",
        labels=["database", "phase"],
    )
    for label, check in known:
        for phase, taken_ms in asdict(check.phases).items():
            if taken_ms is not None:
                family.add_metric([label, phase], taken_ms / 1000)
    return family


def _outcomes(databases: Iterable[tuple[str, DatabaseTotals]]) -> Metric:
    """Every outcome is there from the start: a counter that begins at 1 hides its first event from `increase`."""
    family = CounterMetricFamily(
        "upstash_probe_outcomes", "Checks by how they ended (docs/outcomes.md).", labels=["database", "outcome"]
    )
    for label, row in databases:
        for outcome in Outcome:
            family.add_metric([label, outcome.value], row.outcomes.get(outcome, 0))
    return family


def _incidents(databases: Iterable[tuple[str, DatabaseTotals]]) -> Metric:
    family = GaugeMetricFamily(
        "upstash_incident_open",
        "Whether the database has an open incident of this severity.",
        labels=["database", "severity"],
    )
    for label, row in databases:
        for severity in Severity:
            family.add_metric([label, severity.value], float(row.open_severity is severity))
    return family


def _causes(databases: Iterable[tuple[str, DatabaseTotals]]) -> Metric:
    family = GaugeMetricFamily(
        "upstash_incident_cause",
        "1 for the present cause of an open incident, an outcome and its family. Missing without one.",
        labels=["database", "outcome", "family"],
    )
    for label, row in databases:
        if row.open_cause is not None:
            family.add_metric([label, row.open_cause.value, row.open_cause.family.value], 1.0)
    return family


def _notifications(totals: Totals) -> Metric:
    """Both results of each channel from the start, for the reason given in `_outcomes`."""
    family = CounterMetricFamily(
        "upstash_notifications",
        "Attempts to deliver a message, by their result.",
        labels=["channel", "result"],
    )
    for channel in dict.fromkeys(channel for channel, _ in totals.notifications):
        for result in _RESULTS:
            family.add_metric([label_value(channel), result], totals.notifications.get((channel, result), 0))
    return family


class ExportError(Exception):
    """The metrics did not arrive: wanted, found, next; nothing of a URL, which may hold a password."""


def write(path: Path, body: bytes) -> None:
    """Put the whole body under this name at once, so that no reader ever sees half of it.

    Raises `ExportError`; a file that was there before is then unchanged. A symbolic link is followed; what is
    not a plain file, such as a device, is refused.
    """
    try:
        replace_file(path, body, mode=_MODE)
    except (OSError, ValueError, RuntimeError) as error:  # a name with a NUL, a ring of links
        found = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ExportError(
            f"wanted to write metrics to {str(path)!r}, found: {found}. Next: name a file in a folder that can be "
            "written"
        ) from error


class Pushgateway:
    """Where metrics are pushed to. Raises `ValueError`, without the URL, for what is not one.

    A URL without a path to a group gets `/metrics/job/upstash-monitor`; one that has `/metrics/job/…` in it is
    taken as it is, so that more labels can be given: `https://HOST/metrics/job/upstash-monitor/place/frankfurt`.
    """

    def __init__(self, url: str) -> None:
        self._url = Secret(_with_group(url))

    def push(self, exposition: Exposition, *, timeout: timedelta) -> None:
        """Replace what the gateway holds of this group; blocks at most `timeout`. Raises `ExportError`."""
        headers = {"Content-Type": exposition.content_type}
        try:
            answer = ask("PUT", self._url.reveal(), body=exposition.body, headers=headers, timeout=timeout)
        except NoAnswerError as error:
            raise _not_pushed(str(error), _NEXT_STEP) from None
        if not 200 <= answer.status < 300:
            step = next((step for status, step in _NEXT_STEPS.items() if status == answer.status), _NEXT_STEP)
            raise _not_pushed(f"that it answered {answer.status}", step)


def _not_pushed(found: str, next_step: str) -> ExportError:
    return ExportError(f"wanted to push metrics to the Pushgateway, found {found}. Next: {next_step}")


def _with_group(url: str) -> str:
    try:
        parts = urlsplit(web_url(url))
    except ValueError:
        parts = None
    if parts is None or "?" in url or "#" in url:
        raise ValueError("wanted the URL of a Pushgateway, such as http://HOST:9091, without a query")
    path = parts.path.rstrip("/")
    return urlunsplit(parts._replace(path=path if _HAS_GROUP.search(path) else path + _GROUP))
