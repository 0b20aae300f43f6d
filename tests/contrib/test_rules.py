"""contrib/prometheus as its readers take it: Prometheus' own tools, Alertmanager's, and our metrics.

When each alert fires, and when not, is said by contrib/prometheus/rules_test.yml, in promtool's own form.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitor.checks.observation import Family
from monitor.web.metrics import render
from tests.program import ROOT
from tests.web.figures import AT, TOTALS
from tests.web.scrapers import promtool, read

FOLDER = ROOT / "contrib" / "prometheus"
GROUPS = yaml.safe_load((FOLDER / "rules.yml").read_text(encoding="utf-8"))["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
CASES = yaml.safe_load((FOLDER / "rules_test.yml").read_text(encoding="utf-8"))["tests"]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
ALERTMANAGER = yaml.safe_load((FOLDER / "alertmanager.yml").read_text(encoding="utf-8"))
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}


def queries() -> Iterator[str]:
    """Every expression of the dashboard, its variables set to something."""
    variables = {"$__rate_interval": "5m", "$__range": "1d", "$database": "main", "$region": ".*"}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            expression: str = target["expr"]
            for name, value in variables.items():
                expression = expression.replace(name, value)
            assert "$" not in expression
            yield expression


def test_prometheus_takes_the_configuration_and_the_rules() -> None:
    """The scrape configuration with the rules that it names."""
    assert promtool("check", "config", str(FOLDER / "prometheus.yml")) == ""


def test_each_alert_fires_when_it_should_and_not_otherwise() -> None:
    """promtool finds every case as it is written, and none of the alerts is without one that fires it."""
    assert promtool("test", "rules", str(FOLDER / "rules_test.yml")) == ""
    tests = [test for case in CASES for test in case.get("alert_rule_test", ())]
    fired = {test["alertname"] for test in tests if test["exp_alerts"]}
    assert fired == ALERTS.keys()


def test_rules_cases_and_dashboard_name_series_that_are_there() -> None:
    """Each is exported by the monitor or recorded by a rule, and each recording rule is used by something."""
    ends_at = datetime(2027, 1, 1, tzinfo=UTC)
    over_tls = replace(TOTALS.databases[1], certificate_ends_at=ends_at, last_success_at=AT)
    totals = replace(TOTALS, databases=(over_tls,), channel_is_ok={"slack": True})
    exposition = render(totals, missed_checks=0)
    exported = {name for name, _ in read(exposition.body.decode())}
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    series = {entry["series"] for case in CASES for entry in case["input_series"]}
    texts = [*(json.dumps(rule) for rule in RULES), *series, *queries(), json.dumps(DASHBOARD["templating"])]
    named = {name for text in texts for name in re.findall(r"(?:[a-z_]+:)?\bupstash_\w+(?::\w+)?", text)}
    assert named - exported == recorded
    used = " ".join([*(rule["expr"] for rule in RULES), *queries()])
    assert [name for name in recorded if name not in used] == []


def test_each_family_of_a_cause_is_in_one_of_the_alerts() -> None:
    """Network and service, and what is new, is that the database is down; the others have alerts of their own."""
    [others] = {name for rule in RULES for name in re.findall(r'family!~"([\w|]+)"', rule["expr"])}
    own = [name for rule in RULES for name in re.findall(r'family=~?"([\w|]+)"', rule["expr"])]
    assert sorted("|".join(own).split("|")) == sorted(others.split("|"))
    failing = {family for family in Family if family.is_failing}
    down = {Family.NETWORK, Family.SERVICE}
    assert set(others.split("|")) == {family.value for family in failing - down}


def test_prometheus_understands_every_query_of_the_dashboard(tmp_path: Path) -> None:
    """As rules they are parsed by Prometheus itself."""
    rules = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(queries())]
    assert len(rules) > 10
    file = tmp_path / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    assert promtool("check", "rules", str(file)) == ""


def test_the_panels_of_the_dashboard_have_places_of_their_own() -> None:
    """None lies on another, none is wider than Grafana's 24 columns, and each has a number of its own."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place: dict[str, int] = panel["gridPos"]
        columns, lines = (range(place[at], place[at] + place[size]) for at, size in ("xw", "yh"))
        cells = set(product(columns, lines))
        assert not cells & taken, panel["title"]
        assert columns.stop <= 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


def test_alertmanager_takes_its_configuration() -> None:
    """amtool reads it; one message names all databases, what is critical goes to Telegram as well.

    Inhibitions name alerts that are there.
    """
    if shutil.which("amtool") is None:
        pytest.skip("wanted amtool, found none. Next: apt-get install prometheus-alertmanager")
    command = ["amtool", "check-config", str(FOLDER / "alertmanager.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    kinds = {receiver["name"]: receiver.keys() - {"name"} for receiver in ALERTMANAGER["receivers"]}
    assert ALERTMANAGER["route"]["group_by"] == ["alertname"]
    assert kinds == {
        "nobody": set(),
        "slack": {"slack_configs"},
        "slack-and-telegram": {"slack_configs", "telegram_configs"},
    }
    assert {rule["labels"]["severity"] for rule in ALERTS.values()} == {"critical", "warning", "none"}
    named = set(re.findall(r"\bUpstash\w+", json.dumps(ALERTMANAGER["inhibit_rules"])))
    assert named <= ALERTS.keys()


def test_a_silence_holds_each_alert_about_a_database() -> None:
    """`UpstashQuiet` inhibits all of them but the certificate's, and reaches nobody itself."""
    [group] = [group for group in GROUPS if group["name"] == "upstash-databases"]
    about = {rule["alert"] for rule in group["rules"]}
    [rule] = [rule for rule in ALERTMANAGER["inhibit_rules"] if "UpstashQuiet" in rule["source_matchers"][0]]
    [targets] = rule["target_matchers"]
    assert set(re.findall(r"\bUpstash\w+", targets)) == about - {"UpstashQuiet", "UpstashCertificateEnds"}
    assert rule["equal"] == ["database"]
    first = ALERTMANAGER["route"]["routes"][0]
    assert first == {"matchers": ['alertname="UpstashQuiet"'], "receiver": "nobody"}


def test_the_share_of_good_checks_leaves_out_what_is_unknown(tmp_path: Path) -> None:
    """docs/metrics.md: of four checks one fails and one is slow, one more was offline: three were usable."""
    found = re.search(
        r"```promql\n(1 - sum by.*?)```", (ROOT / "docs" / "metrics.md").read_text("utf-8"), re.DOTALL
    )
    assert found is not None
    checks = {"ok": 2, "slow": 1, "dns_failed": 1, "token_rejected": 0, "offline": 1}
    series: list[dict[str, Any]] = [
        {
            "series": f'upstash_probe_outcomes_total{{database="main", outcome="{outcome}"}}',
            "values": f"0+{count}x60",
        }
        for outcome, count in checks.items()
    ]
    samples = [{"labels": '{database="main"}', "value": 0.75}]
    test = {"expr": found[1], "eval_time": "60m", "exp_samples": samples}
    case = {"interval": "1m", "input_series": series, "promql_expr_test": [test]}
    file = tmp_path / "test.yml"
    file.write_text(json.dumps({"rule_files": [], "evaluation_interval": "1m", "tests": [case]}), encoding="utf-8")
    assert promtool("test", "rules", str(file)) == ""
