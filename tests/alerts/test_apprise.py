"""Apprise: what its coarse answer means, that it is asked only where it is set, and that its URL is a secret."""

from __future__ import annotations

import sys
import threading
from datetime import timedelta

import pytest

from monitor.alerts.apprise import AppriseChannel
from monitor.alerts.notification import Notification
from monitor.alerts.retry_policy import DeliveryStatus
from monitor.config.channel_values import WrongValueError, apprise_url
from monitor.config.settings import Settings
from monitor.engine.wiring import connectivity_hosts
from monitor.lib.text import Scrubber
from tests.alerts.conftest import APPRISE_URL as URL
from tests.alerts.conftest import CLOSED, LONG, OPENED, SLOW, AppriseLibrary

RETRY, PERMANENT = DeliveryStatus.RETRY, DeliveryStatus.PERMANENT


def channel(url: str = URL) -> AppriseChannel:
    return AppriseChannel(name="apprise", url=url)


def test_what_apprise_sent_is_sent_and_never_confirmed(library: AppriseLibrary) -> None:
    """As plain text, the first line as its title."""
    result = channel().send(OPENED, timeout=LONG)
    assert (result.status, result.detail) == (
        DeliveryStatus.UNCONFIRMED,
        "Apprise sent it, and cannot tell whether it arrived",
    )
    [message] = library.sent
    assert message["title"] == "🔴 main: token rejected · your move"
    assert message["body"].splitlines()[-1] == "incident 12 · opened"


@pytest.mark.parametrize(("notification", "kind"), [(OPENED, "failure"), (SLOW, "warning"), (CLOSED, "success")])
def test_a_message_has_apprises_kind_of_it(library: AppriseLibrary, notification: Notification, kind: str) -> None:
    """Services show it in a colour of its own."""
    channel().send(notification, timeout=LONG)
    assert library.sent[0]["notify_type"] == kind


def test_a_failure_is_tried_again_and_some_in_a_row_are_a_refusal(library: AppriseLibrary) -> None:
    """Nobody knows why it failed; a success begins the count anew."""
    one = channel()
    library.answer = lambda: False
    found = [one.send(OPENED, timeout=LONG).status for _ in range(4)]
    library.answer = lambda: True
    one.send(OPENED, timeout=LONG)
    library.answer = lambda: None
    found += [one.send(OPENED, timeout=LONG).status for _ in range(5)]
    assert found == [RETRY] * 8 + [PERMANENT]


def test_what_apprise_raises_is_not_read_out(library: AppriseLibrary) -> None:
    """It may hold the URL."""

    def fail() -> bool:
        raise ValueError(URL)

    library.answer = fail
    result = channel().send(OPENED, timeout=LONG)
    assert (result.status, result.detail) == (RETRY, "Apprise failed inside (ValueError)")


def test_a_service_that_hangs_holds_nothing_up(library: AppriseLibrary) -> None:
    """Apprise has no deadline of its own for a whole message."""
    released = threading.Event()
    library.answer = lambda: released.wait(30)
    result = channel().send(OPENED, timeout=timedelta(seconds=0.05))
    released.set()
    assert (result.status, result.detail) == (RETRY, "Apprise did not end within 0.05 s")


def test_without_the_extra_it_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is needed, and where it is."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    for result in (channel().probe(LONG), channel().send(OPENED, timeout=LONG)):
        assert result is not None
        assert result.status is PERMANENT
        assert "pip install 'upstash-monitor[apprise]'" in result.detail


def test_a_url_that_apprise_does_not_know_is_found_without_a_message(library: AppriseLibrary) -> None:
    """One that it knows may be right."""
    assert channel().probe(LONG) is None
    result = channel("dscord://x/y").probe(LONG)
    assert result is not None
    assert result.status is PERMANENT
    assert library.sent == []


def test_the_url_is_a_secret_whole_and_in_part() -> None:
    """In the place of a host there may be a token; so that is no connectivity host either."""
    settings = Settings.model_validate(
        {"databases": [{"name": "main"}], "channels": [{"type": "apprise", "url": URL}]}
    )
    scrub = Scrubber(settings.secrets())
    for part in (URL, "1234567890123456789", "AppriseTokenOfTests-0123456789"):
        assert "***" in scrub(f"<{part}>")
        assert part not in scrub(f"<{part}>")
    assert URL not in repr(settings) + settings.model_dump_json()
    assert connectivity_hosts(settings) == settings.connectivity


@pytest.mark.parametrize("value", ["", "discord", "discord:/x", f"'{URL}'", f"<{URL}>", f"APPRISE_URL={URL}"])
def test_what_cannot_be_an_apprise_url_is_told(value: str) -> None:
    """Without the value."""
    with pytest.raises(WrongValueError) as caught:
        apprise_url(value)
    assert "AppriseToken" not in f"{caught.value} {caught.value.found}"
    assert apprise_url(URL) == URL
