"""An inbox on loopback, reached directly."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from monitor.sandbox.messaging import MessagingStandIn


@pytest.fixture(autouse=True)
def _direct(direct: None) -> None:
    """All tests here."""


@pytest.fixture
def inbox() -> Iterator[MessagingStandIn]:
    with MessagingStandIn() as inbox:
        yield inbox
