"""The provider's status page: what it has posted about Redis, and nothing about anything else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from time import monotonic

import pytest
from starlette.responses import JSONResponse

from monitor.checks.observation import Fact
from monitor.diagnosis.verdicts import Layer, LayerState
from monitor.doctor.status_page import read_status_page
from monitor.sandbox.console import IRELAND, QSTASH, STATUS_PATH, VIRGINIA, StatusPageStandIn
from monitor.sandbox.server import WebFault

LONG = timedelta(seconds=20)
TROUBLE = frozenset({Fact.TROUBLE_POSTED})


@pytest.fixture
def page() -> Iterator[StatusPageStandIn]:
    with StatusPageStandIn() as page:
        yield page


def test_a_page_on_which_all_is_well_passes(page: StatusPageStandIn) -> None:
    """One request without any credential, and the count of the components."""
    result = read_status_page(page.url + "/", timeout=LONG)
    assert (result.layer, result.state, result.facts) == (Layer.STATUS_PAGE, LayerState.PASSED, frozenset())
    assert result.detail == "all 4 Redis components are operational"
    assert [(request.method, request.target) for request in page.requests] == [("GET", STATUS_PATH)]
    assert "authorization" not in page.requests[0].headers


@pytest.mark.parametrize("status", ["degraded_performance", "partial_outage", "major_outage", "under_maintenance"])
def test_a_redis_component_that_is_not_operational_is_trouble(page: StatusPageStandIn, status: str) -> None:
    """The words name the component and how it is."""
    page.status_of[VIRGINIA] = status
    result = read_status_page(page.url, timeout=LONG)
    assert (result.state, result.facts) == (LayerState.FAILED, TROUBLE)
    assert result.detail == f"{VIRGINIA}: {status.replace('_', ' ')}"


def test_many_troubled_components_are_counted_and_not_all_named(page: StatusPageStandIn) -> None:
    """The layer stays one line, however much has fallen over."""
    for name in (VIRGINIA, IRELAND, "AWS US-EAST-1", "GCP US-CENTRAL-1"):
        page.status_of[name] = "major_outage"
    result = read_status_page(page.url, timeout=LONG)
    assert result.detail.endswith("AWS US-EAST-1: major outage and 1 more")


@pytest.mark.parametrize("name", [QSTASH, "AWS - EU-WEST-1", "Upstash Console"])
def test_trouble_with_another_product_is_not_ours(page: StatusPageStandIn, name: str) -> None:
    """The page's overall indicator is not fine then, and the layer passes all the same."""
    page.status_of[name] = "major_outage"
    page.post_incident("Messages are late", name)
    assert read_status_page(page.url, timeout=LONG).state is LayerState.PASSED


def test_an_unresolved_incident_that_touches_redis_is_trouble(page: StatusPageStandIn) -> None:
    """Even while the components still stand as operational; when it is over, it is not."""
    page.post_incident("Elevated latency", IRELAND)
    result = read_status_page(page.url, timeout=LONG)
    assert (result.state, result.facts) == (LayerState.FAILED, TROUBLE)
    assert result.detail == "incident “Elevated latency” (investigating)"
    page.resolve()
    page.post_incident("Elevated latency", IRELAND, status="resolved")
    assert read_status_page(page.url, timeout=LONG).state is LayerState.PASSED


@pytest.mark.parametrize(
    ("name", "state"),
    [("Errors in Redis databases", LayerState.FAILED), ("Billing page is slow", LayerState.PASSED)],
)
def test_an_incident_without_components_goes_by_its_name(
    page: StatusPageStandIn, name: str, state: LayerState
) -> None:
    """Nobody has to fill in the components of an incident in its first minutes."""
    page.post_incident(name)
    assert read_status_page(page.url, timeout=LONG).state is state


def test_a_status_nobody_knows_is_unknown(page: StatusPageStandIn) -> None:
    """A surprise on the page is no verdict on the database."""
    page.status_of[IRELAND] = "on_fire"
    result = read_status_page(page.url, timeout=LONG)
    assert (result.state, result.facts) == (LayerState.UNKNOWN, frozenset())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (WebFault.HTML, "the answer is not JSON"),
        (WebFault.NOT_JSON, "the answer is not JSON"),
        (WebFault.DEEP, "the answer is not JSON"),
        (WebFault.OTHER_SHAPE, "its answer has another shape than a Statuspage's"),
        (WebFault.REDIRECT, "it answers with a redirect (302)"),
        (WebFault.FORBIDDEN, "it refuses this (403)"),
        (WebFault.NOT_FOUND, "there is no such thing (404)"),
        (WebFault.RATE_LIMITED, "it limits the rate (429, again in 7 s)"),
        (WebFault.SERVER_ERROR, "it has a fault of its own (500)"),
        (WebFault.UNAVAILABLE, "it has a fault of its own (503)"),
        (WebFault.CUT, "no HTTP answer came back"),
    ],
)
def test_an_odd_answer_is_unknown(page: StatusPageStandIn, fault: WebFault, words: str) -> None:
    """Whatever comes back is in the detail and fails nothing."""
    page.fault = fault
    result = read_status_page(page.url, timeout=LONG)
    assert (result.state, result.facts, result.detail) == (LayerState.UNKNOWN, frozenset(), f"not read: {words}")


@pytest.mark.parametrize(
    "change",
    [
        {"components": None},
        {"components": [7]},
        {"components": [{"name": "Redis Global", "id": ["list"], "group": True}]},
        {"components": [{"id": "a", "name": "Redis", "group_id": None}]},
        {"components": []},
        {"incidents": {"id": "a"}},
        {"incidents": [{"name": "Redis"}]},
        {"incidents": [{"name": None, "status": 3, "components": [{}]}]},
    ],
)
def test_a_summary_of_another_shape_is_unknown(page: StatusPageStandIn, change: dict[str, object]) -> None:
    """The JSON of a page that is not a Statuspage, or not any more, breaks nothing."""
    # What the page answers is the point here, so its own answer is bent.
    summary = {"components": page.components(), "incidents": [], **change}
    page.app = JSONResponse(summary)
    result = read_status_page(page.url, timeout=LONG)
    assert (result.state, result.facts) == (LayerState.UNKNOWN, frozenset())


def test_hostile_names_stay_on_one_printable_line(page: StatusPageStandIn) -> None:
    """A page is foreign text: nothing in it steers a terminal or fills it."""
    page.post_incident(f"\x1b[2J\x1b]0;redis\x07 \u202eevil\n{'x' * 5000}")
    result = read_status_page(page.url, timeout=LONG)
    assert result.detail.isprintable()
    assert len(result.detail) < 100


@pytest.mark.parametrize("fault", [WebFault.HANG, WebFault.DRIP])
def test_a_page_that_hangs_or_drips_ends_at_the_timeout(page: StatusPageStandIn, fault: WebFault) -> None:
    """The layer is unknown after the time it was given."""
    page.fault = fault
    began = monotonic()
    result = read_status_page(page.url, timeout=timedelta(seconds=0.3))
    assert monotonic() - began < 5
    assert result.state is LayerState.UNKNOWN


def test_without_a_page_nothing_is_asked() -> None:
    """An empty URL in the settings turns the layer off."""
    assert read_status_page("", timeout=LONG).state is LayerState.NOT_APPLICABLE
