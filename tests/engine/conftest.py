"""What the tests of deliveries share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.sandbox.messaging import MessagingStandIn
from tests.engine.outbox_setup import OutboxSetup


@pytest.fixture
def outbox(tmp_path: Path, direct: None) -> Iterator[OutboxSetup]:
    with MessagingStandIn() as inbox:
        outbox = OutboxSetup(tmp_path / "history.db", inbox)
        yield outbox
        outbox.close()
