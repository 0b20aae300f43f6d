"""The alerts of docs/metrics.md as they stand there, in promtool's own rule tests: when they fire, when not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.program import ROOT
from tests.web.figures import expected
from tests.web.scrapers import promtool

DOCS = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
BUILD = {"upstash_monitor_build_info": "1x60"}


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    found = re.search(r"```yaml\n(groups:.*?)```", DOCS, re.DOTALL)
    assert found is not None
    file = tmp_path / "rules.yml"
    file.write_text(found[1], encoding="utf-8")
    return file


def alerts(rules: Path, series: dict[str, str], alert: str, *told: dict[str, Any]) -> str:
    """What promtool has against these alerts, and no others of this name, after 30 minutes of one sample each."""
    fired = [{"exp_labels": one["labels"], "exp_annotations": one["annotations"]} for one in told]
    test = {"eval_time": "30m", "alertname": alert, "exp_alerts": fired}
    return _complaints(rules.parent, series, rule_files=[rules.name], alert_rule_test=[test])


def _complaints(folder: Path, series: dict[str, str], *, rule_files: list[str], **more: object) -> str:
    whole = {"input_series": [{"series": name, "values": values} for name, values in series.items()], **more}
    tests = {"rule_files": rule_files, "evaluation_interval": "1m", "tests": [{"interval": "1m", **whole}]}
    file = folder / "test.yml"
    file.write_text(json.dumps(tests), encoding="utf-8")  # JSON is YAML
    return promtool("test", "rules", str(file))


def test_the_rules_load_and_name_series_that_are_there(rules: Path) -> None:
    """Whoever copies them gets what they promise."""
    assert promtool("check", "rules", str(rules)) == ""
    assert set(re.findall(r"\bupstash_\w+", rules.read_text(encoding="utf-8"))) <= {name for name, _ in expected()}


def test_an_open_incident_fires_with_its_causes(rules: Path) -> None:
    """The outcomes of the last quarter of an hour stand in the description, as in our own messages."""
    series = {
        'upstash_incident_open{database="main"}': "1x60",
        'upstash_incident_open{database="cache"}': "0x60",
        'upstash_probe_outcomes_total{database="main", outcome="ok"}': "100+1x60",
        'upstash_probe_outcomes_total{database="main", outcome="dns_failed"}': "3x60",
        'upstash_probe_outcomes_total{database="main", outcome="token_rejected"}': "0+1x60",
    }
    told = {
        "labels": {"database": "main", "severity": "critical"},
        "annotations": {
            "summary": "main has an open incident",
            "description": "outcomes of the last quarter of an hour: token_rejected ",
        },
    }
    assert alerts(rules, series, "UpstashIncident", told) == ""


def test_unknown_and_down_fire_different_alerts(rules: Path) -> None:
    """A series that ended fires the one alert, a database that is down the other."""
    series = {
        'upstash_incident_open{instance="a", database="main"}': "0x60",
        'upstash_incident_open{instance="a", database="cache"}': "0x60",
        'upstash_probe_success{instance="a", database="main"}': "1x5 stale",
        'upstash_probe_success{instance="a", database="cache"}': "0x60",
    }
    told = {
        "labels": {"database": "main", "instance": "a", "severity": "warning"},
        "annotations": {"summary": "nothing is known of main: the monitor is offline or at fault"},
    }
    assert alerts(rules, series, "UpstashUnknown", told) == ""


def test_a_monitor_that_is_gone_fires(rules: Path) -> None:
    """Its last scrape is half an hour ago; one that is there does not fire."""
    told = {
        "labels": {"severity": "critical"},
        "annotations": {"summary": "no monitor has been heard of for five minutes"},
    }
    assert alerts(rules, {"upstash_monitor_build_info": "1x3 stale"}, "UpstashMonitorGone", told) == ""
    assert alerts(rules, BUILD, "UpstashMonitorGone") == ""


def test_a_channel_that_fails_fires_and_no_other(rules: Path) -> None:
    """Something waits, and it is this channel whose tries fail."""
    series = {
        'upstash_outbox_pending{instance="a"}': "1x60",
        'upstash_notifications_total{instance="a", channel="slack", result="failed"}': "0+1x60",
        'upstash_notifications_total{instance="a", channel="slack", result="sent"}': "7x60",
        'upstash_notifications_total{instance="a", channel="telegram", result="failed"}': "2x60",
    }
    told = {
        "labels": {"channel": "slack", "instance": "a", "result": "failed", "severity": "warning"},
        "annotations": {"summary": "messages wait, and slack does not take them"},
    }
    assert alerts(rules, series, "UpstashMessagesStuck", told) == ""


def test_slow_answers_fire_by_their_share(rules: Path) -> None:
    """Nine of ten within a quarter of a second, one slower than half: the p95 is above the limit."""
    buckets = {"0.25": 9, "0.5": 9, "1.0": 10, "+Inf": 10}
    series = {
        f'upstash_probe_duration_seconds_bucket{{database="main", le="{bound}"}}': f"0+{count}x60"
        for bound, count in buckets.items()
    }
    told = {
        "labels": {"database": "main", "severity": "warning"},
        "annotations": {"summary": "5 % of the answers of main take more than half a second"},
    }
    assert alerts(rules, series, "UpstashSlow", told) == ""


def test_the_share_of_good_checks_leaves_out_what_is_unknown(tmp_path: Path) -> None:
    """Of each four checks one fails, one is slow, and one more was made offline: three of four were usable."""
    found = re.search(r"```\n(1 - sum by.*?)```", DOCS, re.DOTALL)
    assert found is not None
    checks = {"ok": 2, "slow": 1, "dns_failed": 1, "token_rejected": 0, "offline": 1}
    series = {
        f'upstash_probe_outcomes_total{{database="main", outcome="{outcome}"}}': f"0+{count}x60"
        for outcome, count in checks.items()
    }
    test = {
        "expr": found[1],
        "eval_time": "60m",
        "exp_samples": [{"labels": '{database="main"}', "value": 0.75}],
    }
    assert _complaints(tmp_path, series, rule_files=[], promql_expr_test=[test]) == ""
