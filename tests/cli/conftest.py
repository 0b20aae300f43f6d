"""What the commands are tested against: an Upstash that accepts the TOKEN of the test's file, and a Slack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitor.sandbox.messaging import MessagingStandIn
from monitor.sandbox.upstash import UpstashStandIn


@pytest.fixture
def upstash(request: pytest.FixtureRequest) -> Iterator[UpstashStandIn]:
    with UpstashStandIn(request.module.TOKEN) as server:
        yield server


@pytest.fixture
def people() -> Iterator[MessagingStandIn]:
    with MessagingStandIn() as server:
        yield server
