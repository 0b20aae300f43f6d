"""What the database answers to a worker's values: tried on a stand-in over TLS and on a real redis-server."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from time import monotonic

import pytest

from monitor.checks.connection import Resolver
from monitor.checks.rest import RestProbeFactory
from monitor.doctor.tried_values import Attempt, AttemptState, Credentials, CredentialsTester
from monitor.lib.text import Scrubber, Secret
from monitor.sandbox.upstash import UpstashFault, UpstashStandIn
from tests.checks.listener import port_that_refuses
from tests.doctor.examined_database import READ_ONLY_TOKEN, TOKEN, ExaminedDatabase
from tests.program import LONGEST_WAIT_SECONDS

ACL, DISABLED, WRONG = "AXofAnAclUser-0f_the_tests", "AXofDisabledUser-0f_the_tests", "AXrevoked-0f_the_tests"
ACCEPTED, REFUSED = AttemptState.ACCEPTED, AttemptState.REFUSED
MAY_BE_DISABLED, NOT_TRIED = AttemptState.MAY_BE_DISABLED, AttemptState.NOT_TRIED


class AskedDatabase:
    """The examined database with ACL users, and what it answers."""

    def __init__(self, examined: ExaminedDatabase) -> None:
        self.examined = examined
        examined.upstash.acl_tokens = {ACL: True, DISABLED: False}

    def attempt(
        self, token: str | None, *, url: str | None = None, timeout_seconds: float = 5, has_worker: bool = False
    ) -> Attempt:
        """Try one pair, or a URL alone; the detail may hold no secret."""
        scrub = Scrubber(())
        tester = CredentialsTester(
            probes=RestProbeFactory(scrub=scrub, resolver=Resolver(self.examined.lookup)),
            worker_port=self.examined.worker_port,
            worker_tls=None,
            scrub=scrub,
            has_worker=has_worker,
        )
        tried = Credentials(url=Secret(url or self.examined.url), token=None if token is None else Secret(token))
        found = asyncio.run(tester.try_all([tried, tried], timeout=timedelta(seconds=timeout_seconds)))
        assert list(found) == [tried]
        assert not [piece for piece in (TOKEN, ACL, WRONG, DISABLED) if piece[:10] in found[tried].detail]
        return found[tried]


@pytest.fixture
def asked(examined: ExaminedDatabase) -> AskedDatabase:
    return AskedDatabase(examined)


@pytest.mark.parametrize(
    ("token", "state"),
    [
        (TOKEN, ACCEPTED),
        (READ_ONLY_TOKEN, ACCEPTED),
        (ACL, ACCEPTED),
        (f" {ACL}\n", ACCEPTED),
        (WRONG, REFUSED),
        (f'"{ACL}"', AttemptState.ACCEPTED_UNWRAPPED),
        (f"Bearer {ACL}", AttemptState.ACCEPTED_UNWRAPPED),
        (f"“{ACL}”", AttemptState.ACCEPTED_UNWRAPPED),
        (f"CACHE_TOKEN='{ACL}'", AttemptState.ACCEPTED_UNWRAPPED),
        (f'"{WRONG}"', REFUSED),
        ("${{ shared.TOKEN }}", REFUSED),
        (DISABLED, MAY_BE_DISABLED),
        (f"{ACL}é", NOT_TRIED),
        (f"{ACL}\nMORE=x", NOT_TRIED),
    ],
)
def test_a_token_is_tried_as_it_stands(asked: AskedDatabase, token: str, state: AttemptState) -> None:
    """Whitespace around it many clients drop, so it counts as working; what no client can send is not tried.

    What works without its quotes is told from what is refused: in its place nobody else's token belongs.
    """
    asked.examined.shared.set_password("AXnobody-0f_the_tests")
    assert asked.attempt(token).state is state


def test_what_the_workers_way_accepts_is_accepted(asked: AskedDatabase) -> None:
    """On an older database the password is another value than the token, and REST refuses it."""
    asked.examined.shared.set_password(WRONG)
    attempt = asked.attempt(WRONG)
    assert (attempt.state, "invalid or missing auth token" in attempt.rest_detail) == (ACCEPTED, True)
    asked.examined.shared.set_password(TOKEN)
    assert asked.attempt(TOKEN).rest_detail == ""
    assert asked.attempt(WRONG).state is REFUSED


def test_the_workers_way_is_tried_beside_http_where_the_settings_ask_for_it(asked: AskedDatabase) -> None:
    """With `worker: true` a worker builds `rediss://` from an `http://` URL too: REST alone does not decide."""
    asked.examined.shared.set_password(WRONG)
    with UpstashStandIn(TOKEN) as plain:
        url = plain.url.replace("127.0.0.1", "localhost")
        assert asked.attempt(WRONG, url=url, has_worker=True).state is ACCEPTED
        assert asked.attempt(WRONG, url=url).state is REFUSED
    asked.examined.shared.set_password(TOKEN)


def test_a_blocked_port_of_the_worker_does_not_hide_what_rest_says(asked: AskedDatabase) -> None:
    """A token that REST takes works; one that it refuses may still be the password that the other way takes."""
    asked.examined.worker_port = port_that_refuses()
    assert asked.attempt(ACL).state is ACCEPTED
    found = asked.attempt(WRONG)
    assert found.state is AttemptState.REFUSED_BY_REST
    assert "rediss://: connection refused" in found.detail
    # No worker can build a rediss:// URL from this one.
    assert asked.attempt(f"{WRONG}/#").state is REFUSED


@pytest.mark.parametrize(
    "fault",
    [
        UpstashFault.HANG,
        UpstashFault.REFUSE,
        UpstashFault.SERVER_ERROR,
        UpstashFault.RATE_LIMIT,
        UpstashFault.HTML,
        UpstashFault.QUOTA,
    ],
)
def test_an_answer_that_says_nothing_of_the_token_is_no_refusal(asked: AskedDatabase, fault: UpstashFault) -> None:
    """Nobody knows then, and the detail says what came."""
    asked.examined.upstash.fault = fault
    asked.examined.shared.set_password("AXnobody-0f_the_tests")
    began = monotonic()
    found = asked.attempt(ACL, timeout_seconds=1)
    assert (found.state, bool(found.detail)) == (NOT_TRIED, True)
    assert monotonic() - began < LONGEST_WAIT_SECONDS
    asked.examined.upstash.fault = UpstashFault.NONE


def test_a_token_that_may_not_ping_is_a_good_token(asked: AskedDatabase) -> None:
    """NOPERM comes after the token was accepted."""
    asked.examined.upstash.fault = UpstashFault.NO_PERMISSION
    assert asked.attempt(ACL).state is ACCEPTED


def test_only_the_host_in_the_url_is_asked(asked: AskedDatabase) -> None:
    """A worker of another host has its token tried there, and nowhere else."""
    before = asked.examined.upstash.requests
    asked.examined.gone.add("gone-dog-1.upstash.io")
    found = asked.attempt(ACL, url="https://gone-dog-1.upstash.io")
    assert found.state is NOT_TRIED
    assert found.detail.startswith("host name not found")
    assert asked.attempt(ACL, url="undefined").detail == "no host can be read off its URL"
    assert asked.examined.upstash.requests == before
    # The same host behind quotes is asked: the token is good, whatever is to be said of the URL.
    assert asked.attempt(ACL, url=f'"{asked.examined.url}"').state is ACCEPTED


@pytest.mark.parametrize(
    ("scheme", "user", "password", "state"),
    [
        ("rediss", "default", TOKEN, ACCEPTED),
        ("rediss", "", TOKEN, ACCEPTED),
        ("rediss", "default_ro", READ_ONLY_TOKEN, ACCEPTED),
        ("rediss", "default", WRONG, MAY_BE_DISABLED),  # as Redis words every refusal
        ("redis", "default", TOKEN, NOT_TRIED),
        ("rediss", "default", "", NOT_TRIED),
    ],
)
def test_a_rediss_url_is_tried_with_its_own_user_and_port(
    asked: AskedDatabase, scheme: str, user: str, password: str, state: AttemptState
) -> None:
    """As the worker does that reads the whole URL."""
    url = f"{scheme}://{user}:{password}@{asked.examined.host}:{asked.examined.shared.redis.port}"
    assert asked.attempt(None, url=url).state is state
