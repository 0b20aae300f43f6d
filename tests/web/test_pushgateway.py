"""What is pushed, where to, and what a failure says; a real Pushgateway is in test_prometheus."""

from __future__ import annotations

import base64
import traceback
from collections.abc import Iterator
from datetime import timedelta

import pytest
from starlette.responses import Response

from monitor.sandbox.server import Drip, HangUp, LoopbackServer
from monitor.web.metrics import ExportError, Exposition, Pushgateway, render
from tests.program import LONGEST_WAIT_SECONDS
from tests.web.figures import TOTALS

LONG = timedelta(seconds=LONGEST_WAIT_SECONDS)
PASSWORD = "pa55wordOfTheGateway"
BODY = render(TOTALS)

pytestmark = pytest.mark.usefixtures("direct")


@pytest.fixture
def gateway() -> Iterator[LoopbackServer]:
    with LoopbackServer(Response()) as gateway:
        yield gateway


def failure(url: str, exposition: Exposition = BODY, *, timeout: timedelta = LONG) -> str:
    """Why a push failed; nothing that can be printed of it holds the password."""
    with pytest.raises(ExportError) as caught:
        Pushgateway(url).push(exposition, timeout=timeout)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert str(caught.value).startswith("wanted to push metrics to the Pushgateway, found ")
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("", "/metrics/job/upstash-monitor"),
        ("/", "/metrics/job/upstash-monitor"),
        ("/behind/a/proxy/", "/behind/a/proxy/metrics/job/upstash-monitor"),
        ("/metrics/job/mine/place/frankfurt", "/metrics/job/mine/place/frankfurt"),
        ("/p/metrics/job@base64/bWluZQ", "/p/metrics/job@base64/bWluZQ"),
        ("/metrics/jobs", "/metrics/jobs/metrics/job/upstash-monitor"),
    ],
)
def test_the_body_is_put_to_the_group(gateway: LoopbackServer, path: str, asked: str) -> None:
    """Byte by byte, with its content type, to our own group unless the URL names another."""
    Pushgateway(gateway.url + path).push(BODY, timeout=LONG)
    [request] = gateway.requests
    assert (request.method, request.target) == ("PUT", asked)
    assert request.body == BODY.body
    assert request.headers["content-type"] == BODY.content_type


def test_user_and_password_go_into_the_header(gateway: LoopbackServer) -> None:
    """As a browser would send them."""
    Pushgateway(gateway.url.replace("://", f"://ops:{PASSWORD}@")).push(BODY, timeout=LONG)
    wanted = base64.b64encode(f"ops:{PASSWORD}".encode()).decode()
    assert gateway.requests[0].headers["authorization"] == f"Basic {wanted}"


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (302, "answered 302. Next: check the URL"),
        (400, "answered 400. Next: read its log"),
        (401, "answered 401. Next: put user and password into the URL"),
        (404, "answered 404. Next: check the path"),
        (503, "answered 503. Next: check the URL"),
    ],
)
def test_a_refusal_is_reported_with_a_next_step(gateway: LoopbackServer, status: int, message: str) -> None:
    """Without a word of what it answered: that may repeat what it was sent."""
    gateway.app = Response(PASSWORD, status, {"Location": "https://127.0.0.1/elsewhere"})
    assert message in failure(gateway.url.replace("://", f"://ops:{PASSWORD}@"))
    assert len(gateway.requests) == 1


def test_a_gateway_that_hangs_or_is_gone_is_reported(gateway: LoopbackServer) -> None:
    """Within the time that it was given; a busy machine may not even see the first byte by then."""
    gateway.app = Drip(1.0)
    url = gateway.url.replace("://", f"://ops:{PASSWORD}@")
    message = failure(url, timeout=timedelta(seconds=0.3))
    assert "no whole answer within 0.3 s" in message or "no answer in time" in message
    gateway.app = HangUp()
    assert "no HTTP answer" in failure(url)
    assert "no time was left" in failure(url, timeout=timedelta(0))
    gateway.stop()
    assert "no connection" in failure(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "gateway:9091",
        "ftp://gateway",
        f"https://ops:{PASSWORD}@",
        f"https://ops:{PASSWORD}@gateway:port",
        f"https://ops:{PASSWORD}@gateway/?job=x",
        f"https://ops:{PASSWORD}@gateway/ ",
        f"https://ops:{PASSWORD}@[gateway",
    ],
)
def test_an_unusable_url_is_refused_without_repeating_it(url: str) -> None:
    """It may hold a password."""
    with pytest.raises(ValueError, match="wanted the URL of a Pushgateway") as caught:
        Pushgateway(url)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))


def test_a_gateway_does_not_print() -> None:
    """Not even by accident."""
    gateway = Pushgateway(f"https://ops:{PASSWORD}@gateway")
    assert PASSWORD not in f"{gateway} {gateway!r} {vars(gateway)}"
