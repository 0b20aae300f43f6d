"""What the soak makes of the messages that the channels heard."""

from __future__ import annotations

from bench.told import untold


def test_an_incident_is_told_whole_when_its_beginning_and_its_end_were() -> None:
    """One by one, in groups, as missed, and again after it opened again; a repetition in a row counts once."""
    heard = [
        "🔴 main: token rejected\nincident 1 · opened",
        "incidents 2-3, 5 · opened",
        "incident 1 · changed",
        "incident 1 · closed",
        "incident 1 · closed",
        "incidents 2, 3, 5 · closed",
        "🟢 2 incidents came and went\nmain: slow for 2 s; and 1 more\nincidents 4, 6 · missed",
        "incident 2 · reopened",
        "incident 2 · closed",
    ]
    assert [*untold([1, 2, 3, 4, 5, 6], {"slack": heard})] == []


def test_what_was_not_told_is_named_with_its_channel() -> None:
    """A beginning without an end, an end without a beginning, silence, and a number that nobody knows."""
    heard = ["incident 1 · opened", "incident 2 · closed", "incidents 7-8 · closed"]
    assert [*untold([1, 2, 3], {"ops": heard, "slack": []})] == [
        "ops heard of incident 1: o",
        "ops heard of incident 2: c",
        "ops heard of incident 3: nothing",
        "ops heard of incident 7, which the file does not have",
        "ops heard of incident 8, which the file does not have",
        "slack heard of incident 1: nothing",
        "slack heard of incident 2: nothing",
        "slack heard of incident 3: nothing",
    ]
