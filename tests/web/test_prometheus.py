"""A real Prometheus scrapes the metrics and is asked what it has understood; so is a real Pushgateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from monitor.checks.observation import Outcome
from monitor.web.metrics import Exposition, Pushgateway, label_value, render
from tests.program import LONGEST_WAIT_SECONDS, until
from tests.web.figures import HOSTILE, MISSED_CHECKS, TOTALS, Series, check, expected, totals_of
from tests.web.scrapers import Prometheus, get, prometheus, pushgateway, serving

LONG = timedelta(seconds=LONGEST_WAIT_SECONDS)


def job(name: str, address: str, **rest: object) -> dict[str, object]:
    return {"job_name": name, "static_configs": [{"targets": [address]}], **rest}


def with_short_bounds(series: Series) -> Series:
    return {
        (
            name,
            frozenset((label, text.removesuffix(".0") if label == "le" else text) for label, text in labels),
        ): value
        for (name, labels), value in series.items()
    }


@dataclass(frozen=True, kw_only=True)
class Scraped:
    """A Prometheus that has scraped everything once, and the `Accept` headers that it came with."""

    server: Prometheus
    accepted: list[str]


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """Three jobs: the metrics as the page would serve them, by way of a Pushgateway, and with hostile names."""
    folder = tmp_path_factory.mktemp("prometheus")
    hostile = replace(
        TOTALS, databases=(totals_of(HOSTILE, check(HOSTILE, Outcome.OK)),), notifications={(HOSTILE, "sent"): 1}
    )
    accepted: list[str] = []

    def answer(accept: str) -> Exposition:
        accepted.append(accept)
        return render(TOTALS, missed_checks=MISSED_CHECKS, accept=accept)

    with (
        serving(answer) as page,
        serving(lambda accept: render(hostile, accept=accept)) as rude,
        pushgateway(folder) as gateway,
    ):
        Pushgateway(f"http://{gateway}/").push(render(TOTALS, missed_checks=MISSED_CHECKS), timeout=LONG)
        jobs = [job("page", page), job("rude", rude), job("upstash-monitor", gateway, honor_labels=True)]
        with prometheus(folder, jobs) as server:
            until(lambda: len(server.query("up == 1")) == len(jobs), "a scrape of each that succeeded")
            yield Scraped(server=server, accepted=accepted)


def settled(read: Callable[[], Series], wanted: Series) -> Series:
    """What is read once it is as wanted. On a busy machine a scrape may fail in between, and the next one not."""
    with suppress(AssertionError):  # the caller's own says which series differ
        until(lambda: read() == wanted, "the series as they should be")
    return read()


def test_prometheus_reads_what_was_meant(scraped: Scraped) -> None:
    """It asks for OpenMetrics, and has every value of it, and not one series more."""
    assert "application/openmetrics-text" in scraped.accepted[0]
    assert settled(lambda: scraped.server.series("page"), expected()) == expected()


def test_a_pushgateway_exposes_what_was_pushed(scraped: Scraped) -> None:
    """The same series under the job of the push, beside the Pushgateway's own.

    It writes bounds of buckets in its own way, 1 for 1.0, as the textfile collector does.
    """

    def read() -> Series:
        found = scraped.server.series("upstash-monitor")
        return with_short_bounds({key: value for key, value in found.items() if key[0].startswith("upstash_")})

    wanted = with_short_bounds(expected())
    assert settled(read, wanted) == wanted


def test_the_histogram_is_one_that_prometheus_can_count_with(scraped: Scraped) -> None:
    """The median of 0.5, 20.5, 25, 90 and 12,000 ms lies in the bucket from 10 to 25 ms."""
    buckets = 'upstash_probe_duration_seconds_bucket{job="page", database="main"}'
    within = f"0.01 < histogram_quantile(0.5, {buckets}) <= 0.025"
    until(lambda: scraped.server.query(within), "a median in its bucket")


def test_a_hostile_name_is_a_name_to_prometheus(scraped: Scraped) -> None:
    """The scrape succeeds, the label is ours, and no series came out of the name."""
    hostile = ("upstash_probe_success", frozenset({("database", label_value(HOSTILE))}))
    until(lambda: hostile in scraped.server.series("rude"), "the hostile name as a label")
    assert all(name.startswith("upstash_") for name, _ in scraped.server.series("rude"))
    assert scraped.server.query('up{job="evil"}') == []


def test_a_push_replaces_the_group_and_keeps_other_groups(tmp_path: Path) -> None:
    """What the last round did not see is gone; a monitor elsewhere, with a label in its URL, keeps its own."""
    fewer = replace(TOTALS, databases=TOTALS.databases[:1], notifications={})
    with pushgateway(tmp_path) as gateway:
        Pushgateway(f"http://{gateway}").push(render(TOTALS), timeout=LONG)
        elsewhere = f"http://{gateway}/metrics/job/upstash-monitor/place/frankfurt"
        Pushgateway(elsewhere).push(render(TOTALS), timeout=LONG)
        Pushgateway(f"http://{gateway}").push(render(fewer), timeout=LONG)
        _, body = get(gateway, "/metrics")
    here = [line for line in body.splitlines() if 'job="upstash-monitor"' in line and "place=" not in line]
    there = [line for line in body.splitlines() if 'place="frankfurt"' in line]
    assert any('database="main"' in line for line in here)
    assert not any('database="cache"' in line for line in here)
    assert any('database="cache"' in line for line in there)
