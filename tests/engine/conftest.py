"""What the tests of deliveries share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from monitor.sandbox.inbox import InboxStandIn
from tests.engine.office import Office


@pytest.fixture
def office(tmp_path: Path, direct: None) -> Iterator[Office]:
    with InboxStandIn() as inbox:
        office = Office(tmp_path / "history.db", inbox)
        yield office
        office.close()
