"""An inbox on loopback, reached directly."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from monitor.sandbox.messaging import MessagingStandIn


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loopback is reached directly and judged by our own certificates, whatever the environment says."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
            monkeypatch.delenv(name)


@pytest.fixture
def inbox() -> Iterator[MessagingStandIn]:
    with MessagingStandIn() as inbox:
        yield inbox
