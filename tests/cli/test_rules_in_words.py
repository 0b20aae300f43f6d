"""What `config show` and `config check` say of the alert rules."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.cli.admin.config import rules_in_words, unreachable
from monitor.config.settings import Settings


def settings(alerts: dict[str, Any] | None = None, **database: Any) -> Settings:
    values = {"name": "main", "url": "https://h.upstash.io", "token": "token", **database}
    return Settings.model_validate({"databases": [values], "alerts": alerts or {}})


def test_the_rules_are_told_in_words() -> None:
    """When one is told, when not, and when it is over; each database whose schedule differs has its own delay."""
    usual = settings()
    [main] = usual.databases
    often = main.model_copy(update={"name": "cache", "interval": main.timeout})
    assert list(rules_in_words(usual.model_copy(update={"databases": (main, often)}))) == [
        "When it is told:",
        "  an outage shorter than 40 s never wakes you",
        "  main: an outage that lasts is told after about 1 min 20 s, 1 min 55 s at most",
        "  cache: an outage that lasts is told after about 50 s, 1 min 5 s at most",
        "  that takes 4 failed checks in a row, or as many with a fine one among them; configuration 1, token 2, "
        "quota 2 in a row; slow 5 of 10",
        "  what fails 8 separate times within 20 min is told as unstable,",
        "  and an incident that opens again within 20 min is the same one, unstable",
        "  over after 2 min without a failure, by 2 checks at least; configuration, token and quota after 2 "
        "checks in a row",
        "  what is unstable is over after 10 min without a failure",
    ]


def test_what_is_turned_off_is_not_told() -> None:
    """Without times, each rule is its count."""
    quick = {
        "failing": {"failures": 1, "for": "0s"},
        "flapping": {"within": "0s"},
        "recovery": {"checks": 1, "for": "0s"},
    }
    lines = list(rules_in_words(settings(quick)))
    assert not [line for line in lines if "unstable" in line or "never wakes" in line]
    assert lines[2].startswith("  that takes 1 failed check; configuration 1, ")
    assert lines[-1] == "  over, by 1 check at least; configuration, token and quota after 1 check in a row"


@pytest.mark.parametrize(
    ("alerts", "database", "said"),
    [
        ({}, {}, []),
        (
            {"failing": {"failures": 1}},
            {},
            [
                "alerts.failing: one failure opens nothing before another 40s later: that takes up to 1 min 55 s. "
                "Next: `for: 0s`, or more failures"
            ],
        ),
        ({"failing": {"failures": 1, "for": "0s"}}, {}, []),
        (
            {"confirm_interval": "20m", "flapping": {"within": "0s"}},
            {"interval": "1h"},
            [
                "alerts.failing: main is checked every 20m in doubt, and a failure counts for 15 min: it is never "
                "told. Next: a shorter confirm_interval"
            ],
        ),
        (
            {},
            {"interval": "12h", "slow": "500ms"},
            [
                "alerts.slow: 5 slow checks of main never come within a day, with one every 12h. Next: fewer",
            ],
        ),
        (
            {"flapping": {"times": 50, "within": "5m"}},
            {},
            [
                "alerts.flapping: 50 runs of failures of main never begin within 5m. Next: fewer times, or a "
                "shorter confirm_interval"
            ],
        ),
    ],
)
def test_what_can_never_be_reached_is_told(
    alerts: dict[str, Any], database: dict[str, Any], said: list[str]
) -> None:
    """With what to do next."""
    assert list(unreachable(settings(alerts, **database))) == said
