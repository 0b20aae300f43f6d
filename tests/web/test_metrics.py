"""The metrics as text: every series of the contract, hostile names, both formats, and what promtool says of it."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.checks.observation import Outcome
from monitor.store.rollups.model import Totals
from monitor.web.metrics import label_value, render
from tests.program import ROOT
from tests.web.figures import HOSTILE, MISSED_CHECKS, QUOTED, TOTALS, check, expected, totals_of
from tests.web.scrapers import promtool, read

NOTHING = Totals(databases=(), notifications={}, outbox_pending=0)
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
DOCS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")


def test_every_series_of_the_contract_is_there_and_no_other() -> None:
    """Fine, failing, offline and never checked: each value in base units, what is not known left out."""
    body = render(TOTALS, missed_checks=MISSED_CHECKS).body.decode()
    assert read(body) == expected()


def test_openmetrics_says_the_same_to_whoever_asks_for_it() -> None:
    """The scraper's `Accept` chooses; without one it is the text that every collector reads."""
    plain = render(TOTALS, missed_checks=MISSED_CHECKS)
    assert plain.content_type.startswith("text/plain; version=0.0.4")
    openmetrics = render(TOTALS, missed_checks=MISSED_CHECKS, accept=f"{OPENMETRICS},text/plain;q=0.5")
    assert openmetrics.content_type.startswith("application/openmetrics-text")
    assert openmetrics.body.endswith(b"# EOF\n")
    assert read(openmetrics.body.decode(), as_openmetrics=True) == expected()


def test_the_end_of_a_certificate_is_in_seconds_since_1970_and_missing_without_tls() -> None:
    """As Prometheus' own exporters have it, so that `… - time() < 14 * 86400` is an alert."""
    ends_at = datetime(2026, 12, 11, 14, tzinfo=UTC)
    rows = (totals_of("main", certificate_ends_at=ends_at), totals_of("plain"))
    body = render(Totals(databases=rows, notifications={}, outbox_pending=0)).body.decode()
    name = "upstash_probe_certificate_expiry_timestamp_seconds"
    found = {labels: value for (series, labels), value in read(body).items() if series == name}
    assert found == {frozenset({("database", "main")}): ends_at.timestamp()}


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "application/json;q=", "\x00;;,,", "x" * 10_000])
def test_any_other_accept_header_gets_the_text(accept: str) -> None:
    """A header from outside is no reason to fail."""
    assert render(NOTHING, accept=accept).content_type.startswith("text/plain")


@pytest.mark.parametrize(
    "version", ["", ";version=x", ";version=99.0", "; version=1.0.0; escaping=allow-utf-8", ";=;"]
)
def test_openmetrics_is_of_the_version_that_we_write(version: str) -> None:
    """Whatever version the header names, the answer names its own."""
    exposition = render(NOTHING, accept=f"text/html, application/openmetrics-text{version}")
    assert exposition.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8"


@pytest.mark.parametrize("totals", [TOTALS, NOTHING], ids=["everything", "nothing"])
@pytest.mark.parametrize("missed_checks", [MISSED_CHECKS, None])
def test_promtool_finds_nothing_to_complain_about(totals: Totals, missed_checks: int | None) -> None:
    """Names, units, help texts and types are as Prometheus' own lint wants them."""
    assert promtool("check", "metrics", text=render(totals, missed_checks=missed_checks).body.decode()) == ""


def test_a_process_without_a_schedule_has_no_missed_checks() -> None:
    """`check` could only ever say 0, and would say it of another process's schedule."""
    names = {name for name, _ in read(render(TOTALS).body.decode())}
    assert "upstash_monitor_missed_checks_total" not in names


@pytest.mark.parametrize("outcome", list(Outcome), ids=lambda outcome: outcome.value)
def test_success_is_one_zero_or_missing(outcome: Outcome) -> None:
    """Usable is 1, slow included; failing is 0; what is not known is not there, and pages nobody."""
    totals = Totals(databases=(totals_of("main", check("main", outcome)),), notifications={}, outbox_pending=0)
    found = read(render(totals).body.decode()).get(("upstash_probe_success", frozenset({("database", "main")})))
    wanted = {"ok": 1, "slow": 1, "offline": None, "monitor_error": None}
    assert found == wanted.get(outcome.value, 0)


def test_a_hostile_name_comes_out_inert_and_short() -> None:
    """Ten kilobytes of quotes, newlines and half a character neither end a label nor begin a series."""
    rows = (totals_of(HOSTILE, check(HOSTILE, Outcome.OK, total=1.0)), totals_of(HOSTILE + "y"))
    totals = Totals(databases=rows, notifications={(HOSTILE, "sent"): 1}, outbox_pending=0)
    body = render(totals).body.decode("utf-8", "strict")
    labels = [value for _, labels in read(body) for name, value in labels if name in ("database", "channel")]
    assert len(set(labels)) == 2
    assert all(len(value) <= 200 and value.isprintable() for value in labels)
    assert len(body) < 60_000
    assert all(line.startswith(("#", "upstash_")) for line in body.splitlines())
    assert promtool("check", "metrics", text=body) == ""


def test_a_name_that_settings_take_stays_as_it_is() -> None:
    """The page, the messages and the metrics call a database the same."""
    for name in ("main", QUOTED, "n" * 200, "Zähler – büro", "数据库"):
        assert label_value(name) == name


@given(st.lists(st.text(st.characters(codec=None), max_size=300), unique=True, max_size=20))
def test_two_names_never_share_a_label(names: list[str]) -> None:
    """Not even one that looks like another's label."""
    names += [label for name in names if (label := label_value(name)) not in names]
    labels = [label_value(name) for name in names]
    assert len(set(labels)) == len(names)
    assert all(0 < len(label) <= 200 and label.isprintable() for label in labels)


def test_no_web_server_is_loaded_for_a_text() -> None:
    """`check --metrics` pays for what it loads each time it runs."""
    program = (
        "import sys, monitor.web.metrics\nprint(*{'starlette', 'uvicorn', 'jinja2', 'requests'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_the_docs_name_every_metric_with_its_type() -> None:
    """docs/metrics.md has a row for each, and none for one that is not there."""
    body = render(TOTALS, missed_checks=MISSED_CHECKS).body.decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", body, re.MULTILINE))
    rows = re.findall(r"^\| `(upstash_\w+)(?:\{[^`]*\})?` \| (\w+) \|", DOCS, re.MULTILINE)
    assert dict(rows) == types
    assert len(rows) == len(types)
