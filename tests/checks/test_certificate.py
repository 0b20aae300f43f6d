"""Until when the host's certificate is valid, read from real TLS connections."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest

from monitor.checks.connection import certificate_end
from monitor.checks.observation import Outcome
from tests.checks.faulty_server import Behaviour, answer, echo, faulty_server
from tests.checks.test_outcomes import CERTIFICATES, look_at, refusal

DAY = timedelta(days=1)


@pytest.mark.parametrize("days", [15, 13, 1])
@pytest.mark.parametrize("behaviour", [echo, refusal("WRONGPASS", 401), answer("", 502), lambda connection: None])
def test_the_end_is_noted_whatever_the_answer(days: int, behaviour: Behaviour) -> None:
    """To the second; a connection that is cut after the handshake has shown it too."""
    expected = datetime.now(UTC) + days * DAY
    with faulty_server(behaviour, tls=CERTIFICATES.server(ends=days)) as server:
        observation, _ = look_at(server.url)
    assert observation.certificate_ends_at is not None
    assert abs(observation.certificate_ends_at - expected) < timedelta(minutes=5)


def test_one_that_has_ended_is_refused_as_before() -> None:
    """`tls_failed`; what was refused is not taken for the host's."""
    with faulty_server(echo, tls=CERTIFICATES.server(starts=-30, ends=-1)) as server:
        observation, result = look_at(server.url)
    assert (result.outcome, observation.certificate_ends_at) == (Outcome.TLS_FAILED, None)


def test_without_tls_there_is_none() -> None:
    """`http://`, fine or not."""
    for behaviour in (echo, refusal("WRONGPASS", 401)):
        with faulty_server(behaviour) as server:
            assert look_at(server.url)[0].certificate_ends_at is None


def test_a_certificate_that_was_not_asked_for_or_has_no_time_is_none() -> None:
    """Python gives nothing of one that it did not verify, and a time may be anything."""

    class Session:
        def __init__(self, certificate: dict[str, str] | None) -> None:
            self.certificate = certificate

        def getpeercert(self) -> dict[str, str] | None:
            return self.certificate

    for certificate in (None, {}, {"notAfter": "Bad time value"}, {"notAfter": "Foo 31 23:59:59 9999 GMT"}):
        session: ssl.SSLObject = Session(certificate)  # type: ignore[assignment]  # no such certificate can be made
        assert certificate_end(session) is None
