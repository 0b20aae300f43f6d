"""What `config check` and `config show` say of `state`, the database that remembers."""

from __future__ import annotations

from typing import Any

import pytest

from monitor.cli.admin.config import credential_mistakes, month_in_words, state_warnings
from monitor.config.load import Configuration, is_forgotten_between_runs, warnings
from monitor.config.mistakes import Mistakes
from monitor.config.settings import Settings

RAILWAY = {"RAILWAY_SERVICE_ID": "s"}
VOLUME = {"RAILWAY_VOLUME_MOUNT_PATH": "/data"}
MAIN = {"name": "main", "url": "https://h.upstash.io", "token": "token"}


def settings(state: dict[str, Any] | None) -> Settings:
    return Settings.model_validate({"databases": [MAIN], "state": state})


def test_its_commands_are_counted() -> None:
    """Two for each run, at Railway's least pause; without it no line."""
    with_state = list(month_in_words(settings({"url": "https://s.upstash.io", "token": "token"})))
    assert with_state[-1].endswith(
        "2 billed commands for each run of `check`; every 5m 17,280, 3.5% of the free plan"
    )
    assert with_state[:-1] == list(month_in_words(settings(None)))


@pytest.mark.parametrize("url", ["https://h.upstash.io", "https://H.upstash.io/"])
def test_one_that_is_watched_is_warned_of(url: str) -> None:
    """While it is down nothing would be remembered, which is when it matters."""
    [warning] = state_warnings(settings({"url": url, "token": "token"}))
    assert warning.startswith("state: it is the database of main, so while that one is down nothing is remembered")
    assert list(state_warnings(settings({"url": "https://s.upstash.io", "token": "token"}))) == []
    assert list(state_warnings(settings(None))) == []


def test_its_values_are_checked_as_a_databases_are() -> None:
    """Each with its place; without a mistake in them none."""
    found = Configuration(settings=settings({"url": "h.upstash.io"}), origins=Mistakes())
    assert [mistake.place for mistake in credential_mistakes(found)] == ["state.url", "state.token"]


def test_only_with_what_it_remembers_a_run_has_not_forgotten() -> None:
    """So that its canary is sent by the schedule. `state` that could not be read, or holds nothing, is none."""
    state = settings({"url": "https://s.upstash.io", "token": "token"})
    assert is_forgotten_between_runs(settings(None), RAILWAY, is_remembered=False)
    assert not is_forgotten_between_runs(settings(None), {}, is_remembered=False)  # a disk that is kept
    for environ in (RAILWAY, {}):
        assert is_forgotten_between_runs(state, environ, is_remembered=False)
        assert not is_forgotten_between_runs(state, environ, is_remembered=True)


@pytest.mark.parametrize(
    ("variables", "each_run", "wanted"),
    [
        ({}, False, "no Railway volume: the history is lost with each deployment. Next: attach one"),
        ({}, True, "no Railway volume, and no state: all is forgotten with each run, so each run alerts again"),
        (
            VOLUME,
            False,
            "not on the volume at /data: it is lost with each deployment. Next: leave history.path",
        ),
        (VOLUME, True, "not on the volume at /data, and no state: all is forgotten with each run"),
    ],
)
def test_what_an_empty_disk_costs_is_told_with_its_remedy(
    variables: dict[str, str], each_run: bool, wanted: str
) -> None:
    """By cron each run starts on one, and what remembers is `state`; where that is set nothing is missed."""
    environ = RAILWAY | variables
    [warning] = warnings(settings(None), environ, each_run=each_run)
    assert wanted in warning
    assert ("Next: set STATE_REDIS_REST_URL and STATE_REDIS_REST_TOKEN" in warning) is each_run
    state = settings({"url": "https://s.upstash.io", "token": "token"})
    assert bool(warnings(state, environ, each_run=each_run)) is not each_run
